"""How the lines of several writers come together, and how a session is called in front of them."""

import os
import unittest

from printing import Reader

from _agentcore_worker.lines import Lines, TerminalLines
from _agentcore_worker.output import short_session


class Names(unittest.TestCase):
    def test_a_person_sees_the_session_as_it_was_typed(self):
        # The same as in `src/ui/log_lines.rs`.
        uuid = "0b1a2c3d-0000-4000-8000-000000000000"
        for session, name in [
            ("conversation-123-380d060426f2c9029d239cec9648f492", "conversation-123"),
            (uuid, "0b1a2c3d"),
            (uuid.upper(), "0B1A2C3D"),
            ("{" + uuid + "}", "{0b1a2c3d"),
            ("URN:uuid:" + uuid, "URN:uuid:0b1a2c3d"),
            ("0b1a2c3d000040008000000000000000", "0b1a2c3d000040008000000000000000"),
            ("0b1a2c3d-0000-4000-80000-00000000000", "0b1a2c3d-0000-4000-80000-00000000000"),
            ("conversation-380D060426F2C9029D239CEC9648F492", "conversation-380D060426F2C9029D239CEC9648F492"),
            ("-380d060426f2c9029d239cec9648f492", ""),
            ("anything else", "anything else"),
        ]:
            self.assertEqual(short_session(session), name)


class WrittenInTurn(unittest.TestCase):
    """What comes out when `one` and `two` write in turn, each in its own thread."""

    def joined(self, lines, written, flush=True):
        reads, writes = os.pipe()
        for name, text in written:
            lines.write(writes, ("stdout", name, hash(name)), f"[{name}] ".encode(), text.encode())
            if flush:
                lines.flush(hash(name))
        lines.flush()
        os.close(writes)
        with open(reads, newline="") as pipe:
            return pipe.read()

    def test_every_line_has_its_mark_and_no_other(self):
        for written, expected in [
            ([("one", "a"), ("one", "b\n")], "[one] ab\n"),
            ([("one", "a\nb\n\nc")], "[one] a\n[one] b\n[one] \n[one] c"),
            # A line that was broken by another one goes on in a new one, and its end is written once.
            ([("one", "a"), ("two", "b\n"), ("one", "\n"), ("one", "c\n")], "[one] a\n[two] b\n[one] c\n"),
            ([("one", "a"), ("two", "b"), ("one", "\n"), ("two", "\n")], "[one] a\n[two] b\n"),
            ([("one", "a"), ("two", "b"), ("one", "c\n"), ("two", "\n")], "[one] a\n[two] b\n[one] c\n"),
            ([("one", "a"), ("two", "b\n"), ("one", "\nc\n")], "[one] a\n[two] b\n[one] c\n"),
            ([("one", "a"), ("two", "b\n"), ("one", "c\n"), ("one", "\n")], "[one] a\n[two] b\n[one] c\n[one] \n"),
        ]:
            for lines in (Lines(), TerminalLines()):
                self.assertEqual(self.joined(lines, written), expected, written)

    def test_on_a_terminal_some_lines_have_none(self):
        for written, expected in [
            # Those of the runtime.
            ([("one", '{"timestamp": 1}\n{"timestamp": 2}\n')], '{"timestamp": 1}\n{"timestamp": 2}\n'),
            ([("one", "a"), ("two", '{"timestamp": 1}\n')], '[one] a\n{"timestamp": 1}\n'),
            # Those that are written over.
            ([("one", "\r 10%"), ("one", "\r 20%"), ("one", "\n")], "\r 10%\r 20%\n"),
            ([("one", "10%"), ("one", "\r"), ("one", "20%\n")], "[one] 10%\r[one] 20%\n"),
            ([("one", "10%\r20%\r30%\r\n")], "[one] 10%\r[one] 20%\r[one] 30%\r\n"),
            ([("one", "10%\r"), ("one", "\n")], "[one] 10%\r\n"),
            ([("one", "10%\r"), ("two", "b\n"), ("one", "20%\n")], "[one] 10%\r\n[two] b\n[one] 20%\n"),
            # A bar that makes room for another line.
            (
                [("one", "\r 10%"), ("one", "\r    \r"), ("two", "b\n"), ("one", "\r 20%")],
                "\r 10%\r    \r[two] b\n\r 20%",
            ),
        ]:
            self.assertEqual(self.joined(TerminalLines(), written), expected, written)
        written = [("one", "\ra\r"), ("one", 'b\n{"timestamp": 1}\n'), ("two", "\n"), ("one", "c\r"), ("two", "d")]
        expected = '[one] \ra\rb\n[one] {"timestamp": 1}\n[two] \n[one] c\r\n[two] d'
        self.assertEqual(self.joined(Lines(), written), expected)

    def test_on_a_terminal_what_print_writes_piece_by_piece_stays_together(self):
        for written, expected in [
            (
                [("one", "a"), ("two", "b"), ("one", " "), ("one", "c"), ("two", "\n"), ("one", "\n")],
                "[two] b\n[one] a c\n",
            ),
            ([("one", "a\nb"), ("two", "c\n"), ("one", "\n")], "[two] c\n[one] a\n[one] b\n"),
            ([("one", "a" * 5000), ("two", "b\n")], f"[one] {'a' * 5000}\n[two] b\n"),
        ]:
            lines = TerminalLines()
            # Without the clock, which this machine could be too slow for.
            lines._watch.wake = lambda: None
            self.assertEqual(self.joined(lines, written, flush=False), expected, written)

    def test_a_thread_that_goes_on_elsewhere_has_not_forgotten_what_it_held_back(self):
        reads, writes = os.pipe()
        lines = TerminalLines()
        written = [("out", "one", "a"), ("err", "one", "b\n"), ("out", "two", "c"), ("out", "one", "d\n")]
        for stream, session, text in written:
            lines.write(writes, (stream, session, 1), f"[{session}] ".encode(), text.encode())
        os.close(writes)
        self.assertEqual(Reader(reads).text(), "[one] a\n[one] b\n[two] c\n[one] d\n")

    def test_writers_who_never_come_back_are_forgotten(self):
        lines = Lines()
        with open(os.devnull, "wb") as sink:
            for number in range(5000):
                lines.write(sink.fileno(), ("stdout", f"{number}", 0), b"", b"a")
        self.assertLess(len(lines._ended), 2000)


if __name__ == "__main__":
    unittest.main()
