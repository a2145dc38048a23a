//! The build context: which files of a folder an image is built from, and the archive that carries them.
