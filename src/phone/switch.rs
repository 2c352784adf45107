//! The task behind a login: routes messages, commands and news to calls, and what calls say to
//! the server and to whoever listens.
//!
//! Which message belongs to which call the book knows; how a call goes on its machine decides.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

use super::addresses::{Addresses, Change};
use super::book::{CallBook, NAMELESS, Route};
use super::command::Command;
use super::config::{AnswerPolicy, PhoneConfig};
use super::event::{EndReason, Event, EventKind};
use super::missed::MissedCalls;
use crate::call::pauses::PictureNews;
use crate::call::step::{Input, Progress, Setup};
use crate::call::{Call, CallConfig, Origin, Said, Told};
use crate::clock;
use crate::ice::IceServer;
use crate::signaling::client::{Client, ClientEvent};
use crate::signaling::message::{LeaveReason, LoginReply, Message};
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

pub(super) struct Switch {
    config: PhoneConfig,
    client: Client,
    events: mpsc::Sender<Event>,
    book: CallBook,
    calls: HashMap<u64, Live>,
    missed: MissedCalls,
    say: mpsc::Sender<(u64, Said)>,
    said: mpsc::Receiver<(u64, Said)>,
    /// What the server wants us to use.
    ice_servers: Vec<IceServer>,
    server_gone: bool,
    /// We go when the calls have ended.
    leaving: bool,
    addresses: Addresses,
}

/// A call that runs.
struct Live {
    call: Call,
    /// As events name the other side; the book forgets a call before it has ended.
    name: Option<String>,
    rings: bool,
    /// It rang, and nobody has answered so far.
    unanswered: bool,
}

impl Switch {
    pub(super) fn new(config: PhoneConfig, client: Client, events: mpsc::Sender<Event>) -> Self {
        let (say, said) = mpsc::channel(SAID);
        Self {
            config,
            client,
            events,
            book: CallBook::new(CALLS),
            calls: HashMap::new(),
            missed: MissedCalls::default(),
            say,
            said,
            ice_servers: Vec::new(),
            // The first login is told like one after an outage.
            server_gone: true,
            leaving: false,
            addresses: Addresses::watch(),
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
        self.client.close().await;
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Call { name } => self.call(name),
            Command::Answer => self.to_ringing(Input::Answer),
            Command::Reject => self.to_ringing(Input::Reject),
            Command::Hangup if self.calls.is_empty() => self.no_call("no call to hang up"),
            Command::Hangup => self.to_all(|| Told::Input(Input::Hangup)),
            Command::Interrupt => self.to_all(|| Told::Input(Input::Interrupt)),
            Command::Mute(_) if self.calls.is_empty() => self.no_call("no call to mute"),
            Command::Video(_) if self.calls.is_empty() => self.no_call("no call to show less in"),
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
        if let Err(reason) = check_name(&name) {
            let message = format!("'{name}' cannot be a name: {reason}");
            return self.emit(None, EventKind::Error { code: "bad-name".to_owned(), message });
        }
        if name == self.config.name {
            let message = "that is your own name; nobody can call himself".to_owned();
            return self.emit(None, EventKind::Error { code: "bad-name".to_owned(), message });
        }
        match self.book.call_with(&name).and_then(|id| self.calls.get(&id)) {
            // Calling somebody who is calling us means answering.
            Some(live) if live.rings => return live.call.tell(Told::Input(Input::Answer)),
            Some(_) => return self.no_call("there is a call with them already"),
            None => {}
        }
        match self.book.open(Some(name.clone())) {
            Some(id) => self.start(id, Some(name), Origin::Outgoing),
            None => self.no_call("another call is running; hang up first"),
        }
    }

    fn start(&mut self, id: u64, name: Option<String>, origin: Origin) {
        let options = &self.config.call;
        let setup = Setup {
            ring_timeout: options.ring_timeout,
            duration: options.duration,
            server_reports_unknown: self.book.server_reports_unknown(),
            ..Setup::new(self.config.name.clone(), name)
        };
        let config = CallConfig {
            setup,
            connection: self.config.connection(&self.ice_servers),
            rate: options.rate,
            sources: self.config.sources.clone(),
            sinks: self.config.sinks.clone(),
        };
        let call = Call::start(id, config, origin, self.say.clone());
        if self.server_gone {
            call.tell(Told::Input(Input::ServerGone));
        }
        let name = self.book.name_of(id).map(str::to_owned);
        self.calls.insert(id, Live { call, name, rings: false, unanswered: false });
    }

    fn server_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::LoggedIn { ice_servers, tokens } => {
                self.handed_out(ice_servers);
                self.server_gone = false;
                let (name, server) = (self.config.name.clone(), self.config.server.clone());
                self.emit(None, EventKind::LoggedIn { name, server, tokens });
                self.to_all(|| Told::Input(Input::ServerBack));
            }
            ClientEvent::IceServers { ice_servers } => self.handed_out(ice_servers),
            ClientEvent::Reconnecting { retry_in } => {
                let retry_ms = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
                self.emit(None, EventKind::Reconnecting { retry_ms });
                if !self.server_gone {
                    self.server_gone = true;
                    self.to_all(|| Told::Input(Input::ServerGone));
                }
            }
            ClientEvent::Lost { error } => {
                let kind = EventKind::Error {
                    code: "login-lost".to_owned(),
                    message: format!("the login is lost: {error}"),
                };
                self.emit(None, kind);
                self.leaving = true;
            }
            ClientEvent::Message(message) => self.message(message),
        }
    }

    /// Calls that begin from now on use these.
    fn handed_out(&mut self, ice_servers: Vec<IceServer>) {
        let reply = LoginReply { success: true, ice_servers, ..LoginReply::default() };
        self.ice_servers.clone_from(&reply.ice_servers);
        self.book.route(&Message::LoginReply(reply));
    }

    /// The server first: what the calls have to say goes through it.
    fn addresses_changed(&self, change: Change) {
        tracing::info!(lost = change.lost, "the addresses of this machine have changed");
        self.client.addresses_changed(change.addresses);
        self.to_all(|| Told::Input(Input::AddressesChanged { lost: change.lost }));
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
                if let Message::Offer { sdp, .. } = message {
                    self.incoming(name, sdp);
                }
            }
            Route::Over { name, reason } => {
                tracing::info!(name, "an offer of a call that is over");
                self.send(&Message::Leave { name: Some(name), reason: Some(reason) });
            }
            Route::Busy { name } => self.send(&CallBook::busy(name)),
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
            if name.is_some() {
                let reason = Some(LeaveReason::Rejected);
                self.send(&Message::Leave { name, reason });
            }
            return;
        }
        if let Some(id) = self.book.open(name.clone()) {
            self.book.described(id, &offer);
            self.start(id, name, Origin::Incoming { offer });
        }
    }

    fn call_said(&mut self, id: u64, said: Said) {
        let kind = match said {
            Said::Send(message) => return self.send(&message),
            Said::Progress(progress) => match self.progress(id, progress) {
                Some(kind) => kind,
                None => return,
            },
            Said::Connected(setup_ms) => EventKind::Connected { setup_ms },
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
            // Who calls again while we tidy up is a new call.
            Said::Ending(reason) => return self.book.close(id, reason),
            Said::CheckServer => return self.client.check(),
            Said::Ended(reason, because, summary) => {
                self.emit(Some(id), EventKind::Ended { reason, because, summary });
                self.note_missed(id, reason);
                self.calls.remove(&id);
                return;
            }
        };
        self.emit(Some(id), kind);
    }

    /// Tells of a call that rang in vain.
    fn note_missed(&mut self, id: u64, reason: EndReason) {
        let Some(live) = self.calls.get(&id).filter(|live| live.unanswered) else { return };
        let peer = live.name.as_deref().unwrap_or(NAMELESS);
        if self.missed.note(peer, reason, clock::wall()) {
            self.emit(Some(id), EventKind::Missed { calls: self.missed.list() });
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
            // Both come in words of their own, with numbers.
            Progress::Connected | Progress::Ended(_) => return None,
        })
    }

    fn to_ringing(&self, input: Input) {
        match self.calls.values().find(|live| live.rings) {
            Some(live) => live.call.tell(Told::Input(input)),
            None => self.no_call("no call rings"),
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
