"""The agent's file: run as `__main__`, as Python itself would, and searched for the app that it made.

Shared by the worker and by the launcher of the official SDK; knows neither server nor protocol.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Optional, Type, TypeVar

    T = TypeVar("T")


class NoApp(Exception):
    """The file ran, and there is no telling which app is meant."""


def prepare(file: str, source_root: str) -> str:
    """Makes `sys.argv` and `sys.path` those of a program that is this file; returns its absolute path."""
    file = os.path.abspath(file)
    folder, root = os.path.dirname(file), os.path.abspath(source_root)
    sys.argv[:] = [file]
    sys.path[:0] = [folder] if folder == root else [folder, root]
    return file


def run_as_main(file: str) -> ModuleType:
    """Runs the file as the module `__main__`, and returns that module."""
    module = ModuleType("__main__")
    module.__file__ = file
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]
    module.__loader__ = SourceFileLoader("__main__", file)
    module.__cached__ = None  # type: ignore[attr-defined]
    module.__dict__.setdefault("__annotations__", {})
    sys.modules["__main__"] = module
    with open(file, "rb") as source:
        code = compile(source.read(), file, "exec", dont_inherit=True)
    exec(code, module.__dict__)
    return module


def choose_app(module: ModuleType, kind: Type[T], wanted: Optional[str]) -> T:
    """Returns the app to serve: the one that is named, the only one, or the one that is called `app`."""
    names = vars(module)
    if wanted is not None:
        found = names.get(wanted)
        if isinstance(found, kind):
            return found
        if wanted not in names:
            raise NoApp(f"the file defines no `{wanted}`")
        raise NoApp(f"`{wanted}` is a {type(found).__name__}, not a BedrockAgentCoreApp")
    apps = {id(value): name for name, value in names.items() if isinstance(value, kind)}
    if len(apps) == 1:
        (name,) = apps.values()
        only: T = names[name]
        return only
    app = names.get("app")
    if isinstance(app, kind):
        return app
    if not apps:
        raise NoApp(
            "the file makes no app: write `app = BedrockAgentCoreApp()` and decorate a function with `@app.entrypoint`"
        )
    listed = ", ".join(f"`{name}`" for name in sorted(apps.values()))
    raise NoApp(f"the file makes several apps, {listed}: name one (`{os.path.basename(module.__file__ or '')}:NAME`)")


def print_failure(error: BaseException) -> None:
    """Prints a traceback as Python would, from the agent's file on."""
    # On the exception too: the hook prints what stands there.
    error.__traceback__ = _of_the_agent(error.__traceback__)
    sys.excepthook(type(error), error, error.__traceback__)
    hint = _hint(error)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    sys.stderr.flush()


def _of_the_agent(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    while trace is not None and trace.tb_frame.f_code.co_filename in _OURS:
        trace = trace.tb_next
    return trace


def _hint(error: BaseException) -> Optional[str]:
    name = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError) and isinstance(name, str) and name.startswith("bedrock_agentcore."):
        return (
            f"`{name}` is in the official `bedrock-agentcore` package: install it in the agent's environment, "
            "and `engine: sdk` serves the agent with it"
        )
    return None


# The files whose frames stand above the agent's in a traceback.
_OURS = {__file__}


def hide(file: str) -> None:
    """Leaves another file of the loader out of tracebacks."""
    _OURS.add(file)
