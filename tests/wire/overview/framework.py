"""Any asynchronous framework: it is awaited, and its answer has pieces."""

import asyncio

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


class Response:
    def __init__(self, text):
        self.text = text

    def stream(self):
        yield from self.text.split()


class Framework:
    async def process(self, payload):
        await asyncio.sleep(0)
        return Response(payload["prompt"])


framework = Framework()


@app.entrypoint
async def custom_framework_agent(payload):
    """Yields the pieces."""
    response = await framework.process(payload)
    for chunk in response.stream():
        yield {"chunk": chunk}
