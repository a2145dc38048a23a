//! What handlers may return, and how it becomes an answer or a failure.
//!
//! The traits are implemented for every type that fits and are not meant to be implemented elsewhere; their parameter only
//! tells the implementations apart and is always inferred. Their messages are what an author reads whose handler does not fit.

mod error;
mod explicit;
mod probe;
mod relayed;
mod response;

use agentcore_protocol::{json, sse};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use serde::Serialize;

pub(crate) use error::{Boxed, IntoFailure, Typed};
pub(crate) use explicit::IntoAnswer;
pub use explicit::Reply;
pub(crate) use response::IntoResponse;

use crate::agent::{EventStream, StreamItem};
use crate::failure::Failure;

/// Marks a value.
pub enum Value {}
/// Marks an event with its own name, id or retry time.
pub enum OwnEvent {}

/// A value that answers an invocation: anything `Serialize`, or a `Result` of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be answered as JSON",
    label = "its result is neither `serde::Serialize` nor a `Result` of such a value and an error",
    note = "derive `serde::Serialize` for the value",
    note = "in a `Result`, the error implements `std::error::Error`, is a boxed one such as `Box<dyn Error + Send + Sync>`, or is a `String`",
    note = "a stream is for `App::streaming`, an `http::Response` for `App::http`, a `Reply` for `App::replying`"
)]
pub trait IntoReply<M> {
    /// Turns the value into JSON text, or into the failure that it stands for.
    fn into_reply(self) -> Result<Bytes, Failure>;
}

/// A value that becomes one event of a stream: anything `Serialize`, a `Result` of it, or an [`sse::Event`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an event of a stream",
    label = "the items of its stream are neither `serde::Serialize` nor `sse::Event`, nor a `Result` of these and an error",
    note = "derive `serde::Serialize` for the item",
    note = "in a `Result`, the error implements `std::error::Error`, is a boxed one such as `Box<dyn Error + Send + Sync>`, or is a `String`"
)]
pub trait IntoItem<M> {
    /// Turns the value into an item, or into the failure that ends the stream.
    fn into_item(self) -> Result<StreamItem, Failure>;
}

/// A stream of events, or a `Result` of one: an error before the first event chooses the status of the answer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be answered as a stream of events",
    label = "its result is neither a `futures::Stream + Send` of `serde::Serialize` values or `sse::Event`s, nor a `Result` of one",
    note = "in a `Result`, the error implements `std::error::Error`, is a boxed one such as `Box<dyn Error + Send + Sync>`, or is a `String`",
    note = "a single value is for `App::new`"
)]
pub trait IntoEvents<M> {
    /// Turns the value into the stream, or into the failure that it stands for.
    fn into_events(self) -> Result<EventStream, Failure>;
}

impl<T: Serialize> IntoReply<Value> for T {
    fn into_reply(self) -> Result<Bytes, Failure> {
        probe::result_of(&self).unwrap_or_else(|| encode(&self))
    }
}

impl<T: Serialize, E: IntoFailure<Typed>> IntoReply<Typed> for Result<T, E> {
    fn into_reply(self) -> Result<Bytes, Failure> {
        encode(&self.map_err(E::into_failure)?)
    }
}

impl<T: Serialize, E: IntoFailure<Boxed>> IntoReply<Boxed> for Result<T, E> {
    fn into_reply(self) -> Result<Bytes, Failure> {
        encode(&self.map_err(E::into_failure)?)
    }
}

impl<T: IntoReply<M>, M> IntoItem<(Value, M)> for T {
    fn into_item(self) -> Result<StreamItem, Failure> {
        self.into_reply().map(StreamItem::Json)
    }
}

impl IntoItem<OwnEvent> for sse::Event {
    fn into_item(self) -> Result<StreamItem, Failure> {
        Ok(StreamItem::Event(self))
    }
}

impl<E: IntoFailure<M>, M> IntoItem<(OwnEvent, M)> for Result<sse::Event, E> {
    fn into_item(self) -> Result<StreamItem, Failure> {
        self.map(StreamItem::Event).map_err(E::into_failure)
    }
}

impl<S, M> IntoEvents<(Value, M)> for S
where
    S: Stream<Item: IntoItem<M>> + Send + 'static,
{
    fn into_events(self) -> Result<EventStream, Failure> {
        Ok(Box::pin(self.map(S::Item::into_item as Item<S>)))
    }
}

impl<S, E, M, N> IntoEvents<(Result<M, N>, Value)> for Result<S, E>
where
    S: IntoEvents<M>,
    E: IntoFailure<N>,
{
    fn into_events(self) -> Result<EventStream, Failure> {
        self.map_err(E::into_failure)?.into_events()
    }
}

/// Makes an item of a value, whatever tells its implementation apart.
type Item<S> = fn(<S as Stream>::Item) -> Result<StreamItem, Failure>;

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, Failure> {
    match json::to_spaced_vec(value) {
        Ok(text) => Ok(text.into()),
        Err(error) => Err(
            Failure::internal(format!("the answer is not JSON: {error}"))
                .with_type("SerializationError"),
        ),
    }
}
