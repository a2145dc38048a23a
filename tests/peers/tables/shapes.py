"""Entrypoints that are unusual callables: chosen while an agent is served, and from its start."""

import reasons
from rows import Ask, Differs, Row, Talk, ask

AGENT = "shapes.py"

PAYLOADS = ({"b": 1, "a": 2}, [2, 1])
ALIKE = """wrapped wrapped-twice wrapped-without-a-trace wrapped-later lambda partial-of-a-name partial-of-a-partial
    partial-that-takes-the-payload object object-with-slots class class-method static-method later-method stream-method
    partial-of-a-stream-method builtin-function builtin-sorted any-arguments any-context with-default three positional
    annotated renamed manager old-style signed single-dispatch""".split()
# Calls that fail, which both engines tell alike, but for the type.
FAILING = "builtin cached missing context-first nothing keyword-payload no-function".split()
# What is looked at before READY, so that calls go where they belong.
FROM_THE_START = "later-method partial-of-a-stream-method builtin-function".split()


def chosen(name, *differs):
    """Has an entrypoint chosen over a WebSocket, and invokes it with each payload."""
    steps = [Ask(body=payload, differs=differ) for payload, differ in zip(PAYLOADS, differs or (None, None))]
    return Row(name, Talk(name, 1), *steps)


def chosen_while_serving():
    """All of them, on an agent that began with another."""
    failed = reasons.with_type("TypeError")
    yield from (chosen(name) for name in ALIKE)
    for name in FAILING:
        # `dict` takes an object, and no list.
        yield chosen(name, None if name == "builtin" else failed, failed)
    bodies = ('[[{"b": 1, "a": 2}], {}]', "[[[2, 1]], {}]")
    yield chosen("any-names", *(Differs(reasons.NAMES, status=200, body=body) for body in bodies))


def from_the_start():
    """The same payloads, and a body that is none."""
    yield from (ask(f"a-payload-{index}", body=payload) for index, payload in enumerate(PAYLOADS))
    yield ask("bad-json", body=b"{")


ROWS = {
    "after-plain": [*chosen_while_serving()],
    "after-later": [*chosen_while_serving()],
    **{name: [*from_the_start()] for name in FROM_THE_START},
}
