"""An agent whose entrypoint is an unusual callable; PEER_VARIANT says which one."""

import asyncio
import contextlib
import functools
import inspect
import os
import types

from bedrock_agentcore import BedrockAgentCoreApp, RequestContext

app = BedrockAgentCoreApp()


def told(*given, **named):
    """What a handler was given, in a form that can be compared."""

    def name(value):
        return "context" if isinstance(value, RequestContext) else value

    return [[name(value) for value in given], {key: name(value) for key, value in named.items()}]


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return ["wrapped", function(*args, **kwargs)]

    return wrapper


def decorated_without_a_trace(function):
    def wrapper(*args, **kwargs):
        return ["wrapped", function(*args, **kwargs)]

    return wrapper


def decorated_later(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        return ["wrapped", await function(*args, **kwargs)]

    return wrapper


async def later(payload, context):
    await asyncio.sleep(0)
    return told(payload, context)


class Agent:
    def __init__(self, payload=None):
        pass

    def __call__(self, payload, context):
        return told(payload, context)

    async def later(self, payload, context):
        return told(payload, context)

    async def stream(self, payload, context):
        yield told(payload, context)

    @classmethod
    def of_class(cls, payload, context):
        return told(payload, context)

    @staticmethod
    def static(payload, context):
        return told(payload, context)

    def __str__(self):
        return "an agent"


class Slotted:
    __slots__ = ()

    def __call__(self, payload):
        return told(payload)


def any_arguments(*args):
    return told(*args)


def any_names(payload, **context):
    return told(payload, **context)


def any_context(payload, *context):
    return told(payload, *context)


def with_default(payload, context=None):
    return told(payload, context)


def three(payload, context, more="more"):
    return told(payload, context, more)


def missing(payload, context, needed):
    return told(payload, context, needed)


def context_first(context, payload):
    return told(context, payload)


def nothing():
    return told()


def positional(payload, context, /):
    return told(payload, context)


def annotated(payload: dict, context: "RequestContext") -> list:
    return told(payload, context)


def renamed(body, context):
    return told(body, context)


def keyword_payload(*, payload):
    return told(payload)


@contextlib.contextmanager
def manager(payload):
    yield told(payload)


@types.coroutine
def old_style(payload):
    return told(payload)
    yield


def signed(*args, **kwargs):
    return told(*args, **kwargs)


signed.__signature__ = inspect.signature(with_default)

SHAPES = {
    "wrapped": decorated(with_default),
    "wrapped-twice": decorated(decorated(with_default)),
    "wrapped-without-a-trace": decorated_without_a_trace(with_default),
    "wrapped-later": decorated_later(later),
    "lambda": lambda payload, context: told(payload, context),
    "partial-of-a-name": functools.partial(three, more="less"),
    "partial-of-a-partial": functools.partial(functools.partial(later)),
    "partial-that-takes-the-payload": functools.partial(three, {"own": 1}),
    "object": Agent(),
    "object-with-slots": Slotted(),
    "class": Agent,
    "class-method": Agent.of_class,
    "static-method": Agent.static,
    "later-method": Agent().later,
    "stream-method": Agent().stream,
    "partial-of-a-stream-method": functools.partial(Agent().stream),
    "builtin": dict,
    "builtin-function": len,
    "builtin-sorted": sorted,
    "cached": functools.lru_cache(lambda payload: told(1)),
    "any-arguments": any_arguments,
    "any-names": any_names,
    "any-context": any_context,
    "with-default": with_default,
    "three": three,
    "missing": missing,
    "context-first": context_first,
    "nothing": nothing,
    "positional": positional,
    "annotated": annotated,
    "renamed": renamed,
    "keyword-payload": keyword_payload,
    "manager": manager,
    "old-style": old_style,
    "signed": signed,
    "single-dispatch": functools.singledispatch(with_default),
    "no-function": "text",
}

@app.websocket
async def choose(websocket, context):
    """Makes another callable the entrypoint, while the agent is served."""
    await websocket.accept()
    try:
        app.entrypoint(SHAPES[await websocket.receive_text()])
        await websocket.send_text("chosen")
    except Exception as error:
        await websocket.send_text(f"{type(error).__name__}: {error}")
    await websocket.close()


app.entrypoint({"after-plain": with_default, "after-later": later, **SHAPES}[os.environ["PEER_VARIANT"]])

app.run()
