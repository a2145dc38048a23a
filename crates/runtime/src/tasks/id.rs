//! The number of a background task.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many bits an id has: every JSON reader, those that know only floats included, keeps 53 of them.
const BITS: u32 = 53;

/// The number of a background task: positive, below 2^53, and not to be guessed, so that a caller who is handed one cannot
/// complete the tasks of others.
///
/// In JSON it is a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(NonZeroU64);

impl TaskId {
    /// Makes one from the system's randomness, which two copies of one snapshot do not share.
    pub(super) fn random() -> Self {
        let (_, low) = Uuid::new_v4().as_u64_pair();
        // The two bits of that half that are not random are its top ones.
        let bits = low & ((1 << BITS) - 1);
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    /// Returns the number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_positive_number_that_json_keeps() {
        for _ in 0..1_000 {
            let id = TaskId::random();
            assert!((1..1 << BITS).contains(&id.get()), "{id}");
            let text = serde_json::to_string(&id).unwrap();
            assert_eq!(text, id.to_string());
            assert_eq!(serde_json::from_str::<TaskId>(&text).unwrap(), id);
        }
        for text in ["0", "-1", "1.5", "\"1\"", "null"] {
            assert!(serde_json::from_str::<TaskId>(text).is_err(), "{text}");
        }
    }
}
