"""Values that agents return, by name, each made anew when it is asked for. None of them is in the wire contract."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import itertools
import pathlib
import re
import types
import typing
import unittest.mock

import numpy
import pydantic


class Color(enum.Enum):
    RED = 1
    GREEN = "g"


class Flags(enum.Flag):
    A = 1
    B = 2


class Numbers(enum.IntFlag):
    A = 1
    B = 2


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: int = 1


@dataclasses.dataclass
class Tree:
    name: str = "root"
    children: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Colored:
    color: Color = Color.RED


class Slots:
    __slots__ = ("a",)

    def __str__(self):
        return "slots"


class Plain:
    def __init__(self):
        self.a = 1

    def __str__(self):
        return "plain"


class ToDict(Plain):
    def to_dict(self):
        return {"a": 1}

    def dict(self):
        return {"a": 1}

    def __json__(self):
        return {"a": 1}


class Iterates(Plain):
    def __iter__(self):
        return iter([1, 2])


class IteratesLater(Plain):
    async def __aiter__(self):
        yield 1


class Keyed(Plain):
    def keys(self):
        return ["a"]

    def __getitem__(self, key):
        return 1


class Mapped(collections.abc.Mapping):
    def __getitem__(self, key):
        return {"a": 1}[key]

    def __iter__(self):
        return iter(["a"])

    def __len__(self):
        return 1

    def __repr__(self):
        return "mapped"


class DumpFails(Plain):
    def model_dump(self):
        raise RuntimeError("no dump")


class DumpIsNone(Plain):
    model_dump = None


class DumpsOdd(Plain):
    def model_dump(self):
        return {"when": datetime.date(2024, 2, 29)}


class TextIsNone:
    def __str__(self):
        return None


class ReprFails:
    def __repr__(self):
        raise RuntimeError("no repr")

    def __str__(self):
        return "a text"


class Text(str):
    def __str__(self):
        return "another text"


class Number(int):
    def __repr__(self):
        return "seven"


class Share(float):
    def __repr__(self):
        return "half"


class Attributes(dict):
    def __getattr__(self, name):
        return self[name]


class Items(dict):
    def items(self):
        return [("x", 1)]


class Model(pydantic.BaseModel):
    a: int = 1
    inner: typing.Optional["Model"] = None


class ModelOfEnum(pydantic.BaseModel):
    color: Color = Color.RED


class ModelOfSet(pydantic.BaseModel):
    tags: typing.Set[str] = {"x"}


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)
    some_name: int = pydantic.Field(1, alias="someName")


class Secret(pydantic.BaseModel):
    key: pydantic.SecretStr = pydantic.SecretStr("hidden")


class Root(pydantic.RootModel):
    root: typing.List[int] = [1, 2]


class Point(typing.NamedTuple):
    x: int
    y: datetime.date


def nested(depth, open_value):
    value = "bottom"
    for _ in range(depth):
        value = open_value(value)
    return value


def ring():
    one, other = [], {}
    one.append(other)
    other["back"] = one
    return one


def generator():
    yield 1


async def async_generator():
    yield 1


UTC = datetime.timezone.utc
ZONE = datetime.timezone(datetime.timedelta(hours=5, minutes=30))

VALUES = {
    "a-tuple-of-one": lambda: (1,),
    "an-empty-tuple": tuple,
    "an-empty-set": set,
    "an-empty-list": list,
    "a-set-of-tuples": lambda: {(1, 2)},
    "a-list-of-sets": lambda: [{1}, {"a"}],
    "a-set-in-a-tuple": lambda: ({1},),
    "minus-zero": lambda: -0.0,
    "a-tiny-float": lambda: 5e-324,
    "an-integer-like-float": lambda: 1e22,
    "an-integer-of-4300-digits": lambda: 10**4299,
    "an-integer-of-5000-digits": lambda: 10**4999,
    "a-large-text": lambda: "x€" * 500_000,
    "a-large-list": lambda: list(range(100_000)),
    "a-text-with-a-nul": lambda: "a\0b",
    "a-text-of-pairs": lambda: "\U0001f30d",
    "two-halves-of-a-pair": lambda: "\ud83c\udf0d",
    "half-a-character-as-a-key": lambda: {"\udc00": 1},
    "a-byte-order-mark": lambda: "\ufeffa",
    "a-line-separator": lambda: "a\u2028b\u2029c\u0085d",
    "a-carriage-return": lambda: "a\r\nb\rc",
    "an-int-subclass": lambda: Number(7),
    "a-float-subclass": lambda: Share(0.5),
    "a-str-subclass": lambda: Text("a text"),
    "a-str-subclass-as-a-key": lambda: {Text("a"): 1},
    "a-dict-subclass": lambda: Attributes(a=1),
    "a-dict-with-its-own-items": lambda: Items(a=1),
    "a-userdict": lambda: collections.UserDict(a=1),
    "a-userlist": lambda: collections.UserList([1]),
    "a-userstring": lambda: collections.UserString("a"),
    "a-mapping-proxy": lambda: types.MappingProxyType({"a": 1}),
    "a-chain-map": lambda: collections.ChainMap({"a": 1}),
    "a-mapping-of-ones-own": Mapped,
    "a-namespace": lambda: types.SimpleNamespace(a=1),
    "keys-of-a-dict": lambda: {"a": 1}.keys(),
    "values-of-a-dict": lambda: {"a": 1}.values(),
    "items-of-a-dict": lambda: {"a": 1}.items(),
    "a-fraction": lambda: fractions.Fraction(1, 3),
    "a-decimal-nan": lambda: decimal.Decimal("NaN"),
    "a-large-decimal": lambda: decimal.Decimal("1E+30"),
    "a-datetime-with-a-zone": lambda: datetime.datetime(2024, 2, 29, 12, 0, 1, 5, UTC),
    "a-datetime-of-another-zone": lambda: datetime.datetime(2024, 2, 29, 12, tzinfo=ZONE),
    "a-time-with-a-zone": lambda: datetime.time(1, 2, 3, tzinfo=UTC),
    "days": lambda: datetime.timedelta(days=-1, seconds=1),
    "a-zone": lambda: UTC,
    "an-enum-of-mixed-values": lambda: Color.GREEN,
    "a-flag": lambda: Flags.A | Flags.B,
    "an-int-flag": lambda: Numbers.A | Numbers.B,
    "an-enum-as-a-key": lambda: {Color.RED: 1},
    "a-flag-as-a-key": lambda: {Numbers.B: 1},
    "an-enum-itself": lambda: Color,
    "a-frozen-dataclass": Frozen,
    "a-tree-of-dataclasses": lambda: Tree(children=[Tree("leaf")]),
    "a-dataclass-with-an-enum": Colored,
    "a-dataclass-with-a-set": lambda: Tree(children={1}),
    "a-dataclass-as-a-key": lambda: {Frozen(): 1},
    "a-named-tuple-with-a-date": lambda: Point(1, datetime.date(2024, 2, 29)),
    "an-object": Plain,
    "an-object-with-slots": Slots,
    "an-object-with-to-dict": ToDict,
    "an-object-with-iter": Iterates,
    "an-object-with-aiter": IteratesLater,
    "an-object-with-keys": Keyed,
    "a-model-that-cannot-be-dumped": DumpFails,
    "a-model-without-a-dump": DumpIsNone,
    "a-model-that-dumps-a-date": DumpsOdd,
    "an-object-whose-text-is-none": TextIsNone,
    "an-object-whose-repr-fails": ReprFails,
    "a-mock": lambda: unittest.mock.Mock(name="m"),
    "a-magic-mock": lambda: unittest.mock.MagicMock(name="m"),
    "a-pydantic-model-in-one": lambda: Model(inner=Model(a=2)),
    "a-pydantic-model-of-an-enum": ModelOfEnum,
    "a-pydantic-model-of-a-set": ModelOfSet,
    "a-pydantic-model-with-an-alias": Aliased,
    "a-pydantic-secret": Secret,
    "a-pydantic-root": Root,
    "a-pydantic-class": lambda: Model,
    "a-pydantic-url": lambda: pydantic.AnyUrl("https://a.example/b"),
    "an-array": lambda: array.array("i", [1, 2]),
    "an-ip-address": lambda: ipaddress.ip_address("10.0.0.1"),
    "a-windows-path": lambda: pathlib.PureWindowsPath("c:/a"),
    "a-pattern": lambda: re.compile("a+"),
    "an-ellipsis": lambda: ...,
    "not-implemented": lambda: NotImplemented,
    "a-slice": lambda: slice(1, 2),
    "a-function-as-a-value": lambda: {"f": len},
    "an-exception-inside": lambda: {"error": KeyError("k")},
    "a-generic-type": lambda: typing.List[int],
    "a-zip": lambda: zip([1], [2]),
    "a-chain": lambda: itertools.chain([1]),
    "an-iterator-of-a-list": lambda: iter([1]),
    "a-generator-inside": lambda: {"g": generator()},
    "an-async-generator-inside": lambda: [async_generator()],
    "a-function-inside": lambda: [generator],
    "numpy-int64": lambda: numpy.int64(3),
    "numpy-uint8": lambda: numpy.uint8(255),
    "numpy-float64": lambda: numpy.float64(2.5),
    "numpy-float32": lambda: numpy.float32(0.1),
    "numpy-bool": lambda: numpy.bool_(True),
    "numpy-nan": lambda: numpy.float64("nan"),
    "numpy-array": lambda: numpy.array([1, 2]),
    "numpy-matrix": lambda: numpy.array([[1.5, 2.0], [3.0, 4.0]]),
    "numpy-scalar-array": lambda: numpy.array(5),
    "numpy-empty-array": lambda: numpy.array([]),
    "numpy-text": lambda: numpy.str_("a"),
    "numpy-bytes": lambda: numpy.bytes_(b"a"),
    "numpy-datetime": lambda: numpy.datetime64("2024-02-29"),
    "numpy-complex": lambda: numpy.complex128(1 + 2j),
    "numpy-as-a-key": lambda: {numpy.int64(1): 1},
    "numpy-dtype": lambda: numpy.dtype("int64"),
    "bytes-that-are-no-text": lambda: b"\xff\x00",
    "no-bytes": lambda: b"",
    "bytes-as-a-key": lambda: {b"a": 1},
    "none-as-a-key": lambda: {None: {None: 1}},
    "a-float-as-a-key": lambda: {float("nan"): 1, 1e300: 2},
    "a-big-integer-as-a-key": lambda: {2**70: 1},
    "keys-of-two-kinds": lambda: {"a": 1, 2: 2, (3,): 3},
    "a-ring": ring,
    "nested-lists": lambda: nested(400, lambda value: [value]),
    "nested-dicts": lambda: nested(400, lambda value: {"a": value}),
    "nested-sets": lambda: nested(60, lambda value: [{"s": {1}}, value]),
    "nested-too-deep": lambda: nested(100_000, lambda value: [value]),
}
