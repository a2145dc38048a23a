"""Serves each agent with the official SDK and with the native engine, asks both the same, and compares the answers.

    python tests/peers/run.py AGENTCORE [TABLE ...]

AGENTCORE is the program that serves; this Python has the SDK. Without a name, every table runs.
"""

import collections
import concurrent.futures
import importlib
import os
import sys
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [FOLDER, os.path.join(FOLDER, "agents")]

import reasons  # noqa: E402 - found by the lines above
from servers import Server  # noqa: E402

# How many pairs of servers are up at a time.
LANES = 3


def main(program, *wanted):
    """Runs tables, tells what is wrong and how much was compared; returns the exit status."""
    tables = [importlib.import_module(f"tables.{name}") for name in wanted or names()]
    groups = [(table, variant) for table in tables for variant in table.ROWS]
    with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
        results = list(lanes.map(lambda group: run_group(program, *group), groups))
    failed, met, count = [], collections.Counter(), 0
    for (table, variant), (told, differing, took) in zip(groups, results):
        count += len(table.ROWS[variant])
        failed += told
        met.update(differing)
        print(f"{title(table, variant):<40} {len(table.ROWS[variant]):>4} rows {took:5.1f} s")
    if not wanted:
        failed += [f"\nno row differs any more because {reason}" for reason in declared() if reason not in met]
    for told in failed:
        print(told)
    for reason, rows in met.most_common():
        print(f"{rows:>4} rows differ: {reason}")
    print(f"{count} rows, {sum(met.values())} of them with a difference that is meant; {len(failed)} fail")
    return 1 if failed or not count else 0


def names():
    """The tables that there are."""
    files = os.listdir(os.path.join(FOLDER, "tables"))
    return sorted(name[:-3] for name in files if name.endswith(".py"))


def declared():
    """The reasons that there are."""
    return [value for name, value in vars(reasons).items() if name.isupper()]


def title(table, variant):
    """What to call the rows of one agent."""
    return f"{table.__name__.rpartition('.')[2]} {variant}"


def run_group(program, table, variant):
    """Runs the rows of one agent; returns what is wrong, the reasons of those that differ, and the seconds."""
    started = time.monotonic()
    rows = table.ROWS[variant]
    failed = twice(title(table, variant), rows)
    engines = ("native",) if all(row.only for row in rows) else ("sdk", "native")
    over_tcp = getattr(table, "OVER_TCP", False)
    servers, met = {}, []
    try:
        for engine in engines:
            servers[engine] = Server(program, engine, table.AGENT, variant, over_tcp)
        for server in servers.values():
            server.wait()
        for row in rows:
            problems = compare(row, servers)
            met += {step.differs.reason for step in row.steps if step.differs}
            if problems:
                failed.append("\n".join([f"\n{title(table, variant)}: {row.name}", *problems]))
    except OSError as error:
        failed.append(f"\n{title(table, variant)}: {error}")
    finally:
        for server in servers.values():
            server.end()
    return failed, met, time.monotonic() - started


def twice(where, rows):
    """Rows of one name, of which a failure would not say which one it is."""
    counted = collections.Counter(row.name for row in rows)
    return [f"\n{where}: there are {count} rows `{name}`" for name, count in counted.items() if count > 1]


def compare(row, servers):
    """Plays a row with both engines, and returns what is wrong."""
    native = row.play(servers["native"].place)
    sdk = [None] * len(row.steps) if row.only else row.play(servers["sdk"].place)
    problems = []
    for index, (step, ours, theirs) in enumerate(zip(row.steps, native, sdk)):
        where = f"  in step {index + 1}" if len(row.steps) > 1 else "  in its only step"
        if step.differs is None:
            wanted = theirs
        elif ours == theirs:
            problems.append(f"{where} nothing differs any more, though {step.differs.reason}")
            continue
        else:
            wanted = step.differs.applied(theirs or {})
        if ours != wanted:
            problems += [where, *difference(wanted, ours)]
    return problems


def difference(wanted, got):
    """The parts of an answer that are not as they should be."""
    for part in sorted({*wanted, *got}):
        one, other = wanted.get(part), got.get(part)
        if one != other:
            yield f"    {part}\n      wanted {str(one)[:1000]}\n      got    {str(other)[:1000]}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
