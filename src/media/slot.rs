//! A place for one value: the latest wins.
//!
//! Stands between a stage that must not wait and one that may be slow. What
//! is overwritten before it was taken is counted, never silently lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

#[derive(Debug)]
struct Inner<T> {
    place: Mutex<Place<T>>,
    filled: Condvar,
    overwritten: AtomicU64,
}

#[derive(Debug)]
struct Place<T> {
    value: Option<T>,
    closed: bool,
}

/// A shared slot; clones are the same place.
#[derive(Debug)]
pub struct Slot<T>(Arc<Inner<T>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Arc::new(Inner {
            place: Mutex::new(Place { value: None, closed: false }),
            filled: Condvar::new(),
            overwritten: AtomicU64::new(0),
        }))
    }
}

impl<T> Slot<T> {
    /// Puts a value in, over whatever was not taken yet. After [`Slot::close`] it is dropped.
    pub fn put(&self, value: T) {
        let mut place = self.0.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.closed {
            return;
        }
        if place.value.replace(value).is_some() {
            self.0.overwritten.fetch_add(1, Ordering::Relaxed);
        }
        drop(place);
        self.0.filled.notify_one();
    }

    /// Waits for a value; `None` when the slot is closed and empty.
    #[must_use]
    pub fn take(&self) -> Option<T> {
        let mut place = self.0.place.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(value) = place.value.take() {
                return Some(value);
            }
            if place.closed {
                return None;
            }
            place = self.0.filled.wait(place).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No more values will come; a waiting [`Slot::take`] returns.
    pub fn close(&self) {
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.filled.notify_all();
    }

    /// Values that nobody took in time.
    #[must_use]
    pub fn overwritten(&self) -> u64 {
        self.0.overwritten.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_wins_and_the_loss_is_counted() {
        let slot = Slot::default();
        slot.put(1);
        slot.put(2);
        assert_eq!((slot.take(), slot.overwritten()), (Some(2), 1));
        slot.put(3);
        slot.close();
        slot.put(4);
        assert_eq!((slot.take(), slot.take()), (Some(3), None));
    }

    #[test]
    fn closing_wakes_whoever_waits() {
        let slot = Slot::<u8>::default();
        let waiting = slot.clone();
        let thread = std::thread::spawn(move || waiting.take());
        slot.close();
        assert_eq!(thread.join().ok(), Some(None));
    }
}
