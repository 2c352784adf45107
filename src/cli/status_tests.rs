//! Tests of the status line: what it says, and how often.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::phone::event::EndReason;
use crate::rtc::stats::{CandidatePair, InboundVideo};

fn at(ms: u64, kind: EventKind) -> Event {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    Event { kind, time, call: Some(7), peer: Some("bob".into()) }
}

fn connected(ms: u64) -> Event {
    at(ms, EventKind::Connected { setup_ms: 1, safety_words: None })
}

fn snapshot(ms: u64, width: u32) -> Event {
    let mut stats = Stats::default();
    stats.inbound.video = Some(InboundVideo {
        frame_width: width,
        frame_height: 360,
        frames_per_second: 29.97,
        bytes_received: ms * 175,
        packets_received: ms / 10,
        ..Default::default()
    });
    let current_round_trip_time = 0.012;
    stats.selected_candidate_pair =
        Some(CandidatePair { current_round_trip_time, ..Default::default() });
    at(ms, EventKind::Stats(Box::new(stats)))
}

fn said(cadence: Cadence, times: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut status = Status::new(cadence);
    status.handle(&connected(0));
    times.into_iter().filter(|ms| status.handle(&snapshot(*ms, 640)).is_some()).collect()
}

#[test]
fn the_line_has_time_size_rate_path_and_loss() {
    let mut status = Status::new(Cadence::Live);
    assert_eq!(status.handle(&connected(0)), None);
    assert!(status.in_call());
    assert_eq!(
        status.handle(&snapshot(12_000, 640)).as_deref(),
        Some("connected to 'bob' 12s  640x360 30 fps  1.4 Mbit/s  rtt 12 ms  loss 0.0 %")
    );
}

#[test]
fn rates_are_those_since_the_snapshot_before() {
    let mut status = Status::new(Cadence::Live);
    status.handle(&connected(0));
    let mut lossy = snapshot(1000, 640);
    status.handle(&lossy);
    lossy.time += Duration::from_secs(1);
    if let EventKind::Stats(stats) = &mut lossy.kind
        && let Some(video) = &mut stats.inbound.video
    {
        video.bytes_received += 50_000;
        video.packets_received += 75;
        video.packets_lost += 25;
    }
    let line = status.handle(&lossy).unwrap();
    assert!(line.contains("  400 kbit/s  "), "{line}");
    assert!(line.ends_with("loss 25.0 %"), "{line}");
}

#[test]
fn live_is_at_most_once_a_second() {
    assert_eq!(said(Cadence::Live, [1000, 1100, 1999, 3001]), [1000, 1999, 3001]);
}

#[test]
fn sparse_is_once_in_ten_seconds_or_on_change() {
    let seconds = (1..=25).map(|s| s * 1000);
    assert_eq!(said(Cadence::Sparse, seconds), [1000, 11_000, 21_000]);
    let mut status = Status::new(Cadence::Sparse);
    status.handle(&connected(0));
    assert!(status.handle(&snapshot(1000, 640)).is_some());
    assert!(status.handle(&snapshot(2000, 640)).is_none());
    assert!(status.handle(&snapshot(3000, 320)).is_some());
}

#[test]
fn no_rate_is_made_of_a_moment() {
    assert_eq!(said(Cadence::Live, [10, 499, 1000]), [1000]);
    let mut status = Status::new(Cadence::Live);
    status.handle(&connected(0));
    status.handle(&snapshot(1000, 640));
    status.ask();
    let line = status.handle(&snapshot(1010, 640)).unwrap();
    assert!(line.contains("1.4 Mbit/s"), "{line}");
}

#[test]
fn asked_is_when_asked() {
    let mut status = Status::new(Cadence::Asked);
    status.handle(&connected(0));
    assert_eq!(status.handle(&snapshot(1000, 640)), None);
    status.ask();
    assert!(status.handle(&snapshot(1500, 640)).is_some());
    assert_eq!(status.handle(&snapshot(2000, 640)), None);
}

#[test]
fn another_call_changes_nothing_and_after_the_end_there_is_silence() {
    let mut status = Status::new(Cadence::Live);
    status.handle(&connected(0));
    let ended =
        EventKind::Ended { reason: EndReason::Busy, because: None, summary: Box::default() };
    let mut other = at(500, ended.clone());
    other.call = Some(8);
    status.handle(&other);
    assert!(status.in_call());
    status.handle(&at(600, ended));
    assert!(!status.in_call());
    assert_eq!(status.handle(&snapshot(1000, 640)), None);
}

#[test]
fn a_clock_that_steps_back_is_no_panic() {
    let mut status = Status::new(Cadence::Live);
    status.handle(&connected(5000));
    status.ask();
    let line = status.handle(&snapshot(1000, 0)).unwrap();
    assert_eq!(line, "connected to 'bob' 0s  no picture  rtt 12 ms");
}
