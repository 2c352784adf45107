//! Whether a call with itself is good enough. Pure.
//!
//! On one machine it must be nearly perfect. Over a bad network it must be what that network lets a
//! good call be: nothing is asked of the picture's quality, which is the network's to decide, but
//! what arrives must be in time, complete but for what was lost, and there again at the end.

use std::time::Duration;

use super::bad_network::{Hardship, hardships};
use super::report::{Direction, LoopbackReport, Verdict};
use crate::rtc::netem::Network;

/// What one direction must reach. Times are generous, because a busy machine is not a broken call.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bars {
    /// Of pictures sent those that are shown.
    decoded_share: f64,
    psnr_db: Option<f64>,
    ssim: Option<f64>,
    latency_p95_ms: f64,
    concealed_share: f64,
    sync_p95_ms: f64,
    /// Pictures of the last seconds must be there, and no later than all others.
    alive_at_end: bool,
}

const ONE_MACHINE: Bars = Bars {
    decoded_share: 0.99,
    psnr_db: Some(30.0),
    ssim: Some(0.9),
    latency_p95_ms: 200.0,
    concealed_share: 0.01,
    sync_p95_ms: 80.0,
    alive_at_end: false,
};

/// Where there is less than this, bits a second, sound alone is a good call.
const SOUND_ONLY_BELOW: f64 = 200e3;

/// How much longer lip sync may take to settle where packets come late.
const SYNC_SETTLES_MS: f64 = 120.0;

/// The seconds at the end in which a call must be alive; shorter calls are not asked.
const AT_END: usize = 3;
const ASKED_FROM: usize = 8;

impl Bars {
    fn over(network: &Hardship) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let limited = network.narrowest.is_some();
        let repairs = network.loss > 0.0 || network.out > 0.0 || limited;
        let tail_drops = if limited { 0.05 } else { 0.0 };
        let missing = network.loss + 1.2 * network.out + tail_drops;
        let has_room = |rate: Option<f64>| rate.is_none_or(|rate| rate >= SOUND_ONLY_BELOW);
        let round_trip = if repairs { ms(network.round_trip) } else { 0.0 };
        Self {
            decoded_share: match has_room(network.narrowest) {
                true => (ONE_MACHINE.decoded_share - missing).max(0.0),
                false => 0.0,
            },
            psnr_db: None,
            ssim: None,
            latency_p95_ms: ONE_MACHINE.latency_p95_ms + ms(network.longest) + round_trip,
            // Half of what is lost can be repaired, at worst; while rates settle some is dropped.
            concealed_share: ONE_MACHINE.concealed_share
                + network.loss / 2.0
                + 1.2 * network.out
                + if limited { 0.02 } else { 0.0 },
            sync_p95_ms: ONE_MACHINE.sync_p95_ms + SYNC_SETTLES_MS,
            alive_at_end: has_room(network.at_end),
        }
    }
}

/// Fills in the verdict from everything else.
pub(super) fn judged(
    mut report: LoopbackReport,
    network: Option<(&Network, Duration)>,
) -> LoopbackReport {
    let (there, back) = match network {
        None => (ONE_MACHINE, ONE_MACHINE),
        Some((network, call)) => {
            let (up, down) = hardships(network, call);
            (Bars::over(&up), Bars::over(&down))
        }
    };
    let mut short = Vec::new();
    judge(&report.caller_to_callee, &there, "caller to callee", &mut short);
    judge(&report.callee_to_caller, &back, "callee to caller", &mut short);
    report.verdict = if short.is_empty() { Verdict::Pass } else { Verdict::FellShort(short) };
    report
}

fn judge(direction: &Direction, bars: &Bars, name: &str, short: &mut Vec<String>) {
    let at_least = |what: &str, is: f64, bar: f64| {
        let fails = is.is_nan() || is < bar;
        fails.then(|| format!("{name}: {what} is {is:.3}, should be at least {bar:.2}"))
    };
    let at_most = |what: &str, is: f64, bar: f64| {
        let fails = is.is_nan() || is > bar;
        fails.then(|| format!("{name}: {what} is {is:.3}, should be at most {bar:.2}"))
    };
    if let Some(video) = &direction.video {
        let share = video.frames_decoded as f64 / video.frames_sent.max(1) as f64;
        short.extend(at_least("share of pictures decoded", share, bars.decoded_share));
        let psnr = bars.psnr_db.map(|bar| ("mean PSNR of pictures (dB)", video.psnr_y.mean, bar));
        let ssim = bars.ssim.map(|bar| ("mean SSIM of pictures", video.ssim.mean, bar));
        for (what, is, bar) in [psnr, ssim].into_iter().flatten() {
            short.extend(at_least(what, is, bar));
        }
        let latency = video.latency_ms.p95;
        short.extend(at_most("p95 latency of pictures (ms)", latency, bars.latency_p95_ms));
        if bars.alive_at_end {
            short.extend(
                dead_at_end(direction, bars.latency_p95_ms).map(|line| format!("{name}: {line}")),
            );
        }
    }
    if let Some(audio) = &direction.audio {
        let played = audio.total_samples_received.max(1);
        let share = audio.concealed_samples as f64 / played as f64;
        short.extend(at_most("share of sound concealed", share, bars.concealed_share));
        if audio.total_samples_received == 0 {
            short.push(format!("{name}: no sound arrived"));
        }
    }
    if let Some(sync) = &direction.av_sync_ms {
        short.extend(at_most("p95 offset of picture to sound (ms)", sync.p95, bars.sync_p95_ms));
    }
}

/// What is wrong with the last seconds of a call that is long enough to be asked.
fn dead_at_end(direction: &Direction, latency_bar: f64) -> Option<String> {
    let seconds = &direction.per_second;
    let last = seconds.get(seconds.len().checked_sub(ASKED_FROM)?..)?;
    let last = &last[ASKED_FROM - AT_END..];
    if last.iter().all(|second| second.frames_shown == 0) {
        return Some(format!("no pictures in the last {AT_END} s"));
    }
    let late = last.iter().filter_map(|second| second.latency_ms).fold(f64::INFINITY, f64::min);
    (late > latency_bar && late.is_finite()).then(|| {
        format!("pictures of the last {AT_END} s are {late:.0} ms late, should be at most {latency_bar:.0}")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::report::{AudioReport, DirectionSecond, MeanMin, Spread, VideoReport};
    use super::*;

    fn good() -> Direction {
        let video = VideoReport {
            frames_sent: 300,
            frames_decoded: 300,
            psnr_y: MeanMin { mean: 42.0, min: 38.0 },
            ssim: MeanMin { mean: 0.98, min: 0.95 },
            ..Default::default()
        };
        let audio = AudioReport { total_samples_received: 480_000, ..Default::default() };
        let second =
            DirectionSecond { frames_shown: 30, latency_ms: Some(90.0), ..Default::default() };
        Direction {
            video: Some(video),
            audio: Some(audio),
            av_sync_ms: Some(Spread::default()),
            per_second: vec![second; 10],
            pauses: vec![],
        }
    }

    fn lines(there: Direction, network: Option<&str>) -> Vec<String> {
        let network: Option<Network> = network.map(|network| network.parse().unwrap());
        let report = LoopbackReport {
            caller_to_callee: there,
            callee_to_caller: good(),
            ..Default::default()
        };
        let call = Duration::from_secs(10);
        match judged(report, network.as_ref().map(|network| (network, call))).verdict {
            Verdict::Pass => vec![],
            Verdict::FellShort(lines) => lines,
        }
    }

    #[test]
    fn passes_and_says_so_in_one_word() {
        let report = LoopbackReport {
            caller_to_callee: good(),
            callee_to_caller: good(),
            ..Default::default()
        };
        let json = serde_json::to_value(judged(report, None)).unwrap();
        assert_eq!(json["verdict"], "pass");
    }

    #[test]
    fn names_what_fell_short() {
        let mut bad = good();
        bad.video.as_mut().unwrap().frames_decoded = 280;
        bad.audio.as_mut().unwrap().concealed_samples = 48_000;
        let lines = lines(bad, None);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("caller to callee: share of pictures decoded is 0.933"));
    }

    #[test]
    fn a_bad_network_excuses_what_it_does_and_nothing_else() {
        let mut poor = good();
        let video = poor.video.as_mut().unwrap();
        (video.psnr_y.mean, video.ssim.mean) = (22.0, 0.7);
        video.latency_ms.p95 = 500.0;
        video.frames_decoded = 285;
        assert_eq!(lines(poor.clone(), None).len(), 4);
        assert_eq!(lines(poor.clone(), Some("delay=50ms")).len(), 2, "late, and some are missing");
        assert_eq!(lines(poor.clone(), Some("rate=500k,delay=25ms")), [""; 0]);
        poor.video.as_mut().unwrap().latency_ms.p95 = 1_600.0;
        assert_eq!(lines(poor, Some("rate=500k,delay=25ms")).len(), 1, "that late is no network");
    }

    #[test]
    fn lost_sound_is_excused_as_far_as_it_was_lost() {
        let mut concealed = good();
        concealed.audio.as_mut().unwrap().concealed_samples = 14_400;
        assert_eq!(lines(concealed.clone(), Some("loss=1%")).len(), 1);
        assert_eq!(lines(concealed.clone(), Some("loss=5%")), [""; 0]);
        concealed.audio.as_mut().unwrap().concealed_samples = 120_000;
        assert_eq!(lines(concealed, Some("loss=0%;4 loss=100%;7 loss=0%")), [""; 0]);
    }

    #[test]
    fn a_call_that_does_not_come_back_falls_short_unless_the_link_is_out_or_for_sound_alone() {
        let mut gone = good();
        for second in &mut gone.per_second[7..] {
            (second.frames_shown, second.latency_ms) = (0, None);
        }
        let gap = "loss=0%;4 loss=100%;6 loss=0%";
        assert_eq!(
            lines(gone.clone(), Some(gap)),
            ["caller to callee: no pictures in the last 3 s"]
        );
        gone.video.as_mut().unwrap().frames_decoded = 200;
        assert_eq!(lines(gone.clone(), Some("rate=150k")), [""; 0]);
        gone.video.as_mut().unwrap().frames_decoded = 300;
        assert_eq!(lines(gone, Some("loss=0%;7 loss=100%")), [""; 0]);
        let mut late = good();
        late.per_second.iter_mut().for_each(|second| second.latency_ms = Some(5_000.0));
        assert!(lines(late, Some(gap))[0].contains("5000 ms late"));
    }
}
