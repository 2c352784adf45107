//! The switch and the server: what becomes of the login, and who is told that there is no call.

use super::Switch;
use crate::call::Told;
use crate::call::step::Input;
use crate::ice::IceServer;
use crate::phone::addresses::Change;
use crate::phone::event::EventKind;
use crate::secret::Secret;
use crate::signaling::client::ClientEvent;
use crate::signaling::message::{LeaveReason, LoginReply, Message};

impl Switch {
    pub(super) fn server_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::LoggedIn { ice_servers, tokens, resume } => {
                self.handed_out(ice_servers);
                self.server_gone = false;
                self.back_with(resume);
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

    /// Keeps what a server of ours gives for the next login, and says with whom we are in calls: it may
    /// have begun anew, and believes only two who both say so.
    fn back_with(&mut self, resume: Option<Secret>) {
        let Some(secret) = resume else { return };
        if let Some(Err(error)) = self.resume.as_mut().map(|resume| resume.keep(&secret)) {
            tracing::warn!(%error, "a crash would cost the name for a minute");
        }
        for name in self.calls.values().filter_map(|live| live.name.clone()) {
            self.send(&Message::Candidate { candidate: None, name: Some(name) });
        }
    }

    /// Calls that begin from now on use these.
    fn handed_out(&mut self, ice_servers: Vec<IceServer>) {
        let reply = LoginReply { success: true, ice_servers, ..LoginReply::default() };
        self.ice_servers.clone_from(&reply.ice_servers);
        self.book.route(&Message::LoginReply(reply));
    }

    /// The server first: what the calls have to say goes through it.
    pub(super) fn addresses_changed(&self, change: Change) {
        tracing::info!(lost = change.lost, "the addresses of this machine have changed");
        self.client.addresses_changed(change.addresses);
        self.to_all(|| Told::Input(Input::AddressesChanged { lost: change.lost }));
    }

    /// However often somebody calls, he does not make us say more than the server takes.
    pub(super) fn refuse(&self, name: String, reason: LeaveReason) {
        if let Err(error) = self.client.refuse(name, reason) {
            tracing::warn!(%error, "a caller is not told that there is no call");
        }
    }
}
