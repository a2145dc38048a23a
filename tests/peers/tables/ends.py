"""What an agent raises that is no `Exception`. The SDK answers some of it, hangs at some and ends with some."""

import reasons
from failures import ENDS, fail, type_of
from rows import Ask, Differs, Row, whole

AGENT = "acts.py"


def text_of(name):
    """The text of what has this name."""
    try:
        fail(name)
    except BaseException as error:
        return str(error)


def row(name, answer, **payload):
    """Raises it, and sees that the agent is still there."""
    after = {"still": "here"}
    steps = [
        Ask(body={"fail": name, **payload}, differs=Differs(reasons.ENDS, whole=answer)),
        Ask(body=after, differs=Differs(reasons.ENDS, whole=STILL_HERE["after" in payload])),
        Ask("GET /ping", differs=Differs(reasons.ENDS, whole=HEALTHY)),
    ]
    return Row(name, *steps, only=reasons.ENDS)


JSON = {"content_type": "application/json"}
EVENTS = {"framing": "chunked", "content_type": "text/event-stream; charset=utf-8"}
STILL_HERE = {
    False: whole(200, '{"still": "here"}', **JSON),
    True: whole(200, 'data: {"still": "here"}\n\n', **EVENTS),
}
HEALTHY = whole(200, '{"status":"Healthy","time_of_last_update":0}', **JSON)


def answered(name):
    """The answer to it."""
    return whole(500, f'{{"error":"{text_of(name)}","error_type":"{type_of(name)}"}}', **JSON)


def streamed(name):
    """The stream that ends with it."""
    told = f'{{"error": "{text_of(name)}", "error_type": "{type_of(name)}"'
    event = f'data: {told}, "message": "An error occurred during streaming"}}\n\n'
    return whole(200, f"data: 0\n\n{event}", **EVENTS)


ROWS = {
    "sync": [row(name, answered(name)) for name in ENDS],
    "async": [row(name, answered(name)) for name in ENDS],
    "generator": [row(name, streamed(name), after=1) for name in ENDS],
    "async-generator": [row(name, streamed(name), after=1) for name in ENDS],
}
