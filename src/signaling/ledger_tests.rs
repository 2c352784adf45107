//! Tests of who pays for what waits.

use proptest::prelude::*;

use super::*;

fn sender(number: u8) -> Payer {
    Payer::Sender(Source::of([192, 0, 2, number].into()))
}

fn entry(reader: u64, payer: Payer, bytes: usize) -> Entry {
    Entry { reader: ConnectionId(reader), payer, bytes }
}

/// How many of these find room, of very many.
fn fill(ledger: &mut Ledger, entry: Entry) -> usize {
    (0..100_000).take_while(|_| ledger.take(entry)).count()
}

#[test]
fn who_fills_a_queue_leaves_room_for_others_and_for_the_server() {
    let mut ledger = Ledger::default();
    assert_eq!(fill(&mut ledger, entry(1, sender(1), 64_000)), 2, "a quarter of it");
    assert!(ledger.take(entry(1, sender(2), 64_000)), "others have their own");
    assert!(ledger.take(entry(2, sender(1), 64_000)), "and so have other readers");
    let filled: usize =
        (3..50).map(|number| fill(&mut ledger, entry(1, sender(number), 10_000))).sum();
    assert!(filled > 15, "{filled}");
    assert!(!ledger.take(entry(1, sender(99), 10_000)), "all senders together have three quarters");
    assert_eq!(fill(&mut ledger, entry(1, Payer::Server, 100)), QUEUE_MESSAGES / PART);

    let mut ledger = Ledger::default();
    assert_eq!(fill(&mut ledger, entry(1, sender(1), 1)), QUEUE_MESSAGES / PART);
    ledger.give_back(entry(1, sender(1), 1));
    assert!(ledger.take(entry(1, sender(1), 1)) && !ledger.take(entry(1, sender(1), 1)));
}

#[test]
fn a_message_larger_than_a_share_gets_through_alone() {
    let mut ledger = Ledger::default();
    assert!(ledger.take(entry(1, sender(1), 250_000)));
    assert!(!ledger.take(entry(1, sender(1), 1)));
}

#[test]
fn all_queues_together_are_bounded_and_who_sends_little_is_heard() {
    let mut ledger = Ledger::default();
    let mut taken = 0;
    for number in 1..=40 {
        for reader in 0..300 {
            while ledger.take(entry(reader, sender(number), 30_000)) {
                taken += 30_000;
            }
        }
        assert!(taken <= IN_ALL / PART * usize::from(number));
    }
    assert!((IN_ALL - 30_000..=2 * IN_ALL).contains(&taken), "{taken}");
    assert!(ledger.take(entry(900, sender(200), 20_000)), "somebody who sends little");
    assert!(ledger.take(entry(900, Payer::Server, 1000)));
}

proptest! {
    #[test]
    fn what_is_given_back_leaves_nothing(
        wanted in proptest::collection::vec((0..4_u64, 0..4_u8, 0..200_000_usize), 0..200),
    ) {
        let mut ledger = Ledger::default();
        let mut held = Vec::new();
        for (reader, payer, bytes) in wanted {
            let payer = if payer == 0 { Payer::Server } else { sender(payer) };
            let entry = entry(reader, payer, bytes);
            if ledger.take(entry) {
                held.push(entry);
            } else if let Some(entry) = held.pop() {
                ledger.give_back(entry);
            }
            prop_assert_eq!(ledger.total, held.iter().map(|entry| entry.bytes).sum::<usize>());
        }
        held.into_iter().for_each(|entry| ledger.give_back(entry));
        prop_assert!(ledger.readers.is_empty() && ledger.sources.is_empty());
        prop_assert_eq!(ledger.total, 0);
    }
}
