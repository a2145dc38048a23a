"""Finds the `bedrock_agentcore` package of this folder where nobody else has one of that name.

Imported at the start of every Python that this is installed for, by the line in `agentcore_host.pth`: it has to be
quick. The first line there names the folder for editors and type checkers, which read paths and run nothing; for Python
that would be an entry of `sys.path`, and stand before an official package in a site folder that is added later.
"""

import sys

_FOLDER = __path__[0] + "/lib"
_NAMES = ("bedrock_agentcore", "_agentcore_worker")


class Finder:
    """Asked after all others."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """Finds the two packages; what is in them is found by their own paths."""
        if name not in _NAMES:
            return None
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(name, [_FOLDER], target)


if _FOLDER in sys.path:
    sys.path.remove(_FOLDER)
sys.meta_path.append(Finder)
