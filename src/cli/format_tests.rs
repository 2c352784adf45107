//! Tests of the lines that people read.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::SystemTime;

use super::*;
use crate::phone::event::EndReason;
use crate::rtc::stats::{CandidatePair, Inbound, Outbound, Stats};

fn at_zero(kind: EventKind) -> Event {
    Event { kind, time: SystemTime::UNIX_EPOCH, call: Some(1), peer: Some("bob".into()) }
}

fn line(kind: EventKind) -> Option<String> {
    event(&at_zero(kind), true)
}

#[test]
fn every_event_but_a_snapshot_has_a_line() {
    let ended = EventKind::Ended {
        reason: EndReason::RemoteHangup,
        because: None,
        summary: Box::default(),
    };
    for (kind, says) in [
        (
            EventKind::LoggedIn { name: "a".into(), server: "ws://h".into(), tokens: false },
            "logged in at ws://h as 'a'",
        ),
        (EventKind::Calling, "calling 'bob'"),
        (EventKind::Incoming, "'bob' is calling; type answer or reject"),
        (EventKind::Accepted, "the call with 'bob' is accepted"),
        (
            EventKind::Connecting { ice_state: "checking".into() },
            "connecting to 'bob': ICE checking",
        ),
        (EventKind::Connected { setup_ms: 12, safety_words: None }, "connected to 'bob' in 12 ms"),
        (
            EventKind::KeyChanged { known: None, shown: None, message: "so".into() },
            "peer: warning: this may not be 'bob': so",
        ),
        (
            EventKind::FirstVideoFrame { setup_ms: 120, width: 640, height: 360 },
            "first picture from 'bob' after 120 ms, 640x360",
        ),
        (EventKind::FirstAudio { setup_ms: 90 }, "first sound from 'bob' after 90 ms"),
        (EventKind::Reconnecting { retry_ms: 2000 }, "the server is gone; trying again in 2.0 s"),
        (ended, "'bob' hung up"),
        (EventKind::Error { code: "x".into(), message: "no".into() }, "no"),
    ] {
        assert_eq!(line(kind).as_deref(), Some(says));
    }
    assert_eq!(line(EventKind::Stats(Box::default())), None);
    let unasked = event(&at_zero(EventKind::Incoming), false);
    assert_eq!(unasked.as_deref(), Some("'bob' is calling"));
}

#[test]
fn a_call_that_never_was_has_no_summary() {
    assert_eq!(summary(&Summary::default()), [""; 0]);
}

#[test]
fn a_summary_is_a_few_aligned_lines() {
    let video = InboundVideo {
        codec: "H264 42e01f".into(),
        frames_decoded: 300,
        frames_dropped: 2,
        frame_width: 640,
        frame_height: 360,
        frames_per_second: 29.97,
        bytes_received: 1_750_000,
        packets_received: 999,
        packets_lost: 1,
        freeze_count: 1,
        total_freezes_duration: 0.4,
        ..Default::default()
    };
    let audio = OutboundAudio { codec: "opus".into(), bytes_sent: 30_000, ..Default::default() };
    let call = Summary {
        duration_ms: 10_000,
        setup_ms: SetupMs { ice: Some(40), ..Default::default() },
        stats: Stats {
            inbound: Inbound { video: Some(video), audio: None },
            outbound: Outbound { video: None, audio: Some(audio) },
            datagrams_refused: Default::default(),
            selected_candidate_pair: Some(CandidatePair {
                local: "host 10.0.0.1:5000".into(),
                remote: "srflx 10.0.0.2:6000".into(),
                protocol: "udp".into(),
                current_round_trip_time: 0.0123,
            }),
        },
        process: Default::default(),
    };
    assert_eq!(
        summary(&call).join("\n"),
        "  lasted    10.0 s
  set up    after ICE 40 ms
  received  640x360 30.0 fps, H264 42e01f, 1.4 Mbit/s, loss 0.1 %
            300 frames, 2 dropped, 1 freeze (0.4 s)
  sent      opus, 24 kbit/s
  path      host 10.0.0.1:5000 to srflx 10.0.0.2:6000, udp, rtt 12 ms
  process   0.0 s processor, 0 MB"
    );
}

#[test]
fn figures_have_units_that_fit() {
    assert_eq!(bitrate(1_400_000.0), "1.4 Mbit/s");
    assert_eq!(bitrate(999_600.0), "1.0 Mbit/s");
    assert_eq!(bitrate(24_000.0), "24 kbit/s");
    assert_eq!(milliseconds(0.0004), "0.4 ms");
    assert_eq!(milliseconds(0.0123), "12 ms");
    assert_eq!(seconds(Duration::from_secs(65)), "1:05");
    assert_eq!(seconds(Duration::from_secs(3723)), "1:02:03");
    assert_eq!(rate(100, Duration::ZERO), 0.0);
}

#[test]
fn loss_is_a_share_of_all_and_never_negative() {
    assert_eq!(loss(0, 0), "0.0 %");
    assert_eq!(loss(99, 1), "1.0 %");
    assert_eq!(loss(100, -3), "0.0 %");
}

#[test]
fn meters_have_five_steps_of_ten_decibels() {
    for (level, wanted) in [
        (0.0, "[.....]"),
        (0.003, "[.....]"),
        (0.01, "[#....]"),
        (0.1, "[###..]"),
        (1.0, "[#####]"),
    ] {
        assert_eq!(meter(level), wanted, "{level}");
    }
}
