//! Calls on emulated links, in virtual time: what is filled, how long the queue gets, what is shared.

use super::super::simulation::{Link, Seen, play};

const MAX: f64 = 4e6;

/// What a call of 40 s shows, as the median of three seeds would: each seed must hold.
fn each_seed(link: &Link, seconds: u32, check: impl Fn(&Seen)) {
    for seed in 1..=3 {
        let seen = play(link, seconds, 1, MAX, seed).remove(0);
        check(&seen);
    }
}

#[test]
fn a_clean_link_is_filled_in_seconds_without_a_queue() {
    let link = Link::default();
    each_seed(&link, 30, |seen| {
        assert!(seen.first_second_over(&link, 0.85) <= 4);
        assert!(seen.used(&link, 10) > 0.85);
        assert!(seen.queue_p95(5) < 80.0);
    });
}

#[test]
fn a_narrow_link_too() {
    let link = Link { rate: |_| 500e3, ..Link::default() };
    each_seed(&link, 40, |seen| {
        assert!(seen.used(&link, 10) > 0.82);
        assert!(seen.queue_p95(5) < 100.0);
    });
    let link = Link { rate: |_| 150e3, delay_ms: 100.0, ..Link::default() };
    each_seed(&link, 40, |seen| assert!(seen.queue_p95(5) < 200.0));
}

#[test]
fn loss_that_no_rate_explains_takes_nothing() {
    for loss in [0.05, 0.2] {
        let link = Link { loss, ..Link::default() };
        each_seed(&link, 40, |seen| {
            assert!(seen.used(&link, 10) > 0.75, "{loss}");
            assert!(seen.queue_p95(5) < 100.0, "{loss}");
        });
    }
}

#[test]
fn bursts_of_losses_are_no_bound() {
    for (loss, burst) in [(0.03, 8), (0.05, 5), (0.2, 3)] {
        let link = Link { loss, burst, delay_ms: 30.0, ..Link::default() };
        for seed in 1..=20 {
            let seen = play(&link, 30, 1, MAX, seed).remove(0);
            let low = seen.target[50..].split(|target| *target > 800e3).map(<[f64]>::len).max();
            assert!(low <= Some(10), "{loss} {burst} {seed}: {low:?} tenths of a second");
        }
    }
}

#[test]
fn a_lossy_path_is_filled_in_seconds_too() {
    for loss in [0.05, 0.1, 0.2] {
        let link = Link { loss, ..Link::default() };
        let first = (1..=20).map(|seed| {
            play(&link, 12, 1, MAX, seed).remove(0).first_second_over(&link, 0.6 * (1.0 - loss))
        });
        let slow: Vec<usize> = first.filter(|second| *second > 6).collect();
        assert!(slow.len() <= 2, "{loss}: {slow:?}");
    }
}

#[test]
fn a_queue_too_short_to_be_seen_is_found_by_its_losses() {
    let link = Link { rate: |_| 1e6, queue_ms: 30.0, ..Link::default() };
    each_seed(&link, 40, |seen| {
        assert!(seen.used(&link, 10) > 0.6, "{:?}", seen.carried);
        let sent: f64 = seen.carried.iter().sum::<f64>() / 8.0 / 1_000.0;
        assert!((seen.tail_drops as f64) < sent * 0.1, "{} of {sent}", seen.tail_drops);
    });
}

#[test]
fn jitter_takes_nothing() {
    let link = Link { delay_ms: 50.0, jitter_ms: 100.0, ..Link::default() };
    each_seed(&link, 40, |seen| assert!(seen.used(&link, 10) > 0.5));
}

#[test]
fn a_fall_is_followed_at_once_and_a_rise_within_seconds() {
    let rate = |t| if (18.0..30.0).contains(&t) { 600e3 } else { 3e6 };
    let link = Link { rate, ..Link::default() };
    each_seed(&link, 46, |seen| {
        let over = seen.queue_ms[18_000..].iter().filter(|ms| **ms > 100.0).count();
        assert!(over < 1_000, "{over} ms over 100 ms");
        assert!(seen.tail_drops < 70, "{} tail drops", seen.tail_drops);
        assert!(seen.carried[36..39].iter().any(|bits| *bits > 2.4e6), "{:?}", seen.carried);
    });
}

#[test]
fn a_fall_of_both_ways_is_noticed_by_the_silence() {
    let rate = |t| if t < 30.0 { 2.5e6 } else { 600e3 };
    let link = Link { rate, delay_ms: 50.0, both: true, ..Link::default() };
    each_seed(&link, 46, |seen| {
        let over = seen.queue_ms[30_000..].iter().filter(|ms| **ms > 100.0).count();
        assert!(over < 1_300, "{over} ms over 100 ms");
        assert!(seen.tail_drops < 45, "{} tail drops", seen.tail_drops);
    });
}

#[test]
fn a_queue_on_the_way_back_alone_stops_nothing() {
    // It fills as that of a link whose rate falls to a quarter, and is gone in half a second.
    let back_queue_ms = |t| match t {
        20.0..20.4 => (t - 20.0) * 700.0,
        20.4..20.9 => (20.9 - t) * 560.0,
        _ => 0.0,
    };
    let link = Link { delay_ms: 50.0, back_queue_ms, ..Link::default() };
    let low = |seed| {
        let seen = play(&link, 24, 1, MAX, seed).remove(0);
        let before = seen.target[199];
        seen.target[200..215].iter().filter(|target| **target < 0.4 * before).count()
    };
    let low: usize = (1..=12).map(low).sum();
    assert!(low <= 20, "{low} tenths of a second in twelve calls, of 41 if nothing is known of it");
}

#[test]
fn the_cases_of_rfc_8867_are_followed() {
    // RFC 8867 section 5.1, and 5.3's forward direction.
    let first = |t| match t {
        40.0..60.0 => 2.5e6,
        60.0..80.0 => 600e3,
        _ => 1e6,
    };
    let third = |t| match t {
        20.0..40.0 => 1e6,
        40.0..60.0 => 500e3,
        _ => 2e6,
    };
    for rate in [first as fn(f64) -> f64, third] {
        let link = Link { rate, delay_ms: 50.0, ..Link::default() };
        each_seed(&link, 100, |seen| {
            assert!(seen.used(&link, 10) > 0.8, "{:?}", seen.carried);
            assert!(seen.queue_p95(10) < 80.0, "{}", seen.queue_p95(10));
        });
    }
}

#[test]
fn after_an_interruption_it_goes_on_where_it_was() {
    let link = Link { rate: |_| 2e6, gap: 20.0..25.0, ..Link::default() };
    each_seed(&link, 40, |seen| {
        assert!(seen.stalled > 4_000, "{}", seen.stalled);
        assert!(seen.carried[26] > 1.2e6, "{:?}", seen.carried);
    });
}

#[test]
fn two_calls_share() {
    let link = Link { rate: |_| 2e6, ..Link::default() };
    for seed in 1..=3 {
        let seen = play(&link, 45, 2, MAX, seed);
        let used: Vec<f64> = seen.iter().map(|seen| seen.used(&link, 15)).collect();
        let share = used[0] / (used[0] + used[1]);
        assert!((0.4..0.6).contains(&share), "{used:?}");
        assert!(used[0] + used[1] > 0.8, "{used:?}");
    }
}

#[test]
fn beside_a_long_tcp_flow_a_share_is_kept_and_left() {
    type Rate = fn(f64) -> f64;
    let links: [(Rate, f64, f64); 5] = [
        (|_| 2e6, 25.0, 300.0),
        (|_| 2e6, 25.0, 150.0),
        (|_| 1e6, 25.0, 300.0),
        (|_| 5e6, 50.0, 200.0),
        (|_| 2e6, 100.0, 300.0),
    ];
    for (rate, delay_ms, queue_ms) in links {
        for (tcp_from, bbr) in [(0.0, false), (15.0, false), (0.0, true), (15.0, true)] {
            let link = Link { rate, delay_ms, queue_ms, tcp_from, bbr, ..Link::default() };
            let from = 10 + tcp_from as usize;
            let mut used: Vec<f64> =
                (1..=5).map(|seed| play(&link, 75, 1, MAX, seed)[0].used(&link, from)).collect();
            used.sort_by(f64::total_cmp);
            let which = format!("{queue_ms} ms, TCP from {tcp_from} s, BBR {bbr}: {used:?}");
            assert!(used[0] > 0.15 && used[4] < 0.9, "{which}");
            assert!((0.22..0.7).contains(&used[2]), "{which}");
        }
    }
}

#[test]
fn a_longer_way_is_no_rival() {
    for ms in [40.0, 80.0, 150.0] {
        let link = Link { detour: (20.0, ms), ..Link::default() };
        each_seed(&link, 60, |seen| {
            assert!(seen.used(&link, 40) > 0.8, "{ms} {:?}", seen.carried);
            assert!(seen.queue_p95(45) < 100.0, "{ms} {}", seen.queue_p95(45));
        });
    }
}
