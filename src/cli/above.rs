//! What is printed while somebody types: it goes above the line being typed, which stays whole.
//!
//! Owns the queue between the printer and the line editor, and the status that stands over the
//! line. The editor prints when it can: while it searches the history it does not.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustyline::ExternalPrinter;

/// Lines that wait for the editor; more are lost, and it is said how many.
const WAITING: usize = 256;

/// How long the end waits for the editor to print what it has.
const PATIENCE: Duration = Duration::from_millis(200);

/// Up and down again: prints nothing, and the editor draws its lines anew.
const REDRAW: &str = "\x1b[A\n";

/// A handle to the place above the line; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Above {
    shared: Arc<(Mutex<Pending>, Condvar)>,
}

#[derive(Debug, Default)]
struct Pending {
    texts: VecDeque<String>,
    redraw: bool,
    lost: usize,
    /// Being handed to the editor, and handed to it before.
    sending: Option<String>,
    sent: Option<String>,
    status: String,
    /// Somebody types, so the cursor stands in the line.
    editing: bool,
    /// The terminal is somebody else's.
    away: bool,
    done: bool,
}

/// What the end of the editing leaves to the printer.
#[derive(Debug, PartialEq, Eq)]
pub struct Rest {
    /// Not printed any more.
    pub texts: Vec<String>,
    /// The cursor stands in a line that was not finished.
    pub in_line: bool,
}

impl Above {
    /// Prints whole lines.
    pub fn print(&self, lines: String) {
        let mut pending = self.pending();
        if pending.texts.len() < WAITING {
            pending.texts.push_back(lines);
        } else {
            pending.lost += 1;
        }
        self.shared.1.notify_all();
    }

    /// Changes the status over the line.
    pub fn set_status(&self, status: &str) {
        let mut pending = self.pending();
        if pending.status != status {
            status.clone_into(&mut pending.status);
            pending.redraw = !pending.away;
            self.shared.1.notify_all();
        }
    }

    /// The status over the line.
    #[must_use]
    pub fn status(&self) -> String {
        self.pending().status.clone()
    }

    /// Says whether somebody types.
    pub fn set_editing(&self, editing: bool) {
        self.pending().editing = editing;
    }

    /// The terminal is somebody else's: nothing is drawn on it. Says whether somebody was typing.
    pub fn step_back(&self) -> bool {
        let mut pending = self.pending();
        (pending.away, pending.redraw) = (true, false);
        pending.editing
    }

    /// Whether somebody types.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        self.pending().editing
    }

    /// The terminal is ours again: the line is drawn anew.
    pub fn step_forward(&self) {
        let mut pending = self.pending();
        (pending.away, pending.redraw) = (false, true);
        self.shared.1.notify_all();
    }

    /// The screen was changed under it: the line is drawn anew.
    pub fn redraw(&self) {
        let mut pending = self.pending();
        pending.redraw = !pending.away;
        self.shared.1.notify_all();
    }

    /// Hands to the editor what is printed, until the end.
    pub fn feed(&self, mut editor: impl ExternalPrinter) {
        while let Some(text) = self.next() {
            if let Err(error) = editor.print(text) {
                tracing::warn!(%error, "the line editor printed nothing");
            }
            let mut pending = self.pending();
            pending.sent = pending.sending.take();
            self.shared.1.notify_all();
        }
    }

    fn next(&self) -> Option<String> {
        let idle = |pending: &mut Pending| {
            pending.texts.is_empty() && pending.lost == 0 && !pending.redraw && !pending.done
        };
        let waited = self.shared.1.wait_while(self.pending(), idle);
        let mut pending = waited.unwrap_or_else(PoisonError::into_inner);
        let text = match pending.texts.pop_front() {
            Some(text) => text,
            None if pending.lost > 0 => {
                format!("peer: {} lines are missing here\n", std::mem::take(&mut pending.lost))
            }
            None if std::mem::take(&mut pending.redraw) => REDRAW.to_owned(),
            None => return None,
        };
        pending.sending = Some(text.clone());
        Some(text)
    }

    /// Ends it: the editor prints what it can at once, the rest is left to the caller.
    #[must_use]
    pub fn finish(&self) -> Rest {
        let busy = |pending: &mut Pending| !pending.texts.is_empty() || pending.sending.is_some();
        let waited = self.shared.1.wait_timeout_while(self.pending(), PATIENCE, busy);
        let mut pending = waited.unwrap_or_else(PoisonError::into_inner).0;
        let mut texts = Vec::new();
        if let Some(sending) = pending.sending.take() {
            // The editor has a place for one: that another waits means that the one is there still.
            texts.extend(pending.sent.take());
            texts.push(sending);
        }
        texts.extend(pending.texts.drain(..));
        texts.retain(|text| text != REDRAW);
        pending.done = true;
        self.shared.1.notify_all();
        Rest { texts, in_line: pending.editing }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// An editor that takes one text at a time when it is asked to.
    struct Editor(SyncSender<String>);

    impl ExternalPrinter for Editor {
        fn print(&mut self, text: String) -> rustyline::Result<()> {
            self.0.send(text).map_err(|_| std::io::Error::other("gone").into())
        }
    }

    fn editor(places: usize) -> (Above, Receiver<String>) {
        let (above, (to, texts)) = (Above::default(), sync_channel(places));
        let fed = above.clone();
        std::thread::spawn(move || fed.feed(Editor(to)));
        (above, texts)
    }

    #[test]
    fn texts_come_in_order_and_a_status_once() {
        let (above, texts) = editor(0);
        above.print("one\n".into());
        above.print("two\n".into());
        above.set_status("busy");
        above.set_status("busy");
        assert_eq!(["one\n", "two\n", REDRAW], [0; 3].map(|_| texts.recv().unwrap()).as_ref());
        assert_eq!(above.status(), "busy");
        assert_eq!(above.finish(), Rest { texts: vec![], in_line: false });
        assert!(texts.recv().is_err(), "the feeding ends");
    }

    #[test]
    fn what_an_editor_that_is_busy_has_not_printed_is_left_over() {
        let (above, texts) = editor(1);
        for text in ["one\n", "two\n", "three\n"] {
            above.print(text.into());
        }
        above.set_editing(true);
        let rest = above.finish();
        assert_eq!(
            rest,
            Rest { texts: vec!["one\n".into(), "two\n".into(), "three\n".into()], in_line: true }
        );
        drop(texts);
    }

    #[test]
    fn more_than_can_wait_is_counted() {
        let above = Above::default();
        for _ in 0..WAITING + 3 {
            above.print("x\n".into());
        }
        let texts: Vec<String> = (0..=WAITING).map(|_| above.next().unwrap()).collect();
        assert_eq!(texts[WAITING], "peer: 3 lines are missing here\n");
    }
}
