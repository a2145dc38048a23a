"""An entrypoint that knows its session, with the context's type beside the parameter."""

from bedrock_agentcore import BedrockAgentCoreApp
from bedrock_agentcore.runtime.context import RequestContext

app = BedrockAgentCoreApp()


@app.entrypoint
def session_aware_agent(payload, context: RequestContext):
    """Says which session it is."""
    session_id = context.session_id
    prompt = payload.get("prompt")
    return {"result": f"{session_id} said {prompt}", "session_id": session_id}
