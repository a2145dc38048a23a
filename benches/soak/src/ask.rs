//! One request over a connection: sends it, leaves where the plan says, or reads the answer to its end.

use std::net::SocketAddr;

use crate::Failure;
use crate::check;
use crate::client::Client;
use crate::plan::{Ask, Leave, Moment, Work};
use crate::tally::Tally;
use crate::websocket;

/// How a request went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Went {
    /// The answer came whole and is right.
    Answered,
    /// The caller left.
    Left,
}

/// Carries out one request. `connection` is opened if it is not there, and taken away if it cannot be used again.
pub(crate) async fn carry_out(
    ask: &Ask,
    address: SocketAddr,
    connection: &mut Option<Client>,
    tally: &Tally,
) -> Result<Went, Failure> {
    if let Work::WebSocket { messages, end } = ask.work {
        let client = Client::open(address).await?;
        return websocket::talk(client.into_stream(), ask, messages, end).await;
    }
    // Taken, so that a connection on which something went wrong is not used again.
    let mut client = match connection.take() {
        Some(client) => client,
        None => Client::open(address).await?,
    };
    let (head, body) = request(ask, address);
    match ask.leave {
        Some(Leave {
            at: Moment::MidHead,
            reset,
        }) => {
            client.send(&head[..head.len() / 2]).await?;
            client.leave(reset)?;
            return Ok(Went::Left);
        }
        Some(Leave {
            at: Moment::MidBody,
            reset,
        }) => {
            client.send(&head).await?;
            client.send(&body[..body.len() / 2]).await?;
            client.leave(reset)?;
            return Ok(Went::Left);
        }
        _ => client.send(&[head, body].concat()).await?,
    }
    let went = match (&ask.work, ask.leave) {
        (
            _,
            Some(Leave {
                at: Moment::BeforeAnswer,
                reset,
            }),
        ) => {
            client.leave(reset)?;
            return Ok(Went::Left);
        }
        (Work::Stream { events, end }, leave) => {
            let left_after = leave.and_then(|Leave { at, reset }| match at {
                Moment::AfterEvents(count) => Some((count, reset)),
                _ => None,
            });
            let head = client.head().await?;
            let mut events = check::Events::new(ask, &head, *events, *end)?;
            match read(&mut client, &mut events, left_after.map(|(count, _)| count)).await? {
                Went::Left => {
                    client.leave(left_after.is_some_and(|(_, reset)| reset))?;
                    return Ok(Went::Left);
                }
                Went::Answered => Went::Answered,
            }
        }
        (_, _) => {
            let head = client.head().await?;
            let body = client.body(&head).await?;
            check::answer(ask, &head, &body, tally)?;
            Went::Answered
        }
    };
    *connection = Some(client);
    Ok(went)
}

/// Reads events to the end of the stream, or only so many.
async fn read(
    client: &mut Client,
    events: &mut check::Events,
    left_after: Option<u64>,
) -> Result<Went, Failure> {
    loop {
        loop {
            if left_after == Some(events.count()) {
                return Ok(Went::Left);
            }
            if !events.next()? {
                break;
            }
        }
        match client.chunk().await? {
            Some(chunk) => events.push(&chunk),
            None => return events.finish().map(|()| Went::Answered),
        }
    }
}

/// Head and body of the request.
fn request(ask: &Ask, address: SocketAddr) -> (Vec<u8>, Vec<u8>) {
    let body = ask.payload().to_string().into_bytes();
    let path = match ask.work {
        Work::Plain => "/plain/invocations",
        _ => "/invocations",
    };
    let session = match &ask.session {
        Some(session) => format!("x-amzn-bedrock-agentcore-runtime-session-id: {session}\r\n"),
        None => String::new(),
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         x-amzn-bedrock-agentcore-runtime-request-id: request-{}\r\n{session}\r\n",
        body.len(),
        ask.nonce
    );
    (head.into_bytes(), body)
}

/// Opens a stream and reads its first event.
pub(crate) async fn open_stream(ask: &Ask, address: SocketAddr) -> Result<Client, Failure> {
    let mut client = Client::open(address).await?;
    let (head, body) = request(ask, address);
    client.send(&[head, body].concat()).await?;
    let head = client.head().await?;
    match client.chunk().await? {
        Some(_) if head.status == 200 => Ok(client),
        _ => Err(format!("a stream begins with {head:?}").into()),
    }
}
