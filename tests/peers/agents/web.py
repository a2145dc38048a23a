"""An agent that uses what its app inherits from Starlette. PEER_VARIANT says which part of it."""

import asyncio
import contextlib
import os

from bedrock_agentcore import BedrockAgentCoreApp
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

KIND = os.environ["PEER_VARIANT"]
NOTES = []


class Busy(Exception):
    pass


class Pure:
    """A middleware of plain ASGI: it sees every message, and may answer itself."""

    def __init__(self, app, name="pure"):
        self.app, self.name = app, name

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if headers.get(b"x-stop") == self.name.encode():
            await PlainTextResponse(f"stopped by {self.name}", 418)(scope, receive, send)
            return
        if b"x-session" in headers:
            name = b"x-amzn-bedrock-agentcore-runtime-session-id"
            scope["headers"] = [*scope["headers"], (name, headers[b"x-session"])]
        scope.setdefault("state", {})["by"] = [*scope.get("state", {}).get("by", []), self.name]

        async def mark(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-by", self.name.encode())]
            await send(message)

        await self.app(scope, receive, mark)


class Base(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        action = request.headers.get("x-base")
        if action == "stop":
            return JSONResponse({"stopped": request.url.path}, 403)
        if action == "fail":
            raise Busy("in the middleware")
        if action == "http":
            raise HTTPException(409, "in the middleware", {"x-why": "a"})
        if action == "read":
            request.state.read = (await request.body()).decode()
        request.state.user = request.headers.get("x-user")
        response = await call_next(request)
        response.headers["x-base"] = f"{request.method} {response.status_code}"
        if action == "replace":
            body = b"".join([part async for part in response.body_iterator])
            return PlainTextResponse(body.decode() + "!", response.status_code)
        return response


@contextlib.asynccontextmanager
async def lifespan(app):
    NOTES.append("started")
    app.state.pool = "a pool"
    yield {"pool": "of the lifespan", "hits": []}


OPTIONS = {
    "pure": {"middleware": [Middleware(Pure), Middleware(Pure, name="inner")]},
    "base": {"middleware": [Middleware(Base)]},
    "cors": {
        "middleware": [
            Middleware(
                CORSMiddleware,
                allow_origins=["https://a.example"],
                allow_methods=["POST"],
                allow_headers=["x-own"],
                expose_headers=["x-seen"],
                allow_credentials=True,
                max_age=5,
            )
        ]
    },
    "cors-any": {"middleware": [Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"])]},
    "gzip": {"middleware": [Middleware(GZipMiddleware, minimum_size=100)]},
    "hosts": {"middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=["agent.example", "*.b.example"])]},
    "lifespan": {"lifespan": lifespan},
}

app = BedrockAgentCoreApp(debug=KIND == "debug", **OPTIONS.get(KIND, {}))


def items(payload):
    yield payload
    if payload.get("fail"):
        raise Busy("in the stream")
    yield "last"


async def items_later(payload):
    for item in items(payload):
        await asyncio.sleep(0)
        yield item


def answered(payload, context):
    """What the payload asks for, or what the request has become on its way here."""
    do = payload.get("do") if isinstance(payload, dict) else None
    if do == "fail":
        raise Busy("in the handler")
    if do == "http":
        raise HTTPException(payload["status"], payload.get("detail"), payload.get("headers"))
    if do == "stream":
        return items(payload)
    if do == "stream-later":
        return items_later(payload)
    if do == "response":
        return JSONResponse({"mine": 1}, 202, {"x-mine": "1"})
    if do == "streaming-response":
        return StreamingResponse(iter(["a", "b"]), media_type="text/plain")
    if do == "large":
        return "x" * 5000
    if do == "state":
        state, app_state = context.request.state, context.request.app.state
        found = {name: getattr(state, name, None) for name in ("by", "user", "read", "pool", "hits")}
        if found["hits"] is not None:
            found["hits"].append(1)
        return {**found, "app": getattr(app_state, "pool", None), "session": context.session_id, "notes": NOTES}
    return payload


@app.entrypoint
def invoke(payload, context):
    return answered(payload, context)


async def hello(request):
    return JSONResponse(
        {
            "method": request.method,
            "path": request.url.path,
            "params": request.path_params,
            "query": list(request.query_params.multi_items()),
            "body": (await request.body()).decode(),
            "pool": getattr(request.state, "pool", None),
        }
    )


def plain(request):
    return PlainTextResponse("plain " + request.path_params["name"])


async def fails(request):
    raise Busy("in the route")


def missing(request):
    raise HTTPException(404, "nothing of this name", {"x-why": "b"})


async def counted(request):
    async def parts():
        for number in range(3):
            await asyncio.sleep(0)
            yield f"{number}\n"

    return StreamingResponse(parts(), media_type="text/plain")


async def chat(websocket):
    await websocket.accept()
    await websocket.send_text(f"{websocket.path_params['room']} {await websocket.receive_text()}")
    await websocket.close(4001, "enough")


async def raw(scope, receive, send):
    body = f"{scope['type']} {scope['root_path']} {scope['path']} {scope['query_string'].decode()}".encode()
    await send({"type": "http.response.start", "status": 203, "headers": [(b"x-raw", b"1")]})
    await send({"type": "http.response.body", "body": body})


if KIND in ("routes", "debug"):
    app.add_route("/hello/{name}", hello, methods=["GET", "POST"])
    app.add_route("/hello/{name}/{number:int}", hello)
    app.add_route("/plain/{name}", plain)
    app.add_route("/files/{path:path}", hello)
    app.add_route("/fails", fails)
    app.add_route("/missing", missing)
    app.add_route("/counted", counted)
    app.add_route("/invocations", plain)
    app.add_route("/ping", plain)
    app.add_route("/ping/deep", hello)
    app.add_route("/slashed/", hello)
    app.router.routes.append(WebSocketRoute("/chat/{room}", chat))
    app.router.routes.append(Route("/appended", hello, methods=["DELETE"], name="appended"))
    app.mount("/raw", raw)
    app.mount("/inner", Starlette(routes=[Route("/a", hello), Mount("/b", raw), WebSocketRoute("/c/{room}", chat)]))
    app.host("other.example", raw)

if KIND == "errors":

    async def busy(request, error):
        return JSONResponse({"busy": str(error), "path": request.url.path}, 503, {"retry-after": "1"})

    def not_found(request, error):
        return PlainTextResponse(f"no {request.url.path}: {error.detail}", 404)

    async def not_allowed(request, error):
        return PlainTextResponse("another method, please", 405, error.headers)

    async def anything(request, error):
        return PlainTextResponse(f"{type(error).__name__} was caught", 500)

    async def broken(request):
        return 1 / 0

    app.add_exception_handler(Busy, busy)
    app.add_exception_handler(404, not_found)
    app.add_exception_handler(405, not_allowed)
    app.add_exception_handler(Exception, anything)
    app.add_route("/fails", fails)
    app.add_route("/missing", missing)
    app.add_route("/broken", broken)

if KIND == "function":

    async def timed(request, call_next):
        request.state.user = "of the function"
        response = await call_next(request)
        response.headers["x-timed"] = request.url.path
        return response

    app.add_middleware(BaseHTTPMiddleware, dispatch=timed)


app.run()
