//! What handlers may return as an error: a type of its own, an error behind a pointer, or a text.
//!
//! What the caller is told of it is decided in `failure.rs`.

use std::error::Error;
use std::ops::Deref;

use crate::failure::Failure;

/// An error whose text, and if it is known, type, the caller is told.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a handler",
    label = "not an error",
    note = "it has to implement `std::error::Error`, or be a boxed one such as `Box<dyn Error + Send + Sync>`, or a `String`"
)]
pub trait IntoFailure<M> {
    /// Turns the error into the failure that it stands for.
    fn into_failure(self) -> Failure;
}

/// An error behind a pointer: `Box<dyn Error>`, `anyhow::Error` and what is like them.
pub trait DynError {
    /// Returns the error itself.
    fn as_error(&self) -> &(dyn Error + 'static);
}

/// Marks a `Result` whose error has a type.
pub enum Typed {}
/// Marks a `Result` whose error is behind a pointer.
pub enum Boxed {}
/// Marks an error that is a text.
pub enum Text {}

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
