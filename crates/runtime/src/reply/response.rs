//! Ready-made HTTP responses of handlers: which bodies they may have, and whether a body is there whole.
//!
//! Status, headers and body pass through as they are; nothing is added, not even a content type.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame};

use super::Value;
use super::error::IntoFailure;
use super::explicit::Reply;
use super::relayed::RelayedBody;
use crate::failure::Failure;
use crate::isolate::Relay;

/// A response, as long as the agent's threads have it.
pub(crate) type ReadyResponse = Response<Payload>;

/// A body that a response may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the body of a response",
    label = "not a body",
    note = "take a `String`, `&'static str`, `Vec<u8>`, `bytes::Bytes`, an `axum::body::Body`, or any `http_body::Body<Data = Bytes> + Send`"
)]
pub trait IntoBody<M> {
    /// Returns the body in the one type that the server knows.
    fn into_body(self) -> Body;
}

/// Marks a body that is polled.
pub enum Polled {}
/// Marks bytes.
pub enum Whole {}

impl<B> IntoBody<Polled> for B
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    fn into_body(self) -> Body {
        Body::new(self)
    }
}

/// Makes bodies of types that are no [`http_body::Body`] themselves.
macro_rules! whole_bodies {
    ($($kind:ty),*) => {
        $(impl IntoBody<Whole> for $kind {
            fn into_body(self) -> Body {
                Body::from(self)
            }
        })*
    };
}

whole_bodies!((), &'static str, &'static [u8], Vec<u8>, Bytes);

/// A response, or a `Result` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no HTTP response",
    label = "its result is neither an `http::Response` nor a `Result` of one",
    note = "the body is a `String`, `&'static str`, `Vec<u8>`, `bytes::Bytes`, an `axum::body::Body`, or any `http_body::Body<Data = Bytes> + Send`",
    note = "in a `Result`, the error implements `std::error::Error`, is a boxed one such as `Box<dyn Error + Send + Sync>`, or is a `String`",
    note = "a value that becomes JSON is for `App::new`"
)]
pub trait IntoResponse<M> {
    /// Turns the value into the response, or into the failure that it stands for.
    fn into_response(self) -> Result<Reply, Failure>;
}

impl<B: IntoBody<M>, M> IntoResponse<(Value, M)> for Response<B> {
    fn into_response(self) -> Result<Reply, Failure> {
        Ok(Reply::response(self))
    }
}

impl<B, E, M, N> IntoResponse<(Result<M, N>, Value)> for Result<Response<B>, E>
where
    B: IntoBody<M>,
    E: IntoFailure<N>,
{
    fn into_response(self) -> Result<Reply, Failure> {
        self.map(Reply::response).map_err(E::into_failure)
    }
}

/// The body of a response on its way from the handler to the server.
pub(crate) enum Payload {
    /// All of it.
    Whole(Bytes),
    /// One that takes time, with the frame that came at once.
    Streamed(Option<Frame<Bytes>>, Body),
}

impl Payload {
    /// Takes what is there at once: a body of a known length that ends with it is whole, and needs no task of its own.
    ///
    /// A body that fails here has failed before its status was sent.
    pub(super) fn read(self) -> Result<Self, Failure> {
        let mut body = match self {
            Self::Streamed(None, body) => body,
            read => return Ok(read),
        };
        if body.is_end_stream() {
            return Ok(Self::Whole(Bytes::new()));
        }
        if body.size_hint().exact().is_none() {
            return Ok(Self::Streamed(None, body));
        }
        // Whoever polls it next brings a waker that counts.
        let mut task = TaskContext::from_waker(Waker::noop());
        Ok(match Pin::new(&mut body).poll_frame(&mut task) {
            Poll::Pending => Self::Streamed(None, body),
            Poll::Ready(None) => Self::Whole(Bytes::new()),
            Poll::Ready(Some(Err(error))) => return Err(body_failed(error)),
            Poll::Ready(Some(Ok(frame))) if !body.is_end_stream() => {
                Self::Streamed(Some(frame), body)
            }
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Self::Whole(data),
                Err(trailers) => Self::Streamed(Some(trailers), body),
            },
        })
    }

    /// Returns the body that the server polls; what takes time goes on where `relay` has it.
    pub(super) fn into_body(self, relay: Relay) -> Body {
        match self {
            Self::Whole(data) => Body::from(data),
            Self::Streamed(first, body) => Body::new(RelayedBody::new(first, body, relay)),
        }
    }
}

/// Describes a body that failed, by what is within the wrappings that bodies put around it.
pub(super) fn body_failed(error: axum::Error) -> Failure {
    let mut inner = error.into_inner();
    loop {
        match inner.downcast::<axum::Error>() {
            Ok(wrapping) => inner = wrapping.into_inner(),
            Err(error) => return Failure::from_error(&*error),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::Full;

    use super::*;

    /// Returns the bytes of a body that was there whole.
    fn whole<M>(body: impl IntoBody<M>) -> Option<Bytes> {
        match Payload::Streamed(None, body.into_body()).read().unwrap() {
            Payload::Whole(bytes) => Some(bytes),
            Payload::Streamed(..) => None,
        }
    }

    #[test]
    fn bytes_that_are_there_need_no_task_of_their_own() {
        let bytes = || Bytes::from_static(b"hello");
        for found in [
            whole("hello"),
            whole("hello".to_owned()),
            whole(b"hello".to_vec()),
            whole(&b"hello"[..]),
            whole(bytes()),
            whole(Full::new(bytes())),
            whole(Body::from("hello")),
        ] {
            assert_eq!(found, Some(bytes()));
        }
        for found in [whole(()), whole(Body::empty()), whole(String::new())] {
            assert_eq!(found, Some(Bytes::new()));
        }
    }

    #[test]
    fn what_takes_time_is_not_waited_for() {
        let ready = stream::iter([Ok::<_, axum::Error>(Bytes::from_static(b"hello"))]);
        assert_eq!(whole(Body::from_stream(ready)), None);
        let silent = stream::pending::<Result<Bytes, axum::Error>>();
        assert_eq!(whole(Body::from_stream(silent)), None);
    }
}
