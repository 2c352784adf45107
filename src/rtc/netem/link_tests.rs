//! Tests of the link: rate, queue, delay, jitter and loss, on a clock of their own.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::super::words::Network;
use super::*;
use crate::clock;

fn link(words: &str) -> Link<usize> {
    let network: Network = words.parse().unwrap();
    Link::new(network.steps()[0].up.clone(), 7)
}

fn ms(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1e3)
}

/// Runs the link on its own deadlines up to a time; what arrived, and when.
fn run(link: &mut Link<usize>, until: Instant) -> Vec<(Instant, usize)> {
    let mut arrived = vec![];
    while let Some(at) = link.deadline().filter(|at| *at <= until) {
        link.handle(at, Input::Timeout);
        arrived.extend(std::iter::from_fn(|| link.poll()).map(|packet| (at, packet)));
    }
    arrived
}

/// Sends packets of 1,250 bytes (10,000 bits) at even distances, and waits for all that arrive.
fn send(
    link: &mut Link<usize>,
    start: Instant,
    packets: usize,
    every: Duration,
) -> Vec<(Instant, usize)> {
    let mut arrived = vec![];
    for number in 0..packets {
        let now = start + every * number as u32;
        arrived.extend(run(link, now));
        link.handle(now, Input::Packet { carried: number, bytes: 1_250 });
        arrived.extend(std::iter::from_fn(|| link.poll()).map(|packet| (now, packet)));
    }
    arrived.extend(run(link, start + Duration::from_secs(3_600)));
    arrived
}

#[test]
fn a_link_without_properties_passes_everything_at_once() {
    let start = clock::now();
    let arrived = send(&mut link(""), start, 100, ms(1.0));
    assert_eq!(arrived.len(), 100);
    assert!(arrived.iter().all(|(at, number)| *at == start + ms(1.0) * *number as u32));
}

#[test]
fn packets_leave_at_the_rate_and_arrive_after_the_delay() {
    let start = clock::now();
    let mut link = link("rate=1M,delay=50ms,queue=1s");
    let arrived = send(&mut link, start, 50, ms(1.0));
    for (at, number) in arrived {
        let wanted = start + ms(10.0 * (number + 1) as f64 + 50.0);
        let off = at.max(wanted) - at.min(wanted);
        assert!(off < ms(0.01), "packet {number} is {off:?} off");
    }
    assert_eq!((link.counts().wait_ms(0.0), link.counts().wait_ms(1.0)), (10.0, 451.0));
}

#[test]
fn a_full_queue_drops_what_comes_last() {
    let start = clock::now();
    let mut link = link("rate=1M,queue=100ms");
    let arrived: Vec<usize> =
        send(&mut link, start, 50, Duration::ZERO).into_iter().map(|(_, number)| number).collect();
    assert_eq!(arrived, (0..10).collect::<Vec<_>>());
    assert_eq!((link.counts().packets, link.counts().tail_dropped), (50, 40));
}

#[test]
fn two_packets_fit_into_the_smallest_queue() {
    let arrived = send(&mut link("rate=10k,queue=0ms"), clock::now(), 5, Duration::ZERO);
    assert_eq!(arrived.len(), 2);
}

#[test]
fn a_change_of_rate_counts_from_when_it_comes() {
    let start = clock::now();
    let mut link = link("rate=1M,queue=1s");
    for number in 0..3 {
        link.handle(start, Input::Packet { carried: number, bytes: 1_250 });
    }
    // Half of the first is sent; the rest takes ten times as long.
    let slower = LinkProfile { rate: Some(100e3), ..link.profile.clone() };
    link.handle(start + ms(5.0), Input::Change(slower));
    let arrived = run(&mut link, start + ms(1_000.0));
    let after: Vec<f64> = arrived.iter().map(|(at, _)| (*at - start).as_secs_f64() * 1e3).collect();
    for (after, wanted) in after.iter().zip([55.0, 155.0, 255.0]) {
        assert!((after - wanted).abs() < 0.01, "{after} ms, not {wanted}");
    }
}

#[test]
fn without_a_rate_what_waited_goes_at_once() {
    let start = clock::now();
    let mut link = link("rate=100k,queue=1s");
    for number in 0..5 {
        link.handle(start, Input::Packet { carried: number, bytes: 1_250 });
    }
    link.handle(start + ms(1.0), Input::Change(LinkProfile::default()));
    assert_eq!(std::iter::from_fn(|| link.poll()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(link.deadline(), None);
}

#[test]
fn jitter_keeps_the_order_unless_it_may_not() {
    let start = clock::now();
    let in_order = |words: &str| {
        let arrived = send(&mut link(words), start, 2_000, ms(2.0));
        let late = arrived.iter().map(|(at, number)| {
            let sent = start + ms(2.0) * *number as u32;
            (*at - sent).as_secs_f64() * 1e3
        });
        let late: Vec<f64> = late.collect();
        assert!(late.iter().all(|late| (19.9..60.1).contains(late)), "{words}");
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        (arrived.windows(2).all(|pair| pair[0].1 < pair[1].1), mean)
    };
    assert!(in_order("delay=40ms,jitter=20ms").0);
    for words in
        ["delay=40ms,jitter=20ms,reorder=yes", "delay=40ms,jitter=20ms,reorder=yes,dist=gauss"]
    {
        let (kept, mean) = in_order(words);
        assert!(!kept && (39.0..41.0).contains(&mean), "{words}: {mean}");
    }
}

#[test]
fn losses_are_as_many_as_asked_for_and_in_runs_of_the_length_asked_for() {
    for (words, wanted, length) in [
        ("loss=5%", 0.05, 1.05),
        ("loss=10%,burst=3", 0.10, 3.0),
        ("loss=20%,burst=8", 0.20, 8.0),
        ("loss=100%", 1.0, 100_000.0),
        ("loss=0%,burst=5", 0.0, 0.0),
    ] {
        let mut link = link(words);
        let arrived = send(&mut link, clock::now(), 100_000, ms(1.0));
        let lost = link.counts().lost as f64;
        assert_eq!(lost as usize + arrived.len(), 100_000);
        let (mut runs, mut next) = (0.0, 0);
        for number in arrived.iter().map(|(_, number)| *number).chain([100_000]) {
            runs += f64::from(number > next);
            next = number + 1;
        }
        let share = lost / 100_000.0;
        assert!((share - wanted).abs() <= 0.12 * wanted, "{words}: {share} lost");
        let run = lost / f64::max(runs, 1.0);
        assert!((run - length).abs() <= 0.12 * length, "{words}: {run} in a row");
    }
}

#[test]
fn the_same_seed_loses_the_same_packets() {
    let arrived = || send(&mut link("loss=30%,jitter=5ms,delay=9ms"), clock::now(), 500, ms(1.0));
    let numbers = |arrived: Vec<(Instant, usize)>| -> Vec<usize> {
        arrived.into_iter().map(|(_, number)| number).collect()
    };
    assert_eq!(numbers(arrived()), numbers(arrived()));
}

proptest! {
    /// Whatever is sent arrives, is lost, is dropped, or is still on the link; nothing arrives twice,
    /// early or out of turn, and the queue is never longer than its time.
    #[test]
    fn nothing_appears_or_vanishes(
        rate in 10_000.0..5e6_f64,
        queue in 0.0..500.0_f64,
        delay in 0.0..200.0_f64,
        packets in proptest::collection::vec((0_u64..30_000, 40_usize..1_400), 1..200),
        another in 10_000.0..5e6_f64,
    ) {
        let start = clock::now();
        let profile = LinkProfile { rate: Some(rate), queue: ms(queue), delay: ms(delay), loss: 0.1, ..LinkProfile::default() };
        let mut link = Link::new(profile.clone(), 3);
        let (mut now, mut arrived) = (start, vec![]);
        for (number, (after, bytes)) in packets.iter().enumerate() {
            now += Duration::from_micros(*after);
            arrived.extend(run(&mut link, now));
            if number == 100 {
                link.handle(now, Input::Change(LinkProfile { rate: Some(another), ..profile.clone() }));
            }
            link.handle(now, Input::Packet { carried: number, bytes: *bytes });
            let room = (rate.max(another) * queue / 8e3).max(SMALLEST_QUEUE_BYTES);
            prop_assert!(link.queued_bytes as f64 <= room);
        }
        arrived.extend(run(&mut link, now + Duration::from_secs(86_400)));
        let counts = link.counts();
        prop_assert_eq!(counts.packets as usize, packets.len());
        prop_assert_eq!((counts.lost + counts.tail_dropped) as usize + arrived.len(), packets.len());
        prop_assert!(arrived.windows(2).all(|pair| pair[0].1 < pair[1].1));
        prop_assert!(arrived.iter().all(|(at, _)| *at >= start + ms(delay) - ms(0.001)));
        prop_assert_eq!(link.queued_bytes, 0);
    }
}
