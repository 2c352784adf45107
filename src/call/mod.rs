//! Floor 3: one call.
//!
//! Carries out what the machine asks for on the connection and the media, and
//! tells the machine what came of it. It decides nothing and knows no server:
//! messages come in and go out through whoever made the call.

mod answering;
pub mod candidates;
mod ending;
mod hearing;
pub mod identity;
mod incoming;
pub mod machine;
mod media;
mod media_event;
pub mod negotiation;
mod outage;
mod outgoing;
pub mod pauses;
pub mod reason;
mod record;
mod recording;
pub mod safety;
#[cfg(test)]
mod simulation_tests;
mod snapshot;
mod splitting;
pub mod step;
pub mod summary;
mod telling;
mod tried;
mod vocabulary;
pub mod vouch;
pub mod words;

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::clock;
use crate::media::adaptation::worth;
use crate::media::device::DeviceNotice;
use crate::media::source::Sources;
use crate::rtc::connection::{Connection, ConnectionConfig};
use crate::rtc::events::ConnectionEvent;
use crate::rtc::stats::Stats;
use machine::Machine;
use media::Media;
use media_event::MediaEvent;
use pauses::Pauses;
use reason::{Because, EndReason};
use snapshot::Since;
use step::{Action, Input, Progress};
use summary::{ProcessUsage, Summary};
use tried::Tried;
pub use vocabulary::{CallConfig, Origin, Said, Told};

/// What a call is told waits here at most; a page trickles some dozens of candidates.
const TOLD_QUEUE: usize = 512;

/// What media threads tell; few things.
const MEDIA_QUEUE: usize = 16;

/// The most that is worth sending without pictures, bits a second.
const SOUND_ONLY: u32 = 300_000;

/// How often statistics are said.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// A call that runs as a task of its own. When it is dropped, the call ends as interrupted.
#[derive(Debug)]
pub struct Call {
    told: mpsc::Sender<Told>,
}

impl Call {
    /// Starts the call. What it says bears `id`, since several calls may share `said`.
    #[must_use]
    pub fn start(
        id: u64,
        config: CallConfig,
        origin: Origin,
        said: mpsc::Sender<(u64, Said)>,
    ) -> Self {
        let (told, hears) = mpsc::channel(TOLD_QUEUE);
        tokio::spawn(Running::new(id, config, origin, said).run(hears));
        Self { told }
    }

    /// Tells the call something. Never blocks; what finds no room is lost, which only a flood can
    /// bring about.
    pub fn tell(&self, told: Told) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.told.try_send(told) {
            tracing::warn!("a call is flooded; a message is dropped");
        }
    }
}

struct Running {
    id: u64,
    config: CallConfig,
    said: mpsc::Sender<(u64, Said)>,
    machine: Machine,
    connection: Option<Connection>,
    events: Option<mpsc::Receiver<ConnectionEvent>>,
    sources: Option<Sources>,
    media: Option<Media>,
    media_events: (mpsc::Sender<MediaEvent>, mpsc::Receiver<MediaEvent>),
    muted: bool,
    dark: bool,
    began_at: Instant,
    connected_at: Option<Instant>,
    /// It is connected after so many milliseconds, which is told with the words to compare.
    untold: Option<u64>,
    next_stats: Option<Instant>,
    since: Since,
    summary: Summary,
    tried: Tried,
    pauses: Pauses,
    /// Why there is no sound or picture to be had.
    media_trouble: Option<String>,
}

impl Running {
    fn new(id: u64, config: CallConfig, origin: Origin, said: mpsc::Sender<(u64, Said)>) -> Self {
        let now = clock::now();
        let setup = config.setup.clone();
        let machine = match origin.clone() {
            Origin::Outgoing => Machine::outgoing(setup, now),
            Origin::Incoming { offer } => Machine::incoming(setup, offer, now),
        };
        let mut tried = Tried::default();
        if let Origin::Incoming { offer } = &origin {
            tried.their_description(offer);
        }
        Self {
            id,
            config,
            said,
            machine,
            connection: None,
            events: None,
            sources: None,
            media: None,
            media_events: mpsc::channel(MEDIA_QUEUE),
            muted: false,
            dark: false,
            began_at: now,
            connected_at: None,
            untold: None,
            next_stats: None,
            since: Since::start(now),
            summary: Summary::default(),
            tried,
            pauses: Pauses::default(),
            media_trouble: None,
        }
    }

    async fn run(mut self, mut hears: mpsc::Receiver<Told>) {
        while !self.carry_out().await {
            let deadline = self.machine.deadline().map(|(at, _)| at);
            let input = tokio::select! {
                told = hears.recv() => match told {
                    Some(told) => self.told(told).await,
                    None => Some(Input::Interrupt),
                },
                event = next(&mut self.events) => self.connection_event(event).await,
                Some(event) = self.media_events.1.recv() => self.media_event(event).await,
                () = clock::until(self.next_stats) => {
                    self.say_stats().await;
                    self.look_for_the_end().await
                }
                () = clock::until(deadline) => Some(Input::Timeout),
            };
            if let Some(input) = input {
                self.machine.handle(clock::now(), input);
            }
        }
    }

    /// Carries out all that the machine asks for; says whether the call is over.
    async fn carry_out(&mut self) -> bool {
        while let Some(action) = self.machine.poll() {
            if let Action::Report(Progress::Ended(reason)) = action {
                let because = self.because(reason);
                let summary = Box::new(std::mem::take(&mut self.summary));
                self.say(Said::Ended(reason, because, summary)).await;
                return true;
            }
            if let Some(result) = self.act(action).await {
                self.machine.handle(clock::now(), result);
            }
        }
        false
    }

    fn because(&mut self, reason: EndReason) -> Option<Because> {
        match reason {
            EndReason::MediaFailed => {
                let theirs = || "the other side could not send its picture or sound".to_owned();
                let message = self.media_trouble.take().unwrap_or_else(theirs);
                Some(Because { message, advice: None })
            }
            EndReason::NoAnswer if self.machine.left_unanswered() => Some(Because {
                message: "their program or page was closed".to_owned(),
                advice: None,
            }),
            EndReason::ConnectionFailed
                if self.connected_at.is_some() && !self.tried.is_impostor() =>
            {
                Some(Because {
                    message: "the path was lost and did not come back".to_owned(),
                    advice: Some("check the networks of both sides, and call again".to_owned()),
                })
            }
            EndReason::ConnectionFailed => Some(self.tried.because()),
            _ => None,
        }
    }

    async fn act(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::CreateOffer { id, ice_restart } => {
                let offer = match self.open_connection().await {
                    Ok(connection) => connection.create_offer(ice_restart).await.map_err(text),
                    Err(reason) => Err(reason),
                };
                Some(match offer {
                    Ok(sdp) => Input::OfferCreated { id, sdp },
                    Err(reason) => self.failed(id, reason),
                })
            }
            Action::CreateAnswer { id, offer } => {
                let answer = match self.open_connection().await {
                    Ok(connection) => connection.answer(&offer).await.map_err(text),
                    Err(reason) => Err(reason),
                };
                self.reached(|setup| &mut setup.signaling);
                self.agree().await;
                Some(match answer {
                    Ok(sdp) => Input::AnswerCreated { id, sdp },
                    Err(reason) => self.failed(id, reason),
                })
            }
            Action::SetRemoteAnswer { id, sdp } => {
                self.reached(|setup| &mut setup.signaling);
                let taken = self.connection.as_ref()?.take_answer(&sdp).await;
                self.agree().await;
                Some(match taken.map_err(text) {
                    Ok(()) => Input::DescriptionApplied { id },
                    Err(reason) => self.failed(id, reason),
                })
            }
            Action::Rollback { id } => {
                let rolled_back = self.connection.as_ref()?.rollback().await;
                Some(match rolled_back.map_err(text) {
                    Ok(()) => Input::DescriptionApplied { id },
                    Err(reason) => Input::ActionFailed { id, reason },
                })
            }
            Action::AddCandidate(candidate) => {
                if let Err(error) = self.connection.as_ref()?.add_candidate(&candidate).await {
                    tracing::debug!(%error, "a candidate is of no use");
                }
                None
            }
            Action::Send(message) => {
                self.say(Said::Send(message)).await;
                None
            }
            Action::CheckServer => {
                self.say(Said::CheckServer).await;
                None
            }
            Action::PrepareMedia => self.prepare_media().await,
            Action::StartMedia => self.start_media().await,
            Action::Close(last_word) => {
                self.say(Said::Ending(last_word)).await;
                self.close().await;
                None
            }
            Action::Report(progress) => {
                self.report(progress).await;
                None
            }
        }
    }

    /// Without media there is no use in going on.
    fn failed(&mut self, id: step::ActionId, reason: String) -> Input {
        if self.media_trouble.is_some() {
            return Input::MediaFailed;
        }
        self.tried.refused(reason.clone());
        Input::ActionFailed { id, reason }
    }

    /// Nobody else tells that the other side has closed its end.
    async fn look_for_the_end(&mut self) -> Option<Input> {
        let closed = self.connection.as_ref()?.is_closed_by_them().await;
        closed.then_some(Input::RemoteClosed)
    }

    /// Opens sources and connection the first time that either is needed.
    async fn open_connection(&mut self) -> Result<&Connection, String> {
        if self.connection.is_none() {
            let sources = self.config.sources.clone();
            let opened = tokio::task::spawn_blocking(move || sources()).await;
            let sources = match opened {
                Ok(Ok(sources)) => sources,
                Ok(Err(error)) => return Err(self.media_failed(error.to_string()).await),
                Err(_) => {
                    return Err(self
                        .media_failed("internal error while opening what is sent".into())
                        .await);
                }
            };
            self.say_missing(&sources.missing).await;
            let config = ConnectionConfig {
                send_video: sources.video.is_some(),
                send_audio: sources.audio.is_some(),
                max_bitrate: self.config.rate.max.unwrap_or_else(|| worth_of(&sources)),
                ..self.config.connection.clone()
            };
            let (connection, events) = match Connection::open(config).await {
                Ok(opened) => opened,
                Err(error) => {
                    self.say(Said::Error("connection", error.to_string())).await;
                    return Err(error.to_string());
                }
            };
            (self.connection, self.events) = (Some(connection), Some(events));
            self.sources = Some(sources);
        }
        self.connection.as_ref().ok_or_else(|| "the connection is gone".to_owned())
    }

    /// Devices that there are not, and that nobody asked for by name.
    async fn say_missing(&mut self, missing: &[DeviceNotice]) {
        for DeviceNotice { news, message } in missing {
            self.say(Said::Error(news.as_str(), message.clone())).await;
        }
    }

    async fn media_failed(&mut self, reason: String) -> String {
        self.say(Said::Error("media", reason.clone())).await;
        self.media_trouble = Some(reason.clone());
        reason
    }

    async fn prepare_media(&mut self) -> Option<Input> {
        let open = self.config.sinks.clone();
        let opened = tokio::task::spawn_blocking(move || open()).await;
        let sinks = match opened {
            Ok(Ok(sinks)) => sinks,
            Ok(Err(error)) => return self.give_up(error.to_string()).await,
            Err(_) => {
                return self
                    .give_up("internal error while opening the recording or the speaker".to_owned())
                    .await;
            }
        };
        self.say_missing(&sinks.missing).await;
        match Media::new(sinks, self.media_events.0.clone()) {
            Ok(media) => self.media = Some(media),
            Err(error) => return self.give_up(error.to_string()).await,
        }
        self.say_recording().await;
        None
    }

    async fn start_media(&mut self) -> Option<Input> {
        let (media, connection) = (self.media.as_mut()?, self.connection.as_ref()?);
        let sources = self.sources.take().unwrap_or_default();
        let started = media.start_sending(connection, sources, self.config.rate.content).await;
        if let Err(error) = started {
            return self.give_up(error.to_string()).await;
        }
        self.mute();
        None
    }

    /// A round may be over: what runs is what was agreed on.
    async fn agree(&mut self) {
        let Some(connection) = &self.connection else { return };
        let (video, audio) = (connection.video_writer().await, connection.audio_writer().await);
        if let Some(told) = self.media.as_mut().map(|media| media.outgoing.agree(video, audio)) {
            told.await;
        }
    }

    /// Without its media a call is no call.
    async fn give_up(&mut self, reason: String) -> Option<Input> {
        self.media_failed(reason).await;
        Some(Input::MediaFailed)
    }

    fn mute(&self) {
        if let Some(audio) = self.media.as_ref().and_then(|media| media.outgoing.audio()) {
            audio.set_muted(self.muted);
        }
        if let Some(video) = self.media.as_ref().and_then(|media| media.outgoing.video()) {
            video.set_dark(self.dark);
        }
    }

    async fn say_stats(&mut self) {
        let now = clock::now();
        if let (Some(connection), Some(media)) = (&self.connection, &self.media) {
            let mut stats = snapshot::take(connection, media, self.since, now);
            let held = media.outgoing.video().is_some_and(|video| video.paused());
            stats.selected_candidate_pair = connection.candidate_pair().await;
            self.since = Since::from(now, &stats);
            let news = self.pauses.look(held, &stats);
            self.say(Said::Stats(Box::new(stats))).await;
            for news in news {
                self.say(Said::Pictures(news)).await;
            }
        }
        self.next_stats = self.next_stats.map(|_| now + STATS_INTERVAL);
    }

    async fn close(&mut self) {
        let now = clock::now();
        self.next_stats = None;
        if let Some(connected_at) = self.connected_at {
            self.summary.duration_ms = ms(now.saturating_duration_since(connected_at));
        }
        let whole = Since::start(self.connected_at.unwrap_or(now));
        if let (Some(connection), Some(media)) = (&self.connection, &mut self.media) {
            // What came in counts up to now: waiting for our threads is not their silence.
            let inbound = snapshot::take(connection, media, whole, now).inbound;
            media.stop_sending().await;
            self.summary.stats = Stats { inbound, ..snapshot::take(connection, media, whole, now) };
        }
        if let Some(connection) = &self.connection {
            self.summary.stats.selected_candidate_pair = connection.candidate_pair().await;
        }
        if let Some(media) = self.media.take() {
            self.stop(media).await;
        }
        self.sources = None;
        if let Some(connection) = self.connection.take() {
            self.tried.servers(connection.servers());
            self.tried.handshake(connection.handshake());
            connection.close().await;
        }
        self.events = None;
        self.summary.process = ProcessUsage::now();
    }

    /// Notes the first time that a step is reached.
    fn reached(&mut self, step: impl Fn(&mut summary::SetupMs) -> &mut Option<u64>) {
        let ms = self.ms_since_began(clock::now());
        step(&mut self.summary.setup_ms).get_or_insert(ms);
    }

    fn ms_since_began(&self, at: Instant) -> u64 {
        ms(at.saturating_duration_since(self.began_at))
    }

    /// Fails only when nobody listens any more; then the call is about to end too.
    async fn say(&mut self, said: Said) {
        let _ = self.said.send((self.id, said)).await;
    }
}

/// The next event of the connection; for ever when there is none.
async fn next(events: &mut Option<mpsc::Receiver<ConnectionEvent>>) -> ConnectionEvent {
    if let Some(receiver) = events {
        if let Some(event) = receiver.recv().await {
            return event;
        }
        *events = None;
    }
    std::future::pending().await
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is worth sending of these sources, bits a second.
fn worth_of(sources: &Sources) -> u32 {
    let format = sources.video.as_ref().map(|video| video.format());
    format.map_or(SOUND_ONLY, |format| worth(format.size, format.fps))
}
