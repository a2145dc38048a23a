//! What authors put around and beside the agent's routes: tower layers and axum routes.
//!
//! Without any, requests never pass a router.

use std::convert::Infallible;
use std::fmt;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use tower::{Layer, Service};

use crate::app::App;

/// What is done to the router of an app before it is served, in order.
#[derive(Default)]
pub(crate) struct Edits(Vec<Box<dyn FnOnce(Router) -> Router + Send>>);

impl Edits {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn apply(self, router: Router) -> Router {
        self.0.into_iter().fold(router, |router, edit| edit(router))
    }

    fn add(&mut self, edit: impl FnOnce(Router) -> Router + Send + 'static) {
        self.0.push(Box::new(edit));
    }
}

impl fmt::Debug for Edits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edits({})", self.0.len())
    }
}

impl App {
    /// Puts a tower layer around all routes: the agent's, and those that were added before it.
    ///
    /// The layer that is added last sees a request first. It sees `/ping` too. What it attaches to a request's extensions, handlers
    /// find by [`Context::extension`](crate::Context::extension).
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

    /// Adds routes beside the agent's, whose own paths stay its own.
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
    pub fn routes(mut self, routes: Router) -> Self {
        self.edits.add(move |router| router.merge(routes));
        self
    }
}
