"""Serves an agent with the official `bedrock-agentcore` package, at the address in AGENTCORE_LISTEN.

    python -u agentcore_sdk.py FILE [--app NAME] --source-root DIR

AGENTCORE_LISTEN is `host:port` or `unix:/path`. The file runs as `__main__`. Its own `run()` serves, at that address
instead of the one it names; if it does not call `run()`, its app is served at the end of the file.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_LIB = os.path.join(_HERE, "lib")

if sys.path and os.path.abspath(sys.path[0]) == _HERE:
    del sys.path[0]
sys.path.insert(0, _LIB)

from _agentcore_worker.official import main  # noqa: E402 - it is found by the line above

# Not for the agent: what it imports comes from the official package.
sys.path.remove(_LIB)

main(sys.argv[1:])
