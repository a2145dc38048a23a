//! What an invocation keeps as long as any part of it goes on: its place, its session.
//!
//! A hold only keeps; what is released with the last copy of it is the business of what it keeps.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Keeps the place of an invocation for as long as a copy of it exists; made by the server.
#[derive(Clone, Default)]
pub(crate) struct Hold(Option<Arc<dyn Any + Send + Sync>>);

impl Hold {
    /// Keeps `other` for as long.
    pub(crate) fn and(self, other: impl Send + Sync + 'static) -> Self {
        match self.0 {
            Some(first) => Self(Some(Arc::new((first, other)))),
            None => Self(Some(Arc::new(other))),
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Hold"
        } else {
            "Hold(none)"
        })
    }
}
