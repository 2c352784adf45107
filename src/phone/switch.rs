//! The task behind a login: routes messages, commands and news to calls, and what calls say to
//! the server and to whoever listens.
//!
//! Which message belongs to which call the book knows; how a call goes on its machine decides.

mod keys;
mod server;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::addresses::Addresses;
use super::book::{CallBook, NAMELESS, Route};
use super::callers::{Callers, Outcome};
use super::command::Command;
use super::config::{AnswerPolicy, PhoneConfig};
use super::event::{EndReason, Event, EventKind};
use super::known::KnownKeys;
use super::missed::{MissedCall, MissedCalls};
use super::resume::Resume;
use crate::call::pauses::PictureNews;
use crate::call::safety::Vouching;
use crate::call::step::{Input, Progress, Setup};
use crate::call::vouch::{Expected, Shown};
use crate::call::words::Nonces;
use crate::call::{Call, CallConfig, Origin, Said, Told};
use crate::clock;
use crate::ice::IceServer;
use crate::signaling::client::{Client, ClientEvent};
use crate::signaling::message::{LeaveReason, Message};
use crate::signaling::name::check_name;

/// Calls at a time.
const CALLS: usize = 1;

/// What calls say waits here at most.
const SAID: usize = 256;

/// Statistics are left out when the reader has less than this much room left, so that what
/// happens once is not lost.
const ROOM_FOR_NEWS: usize = super::EVENTS / 2;

/// How long calls may take to end when we leave.
const GOODBYE: Duration = Duration::from_secs(10);

/// How long a call may take to come up that nobody here has decided to take: whoever calls without
/// coming through would hold the line.
const UNATTENDED: Duration = Duration::from_secs(10);

pub(super) struct Switch {
    config: PhoneConfig,
    client: Client,
    /// What gives us our name back after a crash.
    resume: Option<Resume>,
    events: mpsc::Sender<Event>,
    book: CallBook,
    calls: HashMap<u64, Live>,
    callers: Callers,
    missed: MissedCalls,
    say: mpsc::Sender<(u64, Said)>,
    said: mpsc::Receiver<(u64, Said)>,
    /// What the server wants us to use.
    ice_servers: Vec<IceServer>,
    server_gone: bool,
    /// We go when the calls have ended.
    leaving: bool,
    addresses: Addresses,
    /// The keys of others, as they were when they could be read last.
    known: KnownKeys,
    /// Who showed what instead of a known key, last.
    changed: Option<(String, Shown)>,
}

/// A call that runs.
struct Live {
    call: Call,
    /// As events name the other side; the book forgets a call before it has ended.
    name: Option<String>,
    rings: bool,
    /// It rang, and nobody has answered so far.
    unanswered: bool,
    /// We have called.
    ours: bool,
    /// Of a call of theirs by name: since when, until it is known what becomes of it.
    judged_from: Option<Instant>,
}

impl Switch {
    pub(super) fn new(
        config: PhoneConfig,
        client: Client,
        resume: Option<Resume>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (say, said) = mpsc::channel(SAID);
        Self {
            config,
            client,
            resume,
            events,
            book: CallBook::new(CALLS),
            calls: HashMap::new(),
            callers: Callers::default(),
            missed: MissedCalls::default(),
            say,
            said,
            ice_servers: Vec::new(),
            // The first login is told like one after an outage.
            server_gone: true,
            leaving: false,
            addresses: Addresses::watch(),
            known: KnownKeys::default(),
            changed: None,
        }
    }

    /// Until told to quit, until nobody holds the phone any more, or until the login is lost; and
    /// then until the calls have ended.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut from_server: mpsc::Receiver<ClientEvent>,
    ) {
        let mut give_up_at = None;
        // The login first: a call that begins before it would know nothing of what was handed out.
        if let Some(event) = from_server.recv().await {
            self.server_event(event);
        }
        while !(self.leaving && self.calls.is_empty()) {
            self.client.attend(!self.calls.is_empty());
            tokio::select! {
                command = commands.recv(), if give_up_at.is_none() => match command {
                    Some(command) => self.command(command),
                    None => self.command(Command::Quit),
                },
                Some(event) = from_server.recv() => self.server_event(event),
                Some((id, said)) = self.said.recv() => self.call_said(id, said),
                Some(change) = self.addresses.changed() => self.addresses_changed(change),
                () = clock::until(give_up_at) => {
                    tracing::error!("a call did not end in time");
                    break;
                }
            }
            if self.leaving && give_up_at.is_none() {
                give_up_at = Some(clock::now() + GOODBYE);
            }
        }
        // While the server is away there is nobody to say goodbye to, and the name may be kept for us.
        let says_goodbye = !self.server_gone;
        self.client.close().await;
        self.resume.filter(|_| says_goodbye).into_iter().for_each(Resume::forget);
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Call { name } => self.call(name),
            Command::Trust => self.trust(),
            Command::Answer => self.to_ringing(Input::Answer),
            Command::Reject => self.to_ringing(Input::Reject),
            Command::Hangup if self.calls.is_empty() => self.no_call("no call to hang up"),
            Command::Hangup => self.to_all(|| Told::Input(Input::Hangup)),
            Command::Interrupt => self.to_all(|| Told::Input(Input::Interrupt)),
            Command::Mute(_) if self.calls.is_empty() => self.no_call("no call to mute"),
            Command::Video(_) if self.calls.is_empty() => {
                self.no_call("no call, so there is no video to turn on or off")
            }
            Command::Video(on) => self.to_all(|| Told::Video(on)),
            Command::Mute(muted) => self.to_all(|| Told::Mute(muted)),
            Command::Record(_) if self.calls.is_empty() => self.no_call("no call to record"),
            Command::Record(on) => self.to_all(|| Told::Record(on)),
            Command::Missed => self.emit(None, EventKind::Missed { calls: self.missed.list() }),
            Command::Status => self.to_all(|| Told::Status),
            Command::Quit => {
                self.leaving = true;
                self.to_all(|| Told::Input(Input::Hangup));
            }
        }
    }

    fn call(&mut self, name: String) {
        let expected = self.expected(&name);
        self.call_expecting(name, expected);
    }

    fn call_expecting(&mut self, name: String, expected: Expected) {
        if let Err(reason) = check_name(&name) {
            let message = format!("'{name}' cannot be a name: {reason}");
            return self.emit(None, EventKind::Error { code: "bad-name".to_owned(), message });
        }
        if name == self.config.name {
            let message = "that is your own name; you cannot call yourself".to_owned();
            return self.emit(None, EventKind::Error { code: "bad-name".to_owned(), message });
        }
        match self.book.call_with(&name).and_then(|id| self.calls.get(&id)) {
            // Calling somebody who is calling us means answering.
            Some(live) if live.rings => return live.call.tell(Told::Input(Input::Answer)),
            Some(_) => {
                return self.no_call(&format!("you are already in a call with '{name}'"));
            }
            None => {}
        }
        match self.book.open(Some(name.clone())) {
            Some(id) => self.start(id, Some(name), Origin::Outgoing, expected),
            None => self.no_call("another call is running; hang up first"),
        }
    }

    fn start(&mut self, id: u64, name: Option<String>, origin: Origin, expected: Expected) {
        let options = &self.config.call;
        let (key, nonces) = (self.config.key.clone(), Some(Nonces::random()));
        let theirs = matches!(origin, Origin::Incoming { .. });
        let judged_from = (theirs && name.is_some()).then(clock::now);
        let mut setup = Setup {
            ring_timeout: options.ring_timeout,
            duration: options.duration,
            vouching: Vouching { key, expected, nonces },
            server_reports_unknown: self.book.server_reports_unknown(),
            server_gone: self.server_gone,
            ..Setup::new(self.config.name.clone(), name)
        };
        if theirs && options.answer == AnswerPolicy::Auto {
            setup.connect_timeout = UNATTENDED;
        }
        let config = CallConfig {
            setup,
            connection: self.config.connection(&self.ice_servers),
            rate: options.rate,
            sources: self.config.sources.clone(),
            sinks: self.config.sinks.clone(),
        };
        let call = Call::start(id, config, origin, self.say.clone());
        let name = self.book.name_of(id).map(str::to_owned);
        let live = Live { call, name, rings: false, unanswered: false, ours: !theirs, judged_from };
        self.calls.insert(id, live);
    }

    fn message(&mut self, message: Message) {
        match self.book.route(&message) {
            Route::Call(id) => {
                if let Some(live) = self.calls.get(&id) {
                    live.call.tell(Told::Input(Input::Message(message)));
                }
            }
            Route::NewCall { name } => {
                if let Message::Offer { sdp, .. } = message {
                    self.incoming(name, sdp);
                }
            }
            Route::Instead { of, name } => {
                if let Some(live) = self.calls.get(&of) {
                    live.call.tell(Told::Input(Input::Replaced));
                }
                self.book.close(of, LeaveReason::Hangup);
                self.judge(of, EndReason::RemoteHangup);
                if let Message::Offer { sdp, .. } = message {
                    self.incoming(name, sdp);
                }
            }
            Route::Over { name, reason } => {
                tracing::info!(name, "an offer of a call that is over");
                self.refuse(name, reason);
            }
            Route::Busy { name } => {
                if let Message::Offer { sdp, .. } = &message {
                    let merit = self.merit(&name, sdp);
                    self.callers.turned_away(clock::now(), &name, merit);
                }
                self.refuse(name, LeaveReason::Busy);
            }
            Route::Login => match message {
                Message::Error { message, .. } => tracing::warn!(message, "the server complains"),
                other => tracing::debug!(kind = other.kind(), "nothing to do with this message"),
            },
            Route::Nobody => tracing::debug!(kind = message.kind(), "a message for no call"),
        }
    }

    fn incoming(&mut self, name: Option<String>, offer: String) {
        if self.leaving || !self.config.call.may_call(name.as_deref()) {
            tracing::info!(name, "a call was refused");
            name.into_iter().for_each(|name| self.refuse(name, LeaveReason::Rejected));
            return;
        }
        if let Some(name) = &name {
            let merit = self.merit(name, &offer);
            if !self.callers.may_ring(clock::now(), name, merit) {
                tracing::info!(
                    name,
                    "calls again too soon after calls that came to nothing, or others wait"
                );
                return self.refuse(name.clone(), LeaveReason::Busy);
            }
        }
        let Some(verdict) = self.screen(name.as_deref(), &offer) else { return };
        if let Some(id) = self.book.open(name.clone()) {
            self.book.described(id, &offer);
            if let Some(change) = verdict.warning {
                self.tell_change(Some(id), name.as_deref(), &change);
            }
            self.start(id, name, Origin::Incoming { offer }, verdict.expected);
        }
    }

    fn call_said(&mut self, id: u64, said: Said) {
        let kind = match said {
            Said::Send(message) => return self.send(&message),
            Said::Progress(progress) => match self.progress(id, progress) {
                Some(kind) => kind,
                None => return,
            },
            Said::Proved(key) => return self.remember(id, key),
            Said::Connected(setup_ms, safety_words) => {
                self.connected(id);
                EventKind::Connected { setup_ms, safety_words }
            }
            Said::SafetyWords(safety_words) => EventKind::SafetyWords { safety_words },
            Said::FirstVideoFrame(setup_ms, width, height) => {
                EventKind::FirstVideoFrame { setup_ms, width, height }
            }
            Said::FirstAudio(setup_ms) => EventKind::FirstAudio { setup_ms },
            Said::RecordingStarted(path) => EventKind::RecordingStarted { path: whole(&path) },
            Said::RecordingStopped { path, empty, reason } => {
                EventKind::RecordingStopped { path: whole(&path), empty, reason }
            }
            Said::Pictures(PictureNews::Paused(side)) => EventKind::VideoPaused { side },
            Said::Pictures(PictureNews::Resumed(side)) => EventKind::VideoResumed { side },
            Said::Stats(stats) => EventKind::Stats(stats),
            Said::Error(code, message) => EventKind::Error { code: code.to_owned(), message },
            // Who calls again while we tidy up is a new call; but while the server is away they do not
            // know that it is over, and say the same offer again when it is back.
            Said::Ending(reason) => {
                if self.server_gone {
                    self.book.agreed(id);
                }
                return self.book.close(id, reason);
            }
            Said::CheckServer => return self.client.check(),
            Said::Ended(reason, because, summary) => {
                self.judge(id, reason);
                self.emit(Some(id), EventKind::Ended { reason, because, summary });
                self.note_missed(id, reason);
                self.calls.remove(&id);
                return;
            }
        };
        self.emit(Some(id), kind);
    }

    /// Who comes through may call as often as they like.
    fn connected(&mut self, id: u64) {
        let Some(live) = self.calls.get_mut(&id).filter(|live| live.judged_from.is_some()) else {
            return;
        };
        live.judged_from = None;
        if let Some(name) = &live.name {
            self.callers.note(clock::now(), name, Outcome::Connected);
        }
    }

    /// A call of theirs that never came up is over.
    fn judge(&mut self, id: u64, reason: EndReason) {
        let Some(live) = self.calls.get_mut(&id) else { return };
        let (Some(since), Some(name)) = (live.judged_from.take(), &live.name) else { return };
        let now = clock::now();
        let rang = now.saturating_duration_since(since);
        self.callers.note(now, name, Outcome::of(reason, !live.unanswered, rang));
    }

    /// Tells of a call that rang in vain.
    fn note_missed(&mut self, id: u64, reason: EndReason) {
        let Some(live) = self.calls.get(&id).filter(|live| live.unanswered) else { return };
        let peer = live.name.as_deref().unwrap_or(NAMELESS);
        let call = MissedCall { peer: peer.to_owned(), time: clock::wall() };
        if self.missed.note(call.clone(), reason) {
            self.emit(Some(id), EventKind::Missed { calls: vec![call] });
        }
    }

    fn progress(&mut self, id: u64, progress: Progress) -> Option<EventKind> {
        let live = self.calls.get_mut(&id)?;
        live.rings = progress == Progress::Incoming;
        Some(match progress {
            Progress::Calling => EventKind::Calling,
            Progress::Incoming => {
                if self.config.call.answer == AnswerPolicy::Auto {
                    live.call.tell(Told::Input(Input::Answer));
                }
                live.unanswered = true;
                EventKind::Incoming
            }
            Progress::Accepted => {
                self.book.agreed(id);
                live.unanswered = false;
                EventKind::Accepted
            }
            Progress::Connecting(state) => {
                EventKind::Connecting { ice_state: state.as_str().to_owned() }
            }
            Progress::KeyChanged(change) => {
                let name = live.name.clone();
                self.tell_change(Some(id), name.as_deref(), &change);
                return None;
            }
            // They come in words of their own.
            Progress::Connected | Progress::Words | Progress::Impostor | Progress::Ended(_) => {
                return None;
            }
        })
    }

    fn to_ringing(&self, input: Input) {
        match self.calls.values().find(|live| live.rings) {
            Some(live) => live.call.tell(Told::Input(input)),
            None => self.no_call("no call is ringing"),
        }
    }

    fn to_all(&self, told: impl Fn() -> Told) {
        for live in self.calls.values() {
            live.call.tell(told());
        }
    }

    fn no_call(&self, message: &str) {
        let kind = EventKind::Error { code: "no-call".to_owned(), message: message.to_owned() };
        self.emit(None, kind);
    }

    fn send(&self, message: &Message) {
        if let Err(error) = self.client.send(message) {
            tracing::warn!(%error, kind = message.kind(), "a message was not sent");
        }
    }

    fn emit(&self, call: Option<u64>, kind: EventKind) {
        let is_stats = matches!(kind, EventKind::Stats(_));
        if is_stats && self.events.capacity() < ROOM_FOR_NEWS {
            return;
        }
        let peer = call.and_then(|id| self.calls.get(&id)).and_then(|live| live.name.clone());
        self.emit_about(call, peer, kind);
    }

    fn emit_about(&self, call: Option<u64>, peer: Option<String>, kind: EventKind) {
        let event = Event { kind, time: clock::wall(), call, peer };
        if let Err(mpsc::error::TrySendError::Full(_)) = self.events.try_send(event) {
            tracing::warn!("nobody reads the events; one is lost");
        }
    }
}

/// A path that means the same in every folder.
fn whole(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
