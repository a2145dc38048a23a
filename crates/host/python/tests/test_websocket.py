"""WebSocket connections: the handler's object in this process, and the frames of a worker."""

import json
import logging
import struct
import sys
import time
import types
import unittest
from unittest import mock

import support  # noqa: F401
from agents import agent
from asgi_client import Client, run
from bedrock_agentcore import BedrockAgentCoreApp, BedrockAgentCoreContext
from bedrock_agentcore.runtime import _websocket
from bedrock_agentcore.runtime._websocket import WebSocketDisconnect
from server import CANCEL, CHUNK, CLOSE, ERROR, HEAD, MESSAGE_OUT, RESPONSE, STOP, TAKEN, Worker, answer_of, wait_until

ACCEPT = {"type": "websocket.accept", "subprotocol": None, "headers": []}


def setUpModule():
    logging.disable(logging.CRITICAL)
    # Another test may have imported it: what is tested here is the object of our own.
    sys.modules.pop("starlette.websockets", None)


def tearDownModule():
    logging.disable(logging.NOTSET)


class InThisProcess(unittest.TestCase):
    def talk(self, handler, *messages, headers=(), target="/ws", **scope):
        """Lets a handler have a connection on which the client says all this; returns what the client hears."""
        app = BedrockAgentCoreApp()
        if handler is not None:
            app.websocket(handler)

        async def talk():
            client = Client(app, "websocket", target=target, headers=headers, **scope)
            client.say(type="websocket.connect")
            for message in messages:
                client.say(type="websocket.receive", **message)
            client.say(type="websocket.disconnect", code=1001, reason="bye")
            return await client.all()

        return run(talk())

    def test_a_handler_receives_and_sends(self):
        async def handler(websocket, context):
            await websocket.accept("chat", [(b"x-a", b"1")])
            await websocket.send_text(await websocket.receive_text())
            await websocket.send_bytes(await websocket.receive_bytes())
            await websocket.send_json(await websocket.receive_json())
            await websocket.send_json(await websocket.receive_json(mode="binary"), mode="binary")
            await websocket.close(4000, "done")

        said = [{"text": "é"}, {"bytes": b"\xff"}, {"text": '{"a": 1}'}, {"bytes": b"[2]"}]
        heard = self.talk(handler, *said)
        expected = [
            {"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-a", b"1")]},
            *({"type": "websocket.send", **part} for part in said[:2]),
            {"type": "websocket.send", "text": '{"a":1}'},
            {"type": "websocket.send", "bytes": b"[2]"},
            {"type": "websocket.close", "code": 4000, "reason": "done"},
        ]
        self.assertEqual(heard, expected)

    def test_it_is_iterated_until_the_client_leaves(self):
        seen = []

        def iterating(kind):
            async def handler(websocket, context):
                await websocket.accept()
                async for item in getattr(websocket, f"iter_{kind}")():
                    seen.append(item)
                seen.append(websocket.client_state.name)

            return handler

        self.assertEqual(self.talk(iterating("text"), {"text": "a"}, {"text": "b"}), [ACCEPT])
        self.assertEqual(self.talk(iterating("bytes"), {"bytes": b"c"}), [ACCEPT])
        self.assertEqual(self.talk(iterating("json"), {"text": "[1]"}), [ACCEPT])
        gone = "DISCONNECTED"
        self.assertEqual(seen, ["a", "b", gone, b"c", gone, [1], gone])

    def test_the_request_is_known(self):
        seen = []

        async def handler(websocket, context):
            here = BedrockAgentCoreContext
            seen.append([context.session_id, here.get_session_id(), context.request is websocket])
            seen.append([websocket.headers["x-A"], dict(websocket.query_params), websocket.path_params])
            seen.append([str(websocket.url), tuple(websocket.client), websocket.state.db, websocket.app.debug])
            await websocket.accept()
            await websocket.close()

        headers = [("x-amzn-bedrock-agentcore-runtime-session-id", "s1"), ("x-a", "1")]
        self.talk(handler, headers=headers, target="/ws?q=1", state={"db": 3})
        expected = [["s1", "s1", True], ["1", {"q": "1"}, {}], ["ws://h/ws?q=1", ("10.0.0.1", 5000), 3, False]]
        self.assertEqual(seen, expected)

    def test_the_end_of_the_handler_closes(self):
        async def returns(websocket, context):
            await websocket.accept()

        async def fails(websocket, context):
            await websocket.accept()
            raise ValueError("no")

        async def fails_first(websocket, context):
            raise SystemExit(3)

        async def meets_the_end(websocket, context):
            await websocket.accept()
            await websocket.receive_text()

        def close(code):
            return {"type": "websocket.close", "code": code, "reason": ""}

        self.assertEqual(self.talk(returns), [ACCEPT, close(1000)])
        self.assertEqual(self.talk(fails), [ACCEPT, close(1011)])
        self.assertEqual(self.talk(fails_first), [close(1011)])
        self.assertEqual(self.talk(meets_the_end), [ACCEPT])
        self.assertEqual(self.talk(None), [close(1011)])
        self.assertEqual(self.talk(returns, target="/other"), [close(1000)])

    def test_what_comes_at_the_wrong_time_is_an_error(self):
        seen = []

        async def handler(websocket, context):
            for attempt in (websocket.receive_text, lambda: websocket.send_text("x")):
                with self.assertRaises(RuntimeError) as raised:
                    await attempt()
                seen.append(str(raised.exception))
            with self.assertRaises(RuntimeError):
                await websocket.send_denial_response(None)
            await websocket.accept()
            with self.assertRaises(WebSocketDisconnect) as raised:
                await websocket.receive_json()
            seen.append((raised.exception.code, raised.exception.reason))
            with self.assertRaises(RuntimeError):
                await websocket.receive()
            await websocket.close()
            with self.assertRaises(RuntimeError):
                await websocket.send_text("x")
            with self.assertRaisesRegex(RuntimeError, "mode"):
                await websocket.send_json(1, mode="x")
            seen.append("end")

        self.talk(handler)
        self.assertEqual(seen[0], 'WebSocket is not connected. Need to call "accept" first.')
        self.assertEqual(seen[2:], [(1001, "bye"), "end"])

    def test_it_can_be_refused_with_an_answer(self):
        class Response:
            async def __call__(self, scope, receive, send):
                await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
                await send({"type": "websocket.http.response.body", "body": b"who?"})

        async def handler(websocket, context):
            await websocket.send_denial_response(Response())

        heard = self.talk(handler, extensions={"websocket.http.response": {}})
        self.assertEqual([part["type"][-5:] for part in heard], ["start", ".body"])

    def test_the_object_is_starlettes_where_the_agent_uses_it(self):
        class Theirs:
            def __init__(self, scope, receive, send):
                self.send, self.receive = send, receive

        class Disconnect(Exception):
            pass

        Disconnect.__name__ = "WebSocketDisconnect"
        theirs = types.SimpleNamespace(WebSocket=Theirs, WebSocketDisconnect=Disconnect)
        with mock.patch.dict(sys.modules, {"starlette.websockets": theirs}):
            self.assertIs(type(_websocket.connect({}, None, None)), Theirs)
            from bedrock_agentcore.runtime import WebSocketDisconnect as found

            self.assertIs(found, Disconnect)
        self.assertTrue(_websocket.is_disconnect(Disconnect()))
        with mock.patch.object(_websocket, "_is_ours_wanted", False):
            from bedrock_agentcore.runtime import WebSocketDisconnect as found

            self.assertIs(found, WebSocketDisconnect)
            # Whoever waits for ours gets ours, also if something imports Starlette later.
            with mock.patch.dict(sys.modules, {"starlette.websockets": theirs}):
                made = _websocket.connect({"type": "websocket"}, None, None)
                self.assertIs(type(made), _websocket.WebSocket)


HANDLER = """
from bedrock_agentcore.runtime import WebSocketDisconnect
@app.entrypoint
def invoke(payload): return payload
@app.websocket
async def handle(websocket, context):
    {}
"""


def handling(body):
    return agent(HANDLER.format(body.strip("\n").replace("\n", "\n    ")))


class OverFrames(unittest.TestCase):
    def test_messages_travel_both_ways(self):
        source = handling(
            """
await websocket.accept(websocket.scope["subprotocols"][1], [(b"x-a", b"1")])
async for text in websocket.iter_text():
    await websocket.send_json([text, context.session_id, BedrockAgentCoreContext.get_request_id()])
    await websocket.send_bytes(text.encode("utf-16"))
print("left")
"""
        )
        with Worker(source) as worker:
            ready = worker.ready
            self.assertEqual((ready["dispatch"], ready["websocket"], ready["asgi"]), ("thread", True, False))
            socket = worker.open("/ws?a=1", headers=[("sec-websocket-protocol", "a, b")])
            self.assertEqual(socket.accepted(), {"subprotocol": "b", "headers": [["x-a", "1"]]})
            socket.say("é")
            self.assertEqual(json.loads(socket.heard()), ["é", "s1", "r1"])
            self.assertEqual(socket.heard(), "é".encode("utf-16"))
            self.assertEqual(worker.result(3), "3")
            socket.leave(1001, "bye")
            self.assertEqual(socket.closed(), (1000, ""))
            self.assertEqual(worker.stdout(), "left\n")

    def test_a_handler_closes_with_its_code(self):
        source = handling("await websocket.accept()\nawait websocket.close(4001, 'é' * 100)")
        with Worker(source) as worker:
            socket = worker.open()
            socket.accepted()
            # A close has room for 123 bytes.
            self.assertEqual(socket.closed(), (4001, "é" * 61))

    def test_a_code_that_cannot_be_sent_is_a_failure(self):
        source = handling("await websocket.accept()\nawait websocket.close(int(websocket.query_params['code']), 'why')")
        with Worker(source) as worker:
            for code in (0, 999, 1005, 1016, 2999, 5000, 70000):
                socket = worker.open(f"/ws?code={code}")
                socket.accepted()
                self.assertEqual(socket.closed(), (1011, "why"))
            self.assertIn("with code 0:", worker.line(0)["message"])

    def test_a_text_that_is_none_is_an_error(self):
        with Worker(handling("await websocket.accept()\nawait websocket.send_text('a\\ud800')")) as worker:
            socket = worker.open()
            socket.accepted()
            self.assertEqual(socket.closed(), (1011, ""))
            self.assertEqual(worker.line(0)["errorType"], "UnicodeEncodeError")

    def test_a_handler_that_fails_closes_with_1011(self):
        with Worker(handling("await websocket.accept()\nraise ValueError('no')")) as worker:
            socket = worker.open()
            socket.accepted()
            self.assertEqual(socket.closed(), (1011, ""))
            line = worker.line(0)
            self.assertEqual((line["message"], line["errorType"]), ("WebSocket handler failed", "ValueError"))
            self.assertEqual((line["requestId"], line["sessionId"]), ("r1", "s1"))

    def test_a_connection_can_be_refused(self):
        with Worker(handling("await websocket.close(1008)")) as worker:
            self.assertEqual(worker.open().closed(), (1008, ""))
        with Worker(handling("raise ValueError('no')")) as worker:
            self.assertEqual(worker.open().closed(), (1011, ""))
        with Worker(handling("pass")) as worker:
            (kind, payload), *_ = worker.open().all()
            self.assertEqual(kind, ERROR)
            self.assertIn("without `accept()`", json.loads(payload)["error"])
            self.assertIn("without `accept()`", worker.line(0)["message"])
        answer = """
async def response(scope, receive, send):
    await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"1")]})
    await send({"type": "websocket.http.response.body", "body": b"who?"})
await websocket.send_denial_response(response)
"""
        with Worker(handling(answer)) as worker:
            frames = worker.open().all()
            self.assertEqual(frames[0][0], RESPONSE)
            self.assertEqual(answer_of(frames), (401, {"x-a": "1"}, b"who?"))

    def test_the_body_of_a_refusal_waits_for_credit(self):
        source = handling(
            """
async def response(scope, receive, send):
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    for _ in range(300):
        await send({"type": "websocket.http.response.body", "body": b"x", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b""})
try:
    await websocket.send_denial_response(response)
    print("whole")
except WebSocketDisconnect as gone:
    print("gone", gone.code)
"""
        )
        with Worker(source) as worker:
            for more, said in ((lambda it: it.allow(100), "whole"), (lambda it: it.cancel(), "gone 1006")):
                socket = worker.open()
                self.assertEqual(socket.next()[0], HEAD)
                for _ in range(256):
                    self.assertEqual(socket.next(), (CHUNK, b"x"))
                time.sleep(0.1)
                self.assertTrue(socket.frames.empty())
                more(socket)
                socket.all()
                wait_until(lambda said=said: worker.stdout().endswith(f"{said}\n"))

    def test_what_was_taken_is_reported(self):
        source = handling(
            """
await websocket.accept()
gate.clear()
await gate.wait()
for _ in range(64):
    await websocket.receive_text()
await websocket.receive_text()
""".replace("gate", "websocket.app.state.gate")
        )
        source = source.replace("@app.entrypoint", "app.state.gate = asyncio.Event()\n@app.entrypoint")
        opening = "async def invoke(payload): app.state.gate.set()"
        source = source.replace("def invoke(payload): return payload", opening)
        with Worker(source) as worker:
            socket = worker.open()
            socket.accepted()
            for number in range(64):
                socket.say(str(number))
            time.sleep(0.1)
            self.assertTrue(socket.frames.empty())
            worker.result(1)
            taken = [socket.next() for _ in range(4)]
            self.assertEqual(taken, [(TAKEN, struct.pack(">I", 16))] * 4)
            socket.say("last")
            self.assertEqual(socket.next(), (TAKEN, struct.pack(">I", 1)))

    def test_messages_wait_for_credit(self):
        source = handling(
            """
await websocket.accept()
async def say(first):
    for number in range(first, 200, 2):
        await websocket.send_text(str(number))
await asyncio.gather(say(0), say(1))
for _ in range(100):
    await websocket.send_text("more")
"""
        )
        with Worker(source) as worker:
            socket = worker.open()
            socket.accepted()
            for _ in range(256):
                socket.heard()
            time.sleep(0.1)
            self.assertTrue(socket.frames.empty())
            socket.allow(1)
            self.assertEqual(socket.heard(), "more")
            time.sleep(0.1)
            self.assertTrue(socket.frames.empty())
            socket.allow(100)
            frames = socket.all()
            self.assertEqual([kind for kind, _ in frames], [MESSAGE_OUT] * 43 + [CLOSE])

    def test_a_handler_that_waits_for_credit_learns_that_the_client_left(self):
        source = handling(
            """
await websocket.accept()
try:
    while True:
        await websocket.send_text("x")
except WebSocketDisconnect as gone:
    print("gone", gone.code)
"""
        )
        for leave in (lambda socket: socket.leave(), lambda socket: socket.cancel()):
            with Worker(source) as worker:
                socket = worker.open()
                socket.accepted()
                for _ in range(256):
                    socket.heard()
                leave(socket)
                self.assertEqual(socket.closed(), (1000, ""))
                self.assertEqual(worker.stdout(), "gone 1006\n")

    def test_a_handler_may_go_on_when_its_client_is_gone_but_not_beyond_the_limit(self):
        source = handling(
            """
await websocket.accept()
try:
    await websocket.receive_text()
except WebSocketDisconnect as gone:
    await asyncio.sleep(0.05)
    print("saved", gone.code)
try:
    await asyncio.sleep(60)
finally:
    print("cut")
"""
        )
        with Worker(source) as worker:
            socket = worker.open()
            socket.accepted()
            socket.cancel()
            wait_until(lambda: worker.stdout() == "saved 1006\n")
            socket.cancel(1)
            wait_until(lambda: worker.stdout() == "saved 1006\ncut\n")
            self.assertEqual(socket.closed(), (1000, ""))

    def test_frames_for_a_connection_that_has_ended_are_ignored(self):
        with Worker(handling("await websocket.accept()")) as worker:
            socket = worker.open()
            socket.accepted()
            socket.closed()
            socket.say("late")
            socket.leave()
            socket.allow(3)
            socket.link.write(CANCEL, socket.number, b"\0")
            self.assertEqual(worker.result(3), "3")

    def test_connections_end_before_the_agent_does(self):
        source = handling("await websocket.accept()\nawait websocket.receive_text()\nprint('ended')")
        with Worker(source) as worker:
            socket = worker.open()
            socket.accepted()
            worker.control.write(STOP, payload=(5000).to_bytes(4, "big"))
            time.sleep(0.1)
            socket.say("x")
            self.assertEqual(socket.closed(), (1000, ""))
            self.assertEqual((worker.ended(), worker.stdout()), (0, "ended\n"))


if __name__ == "__main__":
    unittest.main()
