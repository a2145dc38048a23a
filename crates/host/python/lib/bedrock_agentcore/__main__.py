"""`python -m bedrock_agentcore agent.py`: the server in the place of this process; this interpreter runs the agent."""

from __future__ import annotations

import os
import sys

from _agentcore_worker.program import ProgramMissing, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

USAGE = "usage: python -m bedrock_agentcore FILE[:APP] [--port PORT] [--host HOST]"

_HELP = f"""{USAGE}

Serve the agent in FILE until told to stop. Its code runs in a process of its own, which is started again when it dies.

  FILE[:APP]   the agent's file, with the name of its app if it has several
  --port PORT  listen on this port [default: that of AGENTCORE_LISTEN, else 8080]
  --host HOST  listen on this address [default: 0.0.0.0 if DOCKER_CONTAINER is set, else 127.0.0.1]
"""


class UsageError(Exception):
    """What was typed cannot be meant."""


def options(arguments: List[str]) -> List[str]:
    """Returns the server's arguments for what was typed."""
    entrypoint = None
    further = []
    rest = iter(arguments)
    for argument in rest:
        name, has_value, value = argument.partition("=")
        if name in ("--port", "--host"):
            value = value if has_value else next(rest, "")
            if not value:
                raise UsageError(f"`{name}` needs a value")
            if name == "--port" and not (value.isascii() and value.isdigit() and int(value) < 65536):
                raise UsageError(f"`{value}` is not a port: it is a number from 0 to 65535")
            further.append(f"{name}={value}")
        elif argument.startswith("-"):
            raise UsageError(f"unknown option `{argument}`")
        elif entrypoint is None:
            entrypoint = argument
        else:
            raise UsageError(f"unexpected argument `{argument}`: the agent is one file")
    if entrypoint is None:
        raise UsageError("no file of an agent is named")
    # This package has answered, so the agent is to have it too.
    return ["serve", entrypoint, "--python", sys.executable, "--engine", "native", *further]


def main(arguments: List[str]) -> None:
    """Becomes the server."""
    if any(argument in ("-h", "--help") for argument in arguments):
        print(_HELP, end="")
        return
    try:
        # What was typed is looked at first: it is what the user can see.
        typed = options(arguments)
        program = find()
        os.execv(program, [program, *typed])
    except UsageError as error:
        print(f"error: {error}\n{USAGE}", file=sys.stderr)
        raise SystemExit(2) from None
    except ProgramMissing as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(3) from None
    except OSError as error:
        print(f"error: `{program}` cannot be started: {error.strerror}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(sys.argv[1:])
