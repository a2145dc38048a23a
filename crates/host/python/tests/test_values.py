"""JSON in and out, beside what the reference does with the same values."""

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import sys
import types
import unittest
import uuid
from unittest import mock

import support  # noqa: F401
from bedrock_agentcore.runtime import _log
from bedrock_agentcore.runtime._values import BadPayload, compact, decode, encode


class Color(enum.Enum):
    RED = 1


class Shade(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Plain:
    a: int
    t: object = None


class Model:
    """Has the shape of a pydantic model."""

    def __init__(self, **fields):
        self.fields = fields

    def model_dump(self):
        return self.fields


class Silent:
    def __str__(self):
        raise ValueError("no")


class Thing:
    def __str__(self):
        return "a thing"


class Encode(unittest.TestCase):
    def check(self, value, expected):
        with self.subTest(repr(value)[:60]):
            self.assertEqual(encode(value).decode(), expected)

    def test_what_json_has_is_written_as_the_reference_writes_it(self):
        self.check("hello", '"hello"')
        self.check('{"a": 1}', '"{\\"a\\": 1}"')
        self.check({"a": 1, "b": [True, None]}, '{"a": 1, "b": [true, null]}')
        self.check(None, "null")
        self.check(True, "true")
        self.check(3, "3")
        for value in (1.0, 1e16, 1e-7, 1.5e300):
            self.check(value, repr(value))
        self.check(math.nan, "NaN")
        self.check(-math.inf, "-Infinity")
        self.check(10**60, "1" + "0" * 60)
        self.check((1, [2]), "[1, [2]]")
        self.check(collections.namedtuple("P", "x y")(1, 2), "[1, 2]")
        self.check({"k": "世界🌍"}, '{"k": "世界🌍"}')
        self.check("a\nb\u2028/\x7f\x00", '"a\\nb\u2028/\x7f\\u0000"')
        self.check(collections.OrderedDict(b=1, a=2), '{"b": 1, "a": 2}')
        self.check(collections.Counter("aab"), '{"a": 2, "b": 1}')
        self.check({2: "a", 1.5: "b", True: "c", None: "d"}, '{"2": "a", "1.5": "b", "true": "c", "null": "d"}')
        self.check(Shade.RED, '"red"')
        self.check({Shade.RED: Shade.RED}, '{"red": "red"}')
        self.check(Level.HIGH, "3")
        self.check({1}, "[1]")
        self.check(({"error": "Unauthorized"}, 401), '[{"error": "Unauthorized"}, 401]')

    def test_models_and_dataclasses_are_objects(self):
        self.check(Plain(1), '{"a": 1, "t": null}')
        self.check(Model(x=1), '{"x": 1}')
        self.check({"m": [Plain(1, Model(y=Plain(2)))]}, '{"m": [{"a": 1, "t": {"y": {"a": 2, "t": null}}}]}')
        self.check(Plain, json.dumps(str(Plain)))
        self.check(Model, json.dumps(str(Model)))

    def test_a_leaf_that_json_lacks_is_written_on_its_own(self):
        moment = datetime.datetime(2023, 1, 1, 12)
        leaves = [
            (b"abc", '"YWJj"'),
            (bytearray(b"x"), '"eA=="'),
            (memoryview(b"x"), '"eA=="'),
            (moment, '"2023-01-01T12:00:00"'),
            (moment.replace(tzinfo=datetime.timezone.utc), '"2023-01-01T12:00:00+00:00"'),
            (moment.date(), '"2023-01-01"'),
            (moment.time(), '"12:00:00"'),
            (datetime.timedelta(seconds=1), '"0:00:01"'),
            (decimal.Decimal("123.45"), '"123.45"'),
            (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
            (pathlib.PurePosixPath("/a/b"), '"/a/b"'),
            (Color.RED, '"Color.RED"'),
            (frozenset({1}), "[1]"),
            (collections.deque([1, 2]), "[1, 2]"),
            (types.MappingProxyType({"a": 1}), '{"a": 1}'),
            ({"a": 1}.keys(), '["a"]'),
            (Thing(), '"a thing"'),
            (ValueError("bad"), '"bad"'),
            (range(3), '"range(0, 3)"'),
            (1 + 2j, '"(1+2j)"'),
        ]
        for value, expected in leaves:
            self.check(value, expected)
            self.check({"around": [value, 1]}, f'{{"around": [{expected}, 1]}}')
        self.check(Plain(1, moment), '{"a": 1, "t": "2023-01-01T12:00:00"}')
        self.check(Model(t=moment), '{"t": "2023-01-01T12:00:00"}')

    def test_numpy_values_are_numbers(self):
        # The shape of numpy: what counts is the module of the type and its `tolist`.
        def number(value):
            return type("int64", (), {"__module__": "numpy", "tolist": lambda self: value})()

        self.check(number(3), "3")
        self.check({"x": number([1, 2])}, '{"x": [1, 2]}')
        endless = type(
            "longdouble", (), {"__module__": "numpy", "tolist": lambda self: self, "__str__": lambda self: "1.5"}
        )
        self.check(endless(), '"1.5"')

    def test_keys_that_json_lacks_become_strings(self):
        self.check({(1, 2): "a", "b": 1}, '{"(1, 2)": "a", "b": 1}')
        self.check({uuid.UUID(int=0): {b"k": 1}}, '{"00000000-0000-0000-0000-000000000000": {"aw==": 1}}')

    def test_lone_surrogates_are_escaped(self):
        self.check("a\ud800b", '"a\\ud800b"')
        self.check({"k\udfff": ["\ud83d\ude00"[0]]}, '{"k\\udfff": ["\\ud83d"]}')
        self.assertEqual(json.loads(encode("a\ud800b")), "a\ud800b")

    def test_a_circle_ends_after_fifty_levels(self):
        circle = {}
        circle["self"] = circle
        text = encode(circle).decode()
        self.assertEqual(text, '{"self": ' * 51 + '"<too_deep:dict>"' + "}" * 51)

    def test_many_circles_do_not_explode(self):
        both = {}
        both["a"] = both["b"] = both
        self.assertLess(len(encode(both)), 100_000)
        loop = Plain(1)
        loop.t = loop
        self.assertIn("too_deep", encode(loop).decode())

    @mock.patch.object(_log, "emit", lambda *_: None)
    def test_what_cannot_be_said_does_not_hide_the_rest(self):
        failed = '{"error": "Serialization failed", "original_type": "Silent"}'
        self.check(Silent(), failed)
        self.check({"a": Silent(), "b": 1}, f'{{"a": {failed}, "b": 1}}')

    def test_an_object_that_cannot_be_taken_apart_is_its_text(self):
        class Torn(Thing):
            def model_dump(self):
                raise ValueError("not now")

        self.check([Torn()], '["a thing"]')

    def test_the_dialect_of_errors_has_no_blanks(self):
        self.assertEqual(compact({"a": [1, "é"], "b": None}), '{"a":[1,"é"],"b":null}'.encode())


class Decode(unittest.TestCase):
    def refusal(self, body):
        with self.assertRaises(BadPayload) as caught:
            decode(memoryview(body))
        return caught.exception.error, caught.exception.details

    def test_any_value_is_a_payload(self):
        for value in ({"a": [1]}, [1], "x", 1, 1.5, True, None, {}, "世界"):
            for text in (json.dumps(value), f"\n {json.dumps(value)} \n", json.dumps(value, ensure_ascii=False)):
                self.assertEqual(decode(memoryview(text.encode())), value)

    def test_other_encodings_of_unicode_are_read(self):
        for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
            for value in ({"a": "é"}, 1, "x"):
                self.assertEqual(decode(memoryview(json.dumps(value).encode(encoding))), value, encoding)

    def test_what_python_adds_to_json_is_read(self):
        self.assertTrue(math.isnan(decode(b"NaN")))
        self.assertEqual(decode(b"[Infinity, -Infinity, 1e400]"), [math.inf, -math.inf, math.inf])
        self.assertEqual(decode(b'{"a": 1, "a": 2}'), {"a": 2})
        self.assertEqual(decode(b"123456789012345678901234567890"), 123456789012345678901234567890)
        self.assertEqual(decode(b'"\\ud800"'), "\ud800")

    def test_what_is_no_json_is_refused_in_the_words_of_the_reference(self):
        cases = {
            b"": "Expecting value: line 1 column 1 (char 0)",
            b"   ": "Expecting value: line 1 column 4 (char 3)",
            b'{"a":1} x': "Extra data: line 1 column 9 (char 8)",
            b'{"a": "\n"}': "Invalid control character at: line 1 column 8 (char 7)",
        }
        for body, details in cases.items():
            self.assertEqual(self.refusal(body), ("Invalid JSON", details))
        self.assertEqual(self.refusal(b'{"a":1,}')[0], "Invalid JSON")
        self.assertEqual(
            self.refusal(b"\x80"),
            ("Invalid encoding", "'utf-8' codec can't decode byte 0x80 in position 0: invalid start byte"),
        )

    def test_depth_is_refused_and_not_fatal(self):
        for body in (b"[" * 200_000, b'{"a":' * 200_000, b"[" * 200_000 + b"]" * 200_000):
            self.assertEqual(self.refusal(body), ("Invalid JSON", "the value is nested too deeply"))

    @unittest.skipUnless(hasattr(sys, "get_int_max_str_digits"), "this Python has no limit")
    def test_an_endless_number_is_refused(self):
        self.assertEqual(self.refusal(b"1" * 10_000)[0], "Invalid JSON")


if __name__ == "__main__":
    unittest.main()
