"""The build backend of the wheel: maturin, with the Python package laid out for it.

maturin takes files for `site-packages` from one folder that looks like it. The package lies in `python/lib`, where the
server embeds it from; here it is copied to where it belongs in the wheel, and removed again.
"""

import os
import shutil
from contextlib import contextmanager

HERE = os.path.dirname(os.path.abspath(__file__))
# Named in pyproject.toml.
STAGED = os.path.join(HERE, "staged")


def lay_out(folder):
    """Copies what goes into `site-packages` to `folder`, which does not exist yet."""
    shutil.copytree(os.path.join(HERE, "purelib"), folder, ignore=shutil.ignore_patterns("__pycache__"))
    package = os.path.join(os.path.dirname(HERE), "python", "lib")
    lib = os.path.join(folder, "agentcore_host_python", "lib")
    shutil.copytree(package, lib, ignore=shutil.ignore_patterns("__pycache__"))


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    with _maturin() as maturin:
        return maturin.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with _maturin() as maturin:
        return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)


@contextmanager
def _maturin():
    import maturin

    shutil.rmtree(STAGED, ignore_errors=True)
    try:
        lay_out(os.path.join(STAGED, "purelib"))
        yield maturin
    finally:
        shutil.rmtree(STAGED, ignore_errors=True)
