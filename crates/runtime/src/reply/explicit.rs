//! The explicit answer of a handler that chooses at run time between JSON, events, a response of its own and a failure.
//!
//! It holds the answer; what goes on with one that takes time is in `relayed.rs`.

use std::fmt;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use http::Response;
use serde::Serialize;

use super::error::IntoFailure;
use super::response::{IntoBody, Payload, ReadyResponse};
use super::{IntoItem, IntoReply, Item, Value};
use crate::agent::{EventStream, Outcome};
use crate::failure::Failure;
use crate::isolate::Relay;

/// An answer that the handler chose: JSON, a stream of events, a ready-made response, or a failure.
///
/// Handlers that return it are for [`App::replying`](crate::App::replying).
///
/// ```
/// use agentcore_runtime::{App, Reply, StatusCode};
/// use futures_util::stream;
/// use serde_json::{Value, json};
///
/// async fn answer(payload: Value) -> Reply {
///     match payload["as"].as_str() {
///         Some("events") => Reply::events(stream::iter(["one", "two"])),
///         Some("text") => Reply::response(http::Response::new("one, two")),
///         _ => Reply::json(json!({ "words": ["one", "two"] })),
///     }
/// }
///
/// let app = App::replying(answer);
/// # drop(app);
/// ```
#[must_use = "a reply answers nothing until the handler returns it"]
pub struct Reply(Kind);

enum Kind {
    Json(Bytes),
    Events(EventStream),
    Response(Box<ReadyResponse>),
    Failed(Failure),
}

impl Reply {
    /// Answers with one value, as handlers of [`App::new`](crate::App::new) do; one that cannot be JSON answers 500.
    pub fn json(value: impl Serialize) -> Self {
        let text = IntoReply::<Value>::into_reply(value);
        text.map_or_else(Self::failure, |text| Self(Kind::Json(text)))
    }

    /// Answers with a stream of events, as handlers of [`App::streaming`](crate::App::streaming) do.
    pub fn events<S, M>(events: S) -> Self
    where
        S: Stream<Item: IntoItem<M>> + Send + 'static,
    {
        Self(Kind::Events(Box::pin(
            events.map(S::Item::into_item as Item<S>),
        )))
    }

    /// Answers with a response as it is, as handlers of [`App::http`](crate::App::http) do.
    pub fn response<B: IntoBody<M>, M>(response: Response<B>) -> Self {
        let response = response.map(|body| Payload::Streamed(None, body.into_body()));
        Self(Kind::Response(Box::new(response)))
    }

    /// Answers with an error.
    pub fn failure(failure: Failure) -> Self {
        Self(Kind::Failed(failure))
    }

    /// Takes the body of a response if it is there whole, so that nothing of the answer is left to do on the agent's threads,
    /// where this has to be called.
    pub(crate) fn settled(self) -> Self {
        match self.0 {
            Kind::Response(response) => {
                let (head, body) = response.into_parts();
                match body.read() {
                    Ok(body) => Self(Kind::Response(Box::new(Response::from_parts(head, body)))),
                    Err(failure) => Self::failure(failure),
                }
            }
            _ => self,
        }
    }

    /// Turns the reply into what the server sends; a stream goes on where `relay` has it.
    pub(crate) fn into_outcome(self, relay: Relay) -> Outcome {
        match self.0 {
            Kind::Json(text) => Outcome::Json(text),
            Kind::Events(events) => Outcome::Events(Box::pin(relay.stream(events))),
            Kind::Response(response) => {
                Outcome::Response(response.map(|body| body.into_body(relay)))
            }
            Kind::Failed(failure) => Outcome::Failed(failure),
        }
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        Self::failure(failure)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Json(text) => f.debug_tuple("Json").field(&text.len()).finish(),
            Kind::Events(_) => f.write_str("Events"),
            Kind::Response(response) => {
                f.debug_tuple("Response").field(&response.status()).finish()
            }
            Kind::Failed(failure) => f.debug_tuple("Failed").field(failure).finish(),
        }
    }
}

/// A [`Reply`], or a `Result` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `Reply`",
    label = "its result is neither a `Reply` nor a `Result` of one",
    note = "in a `Result`, the error implements `std::error::Error`, is a boxed one such as `Box<dyn Error + Send + Sync>`, or is a `String`",
    note = "write `Reply::json(value)`, `Reply::events(stream)` or `Reply::response(response)`; handlers that always answer alike are for `App::new`, `App::streaming` and `App::http`"
)]
pub trait IntoAnswer<M> {
    /// Turns the value into the reply, or into the failure that it stands for.
    fn into_answer(self) -> Result<Reply, Failure>;
}

impl IntoAnswer<Value> for Reply {
    fn into_answer(self) -> Result<Reply, Failure> {
        Ok(self)
    }
}

impl<E: IntoFailure<M>, M> IntoAnswer<(Value, M)> for Result<Reply, E> {
    fn into_answer(self) -> Result<Reply, Failure> {
        self.map_err(E::into_failure)
    }
}
