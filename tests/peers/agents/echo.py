"""An agent that returns its payload, for what servers do with requests before any agent sees them."""

import os

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp(debug=os.environ["PEER_VARIANT"] == "debug")


@app.entrypoint
def echo(payload):
    return payload


app.run()
