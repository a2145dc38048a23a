"""That the comparison notices what it should: a table that never fails would look the same."""

import os
import socket
import sys
import threading
import types
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import run  # noqa: E402 - found by the line above
from exchange import Answer, request  # noqa: E402
from rows import Ask, Differs, Row, normal, whole  # noqa: E402

REASON = "one of them is different"


class Said:
    """A step whose answers are known: one for each place."""

    def __init__(self, differs=None, **answers):
        self.differs = differs
        self._answers = answers

    def play(self, place):
        return self._answers[place]


def compared(*steps, only=None):
    """What is wrong with a row of these steps."""
    servers = {engine: types.SimpleNamespace(place=engine) for engine in ("native", "sdk")}
    return run.compare(Row("a row", *steps, only=only), servers)


class Comparing(unittest.TestCase):
    def test_equal_answers_pass_and_others_do_not(self):
        one, other = whole(200, "1", a="b"), whole(200, "2", a="b")
        self.assertEqual(compared(Said(native=one, sdk=one)), [])
        told = compared(Said(native=one, sdk=one), Said(native=one, sdk=other))
        self.assertEqual(told, ["  in step 2", "    body\n      wanted 2\n      got    1"])
        self.assertEqual(len(compared(Said(native={"failed": "TimeoutError"}, sdk=one))), 6)

    def test_a_difference_has_to_be_there_and_no_other(self):
        sdk = whole(500, "no", a="b", c="d")
        differs = Differs(REASON, status=200, body=lambda body: body + "!", headers={"a": None, "e": "f"})
        self.assertEqual(compared(Said(differs, sdk=sdk, native=whole(200, "no!", c="d", e="f"))), [])
        self.assertIn("nothing differs any more", compared(Said(differs, sdk=sdk, native=sdk))[0])
        told = compared(Said(differs, sdk=sdk, native=whole(200, "no!", a="b", c="d")))
        self.assertIn("headers", told[1])
        with self.assertRaises(ValueError):
            Differs("because", status=200)

    def test_where_the_sdk_is_not_asked_the_whole_answer_is_given(self):
        answer = whole(200, "1")
        self.assertEqual(compared(Said(Differs(REASON, whole=answer), native=answer), only=REASON), [])
        told = compared(Said(Differs(REASON, whole=answer), native=whole(500, "1")), only=REASON)
        self.assertIn("status", told[1])

    def test_rows_have_names_of_their_own(self):
        self.assertEqual(run.twice("a table", [Row("a"), Row("b")]), [])
        self.assertEqual(run.twice("a table", [Row("a"), Row("a")]), ["\na table: there are 2 rows `a`"])


class Reading(unittest.TestCase):
    def asked(self, answer, step):
        """What a step makes of these bytes."""
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve():
                connection, _ = server.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

            serving = threading.Thread(target=serve)
            serving.start()
            told = step.play(server.getsockname())
            serving.join()
        return told

    def test_what_comes_back_is_taken_apart(self):
        head = b"HTTP/1.1 200 OK\r\nDate: now\r\nServer: s\r\nX-A: 1\r\nX-a: 2\r\n"
        read = {"status": 200, "headers": {"x-a": "1, 2"}, "framing": "length", "body": "abc"}
        self.assertEqual(self.asked(head + b"Content-Length: 3\r\n\r\nabc", Ask()), read)
        chunks = b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
        self.assertEqual(self.asked(head + chunks, Ask()), {**read, "framing": "chunked"})
        self.assertEqual(self.asked(head + b"Content-Length: 3\r\n\r\nabcd", Ask()), {**read, "rest": "b'd'"})
        self.assertEqual(self.asked(head + b"Content-Length: 4\r\n\r\nabc", Ask()), {"failed": "ConnectionResetError"})
        self.assertEqual(self.asked(b"nonsense", Ask()), {"failed": "ConnectionResetError"})

    def test_what_is_another_one_each_time_is_not_compared(self):
        body = b'{"time_of_last_update":17, "id": "12345678-1234-5678-1234-567812345678"} <a at 0x7f00>'
        told = normal(Answer(200, [("content-length", str(len(body)))], "length", body))
        self.assertEqual(told["body"], '{"time_of_last_update":0, "id": "<uuid>"} <a at <address>>')

    def test_requests_are_sent_as_they_are_written(self):
        sent = request("POST /a", ["X-A: é"], b"1")
        lines = ["POST /a HTTP/1.1", "Host: agent.example:8080", "X-A: é", "Content-Length: 1", "Connection: close", "", "1"]
        self.assertEqual(sent.decode().split("\r\n"), lines)
        self.assertIn(b"\r\n\r\n2\r\nab\r\n0\r\n\r\n", request("POST /", chunks=[b"ab"]))
        self.assertNotIn(b"Content-Length", request("GET /"))


if __name__ == "__main__":
    unittest.main()
