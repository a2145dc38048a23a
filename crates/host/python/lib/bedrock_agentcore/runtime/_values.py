"""Between JSON and the values of an agent.

Reads bodies as `json.loads` does. Writes results as `json.dumps(value, ensure_ascii=False)` does; a leaf that JSON
lacks is written on its own, as what stands for it best, and never turns what is around it into a Python `repr`.
"""

from __future__ import annotations

import json
import sys
from json.encoder import c_make_encoder  # type: ignore[attr-defined]
from json.encoder import encode_basestring as quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Tuple, Union

__all__ = ["BadPayload", "compact", "decode", "encode", "quoted", "text"]

_MAX_DEPTH = 50
_MAX_REPEATS = 200


class BadPayload(Exception):
    """The body of a request is not JSON; `error` and `details` are for the caller."""

    def __init__(self, error: str, details: str) -> None:
        super().__init__(error, details)
        self.error = error
        self.details = details


# What `json.loads` uses inside; calling it directly spares its detection of encodings, which hardly any body needs.
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def decode(body: Union[bytes, memoryview]) -> Any:
    """Returns the value of a JSON text in UTF-8, UTF-16 or UTF-32; raises `BadPayload` if it is none."""
    try:
        try:
            text = str(body, "utf-8")
            value, end = _scan(text, 0)
            if end == len(text) or not text[end:].strip(" \t\n\r"):
                return value
        except (StopIteration, ValueError):
            # Leading blanks, another encoding, or an error: `json` knows which.
            pass
        return json.loads(bytes(body))
    except UnicodeDecodeError as error:
        raise BadPayload("Invalid encoding", str(error)) from None
    except RecursionError:
        raise BadPayload("Invalid JSON", "the value is nested too deeply") from None
    except ValueError as error:
        raise BadPayload("Invalid JSON", str(error)) from None


def encode(value: Any) -> bytes:
    """Returns the JSON text of a value in one line of UTF-8. Never fails."""
    if type(value) is str:
        return quoted(value).encode("utf-8", "backslashreplace")
    # `backslashreplace` writes a lone surrogate as `\ud800`, which is how JSON writes it too.
    try:
        return "".join(_chunks(value, 0)).encode("utf-8", "backslashreplace")
    except (TypeError, ValueError, RecursionError):
        return text(value).encode("utf-8", "backslashreplace")


def text(value: Any) -> str:
    """The same, as a string."""
    try:
        return "".join(_chunks(value, 0))
    except (TypeError, ValueError, RecursionError):
        # A key that JSON lacks, a circle, or too many levels.
        pass
    try:
        return "".join(_chunks(_plain(value, 0, _Walk()), 0))
    except Exception as error:
        return "".join(_chunks(_failed(value, error), 0))


def compact(value: Any) -> bytes:
    """Returns JSON without blanks, the dialect of errors and debug actions."""
    dumped = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_leaf)
    return dumped.encode("utf-8", "backslashreplace")


def _leaf(value: Any) -> Any:
    """Returns what JSON has in place of a value that it lacks; the encoder goes on with that."""
    try:
        return _convert(value)
    except Exception as error:
        try:
            return str(value)
        except Exception:
            return _failed(value, error)


def _convert(value: Any) -> Any:
    kind = type(value)
    if issubclass(kind, (bytes, bytearray, memoryview)):
        from binascii import b2a_base64

        return b2a_base64(value, newline=False).decode("ascii")
    if issubclass(kind, (set, frozenset)):
        return list(value)
    if issubclass(kind, type):
        return str(value)
    # Asked of the type: a mock answers to any name.
    dump = getattr(kind, "model_dump", None)
    if callable(dump):
        return dump(value)
    if hasattr(kind, "__dataclass_fields__"):
        return _record(value)
    # What is an instance of these has imported them.
    times = sys.modules.get("datetime")
    if times is not None and isinstance(value, (times.date, times.time)):
        return value.isoformat()
    if kind.__module__.partition(".")[0] == "numpy" and hasattr(kind, "tolist"):
        plain = value.tolist()
        return str(value) if type(plain) is kind else plain
    from collections import deque
    from collections.abc import ItemsView, KeysView, Mapping, ValuesView

    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (KeysView, ValuesView, ItemsView, deque)):
        return list(value)
    return str(value)


def _record(value: Any) -> Any:
    """Returns what a dataclass is: its fields; where these are no JSON, its own text, or what its `repr` shows.

    The reference then sends the text of any dataclass. Results of frameworks are made to be read as text, and keep in
    hidden fields what is not for the caller.
    """
    from dataclasses import asdict, fields

    own: Any = type(value).__str__
    has_text = own is not object.__str__
    shown = [field.name for field in fields(value) if field.repr]
    if has_text or len(shown) < len(fields(value)):
        try:
            json.dumps(asdict(value))
        except Exception:
            return str(value) if has_text else {name: getattr(value, name) for name in shown}
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _failed(value: Any, error: BaseException) -> Any:
    from . import _log

    _log.emit(_log.WARNING, f"Failed to serialize object: {type(error).__name__}: {_said(error)}")
    return {"error": "Serialization failed", "original_type": type(value).__name__}


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "<no text>"


class _Walk:
    """What a conversion has above it, and how often it has met one of those again."""

    __slots__ = ("above", "repeats")

    def __init__(self) -> None:
        self.above: List[int] = []
        self.repeats = 0


def _plain(value: Any, depth: int, walk: _Walk) -> Any:
    """Returns a copy that JSON can say, cut off below 50 levels: circles end there."""
    if depth > _MAX_DEPTH:
        return f"<too_deep:{type(value).__name__}>"
    if value is None or isinstance(value, (str, int, float)):
        return value
    here = id(value)
    if here in walk.above:
        # Two circles through one value would double with each level.
        walk.repeats += 1
        if walk.repeats > _MAX_REPEATS:
            return f"<too_deep:{type(value).__name__}>"
    walk.above.append(here)
    try:
        if isinstance(value, dict):
            return {_key(key): _plain(item, depth + 1, walk) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [_plain(item, depth + 1, walk) for item in value]
        return _plain(_leaf(value), depth + 1, walk)
    finally:
        walk.above.pop()


def _key(key: Any) -> Any:
    if key is None or isinstance(key, (str, int, float)):
        return key
    leaf = _leaf(key)
    return leaf if isinstance(leaf, str) else str(key)


def _make_chunks() -> Callable[[Any, int], Tuple[str, ...]]:
    if c_make_encoder is None:
        encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False, default=_leaf)
        return lambda value, _: (encoder.encode(value),)
    # Made once, where `json.dumps` makes one for each text. It has no memory of what stands above a value (the first
    # argument), because that could not be shared between threads: a circle ends as a RecursionError.
    made: Callable[[Any, int], Tuple[str, ...]] = c_make_encoder(
        None, _leaf, quoted, None, ": ", ", ", False, False, True
    )
    return made


_chunks = _make_chunks()
