"""The ways in which files start their agents."""

import reasons
from rows import ask

AGENT = "starting.py"

WAYS = """subclass another-name two-apps in-a-function run-of-the-function run-with-options private-handlers thread argv
    run-before-the-entrypoint""".split()


def rows(way):
    """What is asked of each."""
    served = '["run-before-the-entrypoint", {"a": 1}, "__main__", []]'
    late = reasons.json_instead(reasons.LATE_ENTRYPOINT, served) if way == "run-before-the-entrypoint" else None
    session = ["X-Amzn-Bedrock-AgentCore-Runtime-Session-Id: s"]
    yield ask("an-invocation", body={"a": 1}, headers=session, differs=late)
    yield ask("bad-json", body=b"{")
    yield ask("a-ping", "GET /ping")


ROWS = {way: [*rows(way)] for way in WAYS}
