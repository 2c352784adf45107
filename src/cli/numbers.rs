//! How a call goes, as the table that the page has too: received, sent.
//!
//! Pure: events in, rows out; the time is the events' own.

use std::time::{Duration, SystemTime};

use super::format;
use crate::media::sink::window::Row;
use crate::phone::event::{Event, EventKind};
use crate::rtc::stats::{CandidatePair, Stats};

const UNKNOWN: &str = "-";

/// Over less, a rate says little.
const MEASURABLE: Duration = Duration::from_millis(500);

/// The numbers of the current call.
#[derive(Debug, Default)]
pub struct Numbers {
    last: Option<(SystemTime, Counts)>,
    rows: Vec<Row>,
}

/// What makes rates: received and sent, pictures and sound.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    bytes: [[u64; 2]; 2],
    packets: [[u64; 2]; 2],
    lost: [[i64; 2]; 2],
}

impl Numbers {
    /// Takes an event.
    pub fn handle(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Connected { .. } => {
                (self.last, self.rows) = (Some((event.time, Counts::default())), Vec::new());
            }
            EventKind::Stats(stats) => self.snapshot(event.time, stats),
            _ => {}
        }
    }

    /// As of the last snapshot; none before the first.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The same as lines for a terminal.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |[what, there, here]: &Row| format!("{what:<16} {there:<18} {here}");
        self.rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
    }

    /// The same in three lines of 80 columns, where pictures leave no room for more; none before the
    /// first snapshot.
    #[must_use]
    pub fn short_lines(&self) -> Vec<String> {
        let cell = |what: &str, side: usize| {
            let row = self.rows.iter().find(|row| row[0] == what);
            row.map_or(UNKNOWN, |row| row[side].as_str())
        };
        if self.rows.is_empty() {
            return Vec::new();
        }
        let way = |name: &str, side: usize| {
            let of = |what| cell(what, side);
            format!(
                "{name:<9} {} {}, {}, loss {}; sound {}, loss {}",
                of("Picture"),
                of("Frame rate"),
                of("Picture bitrate"),
                of("Picture loss"),
                of("Sound bitrate"),
                of("Sound loss"),
            )
        };
        let path = format!(
            "path      {} {}, round trip {}, buffer {}; {}",
            cell("Path", 1),
            cell("Path", 2),
            cell("Round trip", 1),
            cell("Buffer", 1),
            cell("Codecs", 1),
        );
        vec![way("received", 1), way("sent", 2), path]
    }

    fn snapshot(&mut self, now: SystemTime, stats: &Stats) {
        let counts = Counts::of(stats);
        let (from, before) = self.last.unwrap_or((now, Counts::default()));
        let over = now.duration_since(from).unwrap_or_default();
        if over < MEASURABLE {
            return;
        }
        self.rows = rows(stats, |way, kind| {
            let bytes = counts.bytes[way][kind].saturating_sub(before.bytes[way][kind]);
            let packets = counts.packets[way][kind].saturating_sub(before.packets[way][kind]);
            let lost = counts.lost[way][kind].saturating_sub(before.lost[way][kind]);
            let bits = format::bitrate(format::rate(bytes, over));
            // What they say they have lost is part of what we sent.
            let arrived =
                if way == 0 { packets } else { packets.saturating_sub(lost.max(0) as u64) };
            (bits, format::loss(arrived, lost))
        });
        self.last = Some((now, counts));
    }
}

/// `measured`: bits a second and loss, received (0) or sent (1), of pictures (0) or sound (1).
fn rows(stats: &Stats, measured: impl Fn(usize, usize) -> (String, String)) -> Vec<Row> {
    let (seen, shown) = (stats.inbound.video.as_ref(), stats.outbound.video.as_ref());
    let (heard, said) = (stats.inbound.audio.as_ref(), stats.outbound.audio.as_ref());
    let there = [[seen.is_some(), heard.is_some()], [shown.is_some(), said.is_some()]];
    let of = |way: usize, kind: usize| there[way][kind].then(|| measured(way, kind));
    let rate = |way, kind| of(way, kind).map(|(bits, _)| bits);
    let loss = |way, kind| of(way, kind).map(|(_, loss)| loss);
    let size = |width: u32, height: u32| (width > 0).then(|| format!("{width}x{height}"));
    let fps = |fps: f64| format!("{fps:.0} fps");
    let wait = |ms: f64| format!("{ms:.0} ms");
    let codec = |name: &str| name.split(' ').next().unwrap_or_default().to_owned();
    let codecs = |video: Option<&str>, audio: Option<&str>| {
        let both: Vec<_> = [video, audio].into_iter().flatten().map(codec).collect();
        Some(both.join(", ")).filter(|both| !both.is_empty())
    };
    let row = |what: &str, there: Option<String>, here: Option<String>| {
        let or_dash = |cell: Option<String>| cell.unwrap_or_else(|| UNKNOWN.to_owned());
        [what.to_owned(), or_dash(there), or_dash(here)]
    };
    // What sound waits is what both wait, where they are in step.
    let buffer = heard.map(|audio| audio.jitter_buffer_delay_ms);
    let buffer = buffer.or(seen.map(|video| video.jitter_buffer_delay_ms));
    let mut rows = vec![
        ["".to_owned(), "Received".to_owned(), "Sent".to_owned()],
        row(
            "Picture",
            seen.and_then(|video| size(video.frame_width, video.frame_height)),
            shown.and_then(|video| size(video.frame_width, video.frame_height)),
        ),
        row(
            "Frame rate",
            seen.map(|video| fps(video.frames_per_second)),
            shown.map(|video| fps(video.frames_per_second)),
        ),
        row("Picture bitrate", rate(0, 0), rate(1, 0)),
        row("Sound bitrate", rate(0, 1), rate(1, 1)),
        row("Picture loss", loss(0, 0), loss(1, 0)),
        row("Sound loss", loss(0, 1), loss(1, 1)),
        ["Buffer".to_owned(), buffer.map_or(UNKNOWN.into(), wait), String::new()],
        row(
            "Codecs",
            codecs(seen.map(|video| video.codec.as_str()), heard.map(|audio| audio.codec.as_str())),
            codecs(shown.map(|video| video.codec.as_str()), said.map(|audio| audio.codec.as_str())),
        ),
    ];
    rows.extend(path(stats.selected_candidate_pair.as_ref()));
    rows
}

fn path(pair: Option<&CandidatePair>) -> [Row; 2] {
    let relayed = |pair: &CandidatePair| {
        [&pair.local, &pair.remote].iter().any(|end| end.starts_with("relay"))
    };
    let (rtt, way, protocol) = match pair {
        Some(pair) => (
            format::milliseconds(pair.current_round_trip_time),
            if relayed(pair) { "through a relay" } else { "direct" },
            pair.protocol.to_uppercase(),
        ),
        None => (UNKNOWN.to_owned(), UNKNOWN, String::new()),
    };
    [["Round trip".to_owned(), rtt, String::new()], ["Path".to_owned(), way.to_owned(), protocol]]
}

impl Counts {
    fn of(stats: &Stats) -> Self {
        let mut counts = Self::default();
        let mut note = |way: usize, kind: usize, (bytes, packets, lost): (u64, u64, i64)| {
            counts.bytes[way][kind] = bytes;
            counts.packets[way][kind] = packets;
            counts.lost[way][kind] = lost;
        };
        if let Some(one) = &stats.inbound.video {
            note(0, 0, (one.bytes_received, one.packets_received, one.packets_lost));
        }
        if let Some(one) = &stats.inbound.audio {
            note(0, 1, (one.bytes_received, one.packets_received, one.packets_lost));
        }
        if let Some(one) = &stats.outbound.video {
            note(1, 0, (one.bytes_sent, one.packets_sent, one.packets_lost));
        }
        if let Some(one) = &stats.outbound.audio {
            note(1, 1, (one.bytes_sent, one.packets_sent, one.packets_lost));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::stats::{InboundVideo, OutboundAudio};

    fn event(kind: EventKind, seconds: u64) -> Event {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Event { kind, time, call: Some(1), peer: Some("bob".into()) }
    }

    fn cell<'a>(numbers: &'a Numbers, what: &str) -> &'a Row {
        numbers.rows().iter().find(|row| row[0] == what).expect("a row")
    }

    /// The titles of the page's table, in their order.
    fn titles_of_the_page() -> Vec<&'static str> {
        let page = include_str!("../../assets/page/numbers.js");
        let title = |line: &'static str| {
            let line = line.trim_start();
            let rest =
                line.strip_prefix("[\"").or_else(|| line.split_once("row(\"").map(|it| it.1));
            rest.and_then(|rest| rest.split('"').next())
        };
        page.lines().filter_map(title).collect()
    }

    #[test]
    fn the_rows_are_those_of_the_page() {
        let rows = rows(&Stats::default(), |_, _| (String::new(), String::new()));
        let ours: Vec<&str> = rows[1..].iter().map(|row| row[0].as_str()).collect();
        assert_eq!(ours, titles_of_the_page());
        let page = include_str!("../../assets/page/index.html");
        for head in &rows[0][1..] {
            assert!(page.contains(&format!("<th scope=\"col\">{head}</th>")), "{head}");
        }
    }

    #[test]
    fn rates_are_those_since_the_last_snapshot_and_what_is_not_there_is_a_dash() {
        let mut numbers = Numbers::default();
        assert!(numbers.rows().is_empty());
        numbers.handle(&event(EventKind::Connected { setup_ms: 1, safety_words: None }, 0));
        for seconds in 1..=2 {
            let mut stats = Stats::default();
            stats.inbound.video = Some(InboundVideo {
                codec: "H264 42e01f".into(),
                frame_width: 640,
                frame_height: 360,
                frames_per_second: 30.0,
                bytes_received: seconds * 125_000,
                packets_received: seconds * 99,
                packets_lost: seconds as i64,
                ..InboundVideo::default()
            });
            stats.outbound.audio =
                Some(OutboundAudio { codec: "opus".into(), ..OutboundAudio::default() });
            stats.selected_candidate_pair = Some(CandidatePair {
                local: "relay 192.0.2.1:1".into(),
                protocol: "udp".into(),
                current_round_trip_time: 0.02,
                ..CandidatePair::default()
            });
            numbers.handle(&event(EventKind::Stats(Box::new(stats)), seconds));
        }
        assert_eq!(*cell(&numbers, "Picture"), ["Picture", "640x360", "-"]);
        assert_eq!(cell(&numbers, "Picture bitrate")[1], "1.0 Mbit/s");
        assert_eq!(cell(&numbers, "Picture loss")[1], "1.0 %");
        assert_eq!(*cell(&numbers, "Codecs"), ["Codecs", "H264", "opus"]);
        assert_eq!(*cell(&numbers, "Path"), ["Path", "through a relay", "UDP"]);
        assert_eq!(cell(&numbers, "Round trip")[1], "20 ms");
        assert!(numbers.lines()[1].starts_with("Picture          640x360 "));
        let short = numbers.short_lines();
        let received = "received  640x360 30 fps, 1.0 Mbit/s, loss 1.0 %; sound -, loss -";
        assert_eq!(short[0], received);
        assert_eq!(short[2], "path      through a relay UDP, round trip 20 ms, buffer 0 ms; H264");
    }
}
