//! From what a probe has seen to the numbers of one direction. Pure.

use std::time::{Duration, Instant};

use super::probe::{Probe, Received, Sound};
use super::report::{
    AudioReport, Direction, DirectionSecond, MeanMin, PauseReport, Spread, VideoReport, round,
};
use crate::media::frame::SAMPLE_RATE;
use crate::media::quality::sound::compare;
use crate::phone::event::{Side, Summary};
use crate::rtc::netem::LinkCounts;

/// What a phone counted of the sound that it played, and when it said so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Played {
    pub(super) at: Instant,
    pub(super) concealed: u64,
    pub(super) total: u64,
}

/// A phone said that pictures stopped, or came back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pause {
    pub(super) at: Instant,
    pub(super) whose: Side,
    pub(super) begins: bool,
}

/// What both ends said of the pictures of one direction, in order of time.
pub(super) fn pauses(began: Instant, sender: &[Pause], receiver: &[Pause]) -> Vec<PauseReport> {
    let by = |said: &[Pause], whose: Side, said_by: &'static str| {
        let of_these = said.iter().filter(|pause| pause.whose == whose);
        let told = of_these.map(|pause| PauseReport {
            at_ms: pause.at.saturating_duration_since(began).as_millis() as u64,
            event: if pause.begins { "video-paused" } else { "video-resumed" },
            said_by,
        });
        told.collect::<Vec<_>>()
    };
    let mut all = by(sender, Side::Local, "sender");
    all.extend(by(receiver, Side::Remote, "receiver"));
    all.sort_by_key(|pause| pause.at_ms);
    all
}

/// Sound that was played at a moment: its delay from capture to loudspeaker.
struct Heard {
    at: Instant,
    delay_ms: f64,
    snr_db: f64,
}

/// One direction: what the probe saw, and both ends' own counts.
pub(super) fn direction(probe: &Probe, sender: &Summary, receiver: &Summary) -> Direction {
    let received = probe.received();
    let heard = heard(&probe.sent_sound(), &received.sound);
    let av_sync_ms = av_sync(&received, &heard);
    Direction {
        video: video(&received, probe.under_way(), sender, receiver),
        audio: audio(&heard, receiver, sender),
        av_sync_ms,
        ..Direction::default()
    }
}

/// What happened second by second from `began` on, to the link and to what came over it.
pub(super) fn per_second(
    began: Instant,
    call: Duration,
    link: &LinkCounts,
    probe: &Probe,
    played: &[Played],
) -> Vec<DirectionSecond> {
    let mut seconds = vec![DirectionSecond::default(); call.as_secs() as usize];
    for (second, link) in seconds.iter_mut().zip(&link.seconds) {
        second.bitrate_bps = link.bits.round() as u64;
        second.queue_ms = round(link.longest_wait.as_secs_f64() * 1e3, 10.0);
        (second.lost, second.tail_dropped) = (link.lost, link.tail_dropped);
    }
    let index = |at: Instant| Some(at.checked_duration_since(began)?.as_secs() as usize);
    let mut delays = vec![vec![]; seconds.len()];
    for (at, delay) in probe.received().shown {
        if let Some(delays) = index(at).and_then(|index| delays.get_mut(index)) {
            delays.push(delay);
        }
    }
    for (second, delays) in seconds.iter_mut().zip(delays) {
        second.frames_shown = delays.len() as u64;
        second.latency_ms = (!delays.is_empty()).then(|| Spread::of(delays).p50);
    }
    for pair in played.windows(2) {
        let middle = pair[0].at + pair[1].at.saturating_duration_since(pair[0].at) / 2;
        let total = pair[1].total.saturating_sub(pair[0].total);
        let concealed = pair[1].concealed.saturating_sub(pair[0].concealed);
        if let Some(second) = index(middle).and_then(|index| seconds.get_mut(index))
            && total > 0
        {
            second.concealed_percent = Some(round(100.0 * concealed as f64 / total as f64, 100.0));
        }
    }
    seconds
}

fn video(
    received: &Received,
    under_way: u64,
    sender: &Summary,
    receiver: &Summary,
) -> Option<VideoReport> {
    let sent = sender.stats.outbound.video.as_ref()?;
    let seconds = (sender.duration_ms as f64 / 1e3).max(1e-3);
    let dropped = receiver.stats.inbound.video.as_ref().map_or(0, |video| video.frames_dropped);
    let decoded = received.shown.len() as u64;
    Some(VideoReport {
        // The encoder may have skipped one of those under way.
        frames_sent: sent.frames_encoded.saturating_sub(under_way).max(decoded),
        frames_decoded: decoded,
        frames_dropped: dropped,
        psnr_y: MeanMin::of(&received.psnr),
        ssim: MeanMin::of(&received.ssim),
        latency_ms: Spread::of(received.latency_ms.clone()),
        longest_gap_ms: longest_gap_ms(received),
        bitrate_bps: (sent.bytes_sent as f64 * 8.0 / seconds).round() as u64,
        retransmitted_packets_sent: sent.retransmitted_packets_sent,
    })
}

fn longest_gap_ms(received: &Received) -> f64 {
    let shown = received.shown.iter().map(|(at, _)| *at);
    let next = shown.clone().skip(1).chain(received.stopped_at);
    let gaps = shown.zip(next).map(|(one, next)| next.saturating_duration_since(one));
    round(gaps.max().unwrap_or_default().as_secs_f64() * 1e3, 10.0)
}

fn audio(heard: &[Heard], receiver: &Summary, sender: &Summary) -> Option<AudioReport> {
    sender.stats.outbound.audio.as_ref()?;
    let played = receiver.stats.inbound.audio.as_ref();
    let median = |value: fn(&Heard) -> f64| {
        (!heard.is_empty()).then(|| Spread::of(heard.iter().map(value).collect()).p50)
    };
    Some(AudioReport {
        latency_ms: median(|heard| heard.delay_ms),
        concealed_samples: played.map_or(0, |audio| audio.concealed_samples),
        total_samples_received: played.map_or(0, |audio| audio.total_samples_received),
        snr_db: median(|heard| heard.snr_db),
    })
}

/// Finds the sound that was played in the sound that was sent.
fn heard(sent: &Sound, played: &Sound) -> Vec<Heard> {
    let (Some(sent_from), Some(played_from)) = (sent.began_at, played.began_at) else {
        return vec![];
    };
    let rate = f64::from(SAMPLE_RATE);
    let head_start = match played_from.checked_duration_since(sent_from) {
        Some(later) => later.as_secs_f64(),
        None => -sent_from.saturating_duration_since(played_from).as_secs_f64(),
    };
    let no_delay = -(head_start * rate).round() as isize;
    let found = compare(&sent.samples, &played.samples, no_delay);
    let heard = found.into_iter().map(|found| Heard {
        at: played_from + std::time::Duration::from_secs_f64(found.at as f64 / rate),
        delay_ms: (found.delay - no_delay) as f64 / rate * 1e3,
        snr_db: found.snr_db,
    });
    heard.collect()
}

/// How far apart sound and the picture shown next to it are; absolute.
fn av_sync(received: &Received, heard: &[Heard]) -> Option<Spread> {
    let offsets: Vec<f64> = heard
        .iter()
        .filter_map(|heard| {
            let next = received.shown.partition_point(|(at, _)| *at < heard.at);
            let (_, picture_delay_ms) = received.shown.get(next)?;
            Some((picture_delay_ms - heard.delay_ms).abs())
        })
        .collect();
    (!offsets.is_empty()).then(|| Spread::of(offsets))
}
