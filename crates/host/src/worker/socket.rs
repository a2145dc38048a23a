//! A WebSocket between its client and a handler in the worker: the decision, the messages both ways, the end.
//!
//! What waits is bounded on both sides: what the client has sent by its bytes, until the worker says that its handler has taken
//! it, and what the handler sends by the credit that it gets for what the client has taken. Neither way waits for the other.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use agentcore_runtime::{
    Body, CloseReason, Failure, Handshake, Message, StatusCode, WebSocket, WebSocketError,
};
use futures_util::{SinkExt, StreamExt};
use http::Response;

use super::call::Call;
use super::failures;
use super::mux::LoopCall;
use crate::wire::from_worker::{Accepted, Close, Reply};
use crate::wire::to_worker::{self, ENOUGH_UNTAKEN, MESSAGE_OVERHEAD};

/// The code of a connection that ended without one.
const LOST: u16 = 1006;

/// Lets the worker decide about a connection and handle it, to its end.
pub(crate) async fn serve(mut call: LoopCall, handshake: Handshake) -> Result<(), Failure> {
    match call.reply().await {
        Ok(Reply::Accept(accepted)) => return accept(call, accepted, handshake).await,
        Ok(Reply::Close(_)) => handshake.refuse(StatusCode::FORBIDDEN),
        Ok(Reply::Response(head, body)) => {
            refuse(handshake, failures::response(head, Body::from(body)));
        }
        Ok(Reply::Head(head)) => refuse(handshake, Call::Loop(call).into_response(head)),
        Ok(Reply::Error(error)) => handshake.fail(failures::of_the_agent(error)),
        Ok(_) => handshake.fail(misplaced()),
        Err(failure) => handshake.fail(failure),
    }
    Ok(())
}

/// Refuses with what the agent has made.
fn refuse(handshake: Handshake, answer: Result<Response<Body>, Failure>) {
    match answer {
        Ok(response) => handshake.refuse_with(response),
        Err(failure) => handshake.fail(failure),
    }
}

async fn accept(call: LoopCall, accepted: Accepted, handshake: Handshake) -> Result<(), Failure> {
    let Accepted {
        subprotocol,
        headers,
    } = accepted;
    let headers = match failures::header_map(headers) {
        Ok(headers) => headers,
        Err(failure) => {
            handshake.fail(failure);
            return Ok(());
        }
    };
    match handshake.accept_with(subprotocol.as_deref(), headers).await {
        Ok(socket) => Relay::new(call, socket).run().await,
        // The client left before it was there, or the agent chose a protocol that nobody offered: dropping the call tells it.
        Err(_) => Ok(()),
    }
}

/// An open connection between its client and its handler.
struct Relay {
    call: LoopCall,
    socket: WebSocket,
    untaken: Untaken,
    /// What the client has not taken yet of what the handler has sent: no more than its credit.
    outgoing: VecDeque<Message>,
    /// How the handler has ended, if it has.
    last: Option<Result<Close, Failure>>,
    /// The handler has not been told yet that the client has left.
    is_open: bool,
    /// Takes turns, so that neither way holds up the other.
    writes_first: bool,
}

/// What happened on the connection.
enum Event {
    /// The client has sent a message; `None` if it has left.
    Came(Option<Message>),
    /// There is room for a message to the client, or nobody there to read it.
    Room(Result<(), WebSocketError>),
}

impl Relay {
    fn new(call: LoopCall, socket: WebSocket) -> Self {
        Self {
            call,
            socket,
            untaken: Untaken::default(),
            outgoing: VecDeque::new(),
            last: None,
            is_open: true,
            writes_first: false,
        }
    }

    /// Carries messages until the handler has ended, and all that it sent is with the client.
    async fn run(mut self) -> Result<(), Failure> {
        let mut closed = pin!(self.socket.closed());
        let mut is_closed = false;
        loop {
            if self.outgoing.is_empty()
                && let Some(last) = self.last.take()
            {
                return self.end(last?).await;
            }
            // Of a client that has left no more can come than what waits already.
            let reads = is_closed || self.untaken.leaves_room();
            let runs = self.last.is_none();
            let wanted = (!self.outgoing.is_empty(), reads && self.is_open && runs);
            self.writes_first = !self.writes_first;
            tokio::select! {
                reply = self.call.reply(), if runs => self.take(reply),
                event = next(&mut self.socket, wanted, self.writes_first) => match event {
                    Event::Came(message) => self.pass_on(message),
                    Event::Room(room) => self.send(room),
                },
                _ = &mut closed, if !is_closed => is_closed = true,
            }
        }
    }

    /// Takes what the worker says.
    fn take(&mut self, reply: Result<Reply, Failure>) {
        match reply {
            Ok(Reply::Message(message)) => self.outgoing.push_back(message),
            Ok(Reply::Taken(count)) => self.untaken.took(count),
            Ok(Reply::Close(close)) => self.last = Some(Ok(close)),
            Ok(Reply::Error(error)) => self.last = Some(Err(failures::of_the_agent(error))),
            Ok(_) => self.last = Some(Err(misplaced())),
            Err(failure) => self.last = Some(Err(failure)),
        }
    }

    /// Tells the worker what came from the client.
    fn pass_on(&mut self, message: Option<Message>) {
        if let Some(message) = message {
            self.untaken.add(&message);
            self.call
                .tell(|id, out| to_worker::message(id, &message, out));
            return;
        }
        self.is_open = false;
        let (code, reason) = match self.socket.close_reason() {
            Some(CloseReason { code, reason, .. }) => (*code, reason.as_str()),
            None => (LOST, ""),
        };
        self.call
            .tell(|id, out| to_worker::disconnect(id, code, reason, out));
    }

    /// Sends the next message to the client; to one that has gone, nothing can be sent.
    fn send(&mut self, room: Result<(), WebSocketError>) {
        if let Some(message) = self.outgoing.pop_front() {
            self.call.took_one();
            let _ = room.and_then(|()| self.socket.start_send_unpin(message));
        }
    }

    async fn end(mut self, close: Close) -> Result<(), Failure> {
        let Close { code, reason } = close;
        match self.socket.close(code, reason).await {
            Err(error) if self.socket.close_reason().is_none() => {
                Err(failures::of_the_protocol(&error.to_string()))
            }
            _ => Ok(()),
        }
    }
}

/// Waits until something happens: what the handler `sends` can go, or what the client sends has come, if it is read.
async fn next(socket: &mut WebSocket, (sends, reads): (bool, bool), writes_first: bool) -> Event {
    poll_fn(|task| {
        for writes in [writes_first, !writes_first] {
            if writes
                && sends
                && let Poll::Ready(room) = socket.poll_ready_unpin(task)
            {
                return Poll::Ready(Event::Room(room));
            }
            if !writes
                && reads
                && let Poll::Ready(message) = socket.poll_next_unpin(task)
            {
                return Poll::Ready(Event::Came(message));
            }
        }
        Poll::Pending
    })
    .await
}

/// The messages that the handler has not taken yet.
#[derive(Debug, Default)]
struct Untaken {
    costs: VecDeque<usize>,
    bytes: usize,
}

impl Untaken {
    fn leaves_room(&self) -> bool {
        self.bytes < ENOUGH_UNTAKEN
    }

    fn add(&mut self, message: &Message) {
        let cost = message.as_bytes().len() + MESSAGE_OVERHEAD;
        self.costs.push_back(cost);
        self.bytes += cost;
    }

    fn took(&mut self, count: u32) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let taken = self.costs.drain(..count.min(self.costs.len()));
        self.bytes -= taken.sum::<usize>();
    }
}

fn misplaced() -> Failure {
    failures::of_the_protocol("an answer that does not belong to a WebSocket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_by_bytes() {
        let mut untaken = Untaken::default();
        let mut sent = 0;
        while untaken.leaves_room() {
            untaken.add(&Message::from(vec![0; 1024 * 1024]));
            sent += 1;
        }
        assert_eq!(sent, 4);
        untaken.took(1);
        assert!(untaken.leaves_room());
        // Small ones are not free.
        for _ in 0..3000 {
            untaken.add(&Message::from(""));
        }
        assert!(!untaken.leaves_room());
        untaken.took(u32::MAX);
        assert_eq!((untaken.bytes, untaken.costs.len()), (0, 0));
    }
}
