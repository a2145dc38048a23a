"""What the agent prints while it is served: whole lines, in the order in which they were written.

On a terminal a line begins with the session that it belongs to. For a front door both streams go through one pipe, on
which a byte tells them apart. Into anything else Python writes by itself, a line at a time. What does not go through
`sys.stdout` and `sys.stderr` (children, C code) is left alone, and so are streams that somebody has put in their place.
"""

from __future__ import annotations

import os
import sys
from io import BufferedIOBase, TextIOWrapper
from stat import S_ISFIFO, S_ISSOCK
from threading import get_ident

from bedrock_agentcore.runtime._invocation import current

from .lines import Lines, TerminalLines, flush_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

# Set by a front door for its sandboxes: it understands what `MERGED` does.
VARIABLE = "AGENTCORE_OUTPUT"
MERGED = "merged"

# What a line of standard output begins with where it goes through the pipe of standard error.
_STDOUT = b"\x01"
# So many sessions are remembered with their tags.
_MOST = 1024

_tags: Dict[str, bytes] = {}


class Output:
    """The standard streams while the agent is served. `is_debugged` leaves a terminal to the debugger."""

    def __init__(self, is_debugged: bool = False) -> None:
        self._moved: List[Tuple[TextIOWrapper, TextIOWrapper]] = []
        self._undo: List[Callable[[], object]] = []
        stdout, stderr = _original("stdout", 1), _original("stderr", 2)
        # Taken out: what the agent starts does not know the byte.
        is_merged = os.environ.pop(VARIABLE, None) == MERGED
        if is_merged:
            self._undo.append(lambda: os.environ.setdefault(VARIABLE, MERGED))
        if is_merged and stdout and stderr and _is_pipe(2):
            lines = Lines()
            # Through a copy of 2, which agents replace for a while to silence others.
            self._replace("stdout", stdout, _Stream(stdout, lines, _copy_of(2), _STDOUT))
            self._replace("stderr", stderr, _Stream(stderr, lines, 2))
        else:
            leaves_terminal = is_debugged or _is_traced()
            terminal: Optional[TerminalLines] = None
            for name, stream in (("stdout", stdout), ("stderr", stderr)):
                if stream is None:
                    continue
                if not stream.isatty():
                    self._have_whole_lines(stream)
                elif not leaves_terminal:
                    terminal = terminal or TerminalLines()
                    self._replace(name, stream, _TerminalStream(stream, terminal, stream.fileno()))
        _move_handlers(self._moved)

    def give_back(self) -> None:
        """Puts back what was there before, where nobody else has put something."""
        _move_handlers([(after, before) for before, after in self._moved])
        self._moved = []
        while self._undo:
            self._undo.pop()()

    def _replace(self, name: str, before: TextIOWrapper, stream: _Stream) -> None:
        _flush(before)
        is_terminal = isinstance(stream, _TerminalStream)
        after = TextIOWrapper(
            stream,
            before.encoding,
            before.errors,
            newline="\n",
            # A person sees a line grow, and a front door shows whole ones.
            line_buffering=not is_terminal,
            write_through=is_terminal,
        )
        after.mode = before.mode  # type: ignore[misc]
        self._moved.append((before, after))
        _exchange(name, before, after)

        def undo() -> None:
            flush()
            _exchange(name, after, before)

        self._undo.append(undo)

    def _have_whole_lines(self, stream: TextIOWrapper) -> None:
        # Unbuffered, a text and its line break are written one after the other, and other threads in between.
        by_line, at_once = stream.line_buffering, stream.write_through
        stream.reconfigure(line_buffering=True, write_through=False)

        def undo() -> None:
            if not stream.closed:
                stream.reconfigure(line_buffering=by_line, write_through=at_once)

        self._undo.append(undo)


class _Stream(BufferedIOBase):
    """The bytes of one stream, which go to the file descriptor `to`; `mark` is what its lines begin with."""

    mode = "wb"

    def __init__(self, original: TextIOWrapper, lines: Lines, to: int, mark: bytes = b"") -> None:
        self.name = original.name
        self.lines = lines
        self._number = original.fileno()
        self._to = to
        self._mark = mark

    def write(self, data: Any) -> int:
        """Writes all of it."""
        if self.closed:
            raise ValueError("write to closed file")
        if type(data) is not bytes:
            data = memoryview(data).tobytes()
        if data:
            self._write(data)
        return len(data)

    def flush(self) -> None:
        super().flush()
        self.lines.flush(get_ident())

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def _write(self, data: bytes) -> None:
        self.lines.write(self._to, (self.name, None, get_ident()), self._mark, data)


class _TerminalStream(_Stream):
    """The same on a terminal, where lines begin with the session of the request in which they are written."""

    def _write(self, data: bytes) -> None:
        invocation = current.get(None)
        session = None if invocation is None else invocation.session_id
        mark = _tags.get(session) or _tag(session) if session else b""
        self.lines.write(self._to, (self.name, session, get_ident()), mark, data)


def flush() -> None:
    """Writes what was printed, by whichever thread, as far as that is possible."""
    _flush(sys.stdout)
    _flush(sys.stderr)
    try:
        flush_all()
    except OSError:
        pass


def short_session(session: str) -> str:
    """Returns what a person recognises of a session id: what was typed, or the beginning of a generated one.

    The CLI shows the same (`src/ui/log_lines.rs`).
    """
    typed, dash, digest = session.rpartition("-")
    if dash and len(digest) == 32 and not digest.strip("0123456789abcdef"):
        return typed
    return session.partition("-")[0] if _is_uuid(session) else session


def _is_uuid(text: str) -> bool:
    if len(text) == 38 and text[0] == "{" and text[-1] == "}":
        text = text[1:-1]
    elif len(text) == 45 and text[:9].lower() == "urn:uuid:":
        text = text[9:]
    groups = text.split("-")
    are_hex = not "".join(groups).strip("0123456789abcdefABCDEF")
    return are_hex and [len(group) for group in groups] == [8, 4, 4, 4, 12]


def _tag(session: str) -> bytes:
    # The id comes from a caller, and a terminal obeys what is not printable.
    name = "".join(letter if letter.isprintable() else "?" for letter in short_session(session))
    if len(_tags) >= _MOST:
        _tags.clear()
    tag = _tags[session] = f"[{name}] ".encode("utf-8", "replace")
    return tag


def _original(name: str, number: int) -> Optional[TextIOWrapper]:
    """Returns a standard stream if it is the one that Python has made."""
    stream = getattr(sys, name)
    if type(stream) is not TextIOWrapper or stream is not getattr(sys, f"__{name}__"):
        return None
    try:
        return stream if stream.fileno() == number else None
    except (OSError, ValueError):
        # Closed.
        return None


def _exchange(name: str, before: TextIOWrapper, after: TextIOWrapper) -> None:
    for place in (name, f"__{name}__"):
        if getattr(sys, place) is before:
            setattr(sys, place, after)


def _move_handlers(moved: List[Tuple[TextIOWrapper, TextIOWrapper]]) -> None:
    """Has handlers of `logging` write to the streams that stand for theirs."""
    logging: Any = sys.modules.get("logging")
    if logging is None or not moved:
        return
    streams = {id(before): after for before, after in moved}
    for logger in (logging.root, *list(logging.root.manager.loggerDict.values())):
        for handler in getattr(logger, "handlers", ()):
            stream = streams.get(id(getattr(handler, "stream", None)))
            if stream is not None and isinstance(handler, logging.StreamHandler):
                try:
                    handler.setStream(stream)
                except (OSError, ValueError):
                    # What it has held back cannot be written.
                    pass


def _is_traced() -> bool:
    """Returns whether a debugger, or what works like one, is at work: it has its own ways with a terminal."""
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None:
        return True
    return sys.gettrace() is not None or "pydevd" in sys.modules


def _is_pipe(number: int) -> bool:
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        return False
    return S_ISFIFO(mode) or S_ISSOCK(mode)


def _copy_of(number: int) -> int:
    import fcntl

    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except (OSError, ValueError, AttributeError):
        # There is none, it is closed, or nobody reads it.
        pass
