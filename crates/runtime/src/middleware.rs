//! What authors put around and beside the agent's routes: tower layers and axum routes.
//!
//! Without any, requests never pass a router. The paths of the contract are the agent's: no route of an author takes their
//! place.

use std::convert::Infallible;
use std::fmt;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use tower::{Layer, Service};

use crate::app::App;

/// The paths that the agent answers, those with a slash too many included.
const AGENT_PATHS: [&str; 5] = ["/invocations", "/invocations/", "/ping", "/ping/", "/ws"];

/// Returns a router in which `agent` answers its paths, and what nobody else answers.
pub(crate) fn router_of<S>(agent: S) -> Router
where
    S: Service<Request, Error = Infallible, Response: IntoResponse, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    AGENT_PATHS
        .iter()
        .fold(Router::new(), |router, path| {
            router.route_service(path, agent.clone())
        })
        .fallback_service(agent)
}

/// What is done to the router of an app before it is served, in order.
#[derive(Default)]
pub(crate) struct Edits {
    steps: Vec<Box<dyn FnOnce(Router) -> Router + Send>>,
    /// Every path that is taken, once there are routes beside the agent's.
    taken: Option<Router>,
}

impl Edits {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(crate) fn apply(self, router: Router) -> Router {
        self.steps
            .into_iter()
            .fold(router, |router, step| step(router))
    }

    fn add(&mut self, step: impl FnOnce(Router) -> Router + Send + 'static) {
        self.steps.push(Box::new(step));
    }
}

impl fmt::Debug for Edits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edits({})", self.steps.len())
    }
}

impl App {
    /// Puts a tower layer around all routes: the agent's, and those that were added before it.
    ///
    /// The layer that is added last sees a request first. It sees `/ping` too. What it attaches to a request's extensions, handlers
    /// find by [`Context::extension`](crate::Context::extension).
    ///
    /// A layer runs on the threads that answer `/ping`, so it must not block. It is outside the invocation: its own lines in the
    /// log carry no ids, and a request that it refuses leaves no line.
    ///
    /// ```
    /// use agentcore_runtime::App;
    /// use axum::extract::Request;
    /// use axum::middleware::{Next, from_fn};
    /// use axum::response::Response;
    /// use serde_json::Value;
    ///
    /// async fn stamp(request: Request, next: Next) -> Response {
    ///     let mut response = next.run(request).await;
    ///     response.headers_mut().insert("x-served-by", "me".parse().unwrap());
    ///     response
    /// }
    ///
    /// let app = App::new(async |payload: Value| payload).layer(from_fn(stamp));
    /// # drop(app);
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<axum::routing::Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request, Error: Into<Infallible>, Response: IntoResponse>
            + Clone
            + Send
            + Sync
            + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.edits.add(move |router| router.layer(layer));
        self
    }

    /// Adds routes beside the agent's.
    ///
    /// `/invocations`, `/ping` and `/ws` stay the agent's, and so does the answer to a path that nobody has (404); a wildcard such as
    /// `/{*path}` takes what is left.
    ///
    /// ```
    /// use agentcore_runtime::{App, Router};
    /// use axum::routing::get;
    /// use serde_json::Value;
    ///
    /// let about = Router::new().route("/version", get(|| async { "1.2" }));
    /// let app = App::new(async |payload: Value| payload).routes(about);
    /// # drop(app);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics as [`Router::merge`] does: if a route is the agent's or was added before, or if `routes` has a fallback.
    #[track_caller]
    pub fn routes(mut self, routes: Router) -> Self {
        // Here and not only when the app is served, where nobody would know whose route it is.
        let nothing = tower::service_fn(|_: Request| async { Ok::<_, Infallible>(()) });
        let taken = self
            .edits
            .taken
            .take()
            .unwrap_or_else(|| router_of(nothing));
        self.edits.taken = Some(taken.merge(routes.clone()));
        self.edits.add(move |router| router.merge(routes));
        self
    }
}
