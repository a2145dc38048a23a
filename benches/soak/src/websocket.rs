//! One WebSocket: the agent says where it arrived, echoes what is sent, and ends as the plan says.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::Failure;
use crate::ask::Went;
use crate::plan::{Ask, SocketEnd};

/// Talks over a new connection.
pub(crate) async fn talk(
    stream: TcpStream,
    ask: &Ask,
    messages: u64,
    end: SocketEnd,
) -> Result<Went, Failure> {
    let mut request = format!("ws://{}/ws", stream.peer_addr()?).into_client_request()?;
    if let Some(session) = &ask.session {
        let name = "x-amzn-bedrock-agentcore-runtime-session-id";
        let value = HeaderValue::from_str(session)?;
        request.headers_mut().insert(name, value);
    }
    let (mut socket, _) = client_async(request, stream).await?;
    let first: Value = serde_json::from_str(read(&mut socket).await?.to_text()?)?;
    if first != json!({ "session": ask.session }) {
        return Err(format!("a WebSocket of {:?} arrived in {first}", ask.session).into());
    }
    for number in 0..messages {
        let text = format!("{} of {}", number, ask.nonce);
        let message = match number % 2 {
            0 => Message::text(text),
            _ => Message::binary(Bytes::from(text)),
        };
        socket.send(message.clone()).await?;
        let echo = read(&mut socket).await?;
        if echo != message {
            return Err(format!("the echo of {message:?} is {echo:?}").into());
        }
    }
    let code = match end {
        SocketEnd::Vanishes => return Ok(Went::Left),
        SocketEnd::Closes => {
            socket.close(None).await?;
            None
        }
        SocketEnd::Fails => {
            socket.send(Message::text("fail")).await?;
            Some(CloseCode::Error)
        }
        SocketEnd::Panics => {
            socket.send(Message::text("panic")).await?;
            Some(CloseCode::Error)
        }
    };
    ended(&mut socket, code).await
}

async fn read(socket: &mut WebSocketStream<TcpStream>) -> Result<Message, Failure> {
    match socket.next().await {
        Some(message) => Ok(message?),
        None => Err("a WebSocket ended early".into()),
    }
}

/// Reads to the end, which the agent has to say in order.
async fn ended(
    socket: &mut WebSocketStream<TcpStream>,
    expected: Option<CloseCode>,
) -> Result<Went, Failure> {
    let mut closed = false;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Close(frame)
                if expected.is_none_or(|it| frame.as_ref().is_some_and(|f| f.code == it)) =>
            {
                closed = true;
            }
            message => return Err(format!("a WebSocket said {message:?} at its end").into()),
        }
    }
    if closed {
        Ok(Went::Answered)
    } else {
        Err("a WebSocket ended without a close frame".into())
    }
}
