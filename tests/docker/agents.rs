//! Agents for tests with containers.

/// Runs the script that it is sent and answers with the `result` that it leaves; `state` lives as long as the sandbox.
pub(crate) const OBEDIENT: &str = r#"
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
state = {}

@app.entrypoint
def invoke(payload, context):
    scope = {"state": state, "context": context}
    exec(payload["run"], scope)
    return {"result": scope.get("result")}

app.run()
"#;

/// Answers in all the ways that an agent can answer.
pub(crate) const VARIED: &str = r#"
import asyncio, base64, datetime
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
calls = 0

async def stream(payload):
    yield "one"
    yield {"n": 2, "s": "a b"}
    if payload.get("fail"):
        raise ValueError("no more")
    yield "drei, \N{SNOWMAN}"

@app.entrypoint
async def invoke(payload, context):
    global calls
    calls += 1
    match = payload.get("want") if isinstance(payload, dict) else "echo"
    print("wanted", match, flush=True)
    if match == "stream":
        return stream(payload)
    if match == "error":
        raise RuntimeError("the model is away")
    if match == "calls":
        return {"calls": calls, "session": context.session_id}
    if match == "text":
        return "just text, \N{SNOWMAN}"
    if match == "nothing":
        return None
    if match == "bytes":
        return {"bytes": b"\x00\xff", "when": datetime.date(2026, 1, 2), "big": 2 ** 80, "float": 1e22}
    if match == "large":
        return "x" * 1_000_000
    if match == "late":
        await asyncio.sleep(0.2)
    return {"echo": payload}

app.run()
"#;

/// An agent that is no more than an HTTP server: no package of ours or of AWS is needed. Ports and hosts come from its
/// environment.
pub(crate) const PLAIN_SERVER: &str = r#"
import http.server, json, os

class Agent(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        payload = json.loads(self.rfile.read(int(self.headers["content-length"])))
        names = ["AGENTCORE_LISTEN", "DOCKER_CONTAINER", "GIVEN"]
        found = {name: os.environ[name] for name in names if name in os.environ}
        self.answer({"prompt": payload.get("prompt"), "uid": os.getuid(), "environment": found})

    def log_message(self, *args):
        pass

host = os.environ.get("BIND", "0.0.0.0")
port = int(os.environ.get("BIND_PORT", "8080"))
print("listening on", host, port, flush=True)
http.server.ThreadingHTTPServer((host, port), Agent).serve_forever()
"#;

/// The image of such an agent.
pub(crate) const PLAIN_DOCKERFILE: &str =
    "FROM [BASE]\nWORKDIR /srv\nCOPY agent.py .\nEXPOSE 8080\nCMD [\"python3\", \"agent.py\"]\n";
