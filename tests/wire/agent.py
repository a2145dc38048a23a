"""The agent of the wire contract, in Python: it does what its payload says.

The same file runs on the official SDK and on the native engine. WIRE_APP names the one app that this process has: what
kind of function its entrypoint is, whether it is in debug mode, whether it has a ping handler. WIRE_SOCKET is where the
official SDK listens; the native engine is told its address by its server.
"""

import asyncio
import collections
import functools
import json
import os
import threading
import time

from bedrock_agentcore import BedrockAgentCoreApp, BedrockAgentCoreContext, PingStatus
from values import VALUES

KIND = os.environ["WIRE_APP"]

app = BedrockAgentCoreApp(debug=KIND == "debug")

GATES = collections.defaultdict(threading.Event)
NOTES = collections.defaultdict(list)
TASKS = {}
NAPS = []
PING = {"says": "nothing"}


class Broken(Exception):
    pass


ERRORS = {
    "ValueError": ValueError,
    "KeyError": KeyError,
    "Exception": Exception,
    "Broken": Broken,
    "AssertionError": AssertionError,
    "StopIteration": StopIteration,
    "RecursionError": RecursionError,
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "CancelledError": asyncio.CancelledError,
}


def fail(wanted):
    kind = wanted["type"]
    if kind == "HTTPException":
        from starlette.exceptions import HTTPException

        raise HTTPException(wanted["status"], wanted.get("detail"), wanted.get("headers"))
    if kind == "JSONDecodeError":
        json.loads("{")
    if kind == "UnicodeDecodeError":
        b"\x80".decode("utf-8")
    if kind == "Chained":
        try:
            raise ValueError("the disk")
        except ValueError as cause:
            raise Broken("the order could not be read") from cause
    raise ERRORS[kind](*wanted.get("args", []))


def response(name):
    from starlette import responses

    if name == "json_404":
        return responses.JSONResponse({"error": "no such order"}, status_code=404)
    if name == "text":
        return responses.PlainTextResponse("hello\n", headers={"x-own": "kept"})
    if name == "bytes":
        return responses.Response(b"\x00\xff", media_type="application/octet-stream")
    if name == "html":
        return responses.HTMLResponse("<p>hi</p>", status_code=201)
    if name == "no_content":
        return responses.Response(status_code=204)
    if name == "redirect":
        return responses.RedirectResponse("/elsewhere")
    if name == "cookies":
        answer = responses.PlainTextResponse("two")
        answer.headers.append("set-cookie", "a=1")
        answer.headers.append("set-cookie", "b=2")
        return answer
    if name == "stream":
        return responses.StreamingResponse(iter(["a: 1\n", "b: 2\n"]), media_type="text/plain")
    if name == "own_events":
        return responses.StreamingResponse(iter(["event: tick\ndata: 1\n\n"]), media_type="text/event-stream")
    raise LookupError(name)


def told(context):
    """What the agent is told about the request."""
    current = BedrockAgentCoreContext
    return {
        "session": context.session_id,
        "request": current.get_request_id(),
        "headers": context.request_headers,
        "token": current.get_workload_access_token(),
        "callback": current.get_oauth2_callback_url(),
    }


def act(payload, context):
    """Does what the payload says; a payload that says nothing comes back as it is."""
    if not isinstance(payload, dict) or "do" not in payload:
        return payload
    action = payload["do"]
    if action == "value":
        return VALUES[payload["name"]]()
    if action == "raise":
        fail(payload)
    if action == "respond":
        return response(payload["name"])
    if action == "told":
        return told(context)
    if action == "session":
        return [context.session_id, BedrockAgentCoreContext.get_session_id()]
    if action == "request_id":
        return BedrockAgentCoreContext.get_request_id()
    if action == "headers":
        return context.request_headers
    if action == "query":
        return context.request.url.query
    if action == "stream":
        return sync_stream(payload)
    if action == "async_stream":
        return async_stream(payload)
    if action == "open":
        GATES[payload["gate"]].set()
        return "opened"
    if action == "wait":
        NOTES[payload["gate"]].append("waits")
        GATES[payload["gate"]].wait()
        NOTES[payload["gate"]].append("waited")
        return "waited"
    if action == "notes":
        return NOTES[payload["of"]]
    return act_on_health(action, payload)


def act_on_health(action, payload):
    if action == "ping_says":
        PING["says"] = payload["what"]
        return "noted"
    if action == "begin":
        TASKS[payload["name"]] = app.add_async_task(payload["name"], payload.get("metadata"))
        return "begun"
    if action == "end":
        return app.complete_async_task(TASKS.get(payload["name"], 12345))
    if action == "tasks":
        return app.get_async_task_info()
    if action == "force":
        app.force_ping_status(PingStatus(payload["status"]))
        return "forced"
    if action == "unforce":
        app.clear_forced_ping_status()
        return "cleared"
    if action == "status":
        return app.get_current_ping_status()
    raise LookupError(f"nothing is known of `{action}`")


def yielded(payload):
    """The items of a stream: those of the payload, or the values that it names."""
    if not isinstance(payload, dict):
        return [payload]
    return payload.get("items", []) + [VALUES[name]() for name in payload.get("values", [])]


def note(payload, what):
    """Notes how a stream with a name ended."""
    if isinstance(payload, dict) and "name" in payload:
        NOTES[payload["name"]].append(what)


def sync_stream(payload):
    try:
        for item in yielded(payload):
            yield item
        if "gate" in payload:
            GATES[payload["gate"]].wait()
            yield "opened"
        while payload.get("endless"):
            time.sleep(0.01)
            yield "."
        if "raise" in payload:
            fail(payload["raise"])
    except GeneratorExit:
        note(payload, "closed")
        raise
    note(payload, "ended")


async def async_stream(payload):
    try:
        for item in yielded(payload):
            yield item
        while "gate" in payload and not GATES[payload["gate"]].is_set():
            await asyncio.sleep(0.01)
        if "gate" in payload:
            yield "opened"
        while payload.get("endless"):
            await asyncio.sleep(0.01)
            yield "."
        if "raise" in payload:
            fail(payload["raise"])
    except (GeneratorExit, asyncio.CancelledError):
        note(payload, "closed")
        raise
    note(payload, "ended")


def invoke(payload, context):
    return act(payload, context)


async def invoke_async(payload, context):
    await asyncio.sleep(0)
    return act(payload, context)


@app.async_task
async def nap():
    while not GATES["nap"].is_set():
        await asyncio.sleep(0.01)


async def invoke_nap(payload, context):
    """Starts a task that goes on after its invocation, or does what the payload says."""
    if payload == {"do": "nap"}:
        NAPS.append(asyncio.create_task(nap()))
        return "asleep"
    return act(payload, context)


def stream(payload, context):
    if isinstance(payload, dict) and "do" in payload:
        yield act(payload, context)
        return
    yield from sync_stream(payload)


async def stream_async(payload, context):
    if isinstance(payload, dict) and "do" in payload:
        yield act(payload, context)
        return
    async for item in async_stream(payload):
        yield item


class Caller:
    def __call__(self, payload, context):
        return {"called": payload, "session": context.session_id}

    def method(self, payload, context):
        return {"method": payload, "session": context.session_id}


class AsyncCaller:
    async def __call__(self, payload, context):
        return {"called": payload, "session": context.session_id}


class StreamCaller:
    async def __call__(self, payload, context):
        yield {"called": payload}


def one(payload):
    return {"one": payload}


def other_name(payload, ctx):
    return {"never": payload}


def later_context(payload, other="default", context=None):
    return {"other": other, "context": context}


def named_context(payload, *, context):
    return {"named": payload}


async def returns_stream(payload, context):
    return async_stream(payload)


ENTRYPOINTS = {
    "value": invoke,
    "async": invoke_async,
    "stream": stream,
    "async_stream": stream_async,
    "choosing": invoke,
    "choosing_async": invoke_async,
    "debug": invoke,
    "ping": invoke,
    "async_ping": invoke,
    "nap": invoke_nap,
    "one": one,
    "other_name": other_name,
    "later_context": later_context,
    "named_context": named_context,
    "callable": Caller(),
    "method": Caller().method,
    "async_callable": AsyncCaller(),
    "stream_callable": StreamCaller(),
    "partial_stream": functools.partial(stream_async),
    "partial": functools.partial(invoke_async),
    "returns_stream": returns_stream,
}

if KIND != "none":
    app.entrypoint(ENTRYPOINTS[KIND])

if KIND == "ping":

    @app.ping
    def ping():
        says = PING["says"]
        if says == "an error":
            raise Broken("no idea")
        return {
            "nothing": None,
            "healthy": PingStatus.HEALTHY,
            "busy": PingStatus.HEALTHY_BUSY,
            "text": "HealthyBusy",
            "lower case": "healthybusy",
            "name": "HEALTHY_BUSY",
            "unknown": "Unhealthy",
            "true": True,
            "number": 1,
        }[says]


if KIND == "async_ping":

    @app.ping
    async def ping():
        return PingStatus.HEALTHY_BUSY


if __name__ == "__main__":
    if "WIRE_SOCKET" in os.environ:
        app.run(uds=os.environ["WIRE_SOCKET"])
    else:
        app.run()
