"""An agent with a ping handler and tasks that its payload steers; PEER_VARIANT says what kind of handler."""

import asyncio
import enum
import functools
import os
import threading
import time

from bedrock_agentcore import BedrockAgentCoreApp, PingStatus

KIND = os.environ["PEER_VARIANT"]
app = BedrockAgentCoreApp(debug=KIND == "debug")
SAYS = {"what": "nothing"}
TASKS = {}
GATES = {}
KEPT = []


class Word(str, enum.Enum):
    BUSY = "HealthyBusy"


class Busy(str):
    pass


def fails():
    raise RuntimeError("no idea")


def text_fails():
    class Bad(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    raise Bad


def slow():
    time.sleep(0.1)
    return PingStatus.HEALTHY_BUSY


ANSWERS = {
    "nothing": lambda: None,
    "healthy": lambda: PingStatus.HEALTHY,
    "busy": lambda: PingStatus.HEALTHY_BUSY,
    "text": lambda: "HealthyBusy",
    "text-of-a-class": lambda: Busy("HealthyBusy"),
    "another-enum": lambda: Word.BUSY,
    "name": lambda: "HEALTHY_BUSY",
    "empty": lambda: "",
    "blank": lambda: " HealthyBusy ",
    "fails": fails,
    "text-fails": text_fails,
    "slow": slow,
}
# What the official SDK has no status for: it then tells one that is made up.
NO_STATUS = {
    "number": lambda: 1,
    "true": lambda: True,
    "false": lambda: False,
    "bytes": lambda: b"HealthyBusy",
    "dict": lambda: {"status": "HealthyBusy"},
    "list": lambda: ["HealthyBusy"],
    "class": lambda: PingStatus,
    "coroutine": lambda: asyncio.sleep(0, PingStatus.HEALTHY_BUSY),
}


@app.async_task
async def waits(name):
    while not GATES[name].is_set():
        await asyncio.sleep(0.005)
    return name


@app.async_task
async def breaks(name):
    await waits(name)
    raise ValueError(name)


@app.async_task
async def adds(a, b=2, *rest, **named):
    """Adds."""
    return [a, b, *rest, sorted(named)]


class Holder:
    @app.async_task
    async def method(self, a):
        return [type(self).__name__, a]

    @staticmethod
    @app.async_task
    async def static(a):
        return a


def decorated(what):
    """What becomes of decorating something that may be no coroutine function."""

    async def stream():
        yield 1

    async def plain():
        return 1

    class Called:
        async def __call__(self):
            return "called"

    things = {
        "function": lambda: 1,
        "stream": stream,
        "object": Called(),
        "partial": functools.partial(plain),
        "class": Holder,
        "none": None,
        "bound": Holder().method,
    }
    task = app.async_task(things[what])
    return task.__name__


def begin(payload):
    name = payload["name"]
    GATES[name] = threading.Event()
    return name


async def act(payload):
    do = payload.get("do")
    if do == "ping-says":
        SAYS["what"] = payload["what"]
    elif do == "ping-is":
        app.ping(HANDLERS[payload["what"]])
    elif do == "wait":
        KEPT.append(asyncio.ensure_future(waits(begin(payload))))
    elif do == "break":
        KEPT.append(asyncio.ensure_future(breaks(begin(payload))))
    elif do == "open":
        GATES[payload["name"]].set()
    elif do == "cancel":
        KEPT[-1].cancel()
    elif do == "result":
        await asyncio.wait(KEPT[-1:], timeout=5)
        return "cancelled" if KEPT[-1].cancelled() else repr(KEPT[-1].exception() or KEPT[-1].result())
    elif do == "await":
        GATES[payload["name"]] = threading.Event()
        GATES[payload["name"]].set()
        return await waits(payload["name"])
    elif do == "call":
        holder = Holder()
        return [
            await adds(1),
            await adds(1, 3, 4, x=5),
            await holder.method(6),
            await Holder.static(7),
            adds.__name__,
            app.get_async_task_info(),
        ]
    elif do == "decorate":
        return decorated(payload["what"])
    elif do == "add":
        task = app.add_async_task(*payload["args"])
        TASKS[payload["args"][0]] = task
        return type(task).__name__
    elif do == "complete":
        return [app.complete_async_task(TASKS.get(payload["name"], 1)) for _ in range(2)]
    elif do == "complete-odd":
        return [app.complete_async_task(odd) for odd in (None, "x", -1, 2**70, 1.5)]
    elif do == "info":
        return app.get_async_task_info()
    elif do == "force":
        app.force_ping_status(PingStatus(payload["status"]))
    elif do == "clear":
        app.clear_forced_ping_status()
    elif do == "status":
        status = app.get_current_ping_status()
        return [status, status.value, str(type(status).__name__), isinstance(status, str)]
    else:
        return payload
    return do


app.entrypoint(act)


def by_what_it_says():
    return {**ANSWERS, **NO_STATUS}[SAYS["what"]]()


class Handler:
    def __call__(self):
        return "HealthyBusy"

    def method(self):
        return PingStatus.HEALTHY_BUSY


# Ping handlers of other shapes, for an agent that has another one from its start.
HANDLERS = {
    "usual": by_what_it_says,
    "partial": functools.partial(lambda status: status, "HealthyBusy"),
    "lambda": lambda: PingStatus.HEALTHY_BUSY,
    "method": Handler().method,
    "object": Handler(),
    "with-a-default": lambda status="HealthyBusy": status,
    "in-need-of-an-argument": lambda needed: PingStatus.HEALTHY_BUSY,
    "no-function": "HealthyBusy",
}

if KIND in ("sync", "debug"):
    app.ping(by_what_it_says)


app.run()
