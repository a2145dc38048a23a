"""Makes the Python base image that the tests build on, out of this machine, and prints its name.

An engine without a registry has no `python:X.Y-slim`. This script packs the Python that runs it, the shared libraries
that it links, a shell with the usual small programs, pip and the CA bundle into one layer and imports that. It needs no
network. A Python that cannot be packed is replaced by Debian's, which `mmdebstrap` fetches from the package archive.

The name ends in a hash of all that decides the content, so an image that is there is the right one.
"""

import argparse
import contextlib
import fcntl
import glob
import hashlib
import http.client
import io
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import urllib.parse
import zipfile

REPOSITORY = "agentcore-test-python"
VERSION = "{}.{}".format(*sys.version_info[:2])

# Parts of the standard library that no server needs.
LEFT_OUT = re.compile(
    r"/(test|tests|idlelib|tkinter|turtledemo|ensurepip|lib2to3|__pycache__|site-packages|dist-packages|config-[^/]*)(/|$)"
    r"|\.a$|/EXTERNALLY-MANAGED$|/_tkinter\.|/_test\w+\.cpython|/python[\d.]*-config$"
)
PROGRAMS = """
    bash cat chmod chown cp cut date dirname basename echo env expr false find grep groupadd gzip head hostname id ln ls
    mkdir mktemp mv pwd readlink realpath rm rmdir sed sh sleep sort stat su tail tar tee test touch tr true uname uniq
    useradd wc which whoami xargs
""".split()
# glibc loads the first by name when a host is looked up; binary wheels count on the others.
MORE_LIBRARIES = """
    libnss_dns.so.2 libnss_files.so.2 libresolv.so.2
    libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 libutil.so.1 libgcc_s.so.1 libstdc++.so.6
""".split()
CA_BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]
CA_IN_IMAGE = "/etc/ssl/certs/ca-certificates.crt"
# Where pip looks for packages on this machine, it looks inside.
PIP_CONFIGURATION = "/etc/pip.conf"
PIP_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
FILES = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/shadow": "",
    "/etc/gshadow": "",
    "/etc/nsswitch.conf": "hosts: files dns\n",
}
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    # pip trusts whom this machine trusts, not only whom its own bundle names.
    "PIP_CERT": CA_IN_IMAGE,
    "SSL_CERT_FILE": CA_IN_IMAGE,
    "REQUESTS_CA_BUNDLE": CA_IN_IMAGE,
}


class CannotPack(Exception):
    """Why this machine's Python cannot become an image."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", action="store_true", help="print the name and make nothing")
    parser.add_argument("--mmdebstrap", action="store_true", help="take Debian's Python, not this one")
    arguments = parser.parse_args()
    image = name(arguments.mmdebstrap)
    if not arguments.name:
        engine = Engine.of_environment()
        with one_at_a_time():
            if not engine.has(image):
                make(engine, image, arguments.mmdebstrap)
    print(image)


def name(from_archive):
    """The tag: the version, and a hash of this recipe, of the Python and of the certificates that go into it."""
    content = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    executable = os.stat(os.path.realpath(sys.executable))
    for part in (from_archive, sys.version, sys.base_prefix, executable.st_size, executable.st_mtime_ns):
        content.update(repr(part).encode())
    for part in (ca_bundle(), pip_configuration(), *environment().items()):
        content.update(repr(part).encode())
    return "{}:{}-{}".format(REPOSITORY, VERSION, content.hexdigest()[:12])


def make(engine, image, from_archive):
    started = time.monotonic()
    with tempfile.TemporaryFile() as archive:
        try:
            if not from_archive:
                pack(archive)
        except CannotPack as reason:
            say("Debian's Python is taken, because the one here cannot be: {}".format(reason))
            from_archive = True
        if from_archive:
            bootstrap(archive)
        size = archive.tell()
        archive.seek(0)
        engine.import_image(image, archive, size)
    took = time.monotonic() - started
    origin = "packages" if from_archive else sys.executable
    say("{}: {:.0f} MB, made in {:.1f} s from {}".format(image, size / 1e6, took, origin))


# What goes into the image.


def pack(archive):
    """Writes the root file system of an image around the Python that runs this."""
    if sys.platform != "linux" or not shutil.which("ldd"):
        raise CannotPack("it does not run on a Linux with glibc")
    tree = Tree()
    home = add_python(tree)
    for program in PROGRAMS:
        found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")
        if found:
            tree.add("/usr/bin/" + program, os.path.realpath(found))
        elif program in ("sh", "useradd", "cp"):
            raise CannotPack("there is no `{}`".format(program))
    add_libraries(tree, home)
    for path, found in ((CA_IN_IMAGE, ca_bundle()), (PIP_CONFIGURATION, pip_configuration())):
        if found:
            tree.add(path, found)
    for path, text in FILES.items():
        tree.add(path, text.encode(), mode=0o644 if "shadow" not in path else 0o600)
    for path in ("/etc/os-release", "/etc/login.defs"):
        if os.path.isfile(path):
            tree.add(path, os.path.realpath(path))
    tree.write(archive)


def add_python(tree):
    """Adds the interpreter and pip, and returns the folder of its shared libraries on this machine."""
    prefix = os.path.realpath(sys.base_prefix)
    library = sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix})
    executable = os.path.realpath(sys.executable)
    if not os.path.isdir(library) or "python" not in os.path.basename(executable):
        raise CannotPack("it is no ordinary installation")
    # Debian's own stays where it is, with what belongs to it; any other prefix becomes /usr/local.
    home = "/usr" if prefix == "/usr" else "/usr/local"
    versioned = "{}/bin/python{}".format(home, VERSION)
    tree.add(versioned, executable)
    for link in ("python", "python3"):
        tree.link("/usr/local/bin/" + link, versioned)
    # The interpreter looks for its library beside itself, under this name.
    tree.add_folder("{}/lib/python{}".format(home, VERSION), library)
    packages = "/usr/local/lib/python{}/{}".format(VERSION, "dist-packages" if home == "/usr" else "site-packages")
    add_pip(tree, packages)
    return os.path.join(prefix, "lib")


def add_pip(tree, packages):
    """Adds pip from the wheel that every Python carries for `ensurepip`."""
    import ensurepip

    folders = [os.path.join(os.path.dirname(ensurepip.__file__), "_bundled")]
    folders += [folder for folder in [sysconfig.get_config_var("WHEEL_PKG_DIR")] if folder]
    wheels = [wheel for folder in folders for wheel in sorted(glob.glob(os.path.join(folder, "pip-*.whl")))]
    if not wheels:
        raise CannotPack("`ensurepip` has no wheel of pip; install the package `python3-venv`")
    with zipfile.ZipFile(wheels[-1]) as wheel:
        for entry in wheel.infolist():
            if not entry.is_dir():
                tree.add("{}/{}".format(packages, entry.filename), wheel.read(entry))
    script = "#!/usr/local/bin/python3\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
    for program in ("pip", "pip3"):
        tree.add("/usr/local/bin/" + program, script.encode(), mode=0o755)


def add_libraries(tree, home):
    """Adds every shared library that a program or library of the tree links."""
    loader = {}
    for path in list(tree.binaries()):
        environment = dict(os.environ, LD_LIBRARY_PATH=home)
        told = subprocess.run(["ldd", path], env=environment, capture_output=True, text=True, check=False).stdout
        loader.update(re.findall(r"^\s*(\S+) => (/\S+)", told, re.M))
        loader.update((path, path) for path in re.findall(r"^\s*(/\S+) \(", told, re.M))
    if "libc.so.6" not in loader:
        raise CannotPack("`ldd` does not tell which C library it uses")
    system = os.path.dirname(loader["libc.so.6"])
    for library in MORE_LIBRARIES:
        path = os.path.join(system, library)
        if os.path.exists(path):
            loader[library] = path
    for soname, path in sorted(loader.items()):
        # Where the loader looks without being told, so that no cache has to be made, which only root can.
        wanted = path if soname.startswith("/") else os.path.join(system, soname)
        tree.add(wanted, os.path.realpath(path), mode=0o755)


def ca_bundle():
    for path in CA_BUNDLES:
        if os.path.isfile(path):
            return pathlib.Path(path).read_bytes()
    return None


def pip_configuration():
    return pathlib.Path(PIP_CONFIGURATION).read_bytes() if os.path.isfile(PIP_CONFIGURATION) else None


def environment():
    told = {name: os.environ[name] for name in PIP_VARIABLES if os.environ.get(name)}
    return dict(ENVIRONMENT, **told)


def bootstrap(archive):
    """Writes the root file system of a small Debian with its own Python, from the package archive."""
    if not shutil.which("mmdebstrap"):
        sys.exit(
            "error: no base image can be made here\n"
            "hint: install `mmdebstrap`, or name an image in `AGENTCORE_TEST_BASE_IMAGE`, such as `python:3.13-slim`"
        )
    release = subprocess.run(
        ["sh", "-c", '. /etc/os-release; echo "$VERSION_CODENAME"'], capture_output=True, text=True, check=True
    ).stdout.strip()
    include = "--include=python3,python3-pip,python3-venv,ca-certificates"
    hook = [
        "--customize-hook=ln -s /usr/bin/python3 \"$1/usr/local/bin/python\"",
        "--customize-hook=rm -f \"$1\"/usr/lib/python3*/EXTERNALLY-MANAGED",
    ]
    bundle = next((path for path in CA_BUNDLES if os.path.isfile(path)), None)
    if bundle:
        hook.append("--customize-hook=copy-in {} {}".format(bundle, os.path.dirname(CA_IN_IMAGE)))
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", include, *hook, release or "stable", "-"]
    subprocess.run(command, stdout=archive, check=True)
    archive.seek(0, io.SEEK_END)


class Tree:
    """The files of an image by their paths; a path goes through /lib, /bin and the like to where these lead."""

    MERGED = ("bin", "sbin", "lib", "lib64")

    def __init__(self):
        self.entries = {}

    def add(self, path, content, mode=None):
        """Adds bytes, or the file of this machine that `content` names."""
        if isinstance(content, str):
            content = pathlib.Path(content)
            mode = mode or os.stat(content).st_mode & 0o755
        self.entries[self.real(path)] = (mode or 0o644, content)

    def link(self, path, target):
        if path != target:
            self.entries[self.real(path)] = (0o777, target)

    def add_folder(self, path, folder):
        """Adds a folder of this machine with what is under it, without what no server needs."""
        for parent, folders, files in os.walk(folder):
            inside = path + parent[len(folder) :]
            folders[:] = [it for it in folders if not LEFT_OUT.search("{}/{}/".format(inside, it))]
            for file in files:
                origin = os.path.join(parent, file)
                wanted = "{}/{}".format(inside, file)
                if os.path.isfile(origin) and not LEFT_OUT.search(wanted):
                    self.add(wanted, os.path.realpath(origin))

    def real(self, path):
        """Distributions have moved /lib to /usr/lib; so has the image, whatever this machine did."""
        first = path.lstrip("/").split("/")[0]
        return "/usr" + path if first in self.MERGED else path

    def binaries(self):
        """The programs and shared libraries, as files of this machine."""
        for _, content in self.entries.values():
            if isinstance(content, pathlib.Path):
                with content.open("rb") as file:
                    if file.read(4) == b"\x7fELF":
                        yield str(content)

    def write(self, archive):
        """Writes a tar file that is the same for the same content."""
        folders = {"/proc", "/sys", "/dev", "/run", "/home", "/root", "/opt", "/usr/sbin", "/usr/lib64", "/usr/bin"}
        for path in self.entries:
            folders.update(str(it) for it in pathlib.PurePosixPath(path).parents)
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(folders - {"/"}):
                tar.addfile(entry(path, 0o755, tarfile.DIRTYPE))
            for path in ("/tmp", "/var/tmp"):
                tar.addfile(entry(path, 0o1777, tarfile.DIRTYPE))
            for path in self.MERGED:
                tar.addfile(entry("/" + path, 0o777, tarfile.SYMTYPE, "usr/" + path))
            for path, (mode, content) in sorted(self.entries.items()):
                if isinstance(content, str):
                    tar.addfile(entry(path, mode, tarfile.SYMTYPE, content))
                    continue
                body = content.read_bytes() if isinstance(content, pathlib.Path) else content
                info = entry(path, mode, tarfile.REGTYPE)
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))


def entry(path, mode, kind, target=""):
    info = tarfile.TarInfo(path.lstrip("/"))
    info.mode, info.type, info.linkname = mode, kind, target
    return info


# The engine, through its own interface: the docker command may not be there.


class Engine:
    """A Docker engine on this machine."""

    def __init__(self, scheme, place):
        self.scheme, self.place = scheme, place

    @classmethod
    def of_environment(cls):
        host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        parts = urllib.parse.urlsplit(host)
        if parts.scheme == "unix":
            return cls("unix", parts.path)
        if parts.scheme == "tcp":
            return cls("tcp", parts.netloc)
        sys.exit("error: `DOCKER_HOST` is `{}`, which is neither unix:// nor tcp://".format(host))

    def request(self, method, path, body=None, length=0):
        """The status and the text of an answer."""
        connection = UnixConnection(self.place) if self.scheme == "unix" else http.client.HTTPConnection(self.place)
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(length)} if body else {}
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        except OSError as error:
            sys.exit("error: no Docker engine answers at {}: {}".format(self.place, error))
        finally:
            connection.close()

    def has(self, image):
        return self.request("GET", "/images/{}/json".format(image))[0] == 200

    def import_image(self, image, archive, length):
        repository, tag = image.split(":")
        changes = ['ENV {}="{}"'.format(*it) for it in environment().items()] + ['CMD ["python3"]']
        query = [("fromSrc", "-"), ("repo", repository), ("tag", tag)] + [("changes", it) for it in changes]
        status, told = self.request("POST", "/images/create?" + urllib.parse.urlencode(query), archive, length)
        # A failure on the way is told in the answer's body, after a status of 200.
        errors = [json.loads(line).get("error") for line in told.splitlines() if line.strip()] if status == 200 else [told]
        if any(errors):
            sys.exit("error: the engine does not take the image ({}): {}".format(status, told.strip()))


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket of the file system."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


@contextlib.contextmanager
def one_at_a_time():
    """Holds a lock against other runs of this user; the kernel releases it however this one ends."""
    path = os.path.join(tempfile.gettempdir(), "{}-{}.lock".format(REPOSITORY, os.getuid()))
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(text):
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
