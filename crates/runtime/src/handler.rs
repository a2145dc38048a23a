//! The shapes of function that an [`App`](crate::App) takes.
//!
//! The traits are implemented for functions and are not meant to be implemented elsewhere; their parameters only tell the
//! shapes apart and are always inferred. There is one implementation of [`Handler`], and what it asks of a function are several small
//! traits that are decided one after the other, so that the compiler names the one that does not hold: see `compile_errors` among
//! the tests.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use serde::de::DeserializeOwned;

use crate::agent::{BoxFuture, EventStream, Invocation, Outcome};
use crate::context::Context;
use crate::failure::Failure;
use crate::isolate::{Isolate, Terms};
use crate::payload;
use crate::reply::{IntoAnswer, IntoEvents, IntoReply, IntoResponse, Reply};

/// A handler in the one form that the server knows; the function's own type is gone.
pub(crate) type AnyHandler =
    Arc<dyn Fn(Invocation, &Isolate) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// What handlers answer with: one kind for each way to create an [`App`](crate::App).
pub mod kind {
    /// One JSON value: [`App::new`](crate::App::new).
    pub enum Values {}
    /// A stream of events: [`App::streaming`](crate::App::streaming).
    pub enum Events {}
    /// A ready-made response: [`App::http`](crate::App::http).
    pub enum Responses {}
    /// What the handler chooses: [`App::replying`](crate::App::replying).
    pub enum Replies {}
}

/// A function that answers invocations with what `K` says.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler: it does not take `(payload)` or `(payload, Context)`",
    note = "write an `fn` or `async fn` of one argument, the payload, or of two, the payload and `agentcore_runtime::Context`"
)]
pub trait Handler<K, M>: Send + Sync + 'static {
    /// Begins to answer on the agent's threads.
    fn answer(self: Arc<Self>, invocation: Invocation, runner: Runner<'_>) -> Answer;
}

/// The threads that run handlers, and nothing that others could use of them.
pub struct Runner<'a>(pub(crate) &'a Isolate);

/// An answer on its way.
pub struct Answer(pub(crate) BoxFuture<'static, Outcome>);

/// A function of a payload, or of a payload and the [`Context`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not take `(payload)` or `(payload, Context)`",
    label = "takes other arguments than `(payload)` or `(payload, Context)`"
)]
pub trait Call<A> {
    /// What the request's body is read as.
    type Payload;
    /// The second argument.
    type Second;
    /// What the function returns.
    type Output;

    /// Calls the function.
    fn call(&self, payload: Self::Payload, second: Self::Second) -> Self::Output;
}

/// What a handler's second argument may be: the [`Context`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the second argument of a handler",
    label = "its second argument is not `Context`",
    note = "the second argument, if there is one, is `agentcore_runtime::Context`"
)]
pub trait SecondArgument: Sized {
    /// Makes the argument of the context.
    fn from_context(context: Context) -> Self;
}

impl SecondArgument for Context {
    fn from_context(context: Context) -> Self {
        context
    }
}

impl<F, P, R> Call<(P,)> for F
where
    F: Fn(P) -> R,
{
    type Payload = P;
    type Second = Context;
    type Output = R;

    fn call(&self, payload: P, _: Context) -> R {
        self(payload)
    }
}

impl<F, P, C, R> Call<(P, C)> for F
where
    F: Fn(P, C) -> R,
{
    type Payload = P;
    type Second = C;
    type Output = R;

    fn call(&self, payload: P, second: C) -> R {
        self(payload, second)
    }
}

/// Marks a function that returns its answer.
pub struct Now<M = ()>(M);
/// Marks a function that returns a future of its answer.
pub enum Later {}

/// Tells a function that returns what `K` says from one that returns a future.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what this handler may return",
    label = "returns something else than this way of creating an `App` takes",
    note = "`App::new` takes a function that returns a `serde::Serialize` value",
    note = "`App::streaming`: a `futures::Stream + Send` of `serde::Serialize` values or of `sse::Event`s",
    note = "`App::http`: an `http::Response`; `App::replying`: a `Reply`",
    note = "each also takes an `async fn`, and a `Result` whose error implements `std::error::Error`, is a boxed one such as `Box<dyn Error + Send + Sync>`, or is a `String`"
)]
pub trait Returned<K, W> {}

impl<R: Become<K, M>, K: Kind, M> Returned<K, Now<M>> for R {}
impl<R: Future, K> Returned<K, Later> for R {}

/// One run of a handler: where, and under which conditions.
pub struct Run<'a> {
    threads: &'a Isolate,
    terms: Terms,
}

/// Makes what is sent of what a handler answered.
type Made<V, T> = fn(V) -> Result<T, Failure>;

/// Brings what a handler returned to its answer.
pub trait Wait<W: 'static>: Sized + 'static {
    /// The answer.
    type Value;

    /// Runs a handler to its end, whose answer is all there then.
    fn run<C, T>(
        run: Run<'_>,
        call: C,
        made: Made<Self::Value, T>,
    ) -> impl Future<Output = Result<T, Failure>> + Send + use<Self, W, C, T>
    where
        C: FnOnce() -> Result<Self, Failure> + Send + 'static,
        T: Send + 'static;

    /// Calls a handler within asynchronous code.
    fn open<C, T>(
        call: C,
        made: Made<Self::Value, T>,
    ) -> impl Future<Output = Result<T, Failure>> + Send + use<Self, W, C, T>
    where
        C: FnOnce() -> Result<Self, Failure> + Send + 'static,
        T: Send + 'static;
}

impl<R: 'static, M: 'static> Wait<Now<M>> for R {
    type Value = R;

    fn run<C, T>(
        run: Run<'_>,
        call: C,
        made: Made<R, T>,
    ) -> impl Future<Output = Result<T, Failure>> + Send + use<R, M, C, T>
    where
        C: FnOnce() -> Result<R, Failure> + Send + 'static,
        T: Send + 'static,
    {
        let Run { threads, terms } = run;
        threads.run_blocking(terms, move || made(call()?))
    }

    async fn open<C, T>(call: C, made: Made<R, T>) -> Result<T, Failure>
    where
        C: FnOnce() -> Result<R, Failure> + Send + 'static,
        T: Send + 'static,
    {
        made(call()?)
    }
}

impl<R: Future + Send + 'static> Wait<Later> for R {
    type Value = R::Output;

    fn run<C, T>(
        run: Run<'_>,
        call: C,
        made: Made<R::Output, T>,
    ) -> impl Future<Output = Result<T, Failure>> + Send + use<R, C, T>
    where
        C: FnOnce() -> Result<R, Failure> + Send + 'static,
        T: Send + 'static,
    {
        let Run { threads, terms } = run;
        threads.run(terms, Box::pin(<R as Wait<Later>>::open(call, made)))
    }

    async fn open<C, T>(call: C, made: Made<R::Output, T>) -> Result<T, Failure>
    where
        C: FnOnce() -> Result<R, Failure> + Send + 'static,
        T: Send + 'static,
    {
        made(call()?.await)
    }
}

/// A value that becomes what handlers of kind `K` answer with.
pub trait Become<K: Kind, M> {
    /// Makes it, on the agent's threads.
    fn made(self) -> Result<K::Made, Failure>;
}

impl<T: IntoReply<M>, M> Become<kind::Values, M> for T {
    fn made(self) -> Result<Bytes, Failure> {
        self.into_reply()
    }
}

impl<T: IntoEvents<M>, M> Become<kind::Events, M> for T {
    fn made(self) -> Result<EventStream, Failure> {
        self.into_events()
    }
}

impl<T: IntoResponse<M>, M> Become<kind::Responses, M> for T {
    fn made(self) -> Result<Reply, Failure> {
        self.into_response().map(Reply::settled)
    }
}

impl<T: IntoAnswer<M>, M> Become<kind::Replies, M> for T {
    fn made(self) -> Result<Reply, Failure> {
        self.into_answer().map(Reply::settled)
    }
}

/// How handlers of a kind are run, and what becomes of what they made.
pub trait Kind: Sized {
    /// What is made of a handler's answer on the agent's threads.
    type Made: Send + 'static;

    /// Runs a handler to its outcome.
    fn answer<R, W, C>(run: Run<'_>, call: C, made: Made<R::Value, Self::Made>) -> Answer
    where
        R: Wait<W>,
        W: 'static,
        C: FnOnce() -> Result<R, Failure> + Send + 'static;
}

impl Kind for kind::Values {
    type Made = Bytes;

    fn answer<R, W, C>(run: Run<'_>, call: C, made: Made<R::Value, Bytes>) -> Answer
    where
        R: Wait<W>,
        W: 'static,
        C: FnOnce() -> Result<R, Failure> + Send + 'static,
    {
        Answer::of(R::run(run, call, made), Outcome::Json)
    }
}

impl Kind for kind::Events {
    type Made = EventStream;

    fn answer<R, W, C>(run: Run<'_>, call: C, made: Made<R::Value, EventStream>) -> Answer
    where
        R: Wait<W>,
        W: 'static,
        C: FnOnce() -> Result<R, Failure> + Send + 'static,
    {
        let opening = run.threads.stream(run.terms, R::open(call, made));
        Answer::of(opening, Outcome::Events)
    }
}

impl Kind for kind::Responses {
    type Made = Reply;

    fn answer<R, W, C>(run: Run<'_>, call: C, made: Made<R::Value, Reply>) -> Answer
    where
        R: Wait<W>,
        W: 'static,
        C: FnOnce() -> Result<R, Failure> + Send + 'static,
    {
        kind::Replies::answer(run, call, made)
    }
}

impl Kind for kind::Replies {
    type Made = Reply;

    fn answer<R, W, C>(run: Run<'_>, call: C, made: Made<R::Value, Reply>) -> Answer
    where
        R: Wait<W>,
        W: 'static,
        C: FnOnce() -> Result<R, Failure> + Send + 'static,
    {
        let relay = run.threads.relay(&run.terms);
        Answer::of(R::run(run, call, made), |reply: Reply| {
            reply.into_outcome(relay)
        })
    }
}

impl Answer {
    /// Awaits what was made; by a combinator, because an `async` block would hold `work` twice.
    fn of<T>(
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
        outcome: impl FnOnce(T) -> Outcome + Send + 'static,
    ) -> Self {
        Self(Box::pin(
            work.map(|made| made.map_or_else(Outcome::Failed, outcome)),
        ))
    }
}

impl<F, K, A, W, M> Handler<K, (A, W, M)> for F
where
    K: Kind,
    W: 'static,
    F: Call<A, Payload: DeserializeOwned, Second: SecondArgument>,
    F::Output: Returned<K, W> + Wait<W>,
    <F::Output as Wait<W>>::Value: Become<K, M>,
    F: Send + Sync + 'static,
{
    fn answer(self: Arc<Self>, invocation: Invocation, runner: Runner<'_>) -> Answer {
        let run = Run {
            threads: runner.0,
            terms: Terms::of(&invocation),
        };
        let call = move || {
            let payload = payload::parse(&invocation.body)?;
            let second = F::Second::from_context(invocation.context);
            Ok(self.call(payload, second))
        };
        K::answer(run, call, Become::made)
    }
}
