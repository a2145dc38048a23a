"""The values of Python that the wire contract speaks of, by name. Each is made anew when it is asked for."""

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid


class Color(enum.Enum):
    RED = 1


class Word(str, enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    THREE = 3


@dataclasses.dataclass
class Plain:
    a: int = 1
    b: str = "x"


@dataclasses.dataclass
class Dated:
    a: int = 1
    t: datetime.datetime = datetime.datetime(2023, 1, 1, 12)


@dataclasses.dataclass
class Answer:
    """What frameworks return: a record with a text, and with more in it than JSON takes."""

    text: str = "the answer"
    model: object = dataclasses.field(default_factory=object)

    def __str__(self):
        return self.text


@dataclasses.dataclass
class Hiding:
    a: int = 1
    state: object = dataclasses.field(default_factory=object, repr=False)


class Odd:
    def __str__(self):
        return "an odd thing"


class Unspeakable:
    def __str__(self):
        raise RuntimeError("no words")


class Countdown:
    """An iterator that is no generator."""

    def __init__(self):
        self.left = 3

    def __iter__(self):
        return self

    def __next__(self):
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return self.left

    def __str__(self):
        return "a countdown"


def pydantic_model(dated):
    import pydantic

    class Model(pydantic.BaseModel):
        a: int = 1

    class DatedModel(pydantic.BaseModel):
        t: datetime.datetime = datetime.datetime(2023, 1, 1, 12)

    return DatedModel() if dated else Model()


def circle():
    value = {}
    value["self"] = value
    return value


def nested(depth, value="bottom"):
    for _ in range(depth):
        value = [value]
    return value


async def coroutine():
    return 1


POINT = collections.namedtuple("Point", "x y")

VALUES = {
    "none": lambda: None,
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "minus_infinity": lambda: float("-inf"),
    "nan_inside": lambda: {"x": float("nan")},
    "huge": lambda: 2**128 - 1,
    "surrogate": lambda: "a\ud800b",
    "surrogate_inside": lambda: {"k": ["\ud800"]},
    "tuple": lambda: ({"error": "Unauthorized"}, 401),
    "namedtuple": lambda: POINT(1, 2),
    "set": lambda: {1},
    "set_inside": lambda: {"s": {1}},
    "frozenset": lambda: frozenset({1}),
    "bytes": lambda: b"abc",
    "bytearray": lambda: bytearray(b"x"),
    "memoryview": lambda: memoryview(b"x"),
    "bytes_inside": lambda: {"b": b"abc", "n": 1},
    "decimal": lambda: decimal.Decimal("123.45"),
    "decimal_inside": lambda: {"d": decimal.Decimal("1.5")},
    "datetime": lambda: datetime.datetime(2023, 1, 1, 12),
    "datetime_inside": lambda: {"t": datetime.datetime(2023, 1, 1, 12)},
    "date": lambda: datetime.date(2023, 1, 1),
    "time": lambda: datetime.time(12, 30),
    "timedelta": lambda: datetime.timedelta(seconds=1),
    "uuid": lambda: uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "uuid_inside": lambda: [uuid.UUID("12345678-1234-5678-1234-567812345678")],
    "path": lambda: pathlib.PurePosixPath("/a/b"),
    "path_inside": lambda: {"p": pathlib.PurePosixPath("/a/b")},
    "enum": lambda: Color.RED,
    "text_enum": lambda: Word.RED,
    "number_enum": lambda: Number.THREE,
    "dataclass": Plain,
    "dataclass_inside": lambda: [Plain()],
    "dated_dataclass": Dated,
    "dataclass_with_text": Answer,
    "dataclass_with_text_inside": lambda: {"result": Answer()},
    "hiding_dataclass": Hiding,
    "dataclass_type": lambda: Plain,
    "pydantic": lambda: pydantic_model(False),
    "dated_pydantic": lambda: pydantic_model(True),
    "object": Odd,
    "object_inside": lambda: {"o": Odd()},
    "unspeakable": Unspeakable,
    "function": lambda: len,
    "exception": lambda: ValueError("a value"),
    "range": lambda: range(3),
    "complex": lambda: 1 + 2j,
    "deque": lambda: collections.deque([1, 2]),
    "map": lambda: map(str, [1]),
    "iterator": Countdown,
    "ordered_dict": lambda: collections.OrderedDict(b=1, a=2),
    "defaultdict": lambda: collections.defaultdict(int, a=1),
    "counter": lambda: collections.Counter("aab"),
    "keys": lambda: {2: "a", 1.5: "b", True: "c", None: "d"},
    "equal_keys": lambda: {1: "a", "1": "b"},
    "tuple_key": lambda: {(1, 2): "x"},
    "circle": circle,
    "depth_120": lambda: nested(120),
    "set_below_60": lambda: nested(60, {1}),
    "coroutine": coroutine,
    "generator_expression": lambda: (number for number in range(2)),
}
