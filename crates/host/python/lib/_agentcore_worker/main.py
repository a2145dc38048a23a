"""The life of a worker, from its arguments to its end."""

from __future__ import annotations

import os
import sys

from . import agent_file
from .frames import LOAD_FAILED
from .link import Control, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import List, NoReturn, Optional

    from .worker import Worker

MAX_THREADS = 256


class Arguments:
    """`--native-last|--native-first FILE [--app NAME] --source-root DIR [--max-threads N]`"""

    def __init__(self, arguments: List[str]) -> None:
        self.file: Optional[str] = None
        self.native_first = False
        self.app: Optional[str] = None
        self.source_root: Optional[str] = None
        self.max_threads = MAX_THREADS
        # Without `argparse`: its import takes longer than everything else here.
        rest = iter(arguments)
        for argument in rest:
            if argument in ("--native-last", "--native-first"):
                self.native_first = argument == "--native-first"
            elif argument == "--app":
                self.app = next(rest, None)
            elif argument == "--source-root":
                self.source_root = next(rest, None)
            elif argument == "--max-threads":
                self.max_threads = max(1, int(next(rest, "")))
            elif self.file is None:
                self.file = argument
            else:
                raise SystemExit(f"error: unexpected argument `{argument}`")


def main(arguments: List[str], package_folder: str) -> None:
    """Runs the agent's file and serves its app until the server ends it."""
    options = Arguments(arguments)
    if options.file is None:
        raise SystemExit("error: no file of an agent is named")
    _show_fatal_errors()
    server = Server.from_environment()
    control = Control(server)
    file = agent_file.prepare(options.file, options.source_root or os.path.dirname(os.path.abspath(options.file)))
    sys.path.remove(package_folder)
    sys.path.insert(0 if options.native_first else len(sys.path), package_folder)
    _check_package(control, package_folder)

    from .output import Output
    from .worker import Worker

    Output()
    agent_file.hide(__file__)
    worker = Worker(server, control, options.max_threads)
    worker.begin(options.app)
    module = _load(worker, file)
    if not worker.is_serving():
        _serve_what_it_made(worker, module, options.app)
    else:
        # `run()` was called in another thread, or has returned because the agent is to end.
        worker.go_on_serving()


def _show_fatal_errors() -> None:
    """Has a crash of the interpreter (a segmentation fault, an abort) say where the agent was."""
    import faulthandler

    try:
        if not faulthandler.is_enabled():
            faulthandler.enable()
    except (RuntimeError, ValueError, OSError):
        # No stderr.
        pass


def _check_package(control: Control, package_folder: str) -> None:
    """Refuses to go on with another `bedrock_agentcore` than ours: its `run()` would start a server of its own."""
    origin = _package_found()
    ours = os.path.join(os.path.realpath(package_folder), "bedrock_agentcore", "__init__.py")
    if origin is not None and origin != ours and _is_a_copy(origin):
        # Installed beside an agent that is served by a program with a copy of its own: that one knows the server.
        sys.path.remove(package_folder)
        sys.path.insert(0, package_folder)
        origin = _package_found()
    if origin == ours:
        return
    where = os.path.dirname(origin) if origin else "a folder without `__init__.py`"
    error = f"another `bedrock_agentcore` stands before the native engine: {where}"
    print(
        f"error: {error}\nhint: serve the agent with it (`engine: sdk`), or without it (`engine: native`)",
        file=sys.stderr,
    )
    from json import dumps

    control.send(LOAD_FAILED, dumps({"error": error, "error_type": "OtherPackage"}).encode())
    _exit(1)


def _package_found() -> Optional[str]:
    found = (finder.find_spec("bedrock_agentcore", None) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    spec = next(filter(None, found), None)
    return os.path.realpath(spec.origin) if spec is not None and spec.origin else None


def _is_a_copy(origin: str) -> bool:
    return os.path.isfile(os.path.join(os.path.dirname(os.path.dirname(origin)), "_agentcore_worker", "main.py"))


def _load(worker: Worker, file: str) -> ModuleType:
    try:
        return agent_file.run_as_main(file)
    except SystemExit as stop:
        if worker.is_serving():
            # `sys.exit(app.run())`, after the server has stopped the agent.
            raise
        status = _status(stop.code)
        text = f"the file ended the process with exit status {status}, before it was served"
        print(f"error: {text}" if isinstance(stop.code, (int, type(None))) else stop.code, file=sys.stderr)
        _give_up(worker, text, "SystemExit")
    except KeyboardInterrupt:
        _give_up(worker, "interrupted while the file was loading", "KeyboardInterrupt", 130)
    except BaseException as error:
        agent_file.print_failure(error)
        if worker.is_serving():
            # After `app.run()` had returned: the agent is ending anyway.
            raise SystemExit(1) from None
        _give_up(worker, str(error), type(error).__name__)


def _serve_what_it_made(worker: Worker, module: ModuleType, wanted: Optional[str]) -> None:
    from bedrock_agentcore.runtime.app import BedrockAgentCoreApp

    app = worker.deferred() if wanted is None else None
    if app is None:
        try:
            app = agent_file.choose_app(module, BedrockAgentCoreApp, wanted)
        except agent_file.NoApp as error:
            print(f"error: {error}", file=sys.stderr)
            _give_up(worker, str(error), "NoApp")
    worker.serve(app)


def _give_up(worker: Worker, error: str, error_type: str, status: int = 1) -> NoReturn:
    worker.load_failed(error, error_type)
    _exit(status)


def _exit(status: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    # At once: threads that the file has started must not keep a worker without an agent alive.
    os._exit(status)


def _status(code: object) -> int:
    if code is None:
        return 0
    return code if isinstance(code, int) else 1
