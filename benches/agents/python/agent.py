"""The agent of the measurements of Python: one handler, of the kind that BENCH_HANDLER names.

What it does is in the payload: burn the processor, send events, give back a document, answer what the hello agent
answers. The official SDK and ours serve this same file.
"""

import os
import time

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


def answer(payload):
    if "burn_millis" in payload:
        end = time.monotonic() + payload["burn_millis"] / 1e3
        while time.monotonic() < end:
            pass
    if "documents" in payload:
        return payload
    return {"result": f"You said: {payload.get('prompt', '')}"}


async def answer_on_the_loop(payload):
    return answer(payload)


def event(number):
    return {"type": "delta", "number": number, "text": "a few words, "}


def events(payload):
    for number in range(payload["events"]):
        yield event(number)


async def events_on_the_loop(payload):
    for number in range(payload["events"]):
        yield event(number)


app.entrypoint(
    {
        "sync": answer,
        "async": answer_on_the_loop,
        "sync-generator": events,
        "async-generator": events_on_the_loop,
    }[os.environ["BENCH_HANDLER"]]
)

if __name__ == "__main__":
    app.run(port=int(os.environ.get("BENCH_PORT", "8080")))
