"""Pings with the agent's own handler, background tasks in all their forms, and debug actions."""

import reasons
from rows import Ask, Differs, Row

AGENT = "health.py"

BUSY = ("busy", "text", "text-of-a-class", "another-enum", "slow")
HEALTHY = ("healthy",)
# Answers after which the tasks decide.
NOTHING = ("nothing", "name", "empty", "blank", "fails", "text-fails")
NO_STATUS = ("number", "true", "false", "bytes", "dict", "list", "class", "coroutine")
ACTION = "_agent_core_app_action"


def invoke(differs=None, **payload):
    """One invocation."""
    return Ask(body=payload, differs=differs)


def ping(status, differs=None):
    """A ping, asked for until it tells this status; how soon it does is each server's own affair."""
    return Ask("GET /ping", until=lambda body: f'"{status}"' in body, differs=differs)


def action(what, differs=None):
    """A debug action."""
    return Ask(body={ACTION: what}, differs=differs)


def says(what):
    return invoke(do="ping-says", what=what)


def handlers():
    """What a ping handler returns, without a task and beside one."""
    for what in BUSY + HEALTHY + NOTHING:
        alone = "HealthyBusy" if what in BUSY else "Healthy"
        beside = "Healthy" if what in HEALTHY else "HealthyBusy"
        pinged = [ping(alone), Ask("HEAD /ping"), says("nothing"), ping("Healthy")]
        yield Row(f"a-handler-that-says-{what}", says(what), *pinged)
        begun = invoke(do="add", args=["t"])
        ended = [invoke(do="complete", name="t"), says("nothing"), ping("Healthy")]
        yield Row(f"the-same-beside-a-task-{what}", begun, says(what), ping(beside), *ended)
    for what in ("partial", "lambda", "method", "object", "with-a-default", "in-need-of-an-argument", "no-function"):
        status = "Healthy" if what in ("in-need-of-an-argument", "no-function") else "HealthyBusy"
        usual = invoke(do="ping-is", what="usual")
        yield Row(f"a-handler-that-is-{what}", invoke(do="ping-is", what=what), ping(status), usual, ping("Healthy"))
    for what in NO_STATUS:
        busy = Differs(reasons.NO_STATUS, body='{"status":"HealthyBusy","time_of_last_update":0}')
        begun = [invoke(do="add", args=["t"]), says(what)]
        told = Ask("GET /ping", differs=busy)
        ended = [invoke(do="complete", name="t"), says("nothing"), ping("Healthy")]
        yield Row(f"no-status-{what}", *begun, told, *ended)


def tasks():
    """Tasks by decorator and by hand."""
    yield Row("calls-of-decorated-functions", invoke(do="call"))
    yield Row(
        "tasks-by-hand",
        invoke(do="add", args=["a"]),
        invoke(do="add", args=["b", {"x": 1}]),
        invoke(do="add", args=["c", None]),
        invoke(do="info"),
        ping("HealthyBusy"),
        invoke(do="complete", name="b"),
        invoke(do="info"),
        invoke(do="complete", name="a"),
        invoke(do="complete", name="c"),
        invoke(do="info"),
        ping("Healthy"),
    )
    yield Row("odd-ids", invoke(do="complete-odd"))
    twice = invoke(do="add", args=["a"])
    yield Row("two-of-a-name", twice, twice, invoke(do="info"), invoke(do="complete", name="a"), ping("HealthyBusy"))
    # One of them is left.
    for do, last in (("wait", "open"), ("break", "open"), ("wait", "cancel")):
        name = f"a-task-to-{do}-and-{last}"
        steps = [invoke(do=do, name="w"), ping("HealthyBusy"), invoke(do="info")]
        yield Row(name, *steps, invoke(do=last, name="w"), invoke(do="result"), invoke(do="info"))
    yield Row("a-task-that-is-awaited", invoke(do="await", name="x"), invoke(do="info"))
    for status in ("Healthy", "HealthyBusy"):
        forced = [invoke(do="force", status=status), invoke(do="status"), ping(status)]
        yield Row(f"forced-{status}", *forced, invoke(do="clear"), invoke(do="status"))
    yield Row("forced-to-nothing", invoke(reasons.with_type("ValueError"), do="force", status="Bad"))


def decorated():
    """What may be a task."""
    refused = reasons.with_type("ValueError")
    named = Differs(reasons.ANY_CALLABLE, status=200, body='"plain"')
    told = '{"error":"@async_task can only be applied to async functions","error_type":"ValueError"}'
    unnamed = Differs(reasons.ANY_CALLABLE, body=told)
    for what in ("function", "stream", "class", "none"):
        yield Row(f"decorated-{what}", invoke(refused, do="decorate", what=what))
    yield Row("decorated-bound", invoke(do="decorate", what="bound"))
    yield Row("decorated-partial", invoke(named, do="decorate", what="partial"))
    yield Row("decorated-object", invoke(unnamed, do="decorate", what="object"))


def actions():
    """Debug actions that are none, and what they tell."""
    nothing = ("PING_STATUS", " ping_status", "世界", 1.5, -1, "a" * 1000, ["x", 1], {"x": {}}, [])
    for index, what in enumerate(nothing):
        yield Row(f"an-action-{index}", Ask(body={ACTION: what, "x": 1}))
    yield Row(
        "a-forced-status-over-a-handler",
        says("busy"),
        action("ping_status"),
        action("force_healthy"),
        action("ping_status"),
        ping("Healthy"),
        action("clear_forced_status"),
        ping("HealthyBusy"),
        says("nothing"),
        ping("Healthy"),
    )
    begun = invoke(do="add", args=["a", {"b": 1}])
    yield Row("jobs", begun, action("job_status"), invoke(do="complete", name="a"), action("job_status"))
    yield Row("an-action-in-a-query", Ask(f"POST /invocations?{ACTION}=ping_status", body={"x": 1}))
    yield Row("an-action-inside", Ask(body={"a": {ACTION: "ping_status"}}))
    yield Row("two-actions", Ask(body=f'{{"{ACTION}":"nope","{ACTION}":"job_status"}}'.encode()))
    yield Row("a-handler-that-fails", says("fails"), action("ping_status"), says("nothing"))
    healthy = reasons.json_instead(reasons.NO_STATUS, '{"status":"Healthy","time_of_last_update":0}')
    yield Row("a-handler-without-a-status", says("number"), action("ping_status", healthy), says("nothing"))


ROWS = {
    "sync": [*handlers()],
    "none": [*tasks(), *decorated()],
    "debug": [*actions()],
}
