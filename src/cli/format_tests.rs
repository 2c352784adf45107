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

/// A name that could be taken for a word.
const NOBODY: &str = "nobody";

/// One of each, so that the compiler asks for a line here when an event is added.
fn all_events() -> Vec<EventKind> {
    let next = |before: &EventKind| match before {
        EventKind::LoggedIn { .. } => Some(EventKind::Calling),
        EventKind::Calling => Some(EventKind::Incoming),
        EventKind::Incoming => Some(EventKind::Accepted),
        EventKind::Accepted => Some(EventKind::Connecting { ice_state: "checking".into() }),
        EventKind::Connecting { .. } => {
            Some(EventKind::Connected { setup_ms: 1, safety_words: None })
        }
        EventKind::Connected { .. } => {
            let safety_words = crate::phone::event::SafetyWords::of_fingerprints(&[], &[]);
            Some(EventKind::SafetyWords { safety_words })
        }
        EventKind::SafetyWords { .. } => {
            Some(EventKind::KeyChanged { known: None, shown: None, message: "so".into() })
        }
        EventKind::KeyChanged { .. } => {
            Some(EventKind::FirstVideoFrame { setup_ms: 1, width: 2, height: 2 })
        }
        EventKind::FirstVideoFrame { .. } => Some(EventKind::FirstAudio { setup_ms: 1 }),
        EventKind::FirstAudio { .. } => Some(EventKind::RecordingStarted { path: "/x".into() }),
        EventKind::RecordingStarted { .. } => {
            Some(EventKind::RecordingStopped { path: "/x".into(), empty: false, reason: None })
        }
        EventKind::RecordingStopped { .. } => Some(EventKind::VideoPaused { side: Side::Remote }),
        EventKind::VideoPaused { .. } => Some(EventKind::VideoResumed { side: Side::Remote }),
        EventKind::VideoResumed { .. } => Some(EventKind::Stats(Box::default())),
        EventKind::Stats(_) => Some(EventKind::Reconnecting { retry_ms: 1 }),
        EventKind::Reconnecting { .. } => {
            let call = MissedCall { peer: NOBODY.into(), time: SystemTime::UNIX_EPOCH };
            Some(EventKind::Missed { calls: vec![call] })
        }
        EventKind::Missed { .. } => {
            let (reason, because) = (EndReason::Hangup, None);
            Some(EventKind::Ended { reason, because, summary: Box::default() })
        }
        EventKind::Ended { .. } => {
            Some(EventKind::Error { code: "x".into(), message: "no".into() })
        }
        EventKind::Error { .. } => None,
    };
    let login = EventKind::LoggedIn { name: NOBODY.into(), server: "ws://h".into(), tokens: false };
    std::iter::successors(Some(login), next).collect()
}

/// How often the name stands in a line; every time in quotes.
fn quoted(line: &str) -> usize {
    let all = line.matches(NOBODY).count();
    assert_eq!(all, line.matches(&format!("'{NOBODY}'")).count(), "a name without quotes: {line}");
    all
}

#[test]
fn a_name_is_in_quotes_wherever_it_is_said() {
    use crate::cli::bar::Bar;
    use crate::cli::status::{Cadence, Status};
    let (mut bar, mut status) = (Bar::new(), Status::new(Cadence::Live));
    let mut said = 0;
    for (at, kind) in all_events().into_iter().enumerate() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(at as u64);
        // Those that somebody asked for have no call.
        for call in [Some(1), None] {
            let event = Event { kind: kind.clone(), time, call, peer: Some(NOBODY.into()) };
            for asks in [true, false] {
                said += super::event(&event, asks).map_or(0, |line| quoted(&line));
            }
            said += quoted(&bar.handle(&event));
            status.ask();
            said += status.handle(&event).map_or(0, |line| quoted(&line));
        }
    }
    let reasons = [
        EndReason::Hangup,
        EndReason::RemoteHangup,
        EndReason::Rejected,
        EndReason::Busy,
        EndReason::UnknownUser,
        EndReason::NoAnswer,
        EndReason::ConnectionFailed,
        EndReason::KeyChanged,
        EndReason::Duration,
        EndReason::MediaEnded,
        EndReason::MediaFailed,
        EndReason::Interrupted,
    ];
    let because = || Because { message: "so".into(), advice: None };
    for reason in reasons {
        for because in [None, Some(because())] {
            let line = call_end(reason, NOBODY, because.as_ref());
            assert_eq!(quoted(&line), 1, "{line}");
        }
        let kind = EventKind::Ended { reason, because: None, summary: Box::default() };
        let event = Event { peer: Some(NOBODY.into()), ..at_zero(kind) };
        unanswered(reason, &event).iter().for_each(|line| assert_eq!(quoted(line), 1, "{line}"));
    }
    assert!(said > 40, "{said}");
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
