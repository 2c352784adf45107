//! The thread that reads a pipe, and what it has read.
//!
//! Owns the pipe for as long as anybody may want it, which is longer than a call: what a trial has
//! read is not lost, and whoever writes keeps his reader.

use std::collections::VecDeque;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::input::Input;
use super::super::pipe::Pipe;
use super::super::{SourceError, in_file};
use crate::clock;
use crate::media::container::ContainerError;
use crate::media::frame::VideoFrame;
use crate::media::identity::STANDARD_INPUT;
use crate::system;

/// Pictures, or blocks of sound, that were read and are not due yet.
const AHEAD: usize = 8;

/// How long it is waited for room before looking whether anybody still wants it.
const LOOK: Duration = Duration::from_millis(200);

/// The pipes that are read, for the trial before a login and for all its calls. Clones are the same.
#[derive(Clone, Default)]
pub struct LiveShare(Arc<Shared>);

#[derive(Default)]
struct Shared {
    video: Slot<VideoFrame>,
    audio: Slot<Vec<f32>>,
}

/// What is read, if anything is.
pub(super) type Slot<T> = Mutex<Option<Arc<Reading<T>>>>;

impl LiveShare {
    pub(super) fn video(&self) -> &Slot<VideoFrame> {
        &self.0.video
    }

    pub(super) fn audio(&self) -> &Slot<Vec<f32>> {
        &self.0.audio
    }
}

impl PartialEq for LiveShare {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for LiveShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveShare").finish_non_exhaustive()
    }
}

/// A pipe that is read. When nobody has it any more, the reading ends.
pub(super) struct Reading<T>(Arc<Place<T>>);

impl<T> Reading<T> {
    /// What was read.
    pub(super) fn place(&self) -> &Place<T> {
        &self.0
    }
}

impl<T> Drop for Reading<T> {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
        self.0.changed.notify_all();
    }
}

/// What the reading thread and the sources share.
pub(super) struct Place<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    gone: AtomicBool,
}

/// What was read of a pipe.
pub(super) struct State<T> {
    /// Time since the stream began, and what is due then.
    pub(super) ready: VecDeque<(Duration, T)>,
    /// Counts streams: another writer is another stream.
    pub(super) stream: u32,
    ended: bool,
    error: Option<SourceError>,
}

impl<T> State<T> {
    /// How it has ended, once all is taken that was read; the fault is told once.
    pub(super) fn end(&mut self) -> Option<Result<(), SourceError>> {
        let over = self.ended && self.ready.is_empty();
        over.then(|| self.error.take().map_or(Ok(()), Err))
    }
}

impl<T> Place<T> {
    fn new() -> Arc<Self> {
        let state = State { ready: VecDeque::new(), stream: 0, ended: false, error: None };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            gone: AtomicBool::new(false),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was taken: there is room.
    pub(super) fn taken(&self) {
        self.changed.notify_all();
    }

    /// Puts something in when there is room; `false` when nobody wants it any more.
    pub(super) fn put(&self, at: Duration, item: T) -> bool {
        let mut state = self.lock();
        while state.ready.len() >= AHEAD {
            if self.is_gone() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.ready.push_back((at, item));
        drop(state);
        self.changed.notify_all();
        !self.is_gone()
    }

    /// Waits until something is there or all is over, at most until `until`.
    pub(super) fn wait(&self, until: Instant) -> MutexGuard<'_, State<T>> {
        let mut state = self.lock();
        while state.ready.is_empty() && !state.ended {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// Reads one stream to its end; says whether anything came.
pub(super) type ReadOne<T> =
    Box<dyn FnMut(Input, &Place<T>) -> Result<bool, ContainerError> + Send>;

/// Goes on with the pipe that is read, or begins to read it; waits until something is there, the
/// first time, at most so long.
pub(super) fn take_up<T: Send + 'static>(
    slot: &Slot<T>,
    path: &Path,
    (once, first): (bool, Duration),
    read_one: ReadOne<T>,
) -> Result<Arc<Reading<T>>, SourceError> {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(reading) = &*slot {
        let Some(end) = reading.place().lock().end() else { return Ok(Arc::clone(reading)) };
        *slot = None;
        end?;
        if is_standard_input(path) {
            let reason = "it has ended, and does not come again".to_owned();
            return Err(SourceError::Unreadable { path: called(path), reason });
        }
    }
    let place = Place::new();
    let reading = Arc::new(Reading(Arc::clone(&place)));
    let from = path.to_owned();
    let thread = std::thread::Builder::new().name("peer-read-pipe".to_owned());
    // Nobody waits for it.
    let started = thread.spawn(move || read_all(&from, once, &place, read_one));
    started.map_err(|error| SourceError::Unreadable {
        path: called(path),
        reason: format!("there is no thread for it: {}", system::words(&error)),
    })?;
    let mut state = reading.place().wait(clock::now() + first);
    if let Some(error) = state.error.take() {
        return Err(error);
    }
    drop(state);
    *slot = Some(Arc::clone(&reading));
    Ok(reading)
}

/// Reads streams one after the other, each from its beginning, until there are no more.
fn read_all<T: Send + 'static>(
    path: &Path,
    once: bool,
    place: &Arc<Place<T>>,
    mut read_one: ReadOne<T>,
) {
    let end = loop {
        let watched = Arc::clone(place);
        let reader = match Pipe::open(path, Box::new(move || watched.is_gone())) {
            Ok(reader) => Box::new(BufReader::with_capacity(64 << 10, reader)),
            Err(error) => break Err(error.into()),
        };
        place.lock().stream += 1;
        let read = read_one(Input::stream(reader), place);
        match read {
            _ if place.is_gone() => break Ok(()),
            Err(error) => break Err(error),
            // Standard input does not come again; a named pipe may have another writer.
            Ok(false) if is_standard_input(path) => {
                break Err(ContainerError::corrupt("it is empty"));
            }
            Ok(_) if once || is_standard_input(path) => break Ok(()),
            Ok(_) => {}
        }
    };
    let mut state = place.lock();
    state.ended = true;
    state.error = end.err().map(in_file(&called(path)));
    drop(state);
    place.changed.notify_all();
}

/// Whether it is what a shell pipes in: `-`.
#[must_use]
pub fn is_standard_input(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

/// What people call it.
pub(super) fn called(path: &Path) -> PathBuf {
    if is_standard_input(path) { "standard input".into() } else { path.to_owned() }
}
