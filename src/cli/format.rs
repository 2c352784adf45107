//! Events and summaries as lines for people.
//!
//! Pure: an event in, text out. Where and whether it is printed is decided
//! elsewhere.

use std::time::Duration;

use super::exit::call_end;
use crate::phone::event::{
    Because, EndReason, Event, EventKind, MissedCall, SetupMs, Side, Summary,
};
use crate::rtc::stats::{InboundAudio, InboundVideo, OutboundAudio, OutboundVideo};

/// How loud, 0.0 to 1.0, in five steps of 10 dB.
#[must_use]
pub fn meter(level: f64) -> String {
    let steps = (5.0 + 2.0 * level.max(1e-6).log10()).round().clamp(0.0, 5.0) as usize;
    format!("[{}{}]", "#".repeat(steps), ".".repeat(5 - steps))
}

/// What an event says to a person; `None` for snapshots, which have a line of their own.
///
/// `asks`: who is called is asked whether to answer.
#[must_use]
pub fn event(event: &Event, asks: bool) -> Option<String> {
    let peer = event.peer.as_deref().unwrap_or("the other side");
    Some(match &event.kind {
        EventKind::LoggedIn { name, server, .. } => format!("logged in at {server} as '{name}'"),
        EventKind::Calling => format!("calling '{peer}'"),
        EventKind::Incoming if asks => format!("'{peer}' is calling; type answer or reject"),
        EventKind::Incoming => format!("'{peer}' is calling"),
        EventKind::Accepted => format!("the call with '{peer}' is accepted"),
        EventKind::Connecting { ice_state } => format!("connecting to '{peer}': ICE {ice_state}"),
        EventKind::Connected { setup_ms, safety_words: None } => {
            format!("connected to '{peer}' in {setup_ms} ms")
        }
        EventKind::Connected { setup_ms, safety_words: Some(words) } => {
            format!("connected to '{peer}' in {setup_ms} ms; safety words: {words}")
        }
        EventKind::SafetyWords { safety_words } => format!("safety words: {safety_words}"),
        EventKind::KeyChanged { message, .. } => {
            format!("peer: warning: this may not be '{peer}': {message}")
        }
        EventKind::FirstVideoFrame { setup_ms, width, height } => {
            format!("first picture from '{peer}' after {setup_ms} ms, {width}x{height}")
        }
        EventKind::FirstAudio { setup_ms } => {
            format!("first sound from '{peer}' after {setup_ms} ms")
        }
        EventKind::RecordingStarted { path } => format!("recording '{peer}' to {path}"),
        EventKind::RecordingStopped { path, reason: Some(reason), .. } => {
            format!("the recording {path} ended early: {reason}")
        }
        EventKind::RecordingStopped { path, empty: false, .. } => format!("recorded {path}"),
        EventKind::RecordingStopped { path, .. } => {
            format!("nothing was recorded to {path}: no sound or picture came")
        }
        EventKind::VideoPaused { side: Side::Local } => {
            "the network is too slow for pictures; sound goes on".to_owned()
        }
        EventKind::VideoPaused { side: Side::Remote } => {
            format!("no pictures are coming from '{peer}' at the moment; sound goes on")
        }
        EventKind::VideoResumed { side: Side::Local } => "pictures are sent again".to_owned(),
        EventKind::VideoResumed { side: Side::Remote } => {
            format!("pictures from '{peer}' are back")
        }
        EventKind::Stats(_) => return None,
        EventKind::Missed { .. } if event.call.is_some() => format!("missed a call from '{peer}'"),
        EventKind::Missed { calls } => missed(calls),
        EventKind::Reconnecting { retry_ms } => {
            let wait = seconds(Duration::from_millis(*retry_ms));
            format!("the server is gone; trying again in {wait}")
        }
        EventKind::Ended { reason, because, .. } => {
            let mut sentence = call_end(*reason, peer, because.as_ref());
            if *reason == EndReason::KeyChanged && asks {
                sentence.push_str(
                    "\nhint: ask them through another channel whether the key is theirs; type trust to \
                     accept the new key",
                );
            }
            match because {
                Some(Because { advice: Some(advice), .. }) => format!("{sentence}\nhint: {advice}"),
                _ => sentence,
            }
        }
        EventKind::Error { message, .. } => message.clone(),
    })
}

/// How a call of theirs ended that was never answered here, where that is not what a caller is told.
#[must_use]
pub fn unanswered(reason: EndReason, event: &Event) -> Option<String> {
    let peer = event.peer.as_deref()?;
    match reason {
        EndReason::Rejected | EndReason::Hangup => {
            Some(format!("you rejected the call from '{peer}'"))
        }
        EndReason::NoAnswer => Some(format!("the call from '{peer}' was not answered")),
        _ => None,
    }
}

/// The missed calls, a line each, with the time of day (UTC, as everywhere).
fn missed(calls: &[MissedCall]) -> String {
    if calls.is_empty() {
        return "no call was missed".to_owned();
    }
    let line = |call: &MissedCall| {
        let at = time::OffsetDateTime::from(call.time);
        format!("{} {:02}:{:02} UTC  '{}'", at.date(), at.hour(), at.minute(), call.peer)
    };
    calls.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A call in a few aligned lines of 80 columns; nothing for a call that was never connected.
#[must_use]
pub fn summary(summary: &Summary) -> Vec<String> {
    let lasted = Duration::from_millis(summary.duration_ms);
    if lasted.is_zero() {
        return Vec::new();
    }
    let stats = &summary.stats;
    let mut rows = vec![("lasted", seconds(lasted))];
    rows.extend(setup(&summary.setup_ms).map(|steps| ("set up", steps)));
    let (inbound, outbound) = (&stats.inbound, &stats.outbound);
    let seen = inbound.video.iter().flat_map(|video| video_in(video, lasted));
    let heard = inbound.audio.iter().map(|audio| audio_in(audio, lasted));
    let shown = outbound.video.iter().flat_map(|video| video_out(video, lasted));
    let said = outbound.audio.iter().map(|audio| audio_out(audio, lasted));
    let (received, sent): (Vec<_>, Vec<_>) =
        (seen.chain(heard).collect(), shown.chain(said).collect());
    for (label, lines) in [("received", received), ("sent", sent)] {
        let lines = lines.into_iter().enumerate();
        rows.extend(lines.map(|(at, line)| (if at == 0 { label } else { "" }, line)));
    }
    if let Some(pair) = &stats.selected_candidate_pair {
        let rtt = milliseconds(pair.current_round_trip_time);
        rows.push((
            "path",
            format!("{} to {}, {}, rtt {rtt}", pair.local, pair.remote, pair.protocol),
        ));
    }
    let used = &summary.process;
    let megabytes = used.peak_rss_bytes as f64 / 1e6;
    rows.push(("process", format!("{:.1} s processor, {megabytes:.0} MB", used.cpu_seconds)));
    rows.into_iter().map(|(label, line)| format!("  {label:<9} {line}")).collect()
}

/// How long after the call each step was done.
fn setup(setup: &SetupMs) -> Option<String> {
    let steps: Vec<_> = [
        ("signaling", setup.signaling),
        ("ICE", setup.ice),
        ("DTLS", setup.dtls),
        ("picture", setup.first_video_frame),
        ("sound", setup.first_audio),
    ]
    .into_iter()
    .filter_map(|(step, ms)| ms.map(|ms| format!("{step} {ms} ms")))
    .collect();
    (!steps.is_empty()).then(|| format!("after {}", steps.join(", ")))
}

/// Of a track on which none came through.
const NO_PICTURES: &str = "no pictures";

fn video_in(video: &InboundVideo, lasted: Duration) -> [String; 2] {
    if video.frames_decoded == 0 {
        return [NO_PICTURES.to_owned(), counted(video.frames_dropped, "frame") + " dropped"];
    }
    let what = format!(
        "{}x{} {:.1} fps, {}, {}, loss {}",
        video.frame_width,
        video.frame_height,
        video.frames_per_second,
        video.codec,
        bitrate(rate(video.bytes_received, lasted)),
        loss(video.packets_received, video.packets_lost),
    );
    let how = format!(
        "{} frames, {} dropped, {} ({:.1} s)",
        video.frames_decoded,
        video.frames_dropped,
        counted(video.freeze_count, "freeze"),
        video.total_freezes_duration,
    );
    [what, how]
}

fn audio_in(audio: &InboundAudio, lasted: Duration) -> String {
    format!(
        "{}, {}; concealed {}, loss {}",
        audio.codec,
        bitrate(rate(audio.bytes_received, lasted)),
        percent(audio.concealed_samples as f64, audio.total_samples_received as f64),
        loss(audio.packets_received, audio.packets_lost),
    )
}

fn video_out(video: &OutboundVideo, lasted: Duration) -> [String; 2] {
    if video.frames_encoded == 0 {
        return [NO_PICTURES.to_owned(), counted(video.frames_dropped, "frame") + " dropped"];
    }
    let what = format!(
        "{}x{} {:.1} fps, {}, {}",
        video.frame_width,
        video.frame_height,
        video.frames_per_second,
        video.codec,
        bitrate(rate(video.bytes_sent, lasted)),
    );
    let how = format!(
        "{} frames, {} dropped, {} sent again",
        video.frames_encoded,
        video.frames_dropped,
        counted(video.retransmitted_packets_sent, "packet"),
    );
    [what, how]
}

fn audio_out(audio: &OutboundAudio, lasted: Duration) -> String {
    format!("{}, {}", audio.codec, bitrate(rate(audio.bytes_sent, lasted)))
}

/// Bits a second.
#[must_use]
pub fn rate(bytes: u64, over: Duration) -> f64 {
    if over.is_zero() { 0.0 } else { bytes as f64 * 8.0 / over.as_secs_f64() }
}

/// `1.4 Mbit/s`, or `24 kbit/s` below one.
#[must_use]
pub fn bitrate(bits: f64) -> String {
    if bits >= 999_500.0 {
        format!("{:.1} Mbit/s", bits / 1e6)
    } else {
        format!("{:.0} kbit/s", bits / 1e3)
    }
}

/// The share of packets that never came; a negative count (duplicates) is none.
#[must_use]
pub fn loss(received: u64, lost: i64) -> String {
    let lost = lost.max(0) as f64;
    percent(lost, received as f64 + lost)
}

fn percent(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 { part / whole * 100.0 } else { 0.0 };
    format!("{share:.1} %")
}

/// `12 ms` from seconds; one digit more below 10 ms.
#[must_use]
pub fn milliseconds(seconds: f64) -> String {
    let ms = seconds * 1e3;
    if ms < 9.95 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// `2.0 s` up to a minute, then `1:05`, then `1:02:03`.
#[must_use]
pub fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(60) {
        return format!("{:.1} s", time.as_secs_f64());
    }
    let (hours, minutes, seconds) =
        (time.as_secs() / 3600, time.as_secs() / 60 % 60, time.as_secs() % 60);
    if hours == 0 {
        format!("{minutes}:{seconds:02}")
    } else {
        format!("{hours}:{minutes:02}:{seconds:02}")
    }
}

fn counted(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
