"""The public names and signatures of the runtime, beside those of the official package (1.25.0).

The official ones stand here as data, so that they are compared wherever the tests run; where the official package is
installed, the data is compared with it too. What only it has is refused by name.
"""

import enum
import importlib
import inspect
import json
import subprocess
import sys
import unittest

from agents import agent
from server import Worker
from support import LIB

_APP = {
    "": "(debug=False, lifespan=None, middleware=None)",
    "add_async_task": "(self, name, metadata=None)",
    "async_task": "(self, func)",
    "clear_forced_ping_status": "(self)",
    "complete_async_task": "(self, task_id)",
    "entrypoint": "(self, func)",
    "force_ping_status": "(self, status)",
    "get_async_task_info": "(self)",
    "get_current_ping_status": "(self)",
    "ping": "(self, func)",
    "run": "(self, port=8080, host=None, **kwargs)",
    "websocket": "(self, func)",
}
_CONTEXT = {
    "get_config_bundle": "()",
    "get_config_bundle_ref": "()",
    "get_oauth2_callback_url": "()",
    "get_request_headers": "()",
    "get_request_id": "()",
    "get_routing_experiment_arn": "()",
    "get_routing_experiment_variant": "()",
    "get_session_id": "()",
    "get_workload_access_token": "()",
    "set_config_bundle_ref": "(ref)",
    "set_oauth2_callback_url": "(workload_callback_url)",
    "set_request_context": "(request_id, session_id=None)",
    "set_request_headers": "(headers)",
    "set_routing_experiment": "(arn, variant)",
    "set_workload_access_token": "(token)",
}
_STATUS = {"HEALTHY": "Healthy", "HEALTHY_BUSY": "HealthyBusy"}
_REQUEST = {"": "(*, session_id=None, request_headers=None, request=None)"}
_RESTRICTED = """
    :authority :method :path :scheme :status accept accept-ch accept-ch-lifetime accept-charset accept-encoding
    accept-language accept-ranges access-control-allow-credentials access-control-allow-headers
    access-control-allow-methods access-control-allow-origin access-control-expose-headers
    access-control-max-age access-control-request-headers access-control-request-method cache-control
    cf-connecting-ip cf-ray clear-site-data connection content-encoding content-language content-length
    content-location content-range content-security-policy content-security-policy-report-only content-type
    cookie cross-origin-embedder-policy cross-origin-opener-policy cross-origin-resource-policy date downlink
    dpr ect etag expect-ct expires feature-policy forwarded from host if-match if-modified-since if-none-match
    if-range if-unmodified-since keep-alive last-modified link location origin permissions-policy pragma
    proxy-authorization proxy-connection public-key-pins public-key-pins-report-only range referer
    referrer-policy retry-after rtt save-data sec-websocket-accept sec-websocket-extensions sec-websocket-key
    sec-websocket-protocol sec-websocket-version server set-cookie strict-transport-security te trailer
    transfer-encoding true-client-ip upgrade user-agent vary via viewport-width width www-authenticate
    x-amz-cf-id x-cache x-client-ip x-cluster-client-ip x-content-type-options x-csrf-token x-forwarded-for
    x-forwarded-host x-forwarded-proto x-frame-options x-original-host x-original-url x-originating-ip x-real-ip
    x-requested-with x-rewrite-url x-served-by x-source-ip x-xss-protection
"""
_ALL = {
    "BedrockAgentCoreApp": _APP,
    "BedrockAgentCoreContext": _CONTEXT,
    "PingStatus": _STATUS,
    "RequestContext": _REQUEST,
}
# Names with the signature of what they are; a constant has its value, a class the signatures of its methods.
OFFICIAL = {
    "bedrock_agentcore": _ALL,
    "bedrock_agentcore.runtime": _ALL,
    "bedrock_agentcore.runtime.context": {"BedrockAgentCoreContext": _CONTEXT, "RequestContext": _REQUEST},
    "bedrock_agentcore.runtime.models": {
        "ACCESS_TOKEN_HEADER": "WorkloadAccessToken",
        "AGENTCORE_RUNTIME_URL_ENV": "AGENTCORE_RUNTIME_URL",
        "AUTHORIZATION_HEADER": "Authorization",
        "BAGGAGE_KEY_EXPERIMENT_ARN": "aws.agentcore.gateway.routing_experiment_arn",
        "BAGGAGE_KEY_EXPERIMENT_VARIANT": "aws.agentcore.gateway.routing_experiment_variant_name",
        "CUSTOM_HEADER_PREFIX": "X-Amzn-Bedrock-AgentCore-Runtime-Custom-",
        "IDENTITY_WAT_HEADER": "X-Amz-Bedrock-AgentCore-Identity-WAT",
        "OAUTH2_CALLBACK_URL_HEADER": "OAuth2CallbackUrl",
        "PingStatus": _STATUS,
        "REQUEST_ID_HEADER": "X-Amzn-Bedrock-AgentCore-Runtime-Request-Id",
        "RESTRICTED_HEADERS": _RESTRICTED.split(),
        "SESSION_HEADER": "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id",
        "SHELL_ID_HEADER": "X-Amzn-Bedrock-AgentCore-Shell-Id",
        "TASK_ACTION_CLEAR_FORCED_STATUS": "clear_forced_status",
        "TASK_ACTION_FORCE_BUSY": "force_busy",
        "TASK_ACTION_FORCE_HEALTHY": "force_healthy",
        "TASK_ACTION_JOB_STATUS": "job_status",
        "TASK_ACTION_PING_STATUS": "ping_status",
        "is_forwardable_header": "(header_name)",
    },
    "bedrock_agentcore.runtime.utils": {
        "convert_complex_objects": "(obj, _depth=0)",
        "is_valid_partition": "(partition)",
    },
}
# Without a public name, and called all the same.
PRIVATE = {
    "_convert_to_sse": "(self, obj)",
    "_ensure_worker_loop": "(self)",
    "_invoke_handler": "(self, handler, request_context, takes_context, payload)",
    "_safe_serialize_to_json_string": "(self, obj)",
    "_takes_context": "(self, handler)",
}
# What the native engine does not have, and says so when it is asked for.
REFUSED = {
    "bedrock_agentcore.runtime": """
        AGUIApp AgentCoreRuntimeClient AuthMode BedrockCallContextBuilder OAuthAuth PresignedAuth ReconnectConfig
        ShellChannel ShellFrame ShellFramer ShellSession WaitConfig build_a2a_app build_ag_ui_app build_runtime_url
        serve_a2a serve_ag_ui
    """.split()
}


def public(module):
    """Describes the public names of a module, as in `OFFICIAL`."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name, value in vars(module).items() if is_public(module, name, value)]
    refused = REFUSED.get(module.__name__, ())
    return {name: described(getattr(module, name)) for name in names if name not in refused}


def is_public(module, name, value):
    if name.startswith("_") or inspect.ismodule(value):
        return False
    # Constants have no module: those in capital letters are meant.
    return (name.isupper() and name != "TYPE_CHECKING") or getattr(value, "__module__", None) == module.__name__


def described(value):
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        return {member.name: member.value for member in value}
    if inspect.isclass(value):
        members = {"": signature(value)} if value.__init__ is not object.__init__ else {}
        for name, member in inspect.getmembers(value):
            # A class within a class, as pydantic's `Config`, is no method.
            if not name.startswith("_") and defined_in(value, name) and inspect.isroutine(member):
                members[name] = signature(member)
        return members
    if callable(value):
        return signature(value)
    return sorted(value) if isinstance(value, frozenset) else value


def defined_in(kind, name):
    """Returns whether a class or a base of its package defines a name: what is Starlette's and pydantic's is not."""
    return any(name in vars(base) for base in kind.__mro__ if base.__module__.startswith("bedrock_agentcore"))


def signature(value):
    """Returns a signature without its annotations."""
    found = inspect.signature(value)
    parameters = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in found.parameters.values()]
    return str(found.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


class Names(unittest.TestCase):
    def test_what_the_official_package_has_is_here_and_called_alike(self):
        for module, names in OFFICIAL.items():
            found = public(importlib.import_module(module))
            for name, expected in names.items():
                with self.subTest(module, name=name):
                    self.assertIn(name, found)
                    if not isinstance(expected, dict):
                        self.assertEqual(found[name], expected)
                        continue
                    for member, of_member in expected.items():
                        # Where keywords are asked for, positions are taken too.
                        self.assertEqual(found[name].get(member), of_member.replace("(*, ", "("), member)

    def test_what_it_has_alone_is_refused_by_name(self):
        for module, names in REFUSED.items():
            for name in names:
                with self.subTest(module, name=name), self.assertRaisesRegex(ImportError, "engine: sdk"):
                    getattr(importlib.import_module(module), name)

    def test_names_that_are_not_public_are_there_where_they_mean_something(self):
        from bedrock_agentcore import BedrockAgentCoreApp

        for name, expected in PRIVATE.items():
            self.assertEqual(signature(getattr(BedrockAgentCoreApp, name)), expected, name)
        app = BedrockAgentCoreApp()
        attributes = "_active_tasks _last_status_update_time _forced_ping_status _ping_handler _task_counter_lock"
        for name in attributes.split():
            self.assertTrue(hasattr(app, name), name)

    def test_they_do_what_they_do_in_the_official_package(self):
        body = """
async def double(n): return [n * 2, BedrockAgentCoreContext.get_session_id()]
@app.entrypoint
def invoke(payload):
    loop = app._ensure_worker_loop()
    assert loop is app._worker_loop
    call = app._invoke_handler(lambda payload, context: [payload, context], 7, True, payload)
    return [
        asyncio.run_coroutine_threadsafe(double(payload), loop).result(),
        asyncio.run_coroutine_threadsafe(call, loop).result(),
        [app._takes_context(invoke), app._takes_context(lambda payload, context: 1)],
        app._safe_serialize_to_json_string({"a": "é"}),
        app._convert_to_sse({"a": "é"}).decode(),
    ]
"""
        with Worker(agent(body), place="--native-first") as worker:
            found = json.loads(worker.result(1))
            texts = ['{"a": "é"}', 'data: {"a": "é"}\n\n']
            self.assertEqual(found, [[2, "s1"], [1, 7], [False, True], *texts])

    def test_the_official_package_is_as_it_stands_here(self):
        # In another process: in this one, the name is taken.
        process = subprocess.run([sys.executable, __file__, "--official"], capture_output=True, text=True, timeout=120)
        if process.returncode == NOT_INSTALLED:
            self.skipTest("the official package is not installed: " + process.stdout.strip())
        self.assertEqual((process.returncode, process.stdout), (0, ""), process.stderr)


NOT_INSTALLED = 9


def differences():
    """Compares the installed official package with what stands here."""
    for module, names in OFFICIAL.items():
        found = public(importlib.import_module(module))
        for name in sorted({*found, *names} - set(REFUSED.get(module, ()))):
            if found.get(name) != names.get(name):
                yield f"{module}.{name}: {found.get(name)} is not {names.get(name)}"
    for module, refused in REFUSED.items():
        missing = set(refused) - set(importlib.import_module(module).__all__)
        if missing:
            yield f"{module}: {sorted(missing)} are not there"
    app = importlib.import_module("bedrock_agentcore").BedrockAgentCoreApp
    for name, expected in PRIVATE.items():
        if signature(getattr(app, name)) != expected:
            yield f"{name}: {signature(getattr(app, name))} is not {expected}"


def main():
    sys.path.remove(LIB)
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("bedrock-agentcore")
    except PackageNotFoundError:
        found = "no bedrock-agentcore"
    if found != "1.25.0":
        print(f"{found}, 1.25.0 is described here")
        sys.exit(NOT_INSTALLED)
    for difference in differences():
        print(difference)


if __name__ == "__main__":
    main() if sys.argv[1:] == ["--official"] else unittest.main()
