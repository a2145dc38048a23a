//! The shapes of function that an [`App`](crate::App) takes.
//!
//! The traits are implemented for functions and are not meant to be implemented elsewhere; their parameter only tells the
//! shapes apart and is always inferred.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::agent::{BoxFuture, EventStream, Invocation, Outcome};
use crate::context::Context;
use crate::failure::Failure;
use crate::isolate::{Isolate, Terms};
use crate::payload;
use crate::reply::{IntoEvents, IntoReply};

/// A handler in the one form that the server knows; the function's own type is gone.
pub(crate) type AnyHandler =
    Arc<dyn Fn(Invocation, &Isolate) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// A function of a payload, or of a payload and the [`Context`].
pub trait Call<Args>: Send + Sync + 'static {
    /// What the request's body is read as.
    type Payload: DeserializeOwned + Send + 'static;
    /// What the function returns.
    type Output;

    /// Calls the function.
    fn call(&self, payload: Self::Payload, context: Context) -> Self::Output;
}

impl<F, P, R> Call<(P,)> for F
where
    F: Fn(P) -> R + Send + Sync + 'static,
    P: DeserializeOwned + Send + 'static,
{
    type Payload = P;
    type Output = R;

    fn call(&self, payload: P, _: Context) -> R {
        self(payload)
    }
}

impl<F, P, R> Call<(P, Context)> for F
where
    F: Fn(P, Context) -> R + Send + Sync + 'static,
    P: DeserializeOwned + Send + 'static,
{
    type Payload = P;
    type Output = R;

    fn call(&self, payload: P, context: Context) -> R {
        self(payload, context)
    }
}

/// A function that answers an invocation with one value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "write an `fn` or `async fn` of `(payload)` or `(payload, Context)` that returns a `serde::Serialize` value or a `Result` of one",
    note = "the payload implements `serde::Deserialize`, and an error `std::error::Error`, or it is a boxed error or a `String`"
)]
pub trait Handler<M>: Send + Sync + 'static {
    /// Begins to answer on the agent's threads.
    fn answer(self: Arc<Self>, invocation: Invocation, runner: &Runner<'_>) -> Answer;
}

/// A function that answers an invocation with a stream of events.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a streaming handler",
    note = "write an `fn` or `async fn` of `(payload)` or `(payload, Context)` that returns a `futures::Stream` of `serde::Serialize` values, or a `Result` of one",
    note = "the payload implements `serde::Deserialize`, and an error `std::error::Error`, or it is a boxed error or a `String`"
)]
pub trait StreamingHandler<M>: Send + Sync + 'static {
    /// Begins to answer on the agent's threads.
    fn answer(self: Arc<Self>, invocation: Invocation, runner: &Runner<'_>) -> Answer;
}

/// The threads that run handlers, and nothing that others could use of them.
pub struct Runner<'a>(pub(crate) &'a Isolate);

/// An answer on its way.
pub struct Answer(pub(crate) BoxFuture<'static, Outcome>);

/// Marks a function that returns its answer.
pub enum Now {}
/// Marks a function that returns a future of its answer.
pub enum Later {}

impl<F, Args, M> Handler<(Now, Args, M)> for F
where
    F: Call<Args, Output: IntoReply<M>>,
{
    fn answer(self: Arc<Self>, invocation: Invocation, runner: &Runner<'_>) -> Answer {
        let work = runner.0.run_blocking(Terms::of(&invocation), move || {
            let payload = payload::parse(&invocation.body)?;
            self.call(payload, invocation.context).into_reply()
        });
        json(work)
    }
}

impl<F, Args, M> Handler<(Later, Args, M)> for F
where
    F: Call<Args, Output: Future<Output: IntoReply<M>> + Send>,
{
    fn answer(self: Arc<Self>, invocation: Invocation, runner: &Runner<'_>) -> Answer {
        let work = runner.0.run(Terms::of(&invocation), async move {
            let payload = payload::parse(&invocation.body)?;
            self.call(payload, invocation.context).await.into_reply()
        });
        json(work)
    }
}

impl<F, Args, M> StreamingHandler<(Now, Args, M)> for F
where
    F: Call<Args, Output: IntoEvents<M>>,
{
    fn answer(self: Arc<Self>, invocation: Invocation, runner: &Runner<'_>) -> Answer {
        let opening = runner.0.stream(Terms::of(&invocation), async move {
            let payload = payload::parse(&invocation.body)?;
            self.call(payload, invocation.context).into_events()
        });
        events(opening)
    }
}

impl<F, Args, M> StreamingHandler<(Later, Args, M)> for F
where
    F: Call<Args, Output: Future<Output: IntoEvents<M>> + Send>,
{
    fn answer(self: Arc<Self>, invocation: Invocation, runner: &Runner<'_>) -> Answer {
        let opening = runner.0.stream(Terms::of(&invocation), async move {
            let payload = payload::parse(&invocation.body)?;
            self.call(payload, invocation.context).await.into_events()
        });
        events(opening)
    }
}

fn json(
    work: impl Future<Output = Result<Result<Bytes, Failure>, Failure>> + Send + 'static,
) -> Answer {
    Answer(Box::pin(async move {
        match work.await {
            Ok(Ok(text)) => Outcome::Json(text),
            Ok(Err(failure)) | Err(failure) => Outcome::Failed(failure),
        }
    }))
}

fn events(opening: impl Future<Output = Result<EventStream, Failure>> + Send + 'static) -> Answer {
    Answer(Box::pin(async move {
        opening.await.map_or_else(Outcome::Failed, Outcome::Events)
    }))
}
