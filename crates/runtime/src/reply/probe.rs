//! Finds a `Result` among values of any `Serialize` type.
//!
//! `Result` is `Serialize` itself, as `{"Ok": …}`, so a `Result` whose error is no [`Error`] type fits where a plain value
//! does. Nobody means it to be sent as such; serde announces it by its name, which is how it is told.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::ser::{Impossible, Serializer};

use super::encode;
use crate::failure::Failure;

/// Returns the answer that a `Result` is; `None` for every other value.
pub(super) fn result_of<T: Serialize>(value: &T) -> Option<Result<Bytes, Failure>> {
    value.serialize(ResultProbe).ok()
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
