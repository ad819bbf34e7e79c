//! The only place that reads the clock.

use crate::model::Timestamp;

/// Now, by the system's clock.
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
