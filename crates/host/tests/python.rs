//! Real Python agents on the native engine, over HTTP: the embedded package in a worker process.

use std::fs;
use std::time::Duration;

use agentcore_host::ServeError;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::eventually;
use crate::support::served::Served;

const HEAD: &str = "import os, time, asyncio\nfrom bedrock_agentcore import BedrockAgentCoreApp\napp = BedrockAgentCoreApp()\n";

fn agent(rest: &str) -> String {
    format!("{HEAD}{rest}")
}

#[tokio::test]
async fn every_kind_of_entrypoint_answers() {
    for (entrypoint, expected) in [
        (
            "def main(payload):\n    return {'said': payload['prompt']}",
            r#"{"said": "hé"}"#,
        ),
        (
            "async def main(payload):\n    await asyncio.sleep(0)\n    return [payload['prompt']]",
            r#"["hé"]"#,
        ),
        (
            "def main(payload):\n    yield 1\n    yield payload",
            "data: 1\n\ndata: {\"prompt\": \"hé\"}\n\n",
        ),
        (
            "async def main(payload):\n    yield 'a'\n    yield None",
            "data: \"a\"\n\ndata: null\n\n",
        ),
        (
            "def main(payload):\n    def events():\n        yield payload['prompt']\n    return events()",
            "data: \"hé\"\n\n",
        ),
        (
            "async def main(payload, context):\n    async def events():\n        yield context.session_id\n    return events()",
            "data: null\n\n",
        ),
    ] {
        let served = Served::start(&agent(&format!("@app.entrypoint\n{entrypoint}\n")));
        let response = served.post(r#"{"prompt": "hé"}"#).await;
        assert_eq!(response.status(), 200, "{entrypoint}");
        assert_eq!(response.text().await.unwrap(), expected, "{entrypoint}");
        served.end().await.unwrap();
    }
}

#[tokio::test]
async fn errors_of_the_body_and_of_the_agent_have_their_status() {
    let served = Served::start(&agent(
        "@app.entrypoint\ndef main(payload):\n    raise ValueError('not ' + payload)\n",
    ));
    assert_eq!(
        served.ask(json!("today")).await,
        (
            500,
            json!({"error": "not today", "error_type": "ValueError"})
        )
    );
    let (status, body) = (
        served.post("{").await.status(),
        served.post("").await.text().await.unwrap(),
    );
    assert_eq!(status, 400);
    assert_eq!(
        body,
        r#"{"error":"Invalid JSON","details":"Expecting value: line 1 column 1 (char 0)"}"#
    );
    served.end().await.unwrap();
}

#[tokio::test]
async fn until_the_agent_has_loaded_pings_say_so_and_calls_wait() {
    let served = Served::start(&agent(
        "while not os.path.exists(os.path.join(os.path.dirname(__file__), 'go')):\n    time.sleep(0.01)\n\
         @app.entrypoint\ndef main(payload):\n    return payload\n",
    ));
    served.bound().await;
    assert_eq!(served.ping().await, (503, json!({"status": "Starting"})));
    let waiting = served.ask(json!(7));
    let go = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        fs::write(served.folder.path().join("go"), "").unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, go);
    assert_eq!(answer, (200, json!(7)));
    let (status, body) = served.ping().await;
    assert_eq!((status, &body["status"]), (200, &json!("Healthy")));
    served.end().await.unwrap();
}

#[tokio::test]
async fn an_agent_that_does_not_load_ends_the_server_with_the_tracebacks_last_line() {
    for (code, expected) in [
        (
            &*agent("time.sleep(0.5)\nimport nothing_of_this_name\n"),
            "ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        (&*agent("time.sleep(0.5)\nos._exit(5)\n"), "exit status 5"),
        (
            &*agent("time.sleep(0.5)\nos.kill(os.getpid(), 11)\n"),
            "signal 11 (SIGSEGV)",
        ),
    ] {
        let served = Served::start(code);
        // It waits, and gets the reason.
        let (status, body) = served.ask(json!({})).await;
        let text = format!("the agent could not be loaded: {expected}");
        assert_eq!(
            (status, body),
            (500, json!({"error": text, "error_type": "LoadFailed"}))
        );
        match timeout(Duration::from_secs(20), served.serving)
            .await
            .unwrap()
            .unwrap()
        {
            Err(ServeError::Load { reason }) => assert_eq!(reason, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_costs_its_calls_and_no_more() {
    for function in ["def", "async def"] {
        let served = Served::start(&agent(&format!(
            "@app.entrypoint\n{function} main(payload):\n    if payload == 'die':\n        os.kill(os.getpid(), 9)\n    return os.getpid()\n",
        )));
        let (_, first) = served.ask(json!("pid")).await;
        let died = json!({
            "error": "the agent's worker process ended: signal 9 (SIGKILL)",
            "error_type": "WorkerDied",
        });
        assert_eq!(served.ask(json!("die")).await, (500, died));
        let (status, second) = served.ask(json!("pid")).await;
        assert_eq!(status, 200);
        assert_ne!(first, second);
        served.end().await.unwrap();
    }
}

#[tokio::test]
async fn pings_answer_while_the_agent_holds_every_thread() {
    let served = Served::start(&agent(
        "@app.entrypoint\nasync def main(payload):\n    time.sleep(1.5)\n    return 1\n",
    ));
    served.ask(json!(0)).await;
    let begin = std::time::Instant::now();
    let blocked = served.ask(json!(1));
    let pings = async {
        for _ in 0..20 {
            assert_eq!(served.ping().await.0, 200);
        }
        begin.elapsed()
    };
    let (_, pinged) = tokio::join!(blocked, pings);
    assert!(
        pinged < Duration::from_secs(1),
        "twenty pings took {pinged:?}"
    );
    served.end().await.unwrap();
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_stream() {
    for function in ["def", "async def"] {
        let wait = if function == "def" {
            "time.sleep"
        } else {
            "await asyncio.sleep"
        };
        let served = Served::start(&agent(&format!(
            "gone = os.path.join(os.path.dirname(__file__), 'gone')\n\
             @app.entrypoint\n{function} main(payload):\n    try:\n        while True:\n            yield 1\n            {wait}(0.01)\n    finally:\n        open(gone, 'w').close()\n",
        )));
        let mut response = served.post("{}").await;
        assert_eq!(response.chunk().await.unwrap().unwrap(), "data: 1\n\n");
        drop(response);
        let gone = served.folder.path().join("gone");
        eventually(async || gone.exists()).await;
        served.end().await.unwrap();
    }
}

#[tokio::test]
async fn work_in_the_background_is_seen_in_the_ping() {
    let served = Served::start(&agent(
        "@app.entrypoint\ndef main(payload):\n    if payload == 'add':\n        return app.add_async_task('work')\n    return app.complete_async_task(payload)\n",
    ));
    let (_, task) = served.ask(json!("add")).await;
    eventually(async || served.ping().await.1["status"] == "HealthyBusy").await;
    served.ask(task).await;
    eventually(async || served.ping().await.1["status"] == "Healthy").await;
    served.end().await.unwrap();
}

#[tokio::test]
async fn the_named_app_is_served() {
    let code = "from bedrock_agentcore import BedrockAgentCoreApp\nfirst, second = BedrockAgentCoreApp(), BedrockAgentCoreApp()\n\
                first.entrypoint(lambda payload: 'first')\nsecond.entrypoint(lambda payload: 'second')\n";
    for name in ["first", "second"] {
        let served = Served::start_as(code, Some(name));
        assert_eq!(served.ask(json!({})).await, (200, json!(name)));
        served.end().await.unwrap();
    }
}

const OWN_ROUTES: &str = r#"
from bedrock_agentcore import BedrockAgentCoreApp


class Wrapped(BedrockAgentCoreApp):
    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"] == "/own":
            text = f"{scope['method']} {scope['query_string'].decode()} {scope['client'][0]}".encode()
            headers = [(b"content-length", b"%d" % (len(text) * 2)), (b"x-own", b"1")]
            await send({"type": "http.response.start", "status": 203, "headers": headers})
            await send({"type": "http.response.body", "body": text, "more_body": True})
            await send({"type": "http.response.body", "body": text})
        else:
            await super().__call__(scope, receive, send)


app = Wrapped()


@app.entrypoint
def main(payload, context):
    return [payload, context.session_id]
"#;

#[tokio::test]
async fn an_app_with_routes_of_its_own_gets_every_request_but_pings() {
    let agent = Served::start(OWN_ROUTES);
    let answer = agent.ask_in("s-1", json!({"a": 1})).await;
    assert_eq!(answer, (200, json!([{"a": 1}, "s-1"])));
    let own = agent.client.put(format!("{}/own?a=1", agent.url));
    let own = own.send().await.unwrap();
    assert_eq!(own.status(), 203);
    assert_eq!(
        (&own.headers()["x-own"], own.content_length()),
        (&"1".parse().unwrap(), Some(34))
    );
    let text = "PUT a=1 127.0.0.1";
    assert_eq!(own.text().await.unwrap(), format!("{text}{text}"));
    let other = agent.client.get(format!("{}/other", agent.url));
    assert_eq!(other.send().await.unwrap().status(), 404);
    assert_eq!(agent.ping().await.1["status"], "Healthy");
}

#[tokio::test]
async fn while_an_app_loads_requests_on_its_own_routes_wait() {
    let wait = "import os, time\nwhile not os.path.exists(os.path.join(os.path.dirname(__file__), 'go')):\n    time.sleep(0.01)\n";
    let plain = agent("@app.entrypoint\ndef main(payload):\n    return payload\n");
    for (code, statuses) in [(OWN_ROUTES, (203, 404)), (&*plain, (404, 404))] {
        let agent = Served::start(&format!("{wait}{code}"));
        agent.bound().await;
        let asked = |path| {
            let request = agent.client.put(format!("{}{path}", agent.url));
            tokio::spawn(request.send())
        };
        let (own, other) = (asked("/own?a=1"), asked("/other"));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!own.is_finished() && !other.is_finished());
        fs::write(agent.folder.path().join("go"), "").unwrap();
        let (own, other) = (own.await.unwrap().unwrap(), other.await.unwrap().unwrap());
        assert_eq!((own.status().as_u16(), other.status().as_u16()), statuses);
        agent.end().await.unwrap();
    }
}

#[tokio::test]
async fn a_websocket_reaches_its_handler() {
    let agent = Served::start(
        "from bedrock_agentcore import BedrockAgentCoreApp\napp = BedrockAgentCoreApp()\n@app.websocket\n\
         async def talk(websocket, context):\n    await websocket.accept()\n    \
         text = await websocket.receive_text()\n    await websocket.send_text(f'{text} {context.session_id}')\n\
         @app.entrypoint\ndef main(payload):\n    return payload\n",
    );
    agent.bound().await;
    let address = agent.url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                x-amzn-bedrock-agentcore-runtime-session-id: s-2\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    // A text of two bytes, with a mask of zeros.
    socket.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(30), async {
        while !answer.ends_with(b"\x88\x02\x03\xe8") {
            assert!(socket.read_buf(&mut answer).await.unwrap() > 0);
        }
    })
    .await
    .unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    let text = answer.windows(8).any(|it| it == b"\x81\x06hi s-2");
    assert!(text, "{}", String::from_utf8_lossy(&answer));
}
