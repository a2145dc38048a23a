"""The context of a request, and which headers are in it."""

import asyncio
import contextvars
import copy
import pickle
import unittest

import support  # noqa: F401
from bedrock_agentcore import BedrockAgentCoreContext, RequestContext
from bedrock_agentcore.runtime._invocation import Invocation, current
from bedrock_agentcore.runtime.context import ConfigBundleRef
from bedrock_agentcore.runtime.models import is_forwardable_header

HEADERS = [
    ["host", "127.0.0.1:8080"],
    ["user-agent", "curl"],
    ["authorization", "Bearer secret"],
    ["x-amzn-bedrock-agentcore-runtime-custom-team", "one"],
    ["x-amzn-bedrock-agentcore-runtime-custom-team", "two"],
    ["x-amzn-bedrock-agentcore-runtime-session-id", "s1"],
    ["x-empty", ""],
    ["workloadaccesstoken", "fallback"],
    ["oauth2callbackurl", "https://back"],
    ["baggage", "aws.agentcore.gateway.routing_experiment_arn=arn%3Aaws;p=1, other=1"],
    ["baggage", "aws.agentcore.gateway.routing_experiment_variant_name=B,aws.agentcore.configbundle_arn=arn:aws:x/b1"],
    ["baggage", "aws.agentcore.configbundle_version=7"],
]


def request(headers=HEADERS):
    return Invocation("r1", "s1", headers)


class Forwarding(unittest.TestCase):
    def test_the_rules_do_not_care_about_case(self):
        forwarded = [
            "Authorization",
            "X-AMZN-Bedrock-AgentCore-Runtime-Custom-Team",
            "X-Amz-Bedrock-AgentCore-Identity-WAT",
            "traceparent",
            "baggage",
            "Mcp-Session-Id",
            "X-Forwarded-Port",
            "WorkloadAccessToken",
        ]
        kept_back = [
            "Host",
            "COOKIE",
            "X-Amz-Date",
            "X-Amz-Cf-Id",
            "X-Amzn-Trace-Id",
            "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id",
            "Sec-WebSocket-Key",
            "X-Forwarded-For",
            ":path",
        ]
        self.assertEqual([name for name in forwarded if not is_forwardable_header(name)], [])
        self.assertEqual([name for name in kept_back if is_forwardable_header(name)], [])


class OfARequest(unittest.TestCase):
    def test_headers_are_those_that_reach_the_agent(self):
        headers = RequestContext._of(request()).request_headers
        self.assertEqual(headers["Authorization"], "Bearer secret")
        self.assertEqual(headers["x-amzn-bedrock-agentcore-runtime-custom-team"], "two")
        self.assertEqual(headers["x-empty"], "")
        self.assertNotIn("host", headers)
        self.assertNotIn("x-amzn-bedrock-agentcore-runtime-session-id", headers)
        self.assertIsNone(RequestContext._of(request([["host", "x"]])).request_headers)

    def test_the_request_has_all_headers_and_a_url(self):
        found = RequestContext._of(request()).request
        self.assertEqual(found.headers["Host"], "127.0.0.1:8080")
        self.assertEqual(found.headers.get("X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team"), "one")
        self.assertEqual(found.headers.getlist("x-amzn-bedrock-agentcore-runtime-custom-team"), ["one", "two"])
        self.assertIsNone(found.headers.get("absent"))
        self.assertIn("HOST", found.headers)
        self.assertEqual(found.url, "http://127.0.0.1:8080/invocations")
        self.assertEqual((found.url.path, found.url.hostname, found.url.port), ("/invocations", "127.0.0.1", 8080))
        self.assertEqual(found.base_url, "http://127.0.0.1:8080/")
        found.state.user = "me"
        self.assertEqual(found.state.user, "me")
        self.assertFalse(asyncio.run(found.is_disconnected()))

    def test_its_parts_are_those_of_starlettes(self):
        cookie = 'a=1; b="q"; c="x\\"y\\\\z\\054"; d'
        headers = [["host", "A.Example:80"], ["cookie", cookie]]
        found = RequestContext._of(Invocation("r1", None, headers, {"target": "/invocations?a=1&b=%20&a=2"})).request
        self.assertEqual(found.cookies, {"a": "1", "b": "q", "c": 'x"y\\z,', "": "d"})
        self.assertEqual((found.url.hostname, found.url.netloc), ("a.example", "A.Example:80"))
        self.assertEqual(str(found.query_params), "a=1&b=+&a=2")

    def test_a_host_that_is_none_is_not_in_the_url(self):
        for host in ("a b", "a.example/x?", "", "é"):
            self.assertEqual(RequestContext._of(request([["host", host]])).request.url, "http://localhost/invocations")

    def test_fields_can_be_set(self):
        context = RequestContext._of(request())
        context.session_id = "other"
        context.request_headers = {"a": "b"}
        self.assertEqual(context, RequestContext(session_id="other", request_headers={"a": "b"}))
        self.assertEqual(context.model_dump()["session_id"], "other")
        chosen = context.model_dump(include={"session_id", "request"}, exclude={"request"})
        self.assertEqual(chosen, {"session_id": "other"})
        self.assertEqual(RequestContext("s").model_dump(mode="json", exclude_none=True), {"session_id": "s"})
        copied = context.model_copy(update={"session_id": "third"})
        self.assertEqual((copied.session_id, copied.request_headers), ("third", {"a": "b"}))
        self.assertEqual(context.session_id, "other")
        with self.assertRaises(AttributeError):
            context.unknown = 1
        with self.assertRaisesRegex(AttributeError, "unknown"):
            context.unknown  # noqa: B018

    def test_it_can_be_copied_and_pickled(self):
        context = RequestContext._of(request())
        for other in (copy.copy(context), copy.deepcopy(context), pickle.loads(pickle.dumps(context))):
            self.assertEqual(other, context)

    def test_its_text_shows_no_token(self):
        text = repr(RequestContext._of(request()))
        self.assertIn("session_id='s1'", text)
        self.assertNotIn("secret", text)
        self.assertNotIn("fallback", text)

    def test_without_a_request_all_is_none(self):
        self.assertEqual(RequestContext().model_dump(), {"session_id": None, "request_headers": None, "request": None})


class Current(unittest.TestCase):
    def within(self, function, invocation=None):
        def run():
            current.set(invocation or request())
            return function()

        return contextvars.Context().run(run)

    def test_getters_give_what_the_request_brought(self):
        def values():
            here = BedrockAgentCoreContext
            return (
                here.get_request_id(),
                here.get_session_id(),
                here.get_workload_access_token(),
                here.get_oauth2_callback_url(),
                here.get_routing_experiment_arn(),
                here.get_routing_experiment_variant(),
                here.get_config_bundle_ref(),
            )

        bundle = ConfigBundleRef("arn:aws:x/b1", "7")
        expected = ("r1", "s1", "fallback", "https://back", "arn:aws", "B", bundle)
        self.assertEqual(self.within(values), expected)
        self.assertEqual(bundle.bundle_id, "b1")
        self.assertEqual(values(), (None,) * 7)

    def test_the_identity_token_is_preferred(self):
        headers = [*HEADERS, ["x-amz-bedrock-agentcore-identity-wat", "identity"]]
        token = self.within(BedrockAgentCoreContext.get_workload_access_token, request(headers))
        self.assertEqual(token, "identity")

    def test_what_is_set_wins_and_ends_with_the_request(self):
        def set_and_get():
            BedrockAgentCoreContext.set_workload_access_token("mine")
            BedrockAgentCoreContext.set_request_context("r2", "s2")
            return BedrockAgentCoreContext.get_workload_access_token(), BedrockAgentCoreContext.get_session_id()

        self.assertEqual(self.within(set_and_get), ("mine", "s2"))
        self.assertEqual(self.within(BedrockAgentCoreContext.get_workload_access_token), "fallback")
        self.assertIsNone(BedrockAgentCoreContext.get_workload_access_token())

    def test_a_bundle_has_an_id_at_the_end_of_its_arn(self):
        for arn in ("arn:aws:x", "arn:aws:x/"):
            line = f"aws.agentcore.configbundle_arn={arn},aws.agentcore.configbundle_version=1"
            token = current.set(request([["baggage", line]]))
            self.assertIsNone(BedrockAgentCoreContext.get_config_bundle_ref())
            current.reset(token)

    def test_a_bundle_comes_from_its_loader(self):
        def load():
            BedrockAgentCoreContext._set_bundle_loader(lambda: {"a": 1})
            return BedrockAgentCoreContext.get_config_bundle()

        self.assertEqual(self.within(load), {"a": 1})
        self.assertEqual(BedrockAgentCoreContext.get_config_bundle(), {})


if __name__ == "__main__":
    unittest.main()
