"""Log lines of the runtime: one JSON object each, on stderr, from the logger `bedrock_agentcore.app`.

`logging` is imported when the agent does it or asks for `app.logger`, not before. A line goes around it while the
agent has changed nothing about it: what comes out is the same, and an invocation is not slowed down by its log.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from contextvars import Context
from threading import Lock, Thread

from ._invocation import current
from ._values import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Any, Deque, Optional

NAME = "bedrock_agentcore.app"
DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
_LEVEL_NAMES = {DEBUG: "DEBUG", INFO: "INFO", WARNING: "WARNING", ERROR: "ERROR"}

_level = INFO
_logger: Optional[logging.Logger] = None
_handler: Any = None
_second = (0, "")
_lines: Deque[str] = deque()
_writing = Lock()
# Characters. What a pipe takes as a whole is 4,096 bytes: more could be torn by what others write to it.
_BATCH = 2048
# So many lines are held at most, and for which stream.
_MOST_HELD = 64
_held: Any = None
# Lines that wait while nobody reads; what comes on top is counted.
_MOST = 4096
_dropped = 0
_poll: Any = None


def configure(debug: bool) -> None:
    """Prepares for an app. One app in debug mode is enough for its lines to be written."""
    global _level
    if debug and _level == INFO:
        _level = DEBUG
        if _handler is not None and _logger is not None and _logger.level == INFO:
            _logger.setLevel(DEBUG)
    if "logging" in sys.modules:
        logger()


def logger() -> logging.Logger:
    """Returns the logger. A handler is added unless it has one."""
    global _handler, _logger
    if _logger is None:
        import logging

        found = logging.getLogger(NAME)
        if not found.handlers:
            from ._log_format import RequestContextFormatter

            _handler = logging.StreamHandler()
            _handler.setFormatter(RequestContextFormatter())
            found.addHandler(_handler)
            if found.level == logging.NOTSET:
                found.setLevel(_level)
        _logger = found
    return _logger


def is_enabled(level: int) -> bool:
    """Returns whether lines of this level are written."""
    if _logger is None:
        return level >= _level
    return _logger.isEnabledFor(level)


def emit(level: int, message: str, error: Optional[BaseException] = None, waits: bool = False) -> None:
    """Writes a line, with the ids of the current request; with `error` also what was raised, and where.

    One that `waits` is written with the next, or by `release`, which has to come soon.
    """
    if _logger is None and error is None and "logging" not in sys.modules:
        if level >= _level:
            _write(sys.stderr, level, message, waits)
        return
    log = _logger or logger()
    if not log.isEnabledFor(level):
        return
    if error is None and _is_untouched(log):
        _write(_handler.stream, level, message, waits)
    else:
        # The message is no format: a percent sign in it is a percent sign.
        log.log(level, "%s", message, exc_info=error, stacklevel=2)


def is_holding() -> bool:
    """Returns whether lines wait."""
    return _held is not None


def release() -> None:
    """Writes the lines that wait. From any thread."""
    global _held
    if _held is not None:
        stream, _held = _held, None
        if stream is not None and _lines:
            _write_out(stream)


def timestamp(at: float) -> str:
    """Returns a time as ISO-8601 in UTC, with milliseconds."""
    global _second
    second = int(at)
    if _second[0] != second:
        year, month, day, hour, minute, rest = time.gmtime(second)[:6]
        _second = (second, f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{rest:02}")
    known, text = _second
    if known != second:
        # Another thread was at a second of its own in between.
        return timestamp(at)
    return f"{text}.{int((at - second) * 1000):03}Z"


def _write(stream: Any, level: int, message: str, waits: bool) -> None:
    global _dropped, _held
    if len(_lines) < _MOST:
        _lines.append(_line(level, message))
    else:
        _dropped += 1
    if waits and len(_lines) < _MOST_HELD:
        _held = stream
    else:
        _write_out(stream)


def _write_out(stream: Any) -> None:
    # Whoever finds another thread writing leaves the line to it: threads that queue up for stderr, each giving up the
    # interpreter to do so, would halve what a busy agent can answer.
    if not _lines or not _writing.acquire(False):
        return
    if not _takes_more(stream):
        try:
            # It waits instead of a handler, or of the event loop.
            Thread(target=_write_all, args=(stream,), name="agentcore-log", daemon=True).start()
            return
        except RuntimeError:
            # No thread can be started any more.
            pass
    _write_all(stream)


def _line(level: int, message: str) -> str:
    invocation = current.get(None)
    ids = ""
    if invocation is not None:
        ids = f', "requestId": {quoted(invocation.request_id)}'
        if invocation.session_id:
            ids += f', "sessionId": {quoted(invocation.session_id)}'
    return (
        f'{{"timestamp": "{timestamp(time.time())}", "level": "{_LEVEL_NAMES[level]}", '
        f'"message": {quoted(message)}, "logger": "{NAME}"{ids}}}\n'
    )


def _takes_more(stream: Any) -> bool:
    """Returns whether a batch can be written without waiting for whoever reads it."""
    global _poll
    try:
        number = stream.fileno()
        if _poll is None or _poll[0] != number:
            from select import POLLOUT, poll

            _poll = number, poll()
            _poll[1].register(number, POLLOUT)
        return bool(_poll[1].poll(0))
    except (OSError, ValueError, AttributeError):
        # It is no file, or it is closed: nothing waits there.
        return True


def _write_all(stream: Any) -> None:
    """Writes what there is. Whoever calls it holds `_writing`, which is let go."""
    global _dropped
    is_first = True
    # Once more: others may have left lines to this thread to the last moment.
    while is_first or (_lines and _writing.acquire(False)):
        is_first = False
        try:
            while _lines:
                _write_lines(stream)
            if _dropped:
                count, _dropped = _dropped, 0
                note = f"{count} log lines were dropped, because stderr was not read"
                # Of no request.
                _lines.append(Context().run(_line, WARNING, note))
                _write_lines(stream)
        finally:
            _writing.release()


def _start_again() -> None:
    # In a forked child: the lines are the parent's, and the thread that held the lock is not here.
    global _dropped, _held, _poll, _writing
    _writing = Lock()
    _held = None
    _lines.clear()
    _dropped = 0
    _poll = None


def _write_lines(stream: Any) -> None:
    batch = ""
    try:
        while len(batch) < _BATCH:
            batch += _lines.popleft()
    except IndexError:
        # That was the last one.
        pass
    try:
        stream.write(batch)
        stream.flush()
    except (OSError, ValueError, AttributeError):
        # No stderr, a closed one, or one that nobody reads: no reason to fail an invocation.
        pass


def _is_untouched(log: logging.Logger) -> bool:
    handler = _handler
    if handler is None or log.handlers != [handler] or log.filters or handler.filters or handler.level or log.disabled:
        return False
    if type(handler.formatter).__module__ != __package__ + "._log_format":
        return False
    parent = log.parent if log.propagate else None
    while parent is not None:
        if parent.handlers:
            return False
        parent = parent.parent if parent.propagate else None
    return True


os.register_at_fork(after_in_child=_start_again)
