//! What waits to be sent, and who pays for it. Pure.
//!
//! Everybody has a share of each reader's queue, and of all queues together: who sends more than is
//! read finds no room himself, and the reader and the others stay as they are.

use std::collections::{BTreeSet, HashMap};

use super::limiter::{Held, Source};
use super::switchboard::ConnectionId;

/// Messages in one queue: more than a round of the exchange can bring, and whoever reads gets his
/// turn after each.
pub const QUEUE_MESSAGES: usize = 1024;
/// Bytes in one queue.
const QUEUE_BYTES: usize = 512 * 1024;
/// One sender may have this part of a queue; the last such part is for the server's own words.
const PART: usize = 4;
/// Bytes in all queues together, of which one source may have a quarter, and one network too.
const IN_ALL: usize = 32 * 1024 * 1024;
/// When that is used up, who has less than this in all queues still finds room, up to twice as much;
/// and readers who have more waiting are turned out, until there is room again.
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
    /// Those with more than [`LITTLE`], by how much it is.
    heavy: BTreeSet<(usize, ConnectionId)>,
    sources: Held,
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
        let before = reader.all.bytes;
        reader.all.add(entry.bytes);
        match reader.by_payer.iter_mut().find(|(payer, _)| *payer == entry.payer) {
            Some((_, tally)) => tally.add(entry.bytes),
            None => {
                let mut tally = Tally::default();
                tally.add(entry.bytes);
                reader.by_payer.push((entry.payer, tally));
            }
        }
        self.weigh(entry.reader, before, before + entry.bytes);
        if let Payer::Sender(source) = entry.payer {
            self.sources.add(source, entry.bytes);
        }
        self.total += entry.bytes;
        true
    }

    /// It was sent, or never will be.
    pub fn give_back(&mut self, entry: Entry) {
        let Some(reader) = self.readers.get_mut(&entry.reader) else { return };
        let before = reader.all.bytes;
        reader.all.remove(entry.bytes);
        let after = reader.all.bytes;
        reader.by_payer.retain_mut(|(payer, tally)| {
            if *payer == entry.payer {
                tally.remove(entry.bytes);
            }
            tally.messages > 0
        });
        if reader.all.messages == 0 {
            self.readers.remove(&entry.reader);
        }
        self.weigh(entry.reader, before, after);
        if let Payer::Sender(source) = entry.payer {
            self.sources.remove(source, entry.bytes);
        }
        self.total = self.total.saturating_sub(entry.bytes);
    }

    /// Who is to be turned out so that an entry finds room that found none: whoever has most waiting,
    /// where it is only the queues together that are full.
    #[must_use]
    pub fn in_the_way(&self, entry: Entry) -> Option<ConnectionId> {
        let full = self.total.saturating_add(entry.bytes) > IN_ALL && self.is_within_shares(entry);
        self.heavy.last().filter(|_| full).map(|(_, reader)| *reader)
    }

    /// Nothing that waits for this one will be sent: it counts no more, whenever it is given back.
    pub fn write_off(&mut self, reader: ConnectionId) {
        let Some(gone) = self.readers.remove(&reader) else { return };
        self.weigh(reader, gone.all.bytes, 0);
        for (payer, tally) in gone.by_payer {
            if let Payer::Sender(source) = payer {
                self.sources.remove(source, tally.bytes);
            }
        }
        self.total = self.total.saturating_sub(gone.all.bytes);
    }

    fn weigh(&mut self, reader: ConnectionId, before: usize, after: usize) {
        if before > LITTLE {
            self.heavy.remove(&(before, reader));
        }
        if after > LITTLE {
            self.heavy.insert((after, reader));
        }
    }

    fn has_room(&self, entry: Entry) -> bool {
        let everything = self.total.saturating_add(entry.bytes);
        let little = match entry.payer {
            Payer::Server => self.of_payer(entry).bytes <= FEW_WORDS,
            Payer::Sender(source) => {
                self.sources.of(source) + entry.bytes <= LITTLE && everything <= 2 * IN_ALL
            }
        };
        self.is_within_shares(entry) && (everything <= IN_ALL || little)
    }

    /// Whether whoever pays has room of his own, in the reader's queue and in all.
    fn is_within_shares(&self, entry: Entry) -> bool {
        let Entry { reader, payer, bytes } = entry;
        let all = self.readers.get(&reader).map_or(Tally::default(), |reader| reader.all);
        let mine = self.of_payer(entry);
        // A message that is larger than a share still gets through, alone.
        if mine.messages > 0 && !mine.fits(bytes, 1) {
            return false;
        }
        match payer {
            Payer::Server => all.fits(bytes, PART),
            Payer::Sender(source) => {
                (all.messages == 0 || all.fits(bytes, PART - 1))
                    && self.sources.of_network(source) + bytes <= IN_ALL / PART
            }
        }
    }

    /// What waits for this reader of this payer.
    fn of_payer(&self, entry: Entry) -> Tally {
        let reader = self.readers.get(&entry.reader);
        let mine = reader.and_then(|all| all.by_payer.iter().find(|(by, _)| *by == entry.payer));
        mine.map_or(Tally::default(), |(_, tally)| *tally)
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
