//! Locks that a panic elsewhere does not keep closed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lock whose data is whole between any two statements, so that a panic of whoever held it is no reason to panic, too.
pub trait Locked<T: ?Sized> {
    /// Waits for the lock.
    fn locked(&self) -> MutexGuard<'_, T>;
}

impl<T: ?Sized> Locked<T> for Mutex<T> {
    fn locked(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
