//! A WebSocket between its client and a handler in the worker: the decision, the messages both ways, the end.
//!
//! Messages wait in bounded numbers on both sides: the worker says what its handler has taken, and gets credit for what the
//! client has.

use agentcore_runtime::{CloseReason, Failure, Handshake, StatusCode, WebSocket};

use super::failures;
use super::mux::LoopCall;
use crate::wire::from_worker::{Close, Reply};
use crate::wire::to_worker::{self, MAX_UNTAKEN};

/// Lets the worker decide about a connection and handle it, to its end.
pub(super) async fn serve(mut call: LoopCall, handshake: Handshake) -> Result<(), Failure> {
    let accepted = match call.reply().await {
        Ok(Reply::Accept(accepted)) => accepted,
        Ok(Reply::Response(head, _)) => {
            let status = StatusCode::from_u16(head.status).unwrap_or(StatusCode::FORBIDDEN);
            handshake.refuse(status);
            return Ok(());
        }
        Ok(Reply::Close(_)) => {
            handshake.refuse(StatusCode::FORBIDDEN);
            return Ok(());
        }
        Ok(Reply::Error(error)) => {
            handshake.fail(failures::of_the_agent(error));
            return Ok(());
        }
        Ok(_) => {
            handshake.fail(misplaced());
            return Ok(());
        }
        Err(failure) => {
            handshake.fail(failure);
            return Ok(());
        }
    };
    match handshake.accept(accepted.subprotocol.as_deref()).await {
        Ok(socket) => relay(&mut call, socket).await,
        // The client left before it was there, or the agent chose a protocol that nobody offered: dropping the call tells it.
        Err(_) => Ok(()),
    }
}

async fn relay(call: &mut LoopCall, mut socket: WebSocket) -> Result<(), Failure> {
    let mut untaken = 0;
    let mut is_open = true;
    loop {
        tokio::select! {
            reply = call.reply() => match reply? {
                Reply::Message(message) => {
                    call.took_one();
                    // To a client that has gone; the other branch finds out how.
                    let _ = socket.send(message).await;
                }
                Reply::Taken(count) => untaken = u32::saturating_sub(untaken, count),
                Reply::Close(Close { code, reason }) => {
                    return match socket.close(code, reason).await {
                        Err(error) if socket.close_reason().is_none() => {
                            Err(failures::of_the_protocol(&error.to_string()))
                        }
                        _ => Ok(()),
                    };
                }
                Reply::Error(error) => return Err(failures::of_the_agent(error)),
                _ => return Err(misplaced()),
            },
            message = socket.recv(), if is_open && untaken < MAX_UNTAKEN => {
                if let Some(message) = message {
                    untaken += 1;
                    call.tell(|id, out| to_worker::message(id, &message, out));
                } else {
                    is_open = false;
                    let (code, reason) = match socket.close_reason() {
                        Some(CloseReason { code, reason, .. }) => (*code, reason.as_str()),
                        None => (LOST, ""),
                    };
                    call.tell(|id, out| to_worker::disconnect(id, code, reason, out));
                }
            }
        }
    }
}

/// The code of a connection that ended without one.
const LOST: u16 = 1006;

fn misplaced() -> Failure {
    failures::of_the_protocol("an answer that does not belong to a WebSocket")
}
