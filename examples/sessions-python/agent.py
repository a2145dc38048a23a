"""An agent that counts its calls in a global.

The platform runs every session in a sandbox of its own, so the count is the session's.
"""

from itertools import count

from bedrock_agentcore import BedrockAgentCoreApp, RequestContext

app = BedrockAgentCoreApp()
calls = count(1)


@app.entrypoint
def answer(payload, context: RequestContext):
    return {"session": context.session_id, "count": next(calls)}


if __name__ == "__main__":
    app.run()
