//! One session: its id, and state of the agent's own types.
//!
//! No code of the agent's runs while a lock is held: neither what makes a value nor what drops one.

use std::any::{Any, TypeId};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::Span;

use crate::SessionId;
use crate::failure::Failure;
use crate::log::{INVOCATION, LOGGER};

/// One session: its id, and what the agent keeps in it from one invocation to the next.
///
/// The state is one value for each type: give what belongs together a type of your own. Values are shared, as `Arc`, between invocations
/// that run at the same time, so what changes is behind a lock or an atomic.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use agentcore_runtime::{App, Context};
/// use serde_json::{Value, json};
///
/// #[derive(Default)]
/// struct Calls(AtomicU64);
///
/// async fn count(_: Value, context: Context) -> Value {
///     let Some(session) = context.session() else {
///         return json!({ "error": "the caller named no session" });
///     };
///     let calls = session.get_or_init(Calls::default);
///     json!({ "count": calls.0.fetch_add(1, Ordering::Relaxed) + 1 })
/// }
///
/// let app = App::new(count);
/// # drop(app);
/// ```
///
/// Cloning is cheap, and a clone alone keeps no session open: who keeps one beyond the invocation may find that the session has ended.
/// Its state is gone then, and what is put into it afterwards lasts only as long as the clone.
///
/// `Debug` shows the id and never the state.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    id: SessionId,
    /// A list, because it rarely has more than a few entries and most often none.
    state: Mutex<Vec<Entry>>,
}

/// The slot of one type.
struct Entry {
    of: TypeId,
    /// A `Slot` of that type.
    slot: Arc<dyn Any + Send + Sync>,
}

/// Empty until its first value is made, so that those who need it wait for who makes it.
type Slot<T> = OnceLock<Arc<T>>;

impl Session {
    pub(super) fn new(id: SessionId) -> Self {
        let state = Mutex::new(Vec::new());
        let shared = Arc::new(Shared { id, state });
        Self { shared }
    }

    /// Returns the session's id.
    pub fn id(&self) -> &SessionId {
        &self.shared.id
    }

    /// Returns the session's value of this type, if it has one.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let entries = self.entries();
        let entry = entries.iter().find(|entry| entry.of == TypeId::of::<T>())?;
        entry.slot.downcast_ref::<Slot<T>>()?.get().cloned()
    }

    /// Returns the session's value of this type, and makes it first if there is none.
    ///
    /// It is made once, however many invocations ask at the same time: the others wait, and block their threads meanwhile,
    /// so `init` should be short. It may ask the session for values of other types, but must not for one of the same type.
    ///
    /// # Panics
    ///
    /// If `init` panics, the panic goes on to the caller, the session has no value, and whoever asks next, or waits
    /// already, makes it.
    pub fn get_or_init<T: Send + Sync + 'static>(&self, init: impl FnOnce() -> T) -> Arc<T> {
        let slot = self.slot::<T>();
        Arc::clone(slot.get_or_init(|| Arc::new(init())))
    }

    /// Sets the session's value of this type, and returns the one that it replaces.
    ///
    /// A value that [`Session::get_or_init`] is making just then reaches only those who asked for it.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let mut slot: Arc<dyn Any + Send + Sync> = Arc::new(Slot::from(Arc::new(value)));
        let mut entries = self.entries();
        if let Some(entry) = entries.iter_mut().find(|it| it.of == TypeId::of::<T>()) {
            std::mem::swap(&mut entry.slot, &mut slot);
            drop(entries);
            return slot.downcast_ref::<Slot<T>>()?.get().cloned();
        }
        push::<T>(&mut entries, slot);
        None
    }

    /// Takes the session's value of this type out of it.
    pub fn remove<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let mut entries = self.entries();
        let place = entries.iter().position(|it| it.of == TypeId::of::<T>())?;
        // One whose value is being made stays: this came first.
        let value = entries[place]
            .slot
            .downcast_ref::<Slot<T>>()?
            .get()?
            .clone();
        let entry = entries.swap_remove(place);
        drop(entries);
        drop(entry);
        Some(value)
    }

    pub(super) fn has_state(&self) -> bool {
        !self.entries().is_empty()
    }

    /// Drops the state; a value that panics when it is dropped is logged and hinders no other.
    pub(super) fn clear(&self) {
        let entries = std::mem::take(&mut *self.entries());
        for entry in entries {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(entry))) {
                tracing::error!(
                    target: LOGGER, parent: &self.span(),
                    errorType = "Panic",
                    errorMessage = %Failure::from_panic(&*panic),
                    "The state of a session panicked when it was dropped"
                );
            }
        }
    }

    /// Returns a span that gives lines in the log the session's id.
    pub(super) fn span(&self) -> Span {
        tracing::error_span!(target: LOGGER, parent: None, INVOCATION, session_id = self.id().as_str())
    }

    fn slot<T: Send + Sync + 'static>(&self) -> Arc<Slot<T>> {
        let mut entries = self.entries();
        let known = entries.iter().find(|entry| entry.of == TypeId::of::<T>());
        if let Some(Ok(slot)) = known.map(|entry| Arc::clone(&entry.slot).downcast()) {
            return slot;
        }
        let slot = Arc::new(Slot::<T>::new());
        push::<T>(&mut entries, Arc::clone(&slot) as _);
        slot
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", self.id())
            .finish_non_exhaustive()
    }
}

fn push<T: 'static>(entries: &mut Vec<Entry>, slot: Arc<dyn Any + Send + Sync>) {
    // One more at a time: most sessions have a single type, and there are many sessions.
    entries.reserve_exact(1);
    entries.push(Entry {
        of: TypeId::of::<T>(),
        slot,
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn session() -> Session {
        Session::new("s-1".parse().unwrap())
    }

    #[test]
    fn each_type_has_one_value() {
        let session = session();
        assert_eq!(session.get::<u32>(), None);
        assert_eq!(*session.get_or_init(|| 1_u32), 1);
        assert_eq!(*session.get_or_init(|| 2_u32), 1, "made once");
        assert_eq!(session.insert("text".to_owned()), None);
        assert_eq!(session.insert(3_u32).as_deref(), Some(&1));
        assert_eq!(session.get::<u32>().as_deref(), Some(&3));
        assert_eq!(session.remove::<u32>().as_deref(), Some(&3));
        assert_eq!(session.remove::<u32>(), None);
        assert_eq!(session.get::<String>().unwrap().as_str(), "text");
        session.clear();
        assert!(!session.has_state());
        assert_eq!(session.get::<String>(), None);
    }

    #[test]
    fn a_value_is_made_once_though_many_ask_at_the_same_time() {
        const THREADS: usize = 8;
        let (session, made, start) = (session(), AtomicUsize::new(0), Barrier::new(THREADS));
        let values: Vec<Arc<usize>> = thread::scope(|scope| {
            let ask = || {
                start.wait();
                session.get_or_init(|| made.fetch_add(1, Ordering::Relaxed))
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(made.into_inner(), 1);
        assert!(values.iter().all(|value| Arc::ptr_eq(value, &values[0])));
    }

    #[test]
    fn a_panic_while_a_value_is_made_leaves_none_and_the_next_makes_it() {
        let session = session();
        let made = catch_unwind(AssertUnwindSafe(|| {
            session.get_or_init(|| -> u32 { panic!("not now") })
        }));
        assert!(made.is_err());
        assert_eq!(session.get::<u32>(), None);
        assert_eq!(session.remove::<u32>(), None);
        assert_eq!(*session.get_or_init(|| 7_u32), 7);
    }

    #[test]
    fn a_value_may_be_made_of_values_of_other_types() {
        let session = session();
        let text = session.get_or_init(|| session.get_or_init(|| 5_u8).to_string());
        assert_eq!(text.as_str(), "5");
        assert_eq!(session.get::<u8>().as_deref(), Some(&5));
    }

    #[test]
    fn what_is_set_while_a_value_is_made_stays() {
        let session = session();
        let made = session.get_or_init(|| {
            assert_eq!(session.insert(2_u32), None);
            1_u32
        });
        assert_eq!(*made, 1, "who asked for it gets it");
        assert_eq!(session.get::<u32>().as_deref(), Some(&2));
    }

    #[test]
    fn what_is_dropped_may_look_at_the_session() {
        struct Looks(Session);
        impl Drop for Looks {
            fn drop(&mut self) {
                self.0.get::<u8>();
                self.0.insert(1_u8);
            }
        }
        let session = session();
        session.insert(Looks(session.clone()));
        drop(session.insert(Looks(session.clone())));
        drop(session.remove::<Looks>());
        session.insert(Looks(session.clone()));
        session.clear();
        assert_eq!(session.get::<u8>().as_deref(), Some(&1));
        let handles = Arc::strong_count(&session.shared);
        assert_eq!(handles, 1, "a session within its own state does not stay");
    }

    #[test]
    fn debug_shows_the_id_and_no_state() {
        let session = session();
        session.insert("secret".to_owned());
        let text = format!("{session:?}");
        assert!(text.contains("s-1") && !text.contains("secret"), "{text}");
    }
}
