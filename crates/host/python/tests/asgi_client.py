"""The other side of ASGI, for tests: asks an application in this process, without a server and without packages."""

import asyncio
import json

import support  # noqa: F401

PATIENCE = 10


class Client:
    """One request, or one WebSocket connection: what the server says to the application, and what it hears."""

    def __init__(self, app, kind="http", method="POST", target="/invocations", headers=(), **scope):
        path, _, query = target.partition("?")
        self.scope = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "http" if kind == "http" else "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in (("host", "h"), *headers)],
            "client": ("10.0.0.1", 5000),
            "server": ("127.0.0.1", 8080),
            "method": method,
            **scope,
        }
        self.incoming = asyncio.Queue()
        self.outgoing = asyncio.Queue()
        self.task = asyncio.ensure_future(self._run(app))

    async def _run(self, app):
        try:
            await app(self.scope, self.incoming.get, self.outgoing.put)
        finally:
            self.outgoing.put_nowait(None)

    def say(self, **message):
        self.incoming.put_nowait(message)

    async def hear(self):
        """Returns the next message; `None` when the application has returned."""
        return await asyncio.wait_for(self.outgoing.get(), PATIENCE)

    async def all(self):
        """Returns every message there is, and raises what the application has raised."""
        messages = []
        while (message := await self.hear()) is not None:
            messages.append(message)
        await self.task
        return messages


async def fetch(app, payload=None, body=None, **options):
    """Asks, and returns status, headers and body of the answer."""
    client = Client(app, **options)
    body = json.dumps(payload).encode() if body is None else body
    client.say(type="http.request", body=body[:2], more_body=True)
    client.say(type="http.request", body=body[2:], more_body=False)
    start, *parts = await client.all()
    headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return start["status"], headers, b"".join(part.get("body", b"") for part in parts)


def run(coroutine):
    """Runs a test that is a coroutine."""
    return asyncio.run(asyncio.wait_for(coroutine, 60))
