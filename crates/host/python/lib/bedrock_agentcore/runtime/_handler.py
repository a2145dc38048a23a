"""How a function wants to be called: as a coroutine or in a thread, with the context or without.

Plain functions are read without `inspect`, whose import would slow down every start.
"""

from __future__ import annotations

from types import FunctionType, MethodType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

NO_CONTEXT, POSITIONAL, KEYWORD = 0, 1, 2

_VARARGS = 0x04
_COROUTINE = 0x80
_ASYNC_GENERATOR = 0x200


class Handler:
    """A registered function, taken apart once."""

    __slots__ = ("function", "context", "is_async", "name")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.context = context_parameter(function)
        self.is_async = is_async(function)
        self.name = name_of(function)

    def call(self, payload: Any, context: Any) -> Any:
        """Calls the function with what it asks for."""
        if self.context == NO_CONTEXT:
            return self.function(payload)
        if self.context == POSITIONAL:
            return self.function(payload, context)
        return self.function(payload, context=context)


def context_parameter(function: Callable[..., Any]) -> int:
    """Returns how the request's context is passed: it is asked for by naming the second parameter `context`."""
    plain: Any = function.__func__ if isinstance(function, MethodType) else function
    if type(plain) is FunctionType and plain.__dict__.keys().isdisjoint(("__wrapped__", "__signature__")):
        code = plain.__code__
        if not code.co_flags & _VARARGS and not code.co_kwonlyargcount:
            second = 2 if plain is not function else 1
            named = code.co_argcount > second and code.co_varnames[second] == "context"
            return POSITIONAL if named else NO_CONTEXT
    import inspect

    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return NO_CONTEXT
    if len(parameters) < 2 or parameters[1].name != "context":
        return NO_CONTEXT
    if parameters[1].kind is inspect.Parameter.VAR_KEYWORD:
        return NO_CONTEXT
    if parameters[1].kind is inspect.Parameter.KEYWORD_ONLY:
        return KEYWORD
    return POSITIONAL


def is_async(function: Any) -> bool:
    """Returns whether calling it gives a coroutine or an async generator."""
    function = _innermost(function)
    if not isinstance(function, (FunctionType, MethodType)):
        function = _innermost(getattr(type(function), "__call__", None))
    if _is_marked(function):
        return True
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    flags = getattr(code, "co_flags", 0)
    return bool(flags & (_COROUTINE | _ASYNC_GENERATOR)) or _is_marked(function)


def is_coroutine_function(function: Any) -> bool:
    """Returns whether calling it gives a coroutine."""
    function = _innermost(function)
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    return bool(getattr(code, "co_flags", 0) & _COROUTINE) or _is_marked(function)


def name_of(function: Any) -> str:
    """Returns what to call it in a log line."""
    function = _innermost(function)
    name: Optional[str] = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def _innermost(function: Any) -> Any:
    # A `functools.partial`, recognised without importing `functools`.
    while type(function).__name__ == "partial" and hasattr(function, "keywords"):
        function = function.func
    return function


def _is_marked(function: Any) -> bool:
    # What `inspect.markcoroutinefunction` and its forerunner in asyncio leave on a function.
    return bool(getattr(function, "_is_coroutine_mark", None) or getattr(function, "_is_coroutine", None))
