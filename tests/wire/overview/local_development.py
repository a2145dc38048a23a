"""A file that runs its app before there is an entrypoint, in debug mode, with a logger of its own."""

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp(debug=True)

if __name__ == "__main__":
    app.run()

import logging  # noqa: E402 - here, as the order is what this is about

logger = logging.getLogger("an_agent")


@app.entrypoint
def an_agent(payload):
    logger.info("Answering %s", payload)
