"""What Starlette does for an app: middleware, routes, mounts, error handlers. In this process and in a worker."""

import importlib.util
import json
import logging
import unittest
import warnings

import support  # noqa: F401
from agents import agent, both
from asgi_client import Client, fetch, run
from bedrock_agentcore import BedrockAgentCoreApp
from server import CHUNK, END, HEAD, wait_until
from server import Worker as AnyWorker

HAS_STARLETTE = importlib.util.find_spec("starlette") is not None
HAS_CLIENT = HAS_STARLETTE and importlib.util.find_spec("httpx") is not None
needs_starlette = unittest.skipUnless(HAS_STARLETTE, "starlette is not installed beside this Python")
needs_client = unittest.skipUnless(HAS_CLIENT, "starlette and httpx are not installed beside this Python")


def setUpModule():
    logging.disable(logging.CRITICAL)


def tearDownModule():
    logging.disable(logging.NOTSET)


class Marking:
    """A middleware that adds a header, and says who was here."""

    def __init__(self, app, name):
        self.app, self.name = app, name

    async def __call__(self, scope, receive, send):
        async def mark(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-mark", self.name.encode())]
            await send(message)

        scope.setdefault("state", {}).setdefault("marks", []).append(self.name)
        await self.app(scope, receive, mark)


def Worker(source):
    # First: the official package may be installed beside Starlette.
    return AnyWorker(source, place="--native-first")


def echo():
    app = BedrockAgentCoreApp()
    app.entrypoint(lambda payload, context: [payload, context.request.state.marks])
    return app


@needs_starlette
class InThisProcess(unittest.TestCase):
    def test_middleware_surrounds_the_endpoints(self):
        from starlette.middleware import Middleware

        app = BedrockAgentCoreApp(middleware=[Middleware(Marking, name="a"), Middleware(Marking, name="b")])
        app.entrypoint(lambda payload, context: [payload, context.request.state.marks])
        app.add_middleware(Marking, name="first")
        self.assertTrue(app._answers_itself())
        status, headers, body = run(fetch(app, 1))
        self.assertEqual((status, json.loads(body)), (200, [1, ["first", "a", "b"]]))
        self.assertEqual(headers["x-mark"], "first")
        self.assertEqual([entry.kwargs["name"] for entry in app.user_middleware], ["first", "a", "b"])

    def test_a_function_is_a_middleware(self):
        app = echo()

        @app.middleware("http")
        async def mark(request, call_next):
            request.state.marks = [request.url.path, request.app is app]
            response = await call_next(request)
            response.headers["x-mark"] = "1"
            return response

        _, headers, body = run(fetch(app, 1))
        self.assertEqual((json.loads(body), headers["x-mark"]), ([1, ["/invocations", True]], "1"))

    def test_a_stream_passes_a_middleware(self):
        app = BedrockAgentCoreApp()

        @app.entrypoint
        async def invoke(payload):
            yield 1
            yield 2

        @app.middleware("http")
        async def nothing(request, call_next):
            return await call_next(request)

        self.assertEqual(run(fetch(app, 1))[2], b"data: 1\n\ndata: 2\n\n")

    def test_routes_are_added_and_the_contracts_come_first(self):
        from starlette.responses import JSONResponse, PlainTextResponse

        app = echo()
        app.add_route("/ping", lambda request: PlainTextResponse("mine"))
        app.add_route("/tasks/{number:int}", lambda request: JSONResponse(request.path_params), methods=["GET"])

        @app.route("/made")
        async def made(request):
            return PlainTextResponse(str(request.url_for("made")) + str(request.app.state.name))

        app.state.name = "!"
        self.assertIn("Healthy", run(fetch(app, method="GET", target="/ping"))[2].decode())
        self.assertEqual(run(fetch(app, method="GET", target="/tasks/3"))[2], b'{"number":3}')
        self.assertEqual(run(fetch(app, method="POST", target="/tasks/3"))[0], 405)
        self.assertEqual(run(fetch(app, method="GET", target="/made"))[2], b"http://h/made!")
        self.assertEqual([route.path for route in app.routes][:3], ["/invocations", "/ping", "/ws"])
        self.assertEqual(app.url_path_for("made"), "/made")

    def test_apps_are_mounted_by_path_and_by_host(self):
        async def other(scope, receive, send):
            body = f"{scope['root_path']} {scope['path']}".encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

        app = echo()
        app.mount("/mcp", other)
        app.host("other", other)
        self.assertTrue(run(fetch(app, method="GET", target="/mcp/x"))[2].startswith(b"/mcp "))
        self.assertEqual(run(fetch(app, method="GET", target="/y"))[0], 404)
        found = run(fetch(app, method="GET", target="/y", headers=[]))
        self.assertEqual(found[0], 404)

    def test_an_app_of_ours_is_mounted_in_another(self):
        from starlette.applications import Starlette

        inner, outer = echo(), Starlette()
        inner.add_middleware(Marking, name="m")
        outer.mount("/agent", inner)
        self.assertEqual(run(fetch(outer, 1, target="/agent/invocations"))[2], b'[1, ["m"]]')
        plain = BedrockAgentCoreApp()
        plain.entrypoint(lambda payload: payload)
        outer.mount("/plain", plain)
        self.assertEqual(run(fetch(outer, 2, target="/plain/invocations"))[2], b"2")
        self.assertEqual(run(fetch(outer, method="GET", target="/plain/ping"))[0], 200)

    def test_error_handlers_answer_for_routes_but_not_for_the_entrypoint(self):
        from starlette.exceptions import HTTPException
        from starlette.responses import PlainTextResponse

        def fail(payload):
            raise KeyError("x") if payload else HTTPException(404, "mine")

        app = BedrockAgentCoreApp()
        app.entrypoint(fail)
        app.add_exception_handler(404, lambda request, error: PlainTextResponse("not here", 404))

        @app.exception_handler(KeyError)
        async def missing(request, error):
            return PlainTextResponse(str(error), 410)

        app.add_route("/x", lambda request: fail(1))
        self.assertEqual(run(fetch(app, method="GET", target="/none"))[2], b"not here")
        self.assertEqual(run(fetch(app, method="GET", target="/x"))[::2], (410, b"'x'"))
        self.assertEqual(run(fetch(app, 1))[0], 500)
        self.assertEqual(run(fetch(app, 0))[2], b'{"error":"mine"}')

    def test_websockets_have_routes_and_middleware(self):
        app = BedrockAgentCoreApp()
        seen = []

        @app.websocket
        async def handle(websocket, context):
            seen.append(websocket.state.marks)
            await websocket.accept()

        @app.websocket_route("/other/{name}")
        async def other(websocket):
            await websocket.accept()
            await websocket.send_text(websocket.path_params["name"])
            await websocket.close()

        async def direct(websocket):
            await websocket.close(4000)

        app.add_websocket_route("/direct", direct)
        app.add_middleware(Marking, name="m")

        async def talk(target):
            client = Client(app, "websocket", target=target)
            client.say(type="websocket.connect")
            return [message.get("code", message.get("text")) for message in await client.all()]

        self.assertEqual(run(talk("/ws")), [None, 1000])
        self.assertEqual(seen, [["m"]])
        self.assertEqual(run(talk("/other/x")), [None, "x", 1000])
        self.assertEqual(run(talk("/direct")), [4000])

    def test_what_is_only_looked_at_is_not_used(self):
        app = echo()
        self.assertEqual([route.path for route in app.routes], ["/invocations", "/ping", "/ws"])
        self.assertFalse(app._answers_itself())
        app.router.routes.append(app.routes[0])
        self.assertTrue(app._answers_itself())


@needs_client
class WithTestClient(unittest.TestCase):
    """`TestClient(app)`, as agents' own tests use it."""

    def client(self, app, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from starlette.testclient import TestClient
        return TestClient(app, **options)

    def test_requests_and_lifespan(self):
        import contextlib

        @contextlib.asynccontextmanager
        async def lifespan(app):
            app.state.here = True
            yield {"db": 3}
            app.state.here = False

        app = BedrockAgentCoreApp(lifespan=lifespan)
        app.entrypoint(lambda payload, context: [payload, context.request.state.db])
        with self.client(app) as client:
            self.assertTrue(app.state.here)
            self.assertEqual(client.post("/invocations", json={"a": 1}).json(), [{"a": 1}, 3])
            self.assertEqual(client.get("/ping").json()["status"], "Healthy")
        self.assertFalse(app.state.here)

    def test_streams(self):
        app = BedrockAgentCoreApp()

        @app.entrypoint
        async def invoke(payload):
            yield payload

        with self.client(app).stream("POST", "/invocations", json="é") as response:
            self.assertEqual(list(response.iter_lines()), ['data: "é"', ""])

    def test_websockets_are_starlettes_here(self):
        from starlette.websockets import WebSocketDisconnect

        app, seen = BedrockAgentCoreApp(), []

        @app.websocket
        async def handle(websocket, context):
            await websocket.accept()
            try:
                while True:
                    await websocket.send_json({"echo": await websocket.receive_json()})
            except WebSocketDisconnect as gone:
                seen.append(gone.code)

        with self.client(app).websocket_connect("/ws") as socket:
            socket.send_json([1])
            self.assertEqual(socket.receive_json(), {"echo": [1]})
        self.assertEqual(seen, [1000])
        with self.assertRaises(WebSocketDisconnect) as raised:
            with self.client(BedrockAgentCoreApp()).websocket_connect("/ws"):
                pass
        self.assertEqual(raised.exception.code, 1011)


MIDDLEWARE = """
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
import contextlib
@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"db": 3}
cors = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"])
app = BedrockAgentCoreApp(lifespan=lifespan, middleware=[cors])
@app.entrypoint
DEF invoke(payload, context):
    SLEEP(0.01)
    return [payload, context.request.state.user, context.session_id, context.request.state.db]
@app.middleware("http")
async def user(request, call_next):
    request.state.user = request.headers.get("x-user")
    return await call_next(request)
@app.route("/tasks/{number}", methods=["GET", "DELETE"])
def task(request):
    return JSONResponse([request.method, request.path_params["number"], request.query_params["q"], request.state.db])
async def mounted(scope, receive, send):
    await PlainTextResponse(scope["path"])(scope, receive, send)
app.mount("/files", mounted)
@app.websocket_route("/chat")
async def chat(websocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()
"""
RESPONSES = """
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, StreamingResponse
async def parts():
    try:
        for number in range(3):
            yield f"{number};"
            await asyncio.sleep(0)
        while wait:
            await asyncio.sleep(0.01)
    finally:
        print("closed")
wait = False
@app.entrypoint
DEF invoke(payload):
    global wait
    wait = payload == "wait"
    if payload == "file":
        return FileResponse(__file__, filename="a.py")
    if payload == "sync":
        return StreamingResponse((str(n) for n in range(3)), 201, media_type="text/plain")
    return StreamingResponse(parts(), background=BackgroundTask(print, "after"))
"""


@needs_starlette
class OverFrames(unittest.TestCase):
    def test_middleware_and_routes_answer_every_request(self):
        for source in both(MIDDLEWARE):
            with Worker(source) as worker:
                self.assertTrue(worker.ready["asgi"])
                headers = [("origin", "http://a"), ("x-user", "me"), ("host", "h")]
                status, got, body = worker.fetch("POST", "/invocations", b"1", headers=headers, session="s1")
                self.assertEqual((status, json.loads(body)), (200, [1, "me", "s1", 3]))
                self.assertEqual((got["access-control-allow-origin"], got["content-type"]), ("*", "application/json"))
                preflight = [*headers, ("access-control-request-method", "POST")]
                self.assertEqual(worker.fetch("OPTIONS", "/invocations", headers=preflight)[0], 200)
                task = worker.fetch("DELETE", "/tasks/7?q=%C3%A9")
                self.assertEqual(json.loads(task[2]), ["DELETE", "7", "é", 3])
                self.assertEqual(worker.fetch("GET", "/files/a%20b")[0], 200)
                self.assertEqual(worker.fetch("GET", "/none")[2], b"Not Found")
                self.assertEqual(worker.fetch("HEAD", "/ping", headers=headers)[0], 200)

    def test_websocket_routes_are_connections(self):
        for source in both(MIDDLEWARE):
            with Worker(source) as worker:
                self.assertFalse(worker.ready["websocket"])
                socket = worker.open("/chat")
                socket.accepted()
                socket.say("hi")
                self.assertEqual((socket.heard(), socket.closed()), ("hi", (1000, "")))
                self.assertEqual(worker.open("/none").closed()[0], 1000)
                self.assertEqual(worker.open("/ws").closed()[0], 1011)

    def test_an_error_of_a_route_is_in_the_log(self):
        body = "@app.route('/x')\ndef fail(request): raise ValueError('no')\n"
        with Worker(agent(body)) as worker:
            status, _, answer = worker.fetch("GET", "/x")
            self.assertEqual((status, answer), (500, b"Internal Server Error"))
            # After the one that there is no entrypoint.
            self.assertEqual(worker.line(1)["errorMessage"], "no")

    def test_starlettes_responses_are_served(self):
        for source in both(RESPONSES):
            with Worker(source) as worker:
                head, *chunks, end = worker.invoke("sync").all()
                expected = {"status": 201, "headers": [["content-type", "text/plain; charset=utf-8"]]}
                self.assertEqual((head[0], json.loads(head[1])), (HEAD, expected))
                self.assertEqual((chunks, end), ([(CHUNK, b"0"), (CHUNK, b"1"), (CHUNK, b"2")], (END, b"")))
                head, *chunks, end = worker.invoke("file").all()
                with open(worker.file, "rb") as file:
                    self.assertEqual(b"".join(chunk for _, chunk in chunks), file.read())
                self.assertIn(["content-disposition", 'attachment; filename="a.py"'], json.loads(head[1])["headers"])
                self.assertEqual(len(worker.invoke("async").all()), 5)
                wait_until(lambda worker=worker: worker.stdout() == "closed\nafter\n")

    def test_a_caller_who_leaves_ends_starlettes_stream(self):
        for source in both(RESPONSES):
            with Worker(source) as worker:
                call = worker.invoke("wait")
                for _ in range(4):
                    call.next()
                call.cancel()
                wait_until(lambda worker=worker: worker.stdout() == "closed\n")
                self.assertEqual([line for line in worker.log() if line["level"] == "ERROR"], [])

    def test_the_request_is_starlettes_where_that_is_imported(self):
        body = """
import starlette.requests
@app.entrypoint
DEF invoke(payload, context):
    request = context.request
    url = request.url.include_query_params(b=2)
    return [isinstance(request, starlette.requests.Request), str(request.base_url), str(url), BODY]
"""
        plain, later = both(body)
        for source, read in ((plain, "None"), (later, "[await request.json(), await request.is_disconnected()]")):
            with Worker(source.replace("BODY", read)) as worker:
                told = json.loads(worker.result({"a": 1}, headers=[("host", "a.example")]))
                urls = ["http://a.example/", "http://a.example/invocations?b=2"]
                self.assertEqual(told, [True, *urls, None if read == "None" else [{"a": 1}, False]])

    def test_a_lifespan_may_still_add_routes(self):
        body = """
import contextlib
from starlette.responses import PlainTextResponse
@contextlib.asynccontextmanager
async def lifespan(app):
    app.add_route("/late", lambda request: PlainTextResponse("late"))
    yield
app = BedrockAgentCoreApp(lifespan=lifespan)
"""
        with Worker(agent(body)) as worker:
            self.assertTrue(worker.ready["asgi"])
            self.assertEqual(worker.fetch("GET", "/late")[2], b"late")


if __name__ == "__main__":
    unittest.main()
