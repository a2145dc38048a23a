"""A task in the background that outlives the invocation which began it."""

import asyncio

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
done = []
tasks = []


async def process_large_dataset():
    while not done:
        await asyncio.sleep(0.01)


@app.async_task
async def long_running_task():
    """Makes the agent busy as long as it runs."""
    await process_large_dataset()
    return "done"


@app.entrypoint
async def start_processing(payload):
    """Begins it and answers; or says that there is nothing left to do."""
    if payload.get("finish"):
        done.append(True)
        return {"status": "Nothing left"}
    tasks.append(asyncio.create_task(long_running_task()))
    return {"status": "Begun"}
