"""What an agent prints for a front door and into a pipe, and what may go wrong there."""

import json
import os
import signal
import struct
import unittest

from agents import agent
from printing import WRITER, Program, Reader, merged, pending, shown
from server import PATIENCE, STOP, Worker, wait_until

from _agentcore_worker.output import VARIABLE


class ForAFrontDoor(unittest.TestCase):
    def test_both_streams_are_in_order(self):
        text = merged(
            """
            Output()
            for number in range(1000):
                print("out", number)
                print("err", number, file=sys.stderr)
                logging.error("log %d", number)
            """
        )
        expected = "".join(f"\x01out {number}\nerr {number}\nlog {number}\n" for number in range(1000))
        self.assertEqual(text, expected.replace("log", "ERROR:root:log"))

    def test_lines_of_threads_stay_whole_whatever_their_length(self):
        text = merged(
            """
            Output()
            def write(letter):
                for number in range(20):
                    print(letter * 30_000)
                    sys.stderr.write(letter * 3000 + "\\n")
            threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            """
        )
        lines = text.splitlines()
        for letter in "abcd":
            self.assertEqual(lines.count("\x01" + letter * 30_000), 20)
            self.assertEqual(lines.count(letter * 3000), 20)
        self.assertEqual(len(lines), 160)

    def test_a_line_that_grows_is_not_broken_unless_it_was_flushed(self):
        text = merged(
            """
            Output()
            for token in "abc":
                print(token, end="")
                print("err", file=sys.stderr)
            print()
            print("d", end="", flush=True)
            print("err", file=sys.stderr)
            print("e")
            print("f", end="")
            """
        )
        self.assertEqual(text, "err\nerr\nerr\n\x01abc\n\x01d\nerr\n\x01e\n\x01f")

    def test_what_goes_around_the_streams_comes_as_it_is_written(self):
        program = Program(
            """
            import subprocess
            Output()
            assert output.VARIABLE not in os.environ
            os.write(1, b"one\\n")
            subprocess.run(["echo", "two"])
            subprocess.run(["echo", "three"], stdout=sys.stdout)
            subprocess.run(["sh", "-c", "echo four >&2"], stderr=sys.stderr)
            # Agents silence others so.
            kept = os.dup(2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            print("five")
            print("silenced", file=sys.stderr)
            os.dup2(kept, 2)
            print("six", file=sys.stderr)
            """,
            merged=True,
        )
        self.assertEqual(program.finish(), (0, "one\ntwo\nthree\n", "four\n\x01five\nsix\n"))

    def test_it_needs_a_pipe_and_the_streams_of_python(self):
        for begin in ("sys.stderr = io.StringIO()", "os.dup2(os.open('/dev/null', os.O_WRONLY), 2)"):
            program = Program(f"{begin}\nOutput()\nprint('a')\nassert output.VARIABLE not in os.environ", merged=True)
            self.assertEqual(program.finish(), (0, "a\n", ""))

    def test_what_was_taken_is_given_back(self):
        program = Program(
            """
            taken = Output()
            print("a")
            taken.give_back()
            assert os.environ[output.VARIABLE] == output.MERGED
            print("b")
            """,
            merged=True,
        )
        self.assertEqual(program.finish(), (0, "b\n", "\x01a\n"))


class InAPipe(unittest.TestCase):
    def test_the_streams_are_pythons_own_and_lines_of_threads_stay_whole(self):
        for arguments in ([], ["-u"]):
            program = Program(
                """
                before = sys.stdout, sys.stderr
                options = [(stream.line_buffering, stream.write_through) for stream in before]
                taken = Output()
                assert (sys.stdout, sys.stderr) == before
                def write(letter):
                    for number in range(500):
                        print(letter, number)
                        print(letter, number, file=sys.stderr)
                threads = [threading.Thread(target=of("s"), args=(write, letter)) for letter in "abcd"]
                [thread.start() for thread in threads]
                [thread.join() for thread in threads]
                taken.give_back()
                assert options == [(stream.line_buffering, stream.write_through) for stream in before]
                """,
                arguments=arguments,
            )
            status, *texts = program.finish()
            self.assertEqual(status, 0)
            for text in texts:
                expected = [f"{letter} {number}" for letter in "abcd" for number in range(500)]
                self.assertEqual(sorted(text.splitlines()), sorted(expected))

    def test_a_crash_loses_no_whole_line(self):
        for end, status in [
            ("os._exit(3)", 3),
            ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
            ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ]:
            for options in ({}, {"arguments": ["-u"]}, {"merged": True}):
                code = f"Output()\nprint('a')\nprint('b', file=sys.stderr)\nprint('c')\n{end}"
                ended, out, err = Program(code, **options).finish()
                self.assertEqual(ended, status)
                # For a front door, both streams are in order.
                expected = "\x01a\nb\n\x01c\n" if options.get("merged") else "a\nc\nb\n"
                self.assertEqual(out + err, expected)

    def test_what_is_left_is_written_at_the_end(self):
        for end in ("", "sys.exit()", "raise SystemExit"):
            for options in ({}, {"arguments": ["-u"]}, {"merged": True}):
                status, out, err = Program(f"Output()\nprint('a', end='')\n{end}", **options).finish()
                self.assertEqual((status, (out + err).strip("\x01")), (0, "a"))


class WhenThingsGoWrong(unittest.TestCase):
    """All of it where streams are written by this package: for a front door, unless it says otherwise."""

    def test_a_forked_child_writes_while_its_parent_was_writing(self):
        text = merged(
            """
            Output()
            def write():
                while True:
                    print("x" * 100)
            threading.Thread(target=write, daemon=True).start()
            for _ in range(50):
                child = os.fork()
                if not child:
                    print("child")
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
            os._exit(0)
            """
        )
        self.assertEqual(text.splitlines().count("\x01child"), 50)

    def test_children_of_multiprocessing_write_too(self):
        text = shown(
            """
            import multiprocessing
            Output()
            def start():
                child = multiprocessing.get_context("fork").Process(target=print, args=("child",))
                child.start()
                child.join(20)
                assert child.exitcode == 0
            of("one")(start)
            """
        )
        self.assertEqual(text, "[one] child\n")

    def test_a_signal_handler_may_print_while_its_thread_writes(self):
        program = Program(
            """
            Output()
            def told(*_):
                print("told")
                os.write(1, b"!")
            signal.signal(signal.SIGUSR1, told)
            os.write(1, b"?")
            print("x" * 1_000_000)
            """,
            merged=True,
            read=False,
        )
        self.assertEqual(os.read(program.ends[0], 1), b"?")
        # It writes more than the pipe takes.
        wait_until(lambda: pending(program.ends[1]) > 10_000)
        program.process.send_signal(signal.SIGUSR1)
        program.read()
        status, out, err = program.finish()
        self.assertEqual((status, out), (0, "!"))
        self.assertEqual((err.count("x"), err.count("told")), (1_000_000, 1))

    def test_a_pipe_that_does_not_block_loses_nothing(self):
        program = Program(
            """
            Output()
            os.set_blocking(2, False)
            print("x" * 1_000_000)
            print("y" * 1_000_000, file=sys.stderr)
            """,
            merged=True,
            read=False,
        )
        wait_until(lambda: pending(program.ends[1]) > 10_000)
        program.read()
        self.assertEqual(program.finish(), (0, "", "\x01" + "x" * 1_000_000 + "\n" + "y" * 1_000_000 + "\n"))

    def test_a_pipe_that_nobody_reads_any_more_is_the_error_that_python_has(self):
        for begin in ("", "Output()"):
            program = Program(
                f"""
                {begin}
                os.write(1, b"ready")
                time.sleep(0.2)
                for _ in range(2):
                    try:
                        print("a", file=sys.stderr)
                        os._exit(1)
                    except BrokenPipeError:
                        pass
                os._exit(7)
                """,
                merged=True,
                read=False,
            )
            os.close(program.ends[1])
            self.assertEqual(program.process.wait(PATIENCE), 7)
            os.close(program.ends[0])

    def test_lines_of_the_runtime_that_nobody_reads_are_counted(self):
        program = Program(
            """
            from bedrock_agentcore.runtime import _log
            os.set_blocking(2, False)
            try:
                while True:
                    os.write(2, b"x" * 99 + b"\\n")
            except BlockingIOError:
                os.set_blocking(2, True)
            for number in range(6000):
                of("s")(_log.emit, _log.INFO, f"line {number}")
            os.write(1, b"!")
            _log._writing.acquire()
            """,
            read=False,
        )
        self.assertEqual(os.read(program.ends[0], 1), b"!")
        program.read()
        _, _, err = program.finish()
        *lines, note = [json.loads(line) for line in err.splitlines() if not line.startswith("x")]
        self.assertEqual([line["message"] for line in lines], [f"line {number}" for number in range(len(lines))])
        self.assertTrue(all(line["sessionId"] == "s" for line in lines))
        self.assertEqual(note["message"], f"{6000 - len(lines)} log lines were dropped, because stderr was not read")
        self.assertEqual((note["level"], "sessionId" in note), ("WARNING", False))

    def test_lines_that_wait_keep_their_order_and_are_not_too_many(self):
        program = Program(
            """
            from bedrock_agentcore.runtime import _log
            write, writes = _log._write_lines, []
            def counted(stream):
                writes.append(len(_log._lines))
                write(stream)
            _log._write_lines = counted
            for number in range(3):
                _log.emit(_log.INFO, f"line {number}", None, True)
            assert not writes and _log.is_holding()
            _log.release()
            assert writes == [3] and not _log.is_holding()
            _log.release()
            _log.emit(_log.INFO, "line 3", None, True)
            _log.emit(_log.INFO, "line 4")
            assert writes == [3, 2]
            for number in range(5, 5 + _log._MOST_HELD):
                _log.emit(_log.INFO, f"line {number}", None, True)
            assert writes[2] == _log._MOST_HELD and not _log._lines
            """
        )
        _, _, err = program.finish()
        self.assertEqual([json.loads(line)["message"] for line in err.splitlines()], [f"line {n}" for n in range(69)])

    def test_a_line_of_the_runtime_is_not_left_to_a_thread_that_is_done(self):
        program = Program(
            """
            from bedrock_agentcore.runtime import _log
            class Late:
                acquire, release_it = _log._writing.acquire, _log._writing.release
                def release(self):
                    if not hasattr(self, "is_late"):
                        self.is_late = True
                        # It finds the lock taken, and leaves the line.
                        _log.emit(_log.INFO, "late")
                    self.release_it()
            _log._writing = Late()
            _log.emit(_log.INFO, "first")
            """
        )
        _, _, err = program.finish()
        self.assertEqual([json.loads(line)["message"] for line in err.splitlines()], ["first", "late"])

    def test_a_thread_that_was_stopped_while_it_wrote_does_not_hold_up_the_end(self):
        text = merged(
            """
            Output()
            held = threading.Event()
            def hold():
                with lines._lock:
                    held.set()
                    time.sleep(60)
            threading.Thread(target=hold, daemon=True).start()
            held.wait()
            class Last:
                def __del__(self, write=sys.stdout.buffer.write):
                    write(b"last\\n")
            # Cleared while the interpreter ends, and before what it prints with.
            sys.modules["module"] = module = type(sys)("module")
            module.last = Last()
            del module
            """
        )
        self.assertEqual(text, "\x01last\n")

    def test_an_exception_in_a_write_does_not_keep_the_lock(self):
        text = merged(
            """
            Output()
            class Stop(BaseException): pass
            def told(*_): raise Stop
            signal.signal(signal.SIGALRM, told)
            real = os.write
            def slow(*arguments):
                time.sleep(60)
            os.write = slow
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            try:
                print("a")
            except Stop:
                pass
            os.write = real
            thread = threading.Thread(target=print, args=("b",))
            thread.start()
            thread.join(20)
            """
        )
        self.assertIn("b\n", text)


class OfAWorker(unittest.TestCase):
    def test_a_worker_of_a_front_door(self):
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        readers = Reader(out), Reader(err)
        with Worker(agent(WRITER), streams=(out_end, err_end), env={VARIABLE: "merged"}) as worker:
            os.close(out_end)
            os.close(err_end)
            worker.result({"times": 3, "text": "a"})
            worker.control.write(STOP, 0, struct.pack(">I", 1000))
            self.assertEqual(worker.ended(), 0)
        *lines, log = readers[1].text().splitlines()
        self.assertEqual(lines, ["\x01a 0", "\x01a 1", "\x01a 2", "err", "logged", "\x01"])
        self.assertIn("completed successfully", log)
        self.assertEqual(readers[0].text(), "")

    def test_a_worker_that_dies_has_written_its_lines(self):
        with Worker(agent(WRITER)) as worker:
            worker.invoke({"times": 2, "text": "a", "exit": "exit"})
            self.assertEqual(worker.ended(), 3)
            self.assertEqual(worker.stdout(), "a 0\na 1\n\n")
            self.assertEqual(worker.stderr(), "err\nlogged\n")

    def test_a_worker_that_is_ended_has_written_everything(self):
        with Worker(agent(WRITER)) as worker:
            error = worker.error({"times": 2, "text": "a", "exit": "raise"})
            self.assertEqual(error["error_type"], "SystemExit")
            worker.control.write(STOP, 0, struct.pack(">I", 1000))
            self.assertEqual(worker.ended(), 0)
            self.assertEqual(worker.stdout(), "a 0\na 1\n\nlast")

    def test_lines_of_the_runtime_do_not_wait_for_whoever_reads_them(self):
        source = """
import os
os.set_blocking(2, False)
try:
    while True:
        os.write(2, b"x" * 99 + b"\\n")
except BlockingIOError:
    os.set_blocking(2, True)
@app.entrypoint
async def invoke(payload):
    return payload
"""
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        with Worker(agent(source), streams=(out_end, err_end)) as worker:
            os.close(err_end)
            for number in range(50):
                self.assertEqual(worker.result(number), str(number))
            reader = Reader(err)
            wait_until(lambda: reader.so_far().count("completed successfully") == 50)
        for end in (out, out_end):
            os.close(end)


if __name__ == "__main__":
    unittest.main()
