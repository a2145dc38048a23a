"""Bodies of requests: odd JSON, other encodings, and what is no JSON at all. The agent returns its payload."""

import reasons
from rows import Differs, ask

AGENT = "echo.py"

JSON = {
    "a-huge-integer": b"1" * 4300,
    "a-long-float": b"0." + b"1" * 5000,
    "a-vanishing-float": b"1e-400",
    "a-denormal-float": b"4.9e-324",
    "a-float-half-way": b"9007199254740993.0",
    "an-integer-beyond-floats": b"9007199254740993",
    "a-zero-with-an-exponent": b"-0e1",
    "infinities-inside": b'{"a": [-Infinity, Infinity, NaN]}',
    "an-escaped-pair": b'"\\ud83c\\udf0d"',
    "equal-keys-inside": b'{"a": {"b": 1, "b": 2}, "a": {"c": 1}}',
    "keys-of-other-languages": b'{"__proto__": 1, "__class__": 2, "": 3}',
    "a-byte-order-mark-and-an-object": b"\xef\xbb\xbf{}",
    "utf-16-of-a-pair": "\U0001f30d".join('""').encode("utf-16-le"),
    "utf-32-with-a-mark": "[1]".encode("utf-32"),
    "utf-7-is-ascii": b'"+AOk-"',
    "delete-in-a-string": b'"a\x7fb"',
    "non-characters": '"\ufffe\uffff"'.encode(),
    "a-text-from-right-to-left": '"\u202e\u200f"'.encode(),
    "mathematical-letters": '"\U0001d54f"'.encode(),
    "lines-at-the-end": b"1\n\n",
    "a-string-of-two-megabytes": b'"' + b"a" * 2_000_000 + b'"',
    "twenty-thousand-keys": b"{" + b",".join(b'"%d":%d' % (number, number) for number in range(20_000)) + b"}",
    "four-hundred-objects": b'{"a":' * 400 + b"1" + b"}" * 400,
    "all-escapes": b'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00e9"',
    "an-exponent-with-a-plus": b"1E+2",
}
HALVES = {
    "a-pair-the-wrong-way-round": (b'"\\udf0d\\ud83c"', '"\\udf0d\\ud83c"'),
    "half-a-character-as-a-key": (b'{"\\ud800": 1}', '{"\\ud800": 1}'),
    "half-a-character-and-a-text": (b'["\\ud800x", 1]', '["\\ud800x", 1]'),
    "half-a-character-of-utf-16": ('"\ud83c"'.encode("utf-16-le", "surrogatepass"), '"\\ud83c"'),
    "two-halves-in-utf-8": (b'"\xed\xa0\xbc\xed\xbc\x8d"', '"\\ud83c\\udf0d"'),
}
NO_JSON = {
    "minus-nan": b"-NaN",
    "nan-in-lower-case": b"nan",
    "a-minus": b"-",
    "a-hexadecimal-number": b"0x10",
    "an-underscore": b"1_000",
    "digits-of-another-script": "١".encode(),
    "two-byte-order-marks": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "a-byte-order-mark-alone": b"\xef\xbb\xbf",
    "a-mark-of-utf-16-alone": b"\xff\xfe",
    "utf-16-that-is-cut": b"\xff\xfe[\x00]",
    "utf-32-beyond-unicode": b"[\0\0\0\xff\xff\xff\xff",
    "latin-1": '"é"'.encode("latin-1"),
    "an-overlong-slash": b'"\xc0\xaf"',
    "five-bytes": b'"\xf8\x88\x80\x80\x80"',
    "beyond-unicode": b'"\xf4\x90\x80\x80"',
    "nothing-but-zeros": b"\0\0\0\0",
    "one-zero": b"\0",
    "one-quote": b'"',
    "a-line-in-a-string": b'"a\nb"',
    "a-tab-in-a-string": b'"a\tb"',
    "a-short-escape": b'"\\u12"',
    "a-negative-escape": b'"\\u-123"',
    "an-escape-with-a-blank": b'"\\u 123"',
    "an-escape-with-an-underscore": b'"\\u1_23"',
    "a-form-feed": b"\x0c1",
    "a-hard-blank": b"\xc2\xa01",
    "a-hard-blank-at-the-end": b"1\xc2\xa0",
    "a-form-feed-at-the-end": b"1\x0c",
    "two-values": b"1 2",
    "lines-of-json": b'{"a":1}\n{"b":2}\n',
    "a-colon-too-few": b'{"a" 1}',
    "a-comma-too-few": b"[1 2]",
    "a-comma-too-few-in-an-object": b'{"a":1 "b":2}',
    "a-comma-too-many-in-a-list": b"[1,]",
    "a-comma-first": b"[,1]",
    "a-comma-alone": b",",
    "open-ends": b'{"a": [1, {"b": ',
    "a-key-without-quotes": b"{a:1}",
    "a-number-as-a-key": b"{1:1}",
    "null-as-a-key": b"{null:1}",
    "true-in-capitals": b"TRUE",
    "half-a-word": b"tru",
    "a-word-too-long": b"nulll",
    "a-comment-first": b"/* a */ 1",
    "a-form": b"a=1&b=2",
    "a-multipart-form": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
    "markup": b"<a/>",
    "yaml": b"a: 1",
    "a-script": b"f(1)",
    "an-error-in-a-later-line": b'{\n  "a": 1,\n  "b": x\n}',
    "an-error-behind-line-ends-of-windows": b'{\r\n  "a": x}',
    "an-error-behind-other-letters": '{"é世": x}'.encode(),
    "an-error-behind-large-letters": '{"\U0001f30d": x}'.encode(),
}
# What the SDK fails at. In debug mode it tells how, with all its files and lines.
_LIMIT = "Exceeds the limit (4300 digits) for integer string conversion: value has {} digits"
_RAISED = "; use sys.set_int_max_str_digits() to increase the limit"
_DEEP = "the value is nested too deeply"
UNREADABLE = {
    "an-integer-too-large": (b"1" * 4301, _LIMIT.format(4301) + _RAISED),
    "an-integer-too-large-inside": (b'{"a": [' + b"9" * 5000 + b"]}", _LIMIT.format(5000) + _RAISED),
    "a-hundred-thousand-objects": (b'{"a":' * 100_000, _DEEP),
    "a-hundred-thousand-lists-and-objects": (b'[{"a":' * 100_000, _DEEP),
}


def unreadable(details):
    """How the answer to such a body differs."""
    return reasons.json_instead(reasons.BAD_BODY, f'{{"error":"Invalid JSON","details":"{details}"}}', 400)


def common():
    """What is the same in debug mode and without it."""
    yield from (ask(name, body=body) for name, body in NO_JSON.items())
    for name, (body, details) in UNREADABLE.items():
        yield ask(name, body=body, differs=unreadable(details))


def payloads(is_debug):
    """JSON of all kinds. In debug mode, the SDK takes objects only."""
    for name, body in JSON.items():
        text = body.decode("utf-16-le") if name.startswith("utf-16") else body.decode("utf-8", "ignore")
        if not is_debug or text.lstrip("\ufeff").startswith("{"):
            yield ask(name, body=body)
    for name, (body, written) in HALVES.items():
        if not is_debug or body.startswith(b"{"):
            yield ask(name, body=body, differs=reasons.json_instead(reasons.HALF, written))


def no_objects():
    """Payloads that cannot ask for a debug action."""
    bodies = {"a-number": b"1.5", "an-empty-string": b'""', "an-empty-list": b"[]", "a-boolean": b"true"}
    for name, body in bodies.items():
        yield ask(name, body=body, differs=Differs(reasons.NO_OBJECT, status=200, body=body.decode()))


def sent_otherwise():
    """The same body in other ways."""
    yield ask("in-one-chunk", chunks=[b'{"a": 1}'])
    yield ask("in-chunks-of-a-byte", chunks=[bytes([byte]) for byte in '{"é": "世"}'.encode()])
    yield ask("in-chunks-of-a-megabyte", chunks=[b'"', b"x" * 1_000_000, b"y" * 1_000_000, b'"'])
    yield ask("in-chunks-that-are-no-json", chunks=[b'{"a"', b": }"])
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-ndjson", "nonsense", ""):
        yield ask(f"as-{kind or 'nothing'}", body={"a": 1}, headers=[f"Content-Type: {kind}"])
    for encoding in ("identity", "br", "gzip, deflate"):
        yield ask(f"encoded-as-{encoding}", body={"a": 1}, headers=[f"Content-Encoding: {encoding}"])
    yield ask("with-a-digest", body={"a": 1}, headers=["Content-MD5: nonsense", "Digest: sha-256=nonsense"])


ROWS = {
    "plain": [*common(), *payloads(False), *sent_otherwise()],
    "debug": [*common(), *payloads(True), *no_objects()],
}
