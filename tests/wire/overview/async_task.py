"""A coroutine function that makes the agent busy while it runs."""

import asyncio

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
running = []


@app.async_task
async def background_processing():
    """Runs until somebody says that it is done."""
    while running:
        await asyncio.sleep(0.01)
    return "done"


@app.entrypoint
async def invoke(payload):
    if payload["do"] == "begin":
        running.append(asyncio.create_task(background_processing()))
        return "begun"
    task = running.pop()
    return await task
