//! The loopback report as a short table for people. Pure.

use super::format;
use crate::loopback::report::{
    AudioReport, Direction, LinkReport, LoopbackReport, Spread, Verdict, VideoReport,
};

/// One row: its label, and what stands in the column of a direction that has it.
type Row = (&'static str, fn(&Direction) -> Option<String>);

const ROWS: [Row; 10] = [
    ("pictures", |direction| direction.video.as_ref().map(pictures)),
    ("bitrate", |direction| {
        direction.video.as_ref().map(|video| format::bitrate(video.bitrate_bps as f64))
    }),
    ("PSNR-Y, dB", |direction| {
        let psnr = direction.video.as_ref()?.psnr_y;
        Some(format!("{:.1} mean, {:.1} min", psnr.mean, psnr.min))
    }),
    ("SSIM", |direction| {
        let ssim = direction.video.as_ref()?.ssim;
        Some(format!("{:.3} mean, {:.3} min", ssim.mean, ssim.min))
    }),
    ("picture latency, ms", |direction| {
        direction.video.as_ref().map(|video| spread(&video.latency_ms))
    }),
    ("longest gap, ms", |direction| {
        direction.video.as_ref().map(|video| format!("{:.0}", video.longest_gap_ms))
    }),
    ("sound latency, ms", |direction| {
        direction.audio.as_ref()?.latency_ms.map(|ms| format!("{ms:.1}"))
    }),
    ("sound concealed", |direction| direction.audio.as_ref().map(concealed)),
    ("sound SNR, dB", |direction| direction.audio.as_ref()?.snr_db.map(|db| format!("{db:.1}"))),
    ("sound to picture, ms", |direction| direction.av_sync_ms.as_ref().map(spread)),
];

/// The table, a line each.
#[must_use]
pub fn lines(report: &LoopbackReport) -> Vec<String> {
    let mut lines = vec![row("", "caller to callee", "callee to caller")];
    for (label, cell) in ROWS {
        let (there, back) = (cell(&report.caller_to_callee), cell(&report.callee_to_caller));
        if there.is_some() || back.is_some() {
            let or_dash = |cell: Option<String>| cell.unwrap_or_else(|| "-".into());
            lines.push(row(label, &or_dash(there), &or_dash(back)));
        }
    }
    if let Some(network) = &report.network {
        let (there, back) = (&network.caller_to_callee, &network.callee_to_caller);
        lines.push(row("network", &network.asked, ""));
        lines.push(row("packets", &there.packets.to_string(), &back.packets.to_string()));
        lines.push(row("lost, queue full", &missing(there), &missing(back)));
        let (up, down) = (&report.caller_to_callee, &report.callee_to_caller);
        lines.push(row("sent again", &sent_again(up), &sent_again(down)));
        lines.push(row("queueing, ms", &spread(&there.queue_ms), &spread(&back.queue_ms)));
    }
    let setup = &report.setup_ms;
    for (label, ms) in
        [("first picture, ms", setup.first_video_frame), ("first sound, ms", setup.first_audio)]
    {
        if let Some(ms) = ms {
            lines.push(row(label, &ms.to_string(), ""));
        }
    }
    let used = &report.process;
    let megabytes = used.peak_rss_bytes as f64 / 1e6;
    lines.push(row("processor, s", &format!("{:.1}", used.cpu_seconds), ""));
    lines.push(row("memory, MB", &format!("{megabytes:.0}"), ""));
    // What fell short is listed by the error that the command ends with.
    let verdict = match report.verdict {
        Verdict::Pass => "pass",
        Verdict::FellShort(_) => "missed its targets",
    };
    lines.push(row("verdict", verdict, ""));
    lines
}

fn row(label: &str, there: &str, back: &str) -> String {
    format!("{label:<22} {there:<26} {back}").trim_end().to_owned()
}

fn pictures(video: &VideoReport) -> String {
    let share = match video.frames_sent {
        0 => 0.0,
        sent => video.frames_decoded as f64 / sent as f64 * 100.0,
    };
    format!("{} of {} ({share:.1} %)", video.frames_decoded, video.frames_sent)
}

fn concealed(audio: &AudioReport) -> String {
    let share = match audio.total_samples_received {
        0 => 0.0,
        all => audio.concealed_samples as f64 / all as f64 * 100.0,
    };
    format!("{share:.2} %")
}

/// What the link lost at random, and what found its queue full.
fn missing(link: &LinkReport) -> String {
    format!("{}, {}", link.lost, link.tail_dropped)
}

/// Packets of pictures that were repeated.
fn sent_again(direction: &Direction) -> String {
    let video = direction.video.as_ref();
    video.map_or("-".to_owned(), |video| video.retransmitted_packets_sent.to_string())
}

fn spread(spread: &Spread) -> String {
    format!("{:.1} p50, {:.1} p95, {:.1} max", spread.p50, spread.p95, spread.max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::report::{MeanMin, NetworkReport};
    use crate::phone::event::{ProcessUsage, SetupMs};

    fn report(verdict: Verdict) -> LoopbackReport {
        let video = VideoReport {
            frames_sent: 300,
            frames_decoded: 299,
            psnr_y: MeanMin { mean: 43.91, min: 40.2 },
            bitrate_bps: 1_400_000,
            retransmitted_packets_sent: 61,
            ..Default::default()
        };
        let audio = AudioReport {
            concealed_samples: 48,
            total_samples_received: 48_000,
            ..Default::default()
        };
        LoopbackReport {
            caller_to_callee: Direction {
                video: Some(video),
                audio: None,
                av_sync_ms: Some(Spread { p50: 3.0, p95: 9.04, max: 20.0 }),
                ..Default::default()
            },
            callee_to_caller: Direction { audio: Some(audio), ..Default::default() },
            setup_ms: SetupMs { first_video_frame: Some(80), ..Default::default() },
            process: ProcessUsage { cpu_seconds: 4.25, peak_rss_bytes: 64_000_000 },
            verdict,
            network: None,
        }
    }

    fn row_of<'a>(lines: &'a [String], label: &str) -> Option<&'a str> {
        lines.iter().find_map(|line| line.strip_prefix(label)).map(str::trim)
    }

    #[test]
    fn figures_stand_under_their_direction() {
        let lines = lines(&report(Verdict::Pass));
        assert_eq!(lines[1], "pictures               299 of 300 (99.7 %)        -");
        assert_eq!(row_of(&lines, "PSNR-Y, dB"), Some("43.9 mean, 40.2 min        -"));
        assert_eq!(row_of(&lines, "bitrate"), Some("1.4 Mbit/s                 -"));
        assert_eq!(row_of(&lines, "sound concealed"), Some("-                          0.10 %"));
        assert_eq!(row_of(&lines, "first picture, ms"), Some("80"));
        assert_eq!(row_of(&lines, "first sound, ms"), None);
        assert_eq!(row_of(&lines, "memory, MB"), Some("64"));
        assert_eq!(row_of(&lines, "verdict"), Some("pass"));
    }

    #[test]
    fn a_bad_network_says_what_it_did() {
        let mut report = report(Verdict::Pass);
        let there = LinkReport { packets: 1_000, lost: 50, tail_dropped: 2, ..Default::default() };
        report.network = Some(NetworkReport {
            asked: "loss=5%".to_owned(),
            caller_to_callee: there,
            ..Default::default()
        });
        let lines = lines(&report);
        assert_eq!(row_of(&lines, "network"), Some("loss=5%"));
        assert_eq!(row_of(&lines, "lost, queue full"), Some("50, 2                      0, 0"));
        assert_eq!(row_of(&lines, "sent again"), Some("61                         -"));
    }

    #[test]
    fn a_verdict_that_is_not_pass_is_said() {
        let lines = lines(&report(Verdict::FellShort(vec!["98 % of the pictures".into()])));
        assert_eq!(row_of(&lines, "verdict"), Some("missed its targets"));
    }

    #[test]
    fn a_direction_without_pictures_sent_is_no_division_by_zero() {
        let empty = VideoReport::default();
        assert_eq!(pictures(&empty), "0 of 0 (0.0 %)");
        assert_eq!(concealed(&AudioReport::default()), "0.00 %");
    }
}
