//! What handlers may return, and how it becomes JSON or a failure.
//!
//! The traits are implemented for every type that fits and are not meant to be implemented elsewhere; their parameter only
//! tells the implementations apart and is always inferred.

use std::error::Error;
use std::fmt;
use std::ops::Deref;

use agentcore_protocol::{json, sse};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use serde::Serialize;
use serde::ser::{Impossible, Serializer};

use crate::agent::StreamItem;
use crate::failure::Failure;

/// A value that answers an invocation: anything `Serialize`, or a `Result` of it.
pub trait IntoReply<M> {
    /// Turns the value into JSON text, or into the failure that it stands for.
    fn into_reply(self) -> Result<Bytes, Failure>;
}

/// A value that becomes one event of a stream: anything `Serialize`, a `Result` of it, or an [`sse::Event`].
pub trait IntoItem<M> {
    /// Turns the value into an item, or into the failure that ends the stream.
    fn into_item(self) -> Result<StreamItem, Failure>;
}

/// A stream of events, or a `Result` of one: an error before the first event chooses the status of the answer.
pub trait IntoEvents<M> {
    /// The items and, if there is one, the failure that ends them.
    type Events: Stream<Item = Result<StreamItem, Failure>> + Send + 'static;

    /// Turns the value into the stream, or into the failure that it stands for.
    fn into_events(self) -> Result<Self::Events, Failure>;
}

/// An error whose text, and if it is known, type, the caller is told.
pub trait IntoFailure<M> {
    /// Turns the error into the failure that it stands for.
    fn into_failure(self) -> Failure;
}

/// An error behind a pointer: `Box<dyn Error>` and what is like it.
pub trait DynError {
    /// Returns the error itself.
    fn as_error(&self) -> &(dyn Error + 'static);
}

/// Marks a value.
pub enum Value {}
/// Marks a `Result` whose error has a type.
pub enum Typed {}
/// Marks a `Result` whose error is behind a pointer.
pub enum Boxed {}
/// Marks an error that is a text.
pub enum Text {}
/// Marks an event with its own name, id or retry time.
pub enum OwnEvent {}

impl<T: Serialize> IntoReply<Value> for T {
    fn into_reply(self) -> Result<Bytes, Failure> {
        // `Result<T, String>` arrives here, because it is itself `Serialize`; nobody means it to be sent as such.
        self.serialize(ResultProbe)
            .unwrap_or_else(|NotAResult| encode(&self))
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
    type Events = futures_util::stream::Map<S, fn(S::Item) -> Result<StreamItem, Failure>>;

    fn into_events(self) -> Result<Self::Events, Failure> {
        Ok(self.map(S::Item::into_item))
    }
}

impl<S, E, M, N> IntoEvents<(Result<M, N>, Value)> for Result<S, E>
where
    S: IntoEvents<M>,
    E: IntoFailure<N>,
{
    type Events = S::Events;

    fn into_events(self) -> Result<Self::Events, Failure> {
        self.map_err(E::into_failure)?.into_events()
    }
}

impl<E: Error + 'static> IntoFailure<Typed> for E {
    fn into_failure(self) -> Failure {
        Failure::from_typed(&self)
    }
}

impl<E: Deref<Target: DynError>> IntoFailure<Boxed> for E {
    fn into_failure(self) -> Failure {
        Failure::from_error(self.as_error())
    }
}

impl IntoFailure<Text> for String {
    fn into_failure(self) -> Failure {
        Failure::internal(self)
    }
}

impl IntoFailure<Text> for &'static str {
    fn into_failure(self) -> Failure {
        Failure::internal(self)
    }
}

impl DynError for dyn Error {
    fn as_error(&self) -> &(dyn Error + 'static) {
        self
    }
}

impl DynError for dyn Error + Send {
    fn as_error(&self) -> &(dyn Error + 'static) {
        self
    }
}

impl DynError for dyn Error + Send + Sync {
    fn as_error(&self) -> &(dyn Error + 'static) {
        self
    }
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, Failure> {
    match json::to_spaced_vec(value) {
        Ok(text) => Ok(text.into()),
        Err(error) => Err(
            Failure::internal(format!("the answer is not JSON: {error}"))
                .with_type("SerializationError"),
        ),
    }
}

/// A serializer that takes nothing but a `Result`, which serde announces by that name.
struct ResultProbe;

/// The value was something else.
#[derive(Debug)]
struct NotAResult;

impl fmt::Display for NotAResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a result")
    }
}

impl Error for NotAResult {}

impl serde::ser::Error for NotAResult {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Writes the methods of [`ResultProbe`] that refuse.
macro_rules! refuse {
    ($($method:ident($($kind:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $kind),*) -> Result<$ok, NotAResult> {
            Err(NotAResult)
        })*
    };
}

type Refused = Impossible<Result<Bytes, Failure>, NotAResult>;

impl Serializer for ResultProbe {
    type Ok = Result<Bytes, Failure>;
    type Error = NotAResult;
    type SerializeSeq = Refused;
    type SerializeTuple = Refused;
    type SerializeTupleStruct = Refused;
    type SerializeTupleVariant = Refused;
    type SerializeMap = Refused;
    type SerializeStruct = Refused;
    type SerializeStructVariant = Refused;

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Self::Ok, NotAResult> {
        match (name, variant) {
            ("Result", "Ok") => Ok(encode(value)),
            ("Result", "Err") => Ok(Err(match serde_json::to_value(value) {
                Ok(error) => Failure::internal(error),
                Err(error) => Failure::internal(format!("the error is not JSON: {error}")),
            })),
            _ => Err(NotAResult),
        }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Self::Ok, NotAResult> {
        Err(NotAResult)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<Self::Ok, NotAResult> {
        Err(NotAResult)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<Self::Ok, NotAResult> {
        Err(NotAResult)
    }

    refuse! {
        serialize_bool(bool) -> Self::Ok;
        serialize_i8(i8) -> Self::Ok;
        serialize_i16(i16) -> Self::Ok;
        serialize_i32(i32) -> Self::Ok;
        serialize_i64(i64) -> Self::Ok;
        serialize_u8(u8) -> Self::Ok;
        serialize_u16(u16) -> Self::Ok;
        serialize_u32(u32) -> Self::Ok;
        serialize_u64(u64) -> Self::Ok;
        serialize_f32(f32) -> Self::Ok;
        serialize_f64(f64) -> Self::Ok;
        serialize_char(char) -> Self::Ok;
        serialize_str(&str) -> Self::Ok;
        serialize_bytes(&[u8]) -> Self::Ok;
        serialize_none() -> Self::Ok;
        serialize_unit() -> Self::Ok;
        serialize_unit_struct(&'static str) -> Self::Ok;
        serialize_unit_variant(&'static str, u32, &'static str) -> Self::Ok;
        serialize_seq(Option<usize>) -> Refused;
        serialize_tuple(usize) -> Refused;
        serialize_tuple_struct(&'static str, usize) -> Refused;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Refused;
        serialize_map(Option<usize>) -> Refused;
        serialize_struct(&'static str, usize) -> Refused;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Refused;
    }
}
