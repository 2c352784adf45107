//! Floor 4: a real call with itself, measured.
//!
//! Owns a server, two phones and what they send each other; everything between is the call that
//! everybody else makes too. The measuring ends are in `probe.rs`, the numbers in `report.rs`, what is
//! good enough in `verdict.rs`; `bad_network.rs` stands between the two if it is asked for.

mod bad_network;
mod measure;
mod probe;
pub mod report;
mod verdict;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::clock;
use crate::media::device::DeviceError;
use crate::media::frame::Size;
use crate::media::sink::{SinkError, Sinks};
use crate::media::source::file::live::is_live;
use crate::media::source::{
    self, AudioSourceSpec, MediaOptions, SourceError, Sources, VideoSourceSpec,
};
use crate::phone::command::Command;
use crate::phone::config::{AnswerPolicy, PhoneConfig};
use crate::phone::event::{Because, EndReason, EventKind, Summary};
use crate::phone::{Events, Phone, PhoneError};
use crate::rtc::netem::Network;
use crate::signaling::server::{self, ServerConfig};
use crate::system;
use bad_network::BadNetwork;
use measure::{Pause, Played};
use probe::{ComparingSink, KeepingSink, Probe, RememberingSource, StampingSource};
use report::LoopbackReport;

/// What is sent both ways, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct LoopbackConfig {
    /// The pictures; `None`: the clip that comes with us.
    pub video: Option<VideoSourceSpec>,
    /// The sound; `None`: the voice that comes with us.
    pub audio: Option<AudioSourceSpec>,
    /// The size to send; `None`: the source's own.
    pub size: Option<Size>,
    /// Pictures a second; `None`: the source's own.
    pub fps: Option<f64>,
    /// The most that each side sends, bits a second.
    pub max_bitrate: u32,
    /// The least that each side sends, whatever the network carries, bits a second; `None`: what sound
    /// needs.
    pub min_bitrate: Option<u32>,
    /// How long the call lasts once it is connected.
    pub duration: Duration,
    /// The network that it goes over; `None`: this machine's own.
    pub network: Option<Network>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackError {
    /// What should be sent cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// One of the phones could not log in.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// The server could not start.
    #[error("the server of the test call cannot start: {reason}")]
    Server {
        /// What the operating system said.
        reason: String,
    },
    /// There is no thread for the bad network.
    #[error("the made-up network cannot start: {reason}; end other programs")]
    Network {
        /// What the operating system said.
        reason: String,
    },
    /// The call ended before its time.
    #[error("the test call ended before its time")]
    Ended {
        /// Why.
        reason: EndReason,
        /// What is known of how it came to that.
        because: Option<Because>,
    },
}

/// How long a picture may be under way on one machine.
const ON_ONE_MACHINE: Duration = Duration::from_millis(200);

const CALLER: &str = "caller";
/// As whom we call ourselves.
pub const CALLEE: &str = "callee";

/// The clip and the voice that come with us, in one file.
const CLIP: &[u8] = include_bytes!("../assets/clips/camera-360p.mp4");

/// Makes the call and measures it; `progress` hears how long it has been connected. Dropped
/// half-way, everything stops.
///
/// # Errors
/// When there is nothing to measure: the media cannot be opened, or the call did not last.
pub async fn run(
    config: LoopbackConfig,
    mut progress: impl FnMut(Duration),
) -> Result<LoopbackReport, LoopbackError> {
    let shipped = ShippedClip::new(&config)?;
    let media = shipped.options(&config);
    if let Some(path) = media.inputs().into_iter().find(|path| is_live(path)) {
        let reason =
            "a pipe can be sent by one side only, and here both send; name a file".to_owned();
        return Err(SourceError::Unsupported { path, reason }.into());
    }
    // Before anything else is started.
    drop(source::open(&media)?);

    let network = config.network.as_ref().map(BadNetwork::start).transpose();
    let network =
        network.map_err(|error| LoopbackError::Network { reason: system::words(&error) })?;
    let (url, _server) = start_server().await?;
    let (to_callee, to_caller) = probes(&config);
    let mut callee = phone_config(&url, CALLEE, &config, &media, &to_caller, &to_callee);
    callee.call.answer = AnswerPolicy::Auto;
    let mut caller = phone_config(&url, CALLER, &config, &media, &to_callee, &to_caller);
    caller.call.duration = Some(config.duration);
    if let Some(network) = &network {
        caller.wire = Some(Arc::clone(&network.up));
        callee.wire = Some(Arc::clone(&network.down));
    }

    let (callee, callee_hears) = Phone::login(callee).await?;
    let (caller, caller_hears) = Phone::login(caller).await?;
    caller.tell(Command::Call { name: CALLEE.to_owned() });
    let connected = |now| network.iter().for_each(|network| network.begin(now));
    let (ours, theirs) = tokio::join!(
        until_ended(caller_hears, connected, &mut progress),
        until_ended(callee_hears, |_| {}, |_| {}),
    );
    caller.close().await;
    callee.close().await;
    if ours.reason != EndReason::Duration && ours.reason != EndReason::MediaEnded {
        return Err(LoopbackError::Ended { reason: ours.reason, because: ours.because });
    }
    // Comparing sound takes a while, and waiting for it must not hold up others.
    let measured = tokio::task::spawn_blocking(move || {
        let report = measured(&to_callee, &to_caller, &ours, &theirs, network.as_ref());
        verdict::judged(report, config.network.as_ref().map(|asked| (asked, config.duration)))
    });
    match measured.await {
        Ok(report) => Ok(report),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// A probe for each direction, which knows how long a picture may be under way: to the callee, to the
/// caller.
fn probes(config: &LoopbackConfig) -> (Arc<Probe>, Arc<Probe>) {
    let (there, back) = match &config.network {
        Some(network) => bad_network::hardships(network, config.duration),
        None => Default::default(),
    };
    let probe = |longest| Arc::new(Probe::new(ON_ONE_MACHINE + longest));
    (probe(there.longest), probe(back.longest))
}

fn measured(
    to_callee: &Probe,
    to_caller: &Probe,
    ours: &Followed,
    theirs: &Followed,
    network: Option<&BadNetwork>,
) -> LoopbackReport {
    let (caller, callee) = (&ours.summary, &theirs.summary);
    let mut report = LoopbackReport {
        caller_to_callee: measure::direction(to_callee, caller, callee),
        callee_to_caller: measure::direction(to_caller, callee, caller),
        setup_ms: caller.setup_ms.clone(),
        process: caller.process,
        network: network.map(BadNetwork::report),
        ..LoopbackReport::default()
    };
    if let Some(began) = ours.connected_at {
        report.caller_to_callee.pauses = measure::pauses(began, &ours.pauses, &theirs.pauses);
        report.callee_to_caller.pauses = measure::pauses(began, &theirs.pauses, &ours.pauses);
    }
    if let (Some(network), Some(began)) = (network, ours.connected_at) {
        let call = Duration::from_millis(caller.duration_ms);
        let there = network.up.counts();
        report.caller_to_callee.per_second =
            measure::per_second(began, call, &there, to_callee, &theirs.played);
        let back = network.down.counts();
        report.callee_to_caller.per_second =
            measure::per_second(began, call, &back, to_caller, &ours.played);
    }
    report
}

async fn start_server() -> Result<(String, JoinSet<()>), LoopbackError> {
    let failed = |error: std::io::Error| LoopbackError::Server { reason: system::words(&error) };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let url = format!("ws://{}", listener.local_addr().map_err(failed)?);
    // In a set, so that it ends with us.
    let mut server = JoinSet::new();
    server.spawn(async move {
        let never = std::future::pending();
        if let Err(error) = server::run(listener, ServerConfig::default(), never).await {
            tracing::error!(%error, "the server of the loopback call");
        }
    });
    Ok((url, server))
}

/// A phone that sends into one probe and receives from the other.
fn phone_config(
    url: &str,
    name: &str,
    config: &LoopbackConfig,
    media: &MediaOptions,
    sent: &Arc<Probe>,
    received: &Arc<Probe>,
) -> PhoneConfig {
    let (media, sent, received) = (media.clone(), Arc::clone(sent), Arc::clone(received));
    let mut phone = PhoneConfig::new(url, name);
    phone.network.stun.clear();
    phone.network.bind = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    phone.call.rate.max = Some(config.max_bitrate);
    phone.call.rate.min = config.min_bitrate;
    phone.sources = Arc::new(move || Ok(probed_sources(source::open(&media)?, &sent)));
    phone.sinks = Arc::new(move || probing_sinks(&received));
    phone
}

fn probed_sources(opened: Sources, probe: &Arc<Probe>) -> Sources {
    let mut probed = Sources::default();
    if let Some(inner) = opened.video {
        probed.video = Some(Box::new(StampingSource::new(inner, Arc::clone(probe))));
    }
    if let Some(inner) = opened.audio {
        probed.audio = Some(Box::new(RememberingSource { inner, probe: Arc::clone(probe) }));
    }
    probed
}

fn probing_sinks(probe: &Arc<Probe>) -> Result<Sinks, SinkError> {
    let comparing = ComparingSink::new(Arc::clone(probe)).map_err(|error| {
        SinkError::Device(DeviceError {
            device: "comparison".to_owned(),
            reason: format!("there is no thread for it ({})", system::words(&error)),
            hint: "end other programs".to_owned(),
        })
    })?;
    Ok(Sinks {
        video: Some(Box::new(comparing)),
        audio: Some(Box::new(KeepingSink(Arc::clone(probe)))),
        ..Sinks::default()
    })
}

/// What a phone told from login to the end of its call.
struct Followed {
    reason: EndReason,
    because: Option<Because>,
    summary: Box<Summary>,
    connected_at: Option<Instant>,
    /// Second by second.
    played: Vec<Played>,
    pauses: Vec<Pause>,
}

/// Follows a phone to the end of its call.
async fn until_ended(
    mut events: Events,
    connected: impl Fn(Instant),
    mut progress: impl FnMut(Duration),
) -> Followed {
    let mut followed = Followed {
        reason: EndReason::ConnectionFailed,
        because: None,
        summary: Box::default(),
        connected_at: None,
        played: vec![],
        pauses: vec![],
    };
    while let Some(event) = events.recv().await {
        let now = clock::now();
        match event.kind {
            EventKind::Connected { .. } => {
                followed.connected_at = Some(now);
                connected(now);
            }
            EventKind::Stats(stats) => {
                let since = followed.connected_at.unwrap_or(now);
                progress(now.saturating_duration_since(since));
                followed.played.extend(stats.inbound.audio.map(|audio| Played {
                    at: now,
                    concealed: audio.concealed_samples,
                    total: audio.total_samples_received,
                }));
            }
            EventKind::VideoPaused { side } => {
                followed.pauses.push(Pause { at: now, whose: side, begins: true });
            }
            EventKind::VideoResumed { side } => {
                followed.pauses.push(Pause { at: now, whose: side, begins: false });
            }
            EventKind::Ended { reason, because, summary } => {
                return Followed { reason, because, summary, ..followed };
            }
            EventKind::Error { message, .. } => tracing::error!(message, "in the loopback call"),
            _ => {}
        }
    }
    followed
}

/// The clip that comes with us, as a file for as long as it is needed.
struct ShippedClip(Option<tempfile::NamedTempFile>);

impl ShippedClip {
    fn new(config: &LoopbackConfig) -> Result<Self, SourceError> {
        if config.video.is_some() && config.audio.is_some() {
            return Ok(Self(None));
        }
        let write = || {
            let mut file =
                tempfile::Builder::new().prefix("peer-clip-").suffix(".mp4").tempfile()?;
            std::io::Write::write_all(&mut file, CLIP)?;
            Ok(file)
        };
        let file = write().map_err(|error: std::io::Error| SourceError::Unreadable {
            path: std::env::temp_dir(),
            reason: format!(
                "the clip that comes with peer cannot be written there: {}",
                system::words(&error)
            ),
        })?;
        Ok(Self(Some(file)))
    }

    fn options(&self, config: &LoopbackConfig) -> MediaOptions {
        let path = self.0.as_ref().map(|file| file.path().to_owned()).unwrap_or_default();
        MediaOptions {
            video: config.video.clone().unwrap_or_else(|| VideoSourceSpec::File(path.clone())),
            audio: config.audio.clone().unwrap_or(AudioSourceSpec::File(path)),
            size: config.size,
            fps: config.fps,
            ..MediaOptions::default()
        }
    }
}
