//! What a call looks like on both sides of the front door, and which callers are not let in.

use agentcore_local::Limits;
use futures_util::StreamExt;
use serde_json::json;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Running, SESSION, body_of, limits};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_gets_the_callers_headers_without_those_of_the_connection() {
    let door = Running::start().await;
    let request = door
        .post("/invocations?a=b%20c", "one", &json!({}))
        .header("x-amzn-bedrock-agentcore-runtime-custom-team", "blue")
        .header("authorization", "Bearer token")
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "1")
        .header("te", "trailers");
    let report = body_of(request.send().await.unwrap()).await;
    let headers = &report["headers"];
    assert_eq!(report["uri"], "/invocations?a=b%20c");
    assert_eq!(
        headers["x-amzn-bedrock-agentcore-runtime-custom-team"],
        "blue"
    );
    assert_eq!(headers["authorization"], "Bearer token");
    assert_eq!(headers["host"], "localhost");
    assert_eq!(headers[SESSION], "one");
    let id = headers["x-amzn-bedrock-agentcore-runtime-request-id"]
        .as_str()
        .unwrap();
    assert_eq!(id.len(), 36);
    for gone in ["x-hop", "te", "connection"] {
        assert!(headers.get(gone).is_none(), "{gone}");
    }
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_that_was_sent_is_kept() {
    let door = Running::start().await;
    let name = "x-amzn-bedrock-agentcore-runtime-request-id";
    let request = door
        .post("/invocations", "one", &json!({}))
        .header(name, "mine");
    let report = body_of(request.send().await.unwrap()).await;
    assert_eq!(report["headers"][name], "mine");
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_error_passes_as_it_is() {
    let door = Running::start().await;
    let response = door.call("one", json!({ "do": "fail" })).await;
    assert_eq!(response.status(), 422);
    assert_eq!(response.headers()["x-public"], "2");
    assert!(response.headers().get("x-private").is_none());
    assert_eq!(
        response.text().await.unwrap(),
        r#"{"error":"no","error_type":"ValueError"}"#
    );
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_front_door_answers_its_own_ping() {
    let door = Running::start().await;
    let response = door
        .client
        .get(format!("{}/ping", door.url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-agentcore-instance"], "instance-1");
    let body = body_of(response).await;
    assert_eq!(body["status"], "Healthy");
    assert!(body["time_of_last_update"].as_u64().unwrap() > 1_700_000_000);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_routes_and_methods_are_refused_in_json() {
    let door = Running::start().await;
    let get = |path: &str| door.client.get(format!("{}{path}", door.url)).send();
    let unknown = get("/elsewhere").await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(
        body_of(unknown).await["error"],
        "there is no `/elsewhere` here"
    );
    let wrong = get("/invocations").await.unwrap();
    assert_eq!(wrong.status(), 405);
    assert_eq!(
        body_of(wrong).await["error"],
        "`/invocations` does not take `GET`"
    );
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_from_elsewhere_are_not_let_in() {
    let door = Running::start().await;
    for (name, value, status) in [
        ("host", "example.com", 403),
        ("origin", "https://example.com", 403),
        ("origin", "null", 403),
        ("host", "localhost:1", 200),
        ("origin", "http://localhost:3000", 200),
    ] {
        for path in ["/ping", "/_agentcore/status"] {
            let request = door
                .client
                .get(format!("{}{path}", door.url))
                .header(name, value);
            assert_eq!(
                request.send().await.unwrap().status(),
                status,
                "{name}: {value}"
            );
        }
        let call = door
            .post("/invocations", "one", &json!({}))
            .header(name, value);
        assert_eq!(
            call.send().await.unwrap().status(),
            status,
            "{name}: {value}"
        );
    }
    assert_eq!(door.status().await.sandboxes[0].invocations, 2);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_payload_is_streamed_to_the_agent() {
    let door = Running::start().await;
    let chunk = bytes::Bytes::from(vec![b'x'; 1_000_000]);
    let chunks =
        futures_util::stream::iter(0..60).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
    let request = door
        .post("/invocations", "one", &json!({}))
        .header("x-test", "upload");
    let request = request.body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(
        body_of(request.send().await.unwrap()).await["length"],
        60_000_000
    );
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_beyond_the_limit_is_refused() {
    let door = Running::start().await;
    let too_much = || vec![b'x'; 100_000_001];
    let post = |path| {
        door.post(path, "one", &json!({}))
            .header("x-test", "upload")
    };
    // Said in advance, and found on the way.
    let known = post("/invocations").body(too_much()).send().await;
    let parts = too_much()
        .chunks(1_000_000)
        .map(<[u8]>::to_vec)
        .collect::<Vec<_>>();
    let parts = futures_util::stream::iter(parts).map(Ok::<_, std::io::Error>);
    let unknown = post("/invocations")
        .body(reqwest::Body::wrap_stream(parts))
        .send()
        .await;
    for response in [known, unknown] {
        let response = response.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(
            body_of(response).await["error"],
            "the payload is larger than 100 MB"
        );
    }
    assert_eq!(door.status().await.sandboxes[0].open, 0);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_refused_may_finish_its_payload_first() {
    let none = Limits {
        max_sandboxes: 0,
        ..limits()
    };
    let door = Running::limited(none).await;
    let request = door.post("/invocations", "one", &json!({}));
    let response = request.body(vec![b'x'; 50_000_000]).send().await.unwrap();
    assert_eq!(response.status(), 429);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_breaks_off_is_the_callers_fault() {
    let door = Running::start().await;
    let address = door.url.strip_prefix("http://").unwrap().to_owned();
    let mut caller = TcpStream::connect(address).await.unwrap();
    let head =
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let malformed = "2\r\n{}\r\nno length\r\n";
    caller.write_all(head.as_bytes()).await.unwrap();
    caller.write_all(malformed.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, caller.read_to_end(&mut answer)).await;
    read.expect("the connection to end").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("the payload breaks off"), "{answer}");
    door.end().await;
}
