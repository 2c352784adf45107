//! Tests of who pays for what waits.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// Each in a network of his own.
fn sender(number: u8) -> Payer {
    Payer::Sender(Source::of([192, 0, number, 1].into()))
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

#[test]
fn many_addresses_of_one_network_are_one_sender() {
    let mut ledger = Ledger::default();
    let of_site = |number: u16| {
        let address = std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, number, 0, 0, 0, 1);
        Payer::Sender(Source::of(address.into()))
    };
    let mut taken = 0;
    for number in 0..50 {
        for reader in 0..300 {
            while ledger.take(entry(reader, of_site(number), 30_000)) {
                taken += 30_000;
            }
        }
    }
    assert!(taken <= IN_ALL / PART, "{taken}");
    assert!(fill(&mut ledger, entry(900, sender(1), 30_000)) > 3, "others have their own");
}

/// Four networks have each a quarter, and five hundred and twelve more as much as is little.
fn crowd(ledger: &mut Ledger) {
    for number in 1..=4 {
        for reader in 0..300 {
            while ledger.take(entry(reader, sender(number), 30_000)) {}
        }
    }
    for number in 0..600_u16 {
        let [high, low] = number.to_be_bytes();
        let payer = Payer::Sender(Source::of([198, 100 + high, low, 1].into()));
        let _ = ledger.take(entry(1_000 + u64::from(number), payer, LITTLE));
    }
}

#[test]
fn when_all_queues_are_full_whoever_has_most_waiting_makes_room() {
    let mut ledger = Ledger::default();
    crowd(&mut ledger);
    let friend = entry(5_000, sender(200), 20_000);
    assert!(!ledger.take(friend), "nothing of anybody is passed on");
    let mut turned_out = Vec::new();
    while !ledger.take(friend) {
        let most = ledger.in_the_way(friend).unwrap();
        ledger.write_off(most);
        turned_out.push(most);
    }
    assert_eq!(turned_out.len(), 1);
    assert!(turned_out.iter().all(|reader| reader.0 < 300), "{turned_out:?}");
    let before = ledger.total;
    ledger.give_back(entry(turned_out[0].0, sender(1), 30_000));
    assert_eq!(ledger.total, before, "what is given back late counts no more");
    // Nobody is turned out for who has used up what is his, nor while there is room.
    let (_, full) = *ledger.heavy.last().unwrap();
    assert_eq!(ledger.in_the_way(entry(full.0, sender(1), 30_000)), None);
    assert_eq!(Ledger::default().in_the_way(friend), None);
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
        prop_assert!(ledger.heavy.is_empty());
        prop_assert_eq!(ledger.total, 0);
    }
}
