"""Starts a worker: the process in which an agent's file runs, and which answers the calls of the server.

    python -u agentcore_worker.py --native-last|--native-first FILE [--app NAME] --source-root DIR [--max-threads N]

The server gives its address in AGENTCORE_WORKER_SOCKET and AGENTCORE_WORKER_TOKEN. `--native-first` puts this package
before an installed one of the same name.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_LIB = os.path.join(_HERE, "lib")

if sys.path and os.path.abspath(sys.path[0]) == _HERE:
    del sys.path[0]
sys.path.insert(0, _LIB)

from _agentcore_worker.main import main  # noqa: E402 - it is found by the line above

main(sys.argv[1:], _LIB)
