//! What an invocation keeps as long as any part of it goes on: its place, its session.
//!
//! A hold only keeps; what is released with the last copy of it is the business of what it keeps.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Keeps the place of an invocation among those that run for as long as a copy of it exists.
///
/// Made by the server: see [`Invocation::hold`](crate::Invocation::hold). The default keeps nothing.
#[derive(Clone, Default)]
pub struct Hold(Option<Arc<dyn Any + Send + Sync>>);

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
