"""An agent whose WebSocket handler does what the query says; PEER_VARIANT says whether it uses Starlette by name."""

import asyncio
import json
import os

from bedrock_agentcore import BedrockAgentCoreApp, BedrockAgentCoreContext

KIND = os.environ["PEER_VARIANT"]

if KIND != "bare":
    from starlette.responses import JSONResponse
    from starlette.websockets import WebSocketDisconnect, WebSocketState

app = BedrockAgentCoreApp()
NOTES = []


def kind_of(error):
    # Later versions of Starlette have classes of their own below it.
    return "RuntimeError" if isinstance(error, RuntimeError) else type(error).__name__


async def echo(websocket, context):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def echo_bytes(websocket, context):
    await websocket.accept()
    async for data in websocket.iter_bytes():
        await websocket.send_bytes(data)


async def echo_json(websocket, context):
    await websocket.accept()
    async for value in websocket.iter_json():
        await websocket.send_json({"got": value})


async def binary_json(websocket, context):
    await websocket.accept()
    await websocket.send_json({"é": [1, None]}, mode="binary")
    await websocket.send_json(await websocket.receive_json(mode="binary"), mode="text")
    await websocket.close()


async def raw(websocket, context):
    first = await websocket.receive()
    await websocket.send({"type": "websocket.accept"})
    await websocket.send({"type": "websocket.send", "text": json.dumps(first)})
    for _ in range(2):
        got = await websocket.receive()
        await websocket.send({"type": "websocket.send", "text": repr(sorted(got.items()))})
    await websocket.send({"type": "websocket.close", "code": 3001, "reason": "raw"})


async def close(websocket, context):
    query = websocket.query_params
    await websocket.accept()
    await websocket.close(int(query["code"]), query.get("reason"))


async def close_with_words(websocket, context):
    await websocket.accept()
    await websocket.send_text("bye")
    await websocket.close(reason="done, é")


async def returns(websocket, context):
    await websocket.accept()
    await websocket.send_text("last")


async def fails(websocket, context):
    await websocket.accept()
    await websocket.send_text("first")
    raise ValueError("no")


async def fails_before(websocket, context):
    raise ValueError("no")


async def returns_before(websocket, context):
    return


async def refuses(websocket, context):
    await websocket.close(int(websocket.query_params.get("code", 1000)), "refused")


async def denies(websocket, context):
    await websocket.send_denial_response(JSONResponse({"no": 1}, 401, {"x-why": "because"}))


async def twice(websocket, context):
    await websocket.accept()
    heard = []
    for attempt in (websocket.accept, websocket.close, websocket.close, lambda: websocket.send_text("late")):
        try:
            await attempt()
            heard.append("ok")
        except Exception as error:
            heard.append(kind_of(error))
    NOTES.append(heard)


async def before_accept(websocket, context):
    heard = []
    for attempt in (lambda: websocket.send_text("early"), websocket.receive_text):
        try:
            await attempt()
        except Exception as error:
            heard.append(kind_of(error))
    await websocket.accept()
    await websocket.send_json(heard)
    await websocket.close()


async def wrong_kind(websocket, context):
    await websocket.accept()
    await websocket.receive_text()


async def subprotocols(websocket, context):
    offered = websocket.scope["subprotocols"]
    chosen = offered[-1] if offered else None
    await websocket.accept(chosen, [(b"x-chosen", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")])
    await websocket.send_json([offered, chosen])
    await websocket.close()


async def headers_as_text(websocket, context):
    await websocket.accept(headers=[(b"X-Upper", "é".encode("latin-1"))])
    await websocket.close()


async def described(websocket, context):
    await websocket.accept()
    scope = websocket.scope
    await websocket.send_json(
        {
            "url": str(websocket.url),
            "path": websocket.url.path,
            "query": list(websocket.query_params.multi_items()),
            "header": websocket.headers.get("x-one"),
            "many": websocket.headers.getlist("x-many"),
            "cookies": websocket.cookies,
            "session": context.session_id,
            "headers": context.request_headers,
            "same": context.request is websocket,
            "current": [BedrockAgentCoreContext.get_session_id(), BedrockAgentCoreContext.get_workload_access_token()],
            "request": BedrockAgentCoreContext.get_request_id() == websocket.headers.get("x-request"),
            "scope": [scope["type"], scope["scheme"], scope["http_version"], scope["path"], scope["root_path"]],
            "raw": [scope["raw_path"].decode(), scope["query_string"].decode()],
            "params": dict(websocket.path_params),
            "app": websocket.app is app,
            "states": [websocket.client_state.name, websocket.application_state.name],
        }
    )
    await websocket.close()


async def disconnect(websocket, context):
    await websocket.accept()
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect as gone:
        states = [websocket.client_state.name, websocket.application_state.name]
        NOTES.append([gone.code, gone.reason, states, websocket.client_state is WebSocketState.DISCONNECTED])


async def disconnect_raised(websocket, context):
    await websocket.accept()
    await websocket.receive_text()
    await websocket.receive_text()


async def pushes(websocket, context):
    await websocket.accept()
    for number in range(500):
        await websocket.send_text(str(number))
    await websocket.close()


async def large(websocket, context):
    await websocket.accept()
    size = int(websocket.query_params["size"])
    await websocket.send_bytes(b"x" * size)
    await websocket.send_text("é" * (size // 2))
    await websocket.close()


async def lengths(websocket, context):
    await websocket.accept()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            NOTES.append(["disconnected", message.get("code")])
            return
        content = message.get("text") if message.get("text") is not None else message["bytes"]
        await websocket.send_text(f"{type(content).__name__} {len(content)}")


async def surrogate(websocket, context):
    await websocket.accept()
    await websocket.send_text("a\ud800")


async def together(websocket, context):
    await websocket.accept()
    received = asyncio.ensure_future(websocket.receive_text())
    await websocket.send_text("before")
    await websocket.send_text("got " + await received)
    await asyncio.gather(*(websocket.send_text(str(number)) for number in range(3)))
    await websocket.close()


async def notes(websocket, context):
    await websocket.accept()
    # What a client has heard of a connection may come before its handler has noted how it went.
    for _ in range(1000):
        if NOTES:
            break
        await asyncio.sleep(0.005)
    await websocket.send_json(NOTES)
    NOTES.clear()
    await websocket.close()


HANDLERS = {name: value for name, value in globals().items() if asyncio.iscoroutinefunction(value)}


@app.websocket
async def handle(websocket, context):
    await HANDLERS[websocket.query_params["do"]](websocket, context)


@app.entrypoint
def invoke(payload):
    return NOTES


app.run()
