"""Values that are returned, alone and inside of others, and values that are yielded."""

import reasons
from odd_values import VALUES
from rows import Differs, act

AGENT = "acts.py"

_GENERATOR = "<generator object generator at <address>>"
_ASYNC_GENERATOR = "<async_generator object async_generator at <address>>"

# What the native engine writes for a value where the SDK writes its `repr`, whether it is alone or not.
ALONE = {
    "a-userdict": '{"a": 1}',
    "a-mapping-proxy": '{"a": 1}',
    "a-chain-map": '{"a": 1}',
    "a-mapping-of-ones-own": '{"a": 1}',
    "keys-of-a-dict": '["a"]',
    "values-of-a-dict": "[1]",
    "items-of-a-dict": '[["a", 1]]',
    "a-datetime-with-a-zone": '"2024-02-29T12:00:01.000005+00:00"',
    "a-datetime-of-another-zone": '"2024-02-29T12:00:00+05:30"',
    "an-enum-as-a-key": '{"Color.RED": 1}',
    "a-dataclass-with-an-enum": '{"color": "Color.RED"}',
    "a-dataclass-with-a-set": '{"name": "root", "children": [1]}',
    "a-dataclass-as-a-key": '{"Frozen(a=1)": 1}',
    "a-named-tuple-with-a-date": '[1, "2024-02-29"]',
    "a-model-that-dumps-a-date": '{"when": "2024-02-29"}',
    "a-pydantic-model-of-an-enum": '{"color": "Color.RED"}',
    "a-pydantic-model-of-a-set": '{"tags": ["x"]}',
    "a-pydantic-secret": '{"key": "**********"}',
    "a-function-as-a-value": '{"f": "<built-in function len>"}',
    "an-exception-inside": '{"error": "\'k\'"}',
    "a-generator-inside": f'{{"g": "{_GENERATOR}"}}',
    "an-async-generator-inside": f'["{_ASYNC_GENERATOR}"]',
    "a-function-inside": '["<function generator at <address>>"]',
    "numpy-int64": "3",
    "numpy-uint8": "255",
    "numpy-float32": "0.10000000149011612",
    "numpy-bool": "true",
    "numpy-array": "[1, 2]",
    "numpy-matrix": "[[1.5, 2.0], [3.0, 4.0]]",
    "numpy-scalar-array": "5",
    "numpy-empty-array": "[]",
    "numpy-bytes": '"YQ=="',
    "numpy-as-a-key": '{"1": 1}',
    "bytes-that-are-no-text": '"/wA="',
    "no-bytes": '""',
    "bytes-as-a-key": '{"YQ==": 1}',
    "keys-of-two-kinds": '{"a": 1, "2": 2, "(3,)": 3}',
    "nested-sets": '[{"s": [1]}, ' * 60 + '"bottom"' + "]" * 60,
}
# The same, where the two agree on a value that is alone.
INSIDE = {
    "a-userlist": '"[1]"',
    "a-userstring": '"a"',
    "a-namespace": '"namespace(a=1)"',
    "a-fraction": '"1/3"',
    "a-decimal-nan": '"NaN"',
    "a-large-decimal": '"1E+30"',
    "a-time-with-a-zone": '"01:02:03+00:00"',
    "days": '"-1 day, 0:00:01"',
    "a-zone": '"UTC"',
    "an-enum-of-mixed-values": '"Color.GREEN"',
    "a-flag": '"Flags.A|B"',
    "an-enum-itself": "\"<enum 'Color'>\"",
    "an-object": '"plain"',
    "an-object-with-slots": '"slots"',
    "an-object-with-to-dict": '"plain"',
    "an-object-with-iter": '"plain"',
    "an-object-with-aiter": '"plain"',
    "an-object-with-keys": '"plain"',
    "a-model-that-cannot-be-dumped": '"plain"',
    "a-model-without-a-dump": '"plain"',
    "an-object-whose-text-is-none": '{"error": "Serialization failed", "original_type": "TextIsNone"}',
    "an-object-whose-repr-fails": '"a text"',
    "a-mock": "\"<Mock name='m' id='0'>\"",
    "a-magic-mock": "\"<MagicMock name='m' id='0'>\"",
    "a-pydantic-class": "\"<class 'odd_values.Model'>\"",
    "a-pydantic-url": '"https://a.example/b"',
    "an-array": "\"array('i', [1, 2])\"",
    "an-ip-address": '"10.0.0.1"',
    "a-windows-path": '"c:\\\\a"',
    "a-pattern": "\"re.compile('a+')\"",
    "an-ellipsis": '"Ellipsis"',
    "not-implemented": '"NotImplemented"',
    "a-slice": '"slice(1, 2, None)"',
    "a-generic-type": '"typing.List[int]"',
    "a-zip": '"<zip object at <address>>"',
    "a-chain": '"<itertools.chain object at <address>>"',
    "an-iterator-of-a-list": '"<list_iterator object at <address>>"',
    "numpy-datetime": '"2024-02-29"',
    "numpy-complex": '"(1+2j)"',
    "numpy-dtype": '"int64"',
}
# What the SDK cannot send.
HALVES = {"two-halves-of-a-pair": '"\\ud83c\\udf0d"', "half-a-character-as-a-key": '{"\\udc00": 1}'}
TOO_DEEP = {"nested-too-deep": "[" * 51 + '"<too_deep:list>"' + "]" * 51}
# Where it matters how deep the value stands.
ONLY_ALONE = {"a-ring", "nested-too-deep"}


def alone(name):
    """How the answer differs that is this value."""
    if name in ALONE:
        return Differs(reasons.LEAF, body=ALONE[name])
    if name in HALVES:
        return reasons.json_instead(reasons.HALF, HALVES[name])
    if name in TOO_DEEP:
        return reasons.json_instead(reasons.TOO_DEEP, TOO_DEEP[name])
    return None


def inside(name):
    """The same where the value is a leaf of another."""
    if name in HALVES:
        return reasons.json_instead(reasons.HALF, f'{{"in": [{HALVES[name]}]}}')
    written = {**ALONE, **INSIDE}.get(name)
    return written and Differs(reasons.LEAF, body=f'{{"in": [{written}]}}')


def yielded(name):
    """The same where the value is an event."""
    written = {**ALONE, **HALVES, **TOO_DEEP}.get(name)
    reason = reasons.LEAF if name in ALONE else reasons.HALF if name in HALVES else reasons.TOO_DEEP
    return written and Differs(reason, body=f"data: {written}\n\n")


ROWS = {
    "sync": [act(name, alone(name), value=name) for name in VALUES],
    "async": [act(name, inside(name), value=name, inside=True) for name in VALUES if name not in ONLY_ALONE],
    "async-generator": [act(name, yielded(name), value=name) for name in VALUES],
}
