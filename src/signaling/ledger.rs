//! What waits to be sent, and who pays for it. Pure.
//!
//! Everybody has a share of each reader's queue, and of all queues together: who sends more than is
//! read finds no room himself, and the reader and the others stay as they are.

use std::collections::HashMap;

use super::limiter::Source;
use super::switchboard::ConnectionId;

/// Messages in one queue: more than a round of the exchange can bring, and whoever reads gets his
/// turn after each.
pub const QUEUE_MESSAGES: usize = 1024;
/// Bytes in one queue.
const QUEUE_BYTES: usize = 512 * 1024;
/// One sender may have this part of a queue; the last such part is for the server's own words.
const PART: usize = 4;
/// Bytes in all queues together, of which one source may have a quarter.
const IN_ALL: usize = 32 * 1024 * 1024;
/// When that is used up, who has less than this in all queues still finds room, up to twice as much.
const LITTLE: usize = 64 * 1024;
/// When that is used up, the server's own words still find room in a queue that has fewer of them.
const FEW_WORDS: usize = 4 * 1024;

/// Who wants something to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer {
    /// The server itself: replies and complaints.
    Server,
    /// Somebody whose message is passed on.
    Sender(Source),
}

/// A message that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Whom it is for.
    pub reader: ConnectionId,
    /// Whom it is counted against.
    pub payer: Payer,
    /// Its size.
    pub bytes: usize,
}

/// Counts all that waits.
#[derive(Debug, Default)]
pub struct Ledger {
    readers: HashMap<ConnectionId, Reader>,
    sources: HashMap<Source, usize>,
    total: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    messages: usize,
    bytes: usize,
}

/// One queue; few send to one reader at the same moment.
#[derive(Debug, Default)]
struct Reader {
    all: Tally,
    by_payer: Vec<(Payer, Tally)>,
}

impl Ledger {
    /// Counts an entry; `false` when there is no room for it, and then it is not counted.
    #[must_use]
    pub fn take(&mut self, entry: Entry) -> bool {
        if !self.has_room(entry) {
            return false;
        }
        let reader = self.readers.entry(entry.reader).or_default();
        reader.all.add(entry.bytes);
        match reader.by_payer.iter_mut().find(|(payer, _)| *payer == entry.payer) {
            Some((_, tally)) => tally.add(entry.bytes),
            None => {
                let mut tally = Tally::default();
                tally.add(entry.bytes);
                reader.by_payer.push((entry.payer, tally));
            }
        }
        if let Payer::Sender(source) = entry.payer {
            *self.sources.entry(source).or_default() += entry.bytes;
        }
        self.total += entry.bytes;
        true
    }

    /// It was sent, or never will be.
    pub fn give_back(&mut self, entry: Entry) {
        let Some(reader) = self.readers.get_mut(&entry.reader) else { return };
        reader.all.remove(entry.bytes);
        reader.by_payer.retain_mut(|(payer, tally)| {
            if *payer == entry.payer {
                tally.remove(entry.bytes);
            }
            tally.messages > 0
        });
        if reader.all.messages == 0 {
            self.readers.remove(&entry.reader);
        }
        if let Payer::Sender(source) = entry.payer
            && let Some(bytes) = self.sources.get_mut(&source)
        {
            *bytes = bytes.saturating_sub(entry.bytes);
            if *bytes == 0 {
                self.sources.remove(&source);
            }
        }
        self.total = self.total.saturating_sub(entry.bytes);
    }

    fn has_room(&self, Entry { reader, payer, bytes }: Entry) -> bool {
        let reader = self.readers.get(&reader);
        let all = reader.map_or(Tally::default(), |reader| reader.all);
        let mine = reader.and_then(|reader| reader.by_payer.iter().find(|(by, _)| *by == payer));
        let mine = mine.map_or(Tally::default(), |(_, tally)| *tally);
        // A message that is larger than a share still gets through, alone.
        if mine.messages > 0 && !mine.fits(bytes, 1) {
            return false;
        }
        let everything = self.total.saturating_add(bytes);
        match payer {
            Payer::Server => {
                all.fits(bytes, PART) && (everything <= IN_ALL || mine.bytes <= FEW_WORDS)
            }
            Payer::Sender(source) => {
                let of_source = self.sources.get(&source).copied().unwrap_or(0) + bytes;
                let little = of_source <= LITTLE && everything <= 2 * IN_ALL;
                (all.messages == 0 || all.fits(bytes, PART - 1))
                    && of_source <= IN_ALL / PART
                    && (everything <= IN_ALL || little)
            }
        }
    }
}

impl Tally {
    fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether one more message is within so many parts of a queue.
    fn fits(self, bytes: usize, parts: usize) -> bool {
        self.messages < QUEUE_MESSAGES / PART * parts
            && self.bytes + bytes <= QUEUE_BYTES / PART * parts
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
