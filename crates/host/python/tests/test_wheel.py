"""The wheel beside the official package: installed before or after it, and whole when the other is removed.

`AGENTCORE_HOST_WHEEL` names a wheel that was built; without it one of the same files is put together here, with a
script in the place of the program. Nothing is downloaded.
"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

import support

HOST = os.path.dirname(support.PACKAGE)
WHO = """
import sys, bedrock_agentcore as package
print(getattr(package, "OFFICIAL", "ours"))
from bedrock_agentcore.runtime import BedrockAgentCoreApp
assert not [entry for entry in sys.path if "agentcore" in entry.rpartition("site-packages")[2]], sys.path
"""


def wheel(folder, name, version, files):
    """Makes a wheel of `files`: paths in it, with their contents."""
    path = os.path.join(folder, f"{name}-{version}-py3-none-any.whl")
    info = f"{name}-{version}.dist-info"
    distribution = name.replace("_", "-")
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            entry = zipfile.ZipInfo(file)
            entry.external_attr = (0o100755 if "/scripts/" in file else 0o100644) << 16
            archive.writestr(entry, content)
    return path


def our_wheel(folder):
    built = os.environ.get("AGENTCORE_HOST_WHEEL")
    if built:
        return built
    sys.path.insert(0, os.path.join(HOST, "wheel"))
    try:
        from build_backend import lay_out
    finally:
        del sys.path[0]
    laid_out = os.path.join(folder, "purelib")
    lay_out(laid_out)
    data = "agentcore_host-0.1.0.data"
    files = {f"{data}/scripts/agentcore-host": "#!/bin/sh\nexit 0\n"}
    for parent, _, names in os.walk(laid_out):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, encoding="utf-8") as file:
                files[f"{data}/purelib/{os.path.relpath(path, laid_out)}"] = file.read()
    return wheel(folder, "agentcore_host", "0.1.0", files)


def official_wheel(folder):
    files = {
        "bedrock_agentcore/__init__.py": "OFFICIAL = 'official'\n",
        "bedrock_agentcore/runtime/__init__.py": "BedrockAgentCoreApp = object\n",
        "bedrock_agentcore/memory/__init__.py": "",
    }
    return wheel(folder, "bedrock_agentcore", "1.25.0", files)


class BesideTheOfficialPackage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = os.path.realpath(tempfile.mkdtemp(prefix="wheel-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.ours, cls.official = our_wheel(cls.folder), official_wheel(cls.folder)
        environment = os.path.join(cls.folder, "venv")
        made = subprocess.run([sys.executable, "-m", "venv", environment], capture_output=True, text=True)
        if made.returncode and not os.environ.get("CI"):
            raise unittest.SkipTest(f"this Python makes no virtual environment: {made.stdout}")
        assert not made.returncode, made.stdout
        cls.bin = os.path.join(environment, "bin")
        (cls.site,) = glob.glob(os.path.join(environment, "lib", "python*", "site-packages"))

    def tearDown(self):
        self.pip("uninstall", "--yes", "agentcore-host", "bedrock-agentcore")
        self.assertEqual(self.installed(), set())

    def python(self, *arguments):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment.update(PATH="/usr/bin:/bin", PIP_CONFIG_FILE=os.devnull, PIP_DISABLE_PIP_VERSION_CHECK="1")
        command = [os.path.join(self.bin, "python"), *arguments]
        ran = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        return ran.stdout.strip()

    def pip(self, *arguments):
        self.python("-m", "pip", "--quiet", *arguments)

    def install(self, *wheels):
        for path in wheels:
            self.pip("install", "--no-index", "--no-deps", "--force-reinstall", path)

    def who(self):
        return self.python("-c", WHO)

    def installed(self):
        return {name for name in os.listdir(self.site) if "agentcore" in name}

    def test_the_official_package_wins_in_both_orders_and_each_can_go(self):
        self.install(self.ours)
        alone = self.installed()
        self.assertEqual(self.who(), "ours")
        self.assertFalse(os.path.exists(os.path.join(self.site, "bedrock_agentcore")))
        self.install(self.official)
        self.assertEqual(self.who(), "official")
        self.pip("uninstall", "--yes", "bedrock-agentcore")
        self.assertEqual((self.who(), self.installed()), ("ours", alone))

        self.pip("uninstall", "--yes", "agentcore-host")
        self.assertEqual(self.installed(), set())
        self.install(self.official)
        alone = self.installed()
        self.install(self.ours)
        self.assertEqual(self.who(), "official")
        self.pip("uninstall", "--yes", "agentcore-host")
        self.assertEqual((self.who(), self.installed()), ("official", alone))

    def test_an_official_package_in_a_folder_that_comes_later_wins_too(self):
        self.install(self.ours)
        later = os.path.join(self.folder, "later")
        with zipfile.ZipFile(self.official) as archive:
            archive.extractall(later)
        line = os.path.join(self.site, "zz_later.pth")
        with open(line, "w", encoding="utf-8") as file:
            file.write(later + "\n")
        try:
            self.assertEqual(self.python("-c", "import bedrock_agentcore as it; print(it.OFFICIAL)"), "official")
        finally:
            os.remove(line)

    def test_it_is_no_official_package_and_brings_its_program(self):
        self.install(self.ours)
        code = "import importlib.metadata as it; print(it.version('agentcore-host')); it.version('bedrock-agentcore')"
        ran = subprocess.run([os.path.join(self.bin, "python"), "-c", code], capture_output=True, text=True)
        self.assertIn("PackageNotFoundError", ran.stderr)
        found = self.python("-c", "from _agentcore_worker.program import find; print(find())")
        self.assertEqual(found, os.path.join(self.bin, "agentcore-host"))
        self.assertIn("usage: python -m bedrock_agentcore", self.python("-m", "bedrock_agentcore", "--help"))

    def test_an_editor_finds_the_package_by_the_first_line(self):
        self.install(self.ours)
        with open(os.path.join(self.site, "agentcore_host.pth"), encoding="utf-8") as file:
            folder = file.readline().strip()
        self.assertTrue(os.path.isfile(os.path.join(self.site, folder, "bedrock_agentcore", "py.typed")))


if __name__ == "__main__":
    unittest.main()
