//! Tests of what an agent decides about a handshake, what the client is answered, and what is let go when it is over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::pending;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::duplex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_util::sync::CancellationToken;

use super::{Client, PIPE, STILL};
use crate::PingStatus;
use crate::agent::{Agent, AgentStatus, Body, BoxFuture, Invocation, Outcome};
use crate::failure::Failure;
use crate::limits::{Hold, Limits, after};
use crate::log::Captured;
use crate::routes::Routes;
use crate::settings::ServerSettings;
use crate::websocket::{self, Handshake, WebSocketError};

/// What an agent does with a handshake.
type Answer = fn(Handshake) -> Option<BoxFuture<'static, Result<(), Failure>>>;

/// An agent that knows WebSockets only.
struct Fixed(Answer);

impl Agent for Fixed {
    fn invoke(&self, _: Invocation) -> BoxFuture<'static, Outcome> {
        Box::pin(pending())
    }

    fn websocket(&self, handshake: Handshake) -> Option<BoxFuture<'static, Result<(), Failure>>> {
        (self.0)(handshake)
    }

    fn status(&self) -> AgentStatus {
        AgentStatus::Ready(PingStatus::Healthy)
    }
}

/// A server around an agent on one end of a pipe, and a client on the other.
struct Served {
    routes: Arc<Routes>,
    /// Told when nothing keeps the connection's place any more.
    let_go: Arc<Notify>,
    client: Result<Client, Error>,
    /// The headers of the answer that made it a WebSocket.
    accepted: HeaderMap,
}

impl Served {
    async fn by(answer: Answer) -> Self {
        let settings = ServerSettings::default();
        let routes = Routes::new(Arc::new(Fixed(answer)), settings, CancellationToken::new());
        let routes = Arc::new(routes);
        let let_go = Arc::new(Notify::new());
        let (near, far) = duplex(PIPE);
        tokio::spawn({
            let (routes, let_go) = (Arc::clone(&routes), Arc::clone(&let_go));
            let service = service_fn(move |request| {
                let hold = Hold::default().and(LetGo(Arc::clone(&let_go)));
                let deadline = after(Limits::default().invocation);
                let routes = Arc::clone(&routes);
                async move {
                    Ok::<_, Error>(websocket::answer(&routes, request, hold, deadline, None).await)
                }
            });
            http1::Builder::new()
                .serve_connection(TokioIo::new(far), service)
                .with_upgrades()
        });
        let answered = tokio_tungstenite::client_async("ws://agent/ws", near).await;
        let (client, accepted) = match answered {
            Ok((client, answer)) => (Ok(client), answer.into_parts().0.headers),
            Err(refused) => (Err(refused), HeaderMap::new()),
        };
        Self {
            routes,
            let_go,
            client,
            accepted,
        }
    }

    /// Waits until nothing is left of the connection.
    async fn is_over(&self) {
        self.let_go.notified().await;
        self.routes.upgraded.close();
        self.routes.upgraded.wait().await;
    }

    /// Returns status and body of the answer that was no WebSocket.
    fn refusal(&self) -> (StatusCode, String) {
        let Err(Error::Http(response)) = &self.client else {
            panic!("not refused: {:?}", self.client);
        };
        let body = response.body().clone().unwrap_or_default();
        (response.status(), String::from_utf8(body).unwrap())
    }
}

struct LetGo(Arc<Notify>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_refuses_by_word_by_failure_or_by_silence() {
    let table: [(Answer, u16, &str); 8] = [
        (|_| None, 404, "Not Found"),
        (
            |handshake| {
                handshake.refuse(StatusCode::UNAUTHORIZED);
                Some(Box::pin(async { Ok(()) }))
            },
            401,
            "",
        ),
        (
            |handshake| {
                handshake.refuse(StatusCode::OK);
                Some(Box::pin(pending()))
            },
            403,
            "",
        ),
        (|_| Some(Box::pin(pending())), 403, ""),
        (
            |handshake| {
                Some(Box::pin(async move {
                    let _undecided = handshake;
                    Err(Failure::internal("broke"))
                }))
            },
            403,
            "",
        ),
        (|_| panic!("on purpose"), 403, ""),
        (
            |handshake| {
                handshake.fail(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "full"));
                Some(Box::pin(async { Ok(()) }))
            },
            503,
            r#"{"error":"full"}"#,
        ),
        (
            |handshake| {
                Some(Box::pin(async move {
                    let _never_decides = handshake;
                    pending().await
                }))
            },
            504,
            r#"{"error":"the invocation took longer than its limit","error_type":"InvocationLimit"}"#,
        ),
    ];
    for (answer, status, body) in table {
        let served = Served::by(answer).await;
        let (told, text) = served.refusal();
        assert_eq!((told.as_u16(), text.as_str()), (status, body));
    }
}

#[tokio::test(start_paused = true)]
async fn a_protocol_that_was_not_offered_cannot_be_accepted() {
    let served = Served::by(|handshake| {
        Some(Box::pin(async move {
            let refused = handshake.accept(Some("chat")).await.unwrap_err();
            assert_eq!(refused, WebSocketError::ProtocolNotOffered);
            Ok(())
        }))
    })
    .await;
    assert_eq!(served.refusal(), (StatusCode::FORBIDDEN, String::new()));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_until_the_connection_is_over() {
    let mut served = Served::by(|handshake| {
        Some(Box::pin(async move {
            let mut socket = handshake.accept(None).await.unwrap();
            while socket.recv().await.is_some() {}
            Ok(())
        }))
    })
    .await;
    let kept = timeout(Duration::from_secs(10), served.let_go.notified()).await;
    assert!(kept.is_err(), "let go of an open connection");
    drop(std::mem::replace(
        &mut served.client,
        Err(Error::ConnectionClosed),
    ));
    served.is_over().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_accepts_in_time_gives_its_place_back() {
    let served = Served::by(|handshake| {
        Some(Box::pin(async move {
            let _undecided = handshake;
            pending().await
        }))
    })
    .await;
    assert_eq!(served.refusal().0, StatusCode::GATEWAY_TIMEOUT);
    let over = timeout(Duration::from_secs(10), served.is_over()).await;
    over.expect("the place and the work are let go");
}

#[tokio::test(start_paused = true)]
async fn an_agent_knows_by_when_it_has_to_decide() {
    let served = Served::by(|handshake| {
        Some(Box::pin(async move {
            let left = handshake.deadline().unwrap() - Instant::now();
            assert_eq!(left, Limits::default().invocation);
            handshake.refuse(StatusCode::IM_A_TEAPOT);
            Ok(())
        }))
    })
    .await;
    assert_eq!(served.refusal().0, StatusCode::IM_A_TEAPOT);
}

#[tokio::test(start_paused = true)]
async fn an_agent_adds_headers_to_the_answer_but_none_of_the_handshake() {
    let served = Served::by(|handshake| {
        Some(Box::pin(async move {
            let mut headers = HeaderMap::new();
            for (name, value) in [
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("connection", "close"),
                ("upgrade", "h2c"),
                ("content-length", "5"),
                ("transfer-encoding", "chunked"),
                ("sec-websocket-accept", "x"),
                ("sec-websocket-extensions", "permessage-deflate"),
                ("sec-websocket-protocol", "chat"),
            ] {
                headers.append(name, value.parse().unwrap());
            }
            let mut socket = handshake.accept_with(None, headers).await.unwrap();
            socket.send("hello").await.unwrap();
            Ok(())
        }))
    })
    .await;
    let mut client = served.client.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Frame::text("hello"));
    let names: Vec<_> = served.accepted.keys().map(HeaderName::as_str).collect();
    let mut names: Vec<_> = names.into_iter().filter(|name| *name != "date").collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "connection",
            "sec-websocket-accept",
            "set-cookie",
            "upgrade"
        ]
    );
    let cookies: Vec<_> = served.accepted.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_refuses_with_an_answer_of_its_own() {
    let served = Served::by(|handshake| {
        let body = Body::from("who are you?");
        let answer = Response::builder()
            .status(401)
            .header("x-own", "1")
            .body(body);
        handshake.refuse_with(answer.unwrap());
        Some(Box::pin(async { Ok(()) }))
    })
    .await;
    assert_eq!(
        served.refusal(),
        (StatusCode::UNAUTHORIZED, "who are you?".to_owned())
    );
    let Err(Error::Http(answer)) = &served.client else {
        panic!("not refused");
    };
    assert_eq!(answer.headers()["x-own"], "1");
    assert_eq!(answer.headers()["content-length"], "12");
    served.is_over().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_decision_cancels_the_work() {
    let settings = ServerSettings::default();
    let agent = Fixed(|handshake| {
        Some(Box::pin(async move {
            let _undecided = handshake;
            pending().await
        }))
    });
    let routes = Routes::new(Arc::new(agent), settings, CancellationToken::new());
    let mut request = Request::get("/ws")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let upgrade = hyper::upgrade::on(&mut request);
    request.extensions_mut().insert(upgrade);
    let let_go = Arc::new(Notify::new());
    let hold = Hold::default().and(LetGo(Arc::clone(&let_go)));
    let waiting = websocket::answer(&routes, request, hold, None, None);
    let waiting = timeout(STILL, waiting).await;
    assert!(waiting.is_err(), "nobody decides");
    let_go.notified().await;
    routes.upgraded.close();
    routes.upgraded.wait().await;
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_failures_and_not_that_a_client_left() {
    let captured = Captured::start();
    let gone = Served::by(|handshake| {
        Some(Box::pin(async move {
            let mut socket = handshake.accept(None).await.unwrap();
            while socket.recv().await.is_some() {}
            let unsent = socket.send("too late").await.unwrap_err();
            Err(Failure::from_typed(&unsent))
        }))
    })
    .await;
    drop(gone.client);
    gone.let_go.notified().await;
    let failed = Served::by(|handshake| {
        Some(Box::pin(async move {
            let _socket = handshake.accept(None).await.unwrap();
            Err(Failure::internal("broke").with_type("Broken"))
        }))
    })
    .await;
    let mut client = failed.client.unwrap();
    let Frame::Close(Some(frame)) = client.next().await.unwrap().unwrap() else {
        panic!("no close frame");
    };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1011, ""));
    assert!(client.next().await.is_none());
    failed.let_go.notified().await;
    let none = Served::by(|_| None).await;
    assert_eq!(none.refusal().0, 404);

    let lines: Vec<String> = captured
        .lines()
        .into_iter()
        .filter(|line| line.contains(r#""logger": "bedrock_agentcore.app""#))
        .map(|line| {
            let (head, ids) = line
                .split_once(r#", "logger": "bedrock_agentcore.app", "requestId": ""#)
                .unwrap();
            let (_, rest) = ids.split_once('"').unwrap();
            format!("{head}{rest}")
        })
        .collect();
    assert_eq!(
        lines,
        [
            r#""level": "DEBUG", "message": "WebSocket connection established"}"#,
            r#""level": "DEBUG", "message": "WebSocket disconnected", "code": 1006}"#,
            r#""level": "DEBUG", "message": "WebSocket connection established"}"#,
            r#""level": "DEBUG", "message": "WebSocket disconnected", "code": 1011}"#,
            r#""level": "ERROR", "message": "WebSocket handler failed", "errorType": "Broken", "errorMessage": "broke"}"#,
            r#""level": "ERROR", "message": "No WebSocket handler defined"}"#,
        ]
    );
}
