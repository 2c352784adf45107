//! What a connection counts: packets, RTCP in both directions, and the chosen path.
//!
//! W6: the library leaves most of it at zero, so it is counted in our own
//! places; only the candidate pair comes from the library.

use std::sync::atomic::Ordering::Relaxed;

use rtc::statistics::StatsSelector;
use rtc::statistics::report::{RTCStatsReport, RTCStatsReportEntry};
use rtc::statistics::stats::ice_candidate::RTCIceCandidateStats;

use super::connection::Connection;
use super::sender::SentCounters;
use super::stats::CandidatePair;
use crate::clock;

/// Counters of one connection since it was opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// RTP packets and payload bytes of pictures, without repairs.
    pub video_sent: Sent,
    /// RTP packets and payload bytes of sound.
    pub audio_sent: Sent,
    /// Packets sent again on request.
    pub retransmitted: u64,
    /// Repairs (RTX) that arrived.
    pub repairs_received: u64,
    /// Generic NACK packets.
    pub nacks_sent: u64,
    /// The same, from the other side.
    pub nacks_received: u64,
    /// PLI and FIR that we sent.
    pub keyframe_requests_sent: u64,
    /// PLI and FIR from the other side.
    pub keyframe_requests_received: u64,
    /// Packets of our pictures that the other side misses.
    pub video_lost_remotely: i64,
    /// Packets of our sound that the other side misses.
    pub audio_lost_remotely: i64,
}

/// Packets and payload bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// RTP packets.
    pub packets: u64,
    /// RTP payload bytes.
    pub bytes: u64,
}

impl From<&SentCounters> for Sent {
    fn from(counters: &SentCounters) -> Self {
        Self { packets: counters.packets.load(Relaxed), bytes: counters.bytes.load(Relaxed) }
    }
}

impl Connection {
    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let rtcp = &self.tap().counters;
        Counts {
            video_sent: self.video().map(|v| v.sent().into()).unwrap_or_default(),
            audio_sent: self.audio().map(|a| a.sent().into()).unwrap_or_default(),
            retransmitted: rtcp.retransmitted.load(Relaxed),
            repairs_received: rtcp.repairs_received.load(Relaxed),
            nacks_sent: rtcp.nacks_sent.load(Relaxed),
            nacks_received: rtcp.nacks_received.load(Relaxed),
            keyframe_requests_sent: rtcp.keyframe_requests_sent.load(Relaxed),
            keyframe_requests_received: rtcp.keyframe_requests_received.load(Relaxed),
            video_lost_remotely: rtcp.video_lost_remotely.load(Relaxed),
            audio_lost_remotely: rtcp.audio_lost_remotely.load(Relaxed),
        }
    }

    /// The path that ICE chose; `None` before it has.
    pub async fn candidate_pair(&self) -> Option<CandidatePair> {
        let report = self.inner().get_stats(clock::now(), StatsSelector::None).await;
        let chosen =
            report.transport().map(|transport| transport.selected_candidate_pair_id.clone());
        let pair = report
            .candidate_pairs()
            .find(|pair| chosen.as_ref() == Some(&pair.stats.id))
            .or_else(|| report.candidate_pairs().find(|pair| pair.nominated))?;
        // W6: the library lists no peer-reflexive candidates.
        let unlisted = || ("prflx".to_owned(), "udp".to_owned());
        let (local, protocol) =
            candidate(&report, &pair.local_candidate_id).unwrap_or_else(unlisted);
        let (remote, _) = candidate(&report, &pair.remote_candidate_id).unwrap_or_else(unlisted);
        let remote = self.tcp().named(&remote).unwrap_or(remote);
        let current_round_trip_time = pair.current_round_trip_time;
        Some(CandidatePair { local, remote, protocol, current_round_trip_time })
    }
}

/// Type and address, and protocol, of a candidate. The pair names it without the prefix that it
/// bears in the report.
fn candidate(report: &RTCStatsReport, id: &str) -> Option<(String, String)> {
    report.iter().find_map(|entry| match entry {
        RTCStatsReportEntry::LocalCandidate(found)
        | RTCStatsReportEntry::RemoteCandidate(found)
            if found.stats.id.ends_with(id) =>
        {
            Some((describe(found), found.protocol.clone()))
        }
        _ => None,
    })
}

fn describe(candidate: &RTCIceCandidateStats) -> String {
    let address = candidate.address.as_deref().unwrap_or("?");
    let address = match address.contains(':') {
        true => format!("[{address}]"),
        false => address.to_owned(),
    };
    format!("{} {}:{}", candidate.candidate_type, address, candidate.port)
}
