"""A peer of the measurements: what the Python agent of the measurements does, on robyn, under the same paths.

As robyn's documentation has it: JSON is decoded by `Request.json`, a dict that is returned is encoded by robyn.
"""

import json
import os
import time

from robyn import Request, Robyn, SSEResponse

app = Robyn(__file__)


def answer(request: Request):
    payload = request.json()
    if "burn_millis" in payload:
        end = time.monotonic() + payload["burn_millis"] / 1e3
        while time.monotonic() < end:
            pass
    if "documents" in payload:
        return payload
    return {"result": f"You said: {payload.get('prompt', '')}"}


async def answer_on_the_loop(request: Request):
    return answer(request)


def event(number):
    value = {"type": "delta", "number": number, "text": "a few words, "}
    return f"data: {json.dumps(value)}\n\n"


def events(request: Request):
    def numbered(count):
        for number in range(count):
            yield event(number)

    return SSEResponse(numbered(request.json()["events"]))


async def events_on_the_loop(request: Request):
    async def numbered(count):
        for number in range(count):
            yield event(number)

    return SSEResponse(numbered(request.json()["events"]))


@app.get("/ping")
def ping():
    return {"status": "Healthy", "time_of_last_update": int(time.time())}


app.post("/invocations")(
    {
        "sync": answer,
        "async": answer_on_the_loop,
        "sync-generator": events,
        "async-generator": events_on_the_loop,
    }[os.environ["BENCH_HANDLER"]]
)

if __name__ == "__main__":
    app.start(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]))
