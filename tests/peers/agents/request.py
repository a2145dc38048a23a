"""An agent that tells what it is told about a request, one thing at a time.

PEER_VARIANT says whether it is asynchronous, and whether it has imported Starlette's own class of requests.
"""

import asyncio
import concurrent.futures
import contextvars
import functools
import os
import threading

from bedrock_agentcore import BedrockAgentCoreApp, BedrockAgentCoreContext, RequestContext
from bedrock_agentcore.runtime.models import is_forwardable_header

KIND = os.environ["PEER_VARIANT"]
if KIND.endswith("starlette"):
    import starlette.requests  # noqa: F401

app = BedrockAgentCoreApp()
OWN = contextvars.ContextVar("own", default="unset")
POOL = concurrent.futures.ThreadPoolExecutor(1)


def current(_=None):
    """What holds for the code that runs now."""
    held = BedrockAgentCoreContext
    return {
        "session": held.get_session_id(),
        "request": held.get_request_id(),
        "token": held.get_workload_access_token(),
        "callback": held.get_oauth2_callback_url(),
        "headers": held.get_request_headers(),
        "experiment": [held.get_routing_experiment_arn(), held.get_routing_experiment_variant()],
        "bundle": held.get_config_bundle_ref() and held.get_config_bundle_ref().bundle_id,
        "own": OWN.get(),
    }


def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def changes(context):
    context.session_id = "changed"
    BedrockAgentCoreContext.set_request_context("own-request", "own-session")
    BedrockAgentCoreContext.set_workload_access_token("own-token")
    BedrockAgentCoreContext.set_oauth2_callback_url("own-callback")
    BedrockAgentCoreContext.set_request_headers({"own": "headers"})
    OWN.set("set")
    return [context.session_id, current()]


def stream(_):
    OWN.set("first")
    yield current()
    yield OWN.get()
    OWN.set("second")
    yield OWN.get()


async def stream_later(_):
    OWN.set("first")
    yield current()
    await asyncio.sleep(0)
    yield OWN.get()
    OWN.set("second")
    yield OWN.get()


async def current_later(own=None):
    if own:
        OWN.set(own)
    await asyncio.sleep(0)
    return current()


async def in_executor():
    return await asyncio.get_running_loop().run_in_executor(None, current)


# What is asked of a request.
REQUEST = {
    "method": lambda request: request.method,
    "url": lambda request: str(request.url),
    "url-in-parts": lambda request: [request.url.scheme, request.url.hostname, request.url.path, request.url.query],
    "url-port": lambda request: [request.url.netloc, request.url.port, request.url.fragment],
    "url-equals": lambda request: request.url == str(request.url),
    "url-replaced": lambda request: str(request.url.replace(path="/other")),
    "base-url": lambda request: str(request.base_url),
    "query": lambda request: list(request.query_params.multi_items()),
    "query-as-a-dict": lambda request: dict(request.query_params),
    "query-text": lambda request: str(request.query_params),
    "query-get": lambda request: [request.query_params.get("a", "none"), "a" in request.query_params],
    "query-many": lambda request: request.query_params.getlist("a"),
    "headers": lambda request: sorted((name, value) for name, value in request.headers.items()),
    "headers-get": lambda request: [request.headers.get("X-ONE"), request.headers.get("x-none", "none")],
    "headers-many": lambda request: request.headers.getlist("x-many"),
    "headers-in": lambda request: ["X-One" in request.headers, "x-none" in request.headers, len(request.headers) > 3],
    "headers-raw": lambda request: [value.decode() for name, value in request.headers.raw if name == b"x-many"],
    "headers-missing": lambda request: request.headers["x-none"],
    "cookies": lambda request: request.cookies,
    "client": lambda request: [request.client.host, type(request.client.port).__name__],
    "path-params": lambda request: dict(request.path_params),
    "app": lambda request: request.app is app,
    "scope": lambda request: [request.scope[name] for name in ("type", "http_version", "method", "scheme", "path")],
    "scope-root": lambda request: request.scope["root_path"],
    "scope-raw": lambda request: [request.scope["raw_path"].decode(), request.scope["query_string"].decode("latin-1")],
    "item": lambda request: [request["type"], request.get("nothing", "none")],
    "state": lambda request: [setattr(request.state, "a", 1), request.state.a, hasattr(request.state, "b")],
    "user": lambda request: request.user,
    "auth": lambda request: request.auth,
    "session": lambda request: request.session,
    "unknown": lambda request: request.nothing,
    "class": lambda request: type(request).__name__,
}
CONTEXT = {
    "context": lambda context: [context.session_id, context.request_headers],
    "context-class": lambda context: [type(context).__name__, isinstance(context, RequestContext)],
    "context-dumped": lambda context: context.model_dump(exclude={"request"}),
    "context-dumped-in-part": lambda context: context.model_dump(include={"session_id"}),
    "context-copied": lambda context: context.model_copy(update={"session_id": "other"}).session_id,
    "context-made": lambda context: RequestContext(session_id="other", request_headers={"a": "b"}).model_dump(),
    "context-empty": lambda context: RequestContext().model_dump(),
    "context-unknown": lambda context: context.nothing,
    "current": current,
    "thread": lambda context: in_thread(current),
    "thread-with-the-context": lambda context: in_thread(functools.partial(contextvars.copy_context().run, current)),
    "pool": lambda context: POOL.submit(current).result(),
    "changes": changes,
    "stream": stream,
}
# Coroutines, for an agent that is asynchronous.
LATER = {
    "body": lambda context: context.request.body(),
    "json": lambda context: context.request.json(),
    "is-disconnected": lambda context: context.request.is_disconnected(),
    "to-thread": lambda context: asyncio.to_thread(current),
    "executor": lambda context: in_executor(),
    "task": lambda context: asyncio.ensure_future(current_later()),
    "gathered": lambda context: asyncio.gather(current_later(), current_later("own")),
}


def act(payload, context):
    do = payload["do"]
    if do == "forwardable":
        return [name for name in payload["names"] if is_forwardable_header(name)]
    if do in REQUEST:
        return REQUEST[do](context.request)
    return CONTEXT[do](context)


async def act_later(payload, context):
    do = payload["do"]
    if do == "stream-later":
        return stream_later(context)
    if do == "read-in-parts":
        return [part.decode() async for part in context.request.stream()]
    return await LATER[do](context) if do in LATER else act(payload, context)


app.entrypoint(act_later if KIND.startswith("async") else act)
app.run()
