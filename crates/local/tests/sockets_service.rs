//! WebSockets at the managed service's URL.

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::socket_support::{LONG, STATUS, about, by_arn, end_of, next, refusal};
use crate::support::{ARN, Running, SESSION, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn the_services_url_reaches_the_same_session_and_takes_headers_from_the_query() {
    let door = Running::start().await;
    let pid = door.pid(LONG).await;
    let query = format!(
        "qualifier=DEFAULT&X-Amz-Signature=1&X-Amzn-Bedrock-AgentCore-Runtime-Session-Id={LONG}\
         &X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team=blue"
    );
    let headers = [
        ("authorization", "AWS4-HMAC-SHA256 Credential=…"),
        ("x-amz-security-token", "secret"),
    ];
    let path = format!("{}?{query}", by_arn(ARN));
    let (mut socket, response) = door.try_socket(&path, &headers).await.unwrap();
    assert_eq!(response.headers()[SESSION], LONG);
    assert!(response.headers().contains_key("x-amzn-requestid"));
    let about = about(&mut socket).await;
    assert_eq!(about["pid"], pid);
    assert_eq!(about["uri"], "/ws");
    let seen = &about["headers"];
    assert_eq!(seen["x-amzn-bedrock-agentcore-runtime-custom-team"], "blue");
    for hidden in ["authorization", "x-amz-security-token"] {
        assert!(seen.get(hidden).is_none(), "{hidden}");
    }
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_token_reaches_the_agent_as_a_header() {
    let door = Running::start().await;
    let offered = "base64UrlBearerAuthorization.YS5iLmM, base64UrlBearerAuthorization";
    let headers = [(SESSION, LONG), ("sec-websocket-protocol", offered)];
    let (mut socket, response) = door.try_socket(&by_arn(ARN), &headers).await.unwrap();
    assert_eq!(
        response.headers()["sec-websocket-protocol"],
        "base64UrlBearerAuthorization"
    );
    let seen = &about(&mut socket).await["headers"];
    assert_eq!(seen["authorization"], "Bearer a.b.c");
    assert!(seen.get("sec-websocket-protocol").is_none());
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_rules_hold_before_the_upgrade() {
    let door = Running::start().await;
    let other = ARN.replace("my_agent", "other");
    for (arn, session, status, error_type) in [
        (ARN, "short", 400, "ValidationException"),
        (other.as_str(), LONG, 404, "ResourceNotFoundException"),
        ("arn:aws:s3:::bucket", LONG, 400, "ValidationException"),
    ] {
        let (found, headers, body) = refusal(&door, &by_arn(arn), &[(SESSION, session)]).await;
        assert_eq!(found, status, "{arn} {session}");
        assert_eq!(headers["x-amzn-errortype"], error_type);
        assert!(body["message"].is_string());
    }
    let headers = [(SESSION, LONG), (STATUS, "403")];
    let (status, headers, body) = refusal(&door, &by_arn(ARN), &headers).await;
    assert_eq!(status, 424);
    assert_eq!(headers["x-amzn-errortype"], "RuntimeClientError");
    assert_eq!(headers[SESSION], LONG);
    assert_eq!(body["runtime_status"], 403);
    assert_eq!(body["runtime_error"], json!({ "error": "not you" }));
    let url = format!("{}{}", door.url, by_arn(ARN));
    let plain = door.client.get(&url).send().await.unwrap();
    assert_eq!(plain.status(), 400);
    let post = door.client.post(&url).send().await.unwrap();
    assert_eq!(post.status(), 405);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_limits_on_frames_hold_at_its_url_alone() {
    let door = Running::start().await;
    let open = async || {
        let opened = door.try_socket(&by_arn(ARN), &[(SESSION, LONG)]).await;
        opened.unwrap().0
    };
    let mut socket = open().await;
    let largest = Message::binary(vec![7; 65_536]);
    socket.send(largest.clone()).await.unwrap();
    assert!(next(&mut socket).await == largest);
    let too_large = Message::binary(vec![7; 65_537]);
    socket.send(too_large.clone()).await.unwrap();
    let end = end_of(&mut socket).await.unwrap();
    assert_eq!(end, (1009, "a frame may have 65536 bytes".to_owned()));

    let mut socket = open().await;
    for _ in 0..1_000 {
        // It may be closed before all are sent.
        let _ = socket.feed(Message::text("quick")).await;
    }
    let _ = socket.flush().await;
    assert_eq!(end_of(&mut socket).await.unwrap().0, 1008);

    let mut socket = door.socket(LONG).await;
    socket.send(too_large.clone()).await.unwrap();
    assert!(next(&mut socket).await == too_large);
    let closed = door.file("hung up");
    eventually("the agent learns of it", || closed.exists()).await;
    door.end().await;
}
