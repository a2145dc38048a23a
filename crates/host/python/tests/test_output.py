"""What an agent prints at a terminal, and what its streams are to the libraries that it uses."""

import os
import struct
import subprocess
import sys
import textwrap
import unittest

import support
from agents import agent
from printing import BEFORE, WRITER, Program, Reader, merged, shown, terminal
from server import PATIENCE, STOP, Worker, wait_until


class OnATerminal(unittest.TestCase):
    def test_what_is_printed_in_a_request_has_the_tag_of_its_session(self):
        text = shown(
            """
            print("before")
            Output()
            one, two = of("one"), of("0b1a2c3d-0000-4000-8000-000000000000")
            print("outside")
            one(print, "a", 1, "b")
            two(print, "err", file=sys.stderr)
            one(sys.stdout.writelines, ["c\\n", "d\\n"])
            one(sys.stdout.buffer.write, b"e\\n")
            one(sys.stdout.buffer.write, memoryview(b"f\\n"))
            of(None)(print, "g")
            of("\\x9b31m\\u202e")(print, "h")
            threading.Thread(target=print, args=("i",)).start()
            one(lambda: threading.Thread(target=contextvars.copy_context().run, args=(print, "j")).start())
            one(logging.getLogger().error, "k")
            """
        )
        expected = "before\noutside\n[one] a 1 b\n[0b1a2c3d] err\n[one] c\n[one] d\n[one] e\n[one] f\ng\n[?31m?] h\n"
        self.assertTrue(text.startswith(expected), text)
        # Threads take their time; those that begin with an empty context have no session.
        self.assertEqual(sorted(text[len(expected) :].splitlines())[-2:], ["[one] k", "i"])
        self.assertIn("[one] j\n", text)

    def test_an_unfinished_line_is_seen_at_once(self):
        program = Program(
            """
            Output()
            of("one")(print, "and then", end="")
            time.sleep(60)
            """,
            at_terminal=True,
        )
        wait_until(lambda: program.out.so_far() == "[one] and then")
        program.process.kill()
        program.finish()

    def test_what_was_held_back_is_written_at_the_end(self):
        for end in ("pass", "taken.give_back(); os._exit(0)", "output.flush(); os._exit(0)"):
            text = shown(
                f"""
                lines._PATIENCE = 60
                taken = Output()
                thread = threading.Thread(target=of("one"), args=(sys.stdout.write, "from a thread"))
                thread.start()
                thread.join()
                {end}
                """
            )
            self.assertEqual(text, "[one] from a thread", end)

    def test_a_forked_child_has_nothing_held_back(self):
        text = shown(
            """
            lines._PATIENCE = 60
            Output()
            of("one")(print, "parent", end="")
            child = os.fork()
            if not child:
                lines._PATIENCE = 0.01
                of("two")(print, "child", end="")
                time.sleep(0.5)
                os._exit(0)
            os.waitpid(child, 0)
            """,
            # Newer versions warn of a fork beside threads.
            arguments=["-W", "ignore"],
        )
        self.assertEqual(text, "[two] child[one] parent")

    def test_sessions_that_write_token_by_token_do_not_mix(self):
        text = shown(
            """
            Output()
            def write(session):
                for number in range(200):
                    for token in range(3):
                        print(f"{session}{number}.{token} ", end="", flush=True)
                    print(file=sys.stderr if number % 7 == 0 else sys.stdout)
            threads = [threading.Thread(target=of(name), args=(write, name)) for name in ("one", "two")]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            """
        )
        told = {"one": "", "two": ""}
        for line in text.splitlines():
            name, tokens = line[1:].split("] ", 1)
            self.assertTrue(all(token.startswith(name) for token in tokens.split()), line)
            told[name] += tokens
        for name, tokens in told.items():
            self.assertEqual(tokens.split(), [f"{name}{line}.{token}" for line in range(200) for token in range(3)])

    def test_threads_of_one_session_keep_their_lines(self):
        text = shown(
            """
            # No matter how long the machine keeps a thread waiting.
            lines._PATIENCE = 5
            Output()
            def write(name):
                for number in range(300):
                    print(name, number)
            threads = [threading.Thread(target=of("s"), args=(write, name)) for name in "abcd"]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            """
        )
        lines = text.splitlines()
        for name in "abcd":
            own = [line for line in lines if line.startswith(f"[s] {name}")]
            self.assertEqual(own, [f"[s] {name} {number}" for number in range(300)])
        self.assertEqual(len(lines), 1200)

    def test_only_what_is_a_terminal_is_tagged(self):
        code = """
            Output()
            of("one")(print, "out")
            of("one")(print, "err", file=sys.stderr)
            print(sys.stdout.isatty(), sys.stderr.isatty())
        """
        ours, theirs = terminal()
        source = BEFORE.format(lib=support.LIB) + textwrap.dedent(code)
        ran = subprocess.run([sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=theirs, timeout=PATIENCE)
        os.close(theirs)
        self.assertEqual(ran.stdout, b"out\nFalse True\n")
        self.assertEqual(Reader(ours).text(), "[one] err\n")

    def test_a_terminal_that_is_gone_is_the_error_that_python_has(self):
        code = """
            {}
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.write(1, b"ready")
            while os.isatty(1):
                time.sleep(0.01)
            try:
                print("a")
            except OSError as error:
                os._exit(error.errno)
        """
        for begin in ("", "Output()"):
            program = Program(code.format(begin), at_terminal=True, arguments=["-u"], read=False)
            self.assertEqual(os.read(program.ends[0], 5), b"ready")
            os.close(program.ends[0])
            self.assertEqual(program.process.wait(PATIENCE), 5)

    def test_debuggers_and_streams_of_others_are_left_alone(self):
        text = shown(
            """
            one = of("one")
            Output(is_debugged=True)
            one(print, "a")
            sys.settrace(lambda *_: None)
            Output()
            one(print, "b")
            sys.settrace(None)
            sys.modules["pydevd"] = sys
            Output()
            one(print, "c")
            del sys.modules["pydevd"]
            real, sys.stdout = sys.stdout, io.StringIO()
            Output()
            one(print, "d")
            assert sys.stdout.getvalue() == "d\\n"
            sys.stdout = real
            if hasattr(sys, "monitoring"):
                sys.monitoring.use_tool_id(sys.monitoring.DEBUGGER_ID, "debugger")
                Output()
                one(print, "e")
            else:
                print("e")
            """
        )
        self.assertEqual(text, "a\nb\nc\nd\ne\n".replace("d\n", ""))

    def test_what_was_taken_is_given_back(self):
        text = shown(
            """
            one = of("one")
            before = sys.stdout, sys.stderr
            handler = logging.StreamHandler()
            logging.getLogger().addHandler(handler)
            named = logging.StreamHandler(sys.stdout)
            logging.getLogger("agent").addHandler(named)
            logging.getLogger("agent").propagate = False
            for _ in range(2):
                output = Output()
                assert sys.stdout is not before[0] and sys.stdout is sys.__stdout__
                one(print, "a")
                one(logging.getLogger().error, "b")
                one(logging.getLogger("agent").error, "c")
                late = logging.StreamHandler()
                logging.getLogger("late").addHandler(late)
                output.give_back()
                output.give_back()
                assert (sys.stdout, sys.stderr) == before == (sys.__stdout__, sys.__stderr__)
                assert (handler.stream, named.stream, late.stream) == (before[1], before[0], before[1])
                one(print, "d")
            output = Output()
            sys.stdout = mine = io.StringIO()
            output.give_back()
            assert sys.stdout is mine and sys.__stdout__ is before[0]
            """
        )
        self.assertEqual(text, "[one] a\n[one] b\n[one] c\nd\n" * 2)


class AsStreams(unittest.TestCase):
    """What libraries do with standard streams, and what they find there."""

    LOOK = textwrap.dedent(
        """
        def look():
            return [
                [stream.encoding, stream.errors, stream.isatty(), stream.fileno(), stream.name, stream.mode,
                 stream.writable(), stream.readable(), stream.seekable(), stream.closed, stream.newlines,
                 isinstance(stream, io.TextIOWrapper), stream.buffer.fileno(), stream.buffer.isatty(),
                 stream.buffer.writable(), stream.buffer.name, stream.buffer.mode]
                for stream in (sys.stdout, sys.stderr)
            ]
        """
    )
    USE = textwrap.dedent(
        """
        import contextlib, traceback
        def refused(kind, what, *args):
            try:
                what(*args)
            except kind:
                return
            raise AssertionError(what)

        refused(UnicodeEncodeError, print, "\\ud800")
        print("\\ud800", file=sys.stderr)
        sys.stdout.reconfigure(errors="backslashreplace")
        print("\\ud800")
        sys.stdout.reconfigure(encoding="latin-1")
        sys.stdout.write("\\xe9\\n")
        sys.stdout.reconfigure(encoding="utf-8")
        refused(io.UnsupportedOperation, sys.stdout.read)
        refused(TypeError, sys.stdout.write, b"")
        refused(TypeError, sys.stdout.buffer.write, "")
        assert sys.stdout.write("\\xe9\\n") == 2 and sys.stdout.buffer.write(b"ab\\n") == 3
        with contextlib.redirect_stdout(io.StringIO()) as other:
            print("elsewhere")
        assert other.getvalue() == "elsewhere\\n"
        logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))
        logging.warning("logged")
        import faulthandler
        faulthandler.dump_traceback(sys.stderr)
        try:
            1 / 0
        except ZeroDivisionError:
            traceback.print_exc()
        sys.stderr.flush()
        old = sys.stdout
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", line_buffering=True)
        print("wrapped")
        sys.stdout.detach()
        sys.stdout = old
        print("still there")
        sys.stdout.close()
        refused(ValueError, print, "x")
        refused(ValueError, old.buffer.write, b"x")
        """
    )

    def test_they_look_and_work_as_before_on_a_terminal(self):
        text = shown(self.LOOK + "before = look()\nOutput()\nassert look() == before\n" + self.USE)
        for lines in (
            "\\ud800\n\\ud800\n\ufffd\n\xe9\nab\nlogged\n",
            "Current thread 0x",
            "\nZeroDivisionError: division by zero\nwrapped\nstill there\n",
        ):
            self.assertIn(lines, text)

    def test_and_for_a_front_door(self):
        text = merged(self.LOOK + "before = look()\nOutput()\nassert look() == before\n" + self.USE)
        for lines in (
            "\\ud800\n\x01\\ud800\n\x01\ufffd\n\x01\xe9\n\x01ab\n\x01logged\n",
            "Current thread 0x",
            "\nZeroDivisionError: division by zero\n\x01wrapped\n\x01still there\n",
        ):
            self.assertIn(lines, text)


class OfAWorker(unittest.TestCase):
    def test_sessions_at_a_terminal(self):
        for source in (agent(WRITER), agent(WRITER.replace("def invoke", "async def invoke"))):
            ours, theirs = terminal()
            screen = Reader(ours)
            with Worker("print('loading')\n" + source, streams=(theirs, theirs)) as worker:
                os.close(theirs)
                calls = [
                    worker.invoke({"times": 50, "text": name, "end": " "}, session=f"session-{name}") for name in "ab"
                ]
                for call in calls:
                    call.all()
                wait_until(lambda: screen.so_far().count("completed successfully") == 2)
                worker.control.write(STOP, 0, struct.pack(">I", 1000))
                self.assertEqual(worker.ended(), 0)
            lines = screen.text().splitlines()
            self.assertEqual(lines[0], "loading")
            for name in "ab":
                tag = f"[session-{name}] "
                own = [line[len(tag) :] for line in lines if line.startswith(tag)]
                self.assertEqual([line for line in own if line[0] not in name], ["err", "logged"])
                tokens = " ".join(line for line in own if line and line[0] == name).split()
                self.assertEqual(tokens, [it for number in range(50) for it in (name, str(number))])
            others = [line for line in lines[1:] if not line.startswith("[session-")]
            self.assertTrue(all(line.startswith('{"timestamp": ') for line in others), others)


if __name__ == "__main__":
    unittest.main()
