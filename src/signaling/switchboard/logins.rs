//! Who gets a name: the rules of logging in. Pure, as the switchboard is.
//!
//! Owns the allowances for logins and for wrong tokens. Whether a token is right is found out
//! elsewhere, and comes back as a verdict.

use std::time::Instant;

use super::{
    CloseReason, ConnectionId, Limits, Login, Names, Output, Switchboard, Verdict, Wanted,
};
use crate::secret::Secret;
use crate::signaling::counts::Refused;
use crate::signaling::envelope::quoted;
use crate::signaling::limiter::{Allowances, Source};
use crate::signaling::message::{LoginRefusal, LoginReply, Message, ParseError};

/// Addresses and names that are remembered at a time, each about 100 bytes.
const REMEMBERED: usize = 16 * 1024;

/// One name may be tried this many times as often as one address may try: whoever guesses from one
/// address only must not keep a name's owner out.
const OF_ALL_ADDRESSES: f64 = 10.0;

/// Who may try, and how often.
#[derive(Debug)]
pub(super) struct Logins {
    names: Names,
    name_chars: usize,
    by_source: Allowances<Source>,
    wrong_by_source: Allowances<Source>,
    wrong_by_name: Allowances<String>,
}

impl Logins {
    pub(super) fn new(limits: Limits, names: Names) -> Self {
        Self {
            names,
            name_chars: limits.name_chars,
            by_source: Allowances::new(limits.logins_per_minute, REMEMBERED),
            wrong_by_source: Allowances::new(limits.tries_per_minute, REMEMBERED),
            wrong_by_name: Allowances::new(limits.tries_per_minute * OF_ALL_ADDRESSES, REMEMBERED),
        }
    }

    /// Whether this name may be tried once more from there. Taken before the token is looked at, so
    /// that many at once are not more than one after the other.
    fn may_try(&mut self, now: Instant, source: Source, name: &str) -> bool {
        if !self.wrong_by_source.take(now, source) {
            return false;
        }
        let may = self.wrong_by_name.take(now, name.to_owned());
        if !may {
            self.wrong_by_source.give_back(&source);
        }
        may
    }

    fn was_not_wrong(&mut self, source: Source, name: &str) {
        self.wrong_by_source.give_back(&source);
        self.wrong_by_name.give_back(name);
    }
}

impl Switchboard {
    pub(super) fn login_message(&mut self, now: Instant, id: ConnectionId, text: &str) {
        match Message::parse_within(text, self.limits.message_bytes) {
            Ok(Message::Login { name, token, resume }) => {
                self.login(now, id, Wanted { name, resume }, token);
            }
            Ok(_) => self.complain(id, Refused::InvalidMessage, "a login needs a name"),
            // Every page understands the reply to a login.
            Err(error @ ParseError::Name(_)) => {
                self.refuse(id, LoginRefusal::BadName, error.to_string());
            }
            Err(error) => self.complain(id, Refused::InvalidMessage, &error.to_string()),
        }
    }

    fn login(&mut self, now: Instant, id: ConnectionId, wanted: Wanted, token: Option<Secret>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (source, name) = (connection.source, wanted.name.clone());
        if let Some(Login { name: held, resume, .. }) = &connection.login {
            if *held == name {
                let resume = resume.clone();
                return self.outputs.push_back(Output::Welcome { to: id, name, resume });
            }
            let text = format!("already logged in as {held}; connect again to change the name");
            return self.error(id, "already-logged-in", text);
        }
        if name.chars().nth(self.logins.name_chars).is_some() {
            let most = self.logins.name_chars;
            let text = format!("names have at most {most} characters on this server");
            return self.refuse(id, LoginRefusal::BadName, text);
        }
        if connection.verifying.is_some() || !self.logins.by_source.take(now, source) {
            return self.refuse_plainly(id, LoginRefusal::TooManyTries);
        }
        if self.logins.names == Names::Free {
            return self.grant(id, wanted);
        }
        let Some(token) = token else {
            return self.refuse_plainly(id, LoginRefusal::TokenNeeded);
        };
        if !self.logins.may_try(now, source, &name) {
            // It cost us nothing, and many behind one address come back at once after a restart.
            self.logins.by_source.give_back(&source);
            return self.refuse_plainly(id, LoginRefusal::TooManyTries);
        }
        connection.verifying = Some(wanted);
        self.outputs.push_back(Output::Verify { id, name, token });
    }

    pub(super) fn verified(&mut self, id: ConnectionId, verdict: Verdict) {
        // Who is gone meanwhile has used up a try, right or wrong.
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(wanted) = connection.verifying.take() else { return };
        let source = connection.source;
        if verdict != Verdict::Wrong {
            self.logins.was_not_wrong(source, &wanted.name);
        }
        match verdict {
            Verdict::Right => self.grant(id, wanted),
            Verdict::Wrong => self.refuse_plainly(id, LoginRefusal::WrongToken),
            Verdict::Busy => {
                self.logins.by_source.give_back(&source);
                self.refuse_plainly(id, LoginRefusal::TooManyTries);
            }
        }
    }

    fn grant(&mut self, id: ConnectionId, Wanted { name, resume }: Wanted) {
        let mut returned = resume.is_some();
        if let Some(held_by) = self.names.get(&name).copied() {
            if !self.is_its_own(held_by, resume.as_ref()) {
                return self.refuse_plainly(id, LoginRefusal::NameTaken);
            }
            returned = self.take_over(held_by, id);
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let resume = Secret::new(format!("{:032x}", rand::random::<u128>()));
        let login =
            Login { quoted: quoted(&name), name: name.clone(), resume: resume.clone(), returned };
        connection.login = Some(login);
        self.names.insert(name.clone(), id);
        self.counts.logins += 1;
        self.outputs.push_back(Output::Welcome { to: id, name, resume });
    }

    /// Whether who shows this is the client that `held_by` was given to.
    fn is_its_own(&self, held_by: ConnectionId, shown: Option<&Secret>) -> bool {
        let login = self.connections.get(&held_by).and_then(|held| held.login.as_ref());
        // 128 bits of chance, and a try is a whole login: no time tells anything worth having.
        login.zip(shown).is_some_and(|(login, shown)| login.resume == *shown)
    }

    /// The client of `lost` is back as `back`: nobody is told, its calls go on. Whether it had
    /// returned before.
    fn take_over(&mut self, lost: ConnectionId, back: ConnectionId) -> bool {
        let Some(old) = self.connections.get_mut(&lost) else { return false };
        let returned = old.login.take().is_some_and(|login| login.returned);
        let partners = std::mem::take(&mut old.partners);
        let offers = old.offers.take();
        for partner in partners.all() {
            if let Some(partner) = self.connections.get_mut(&partner) {
                partner.partners.replace(lost, back);
            }
        }
        if let Some(new) = self.connections.get_mut(&back) {
            (new.partners, new.offers) = (partners, offers);
        }
        self.close(lost, CloseReason::Resumed);
        returned
    }

    fn refuse_plainly(&mut self, to: ConnectionId, why: LoginRefusal) {
        self.refuse(to, why, why.to_string());
    }

    fn refuse(&mut self, to: ConnectionId, why: LoginRefusal, message: String) {
        self.counts.refuse(match why {
            LoginRefusal::NameTaken => Refused::NameTaken,
            LoginRefusal::WrongToken => Refused::WrongToken,
            LoginRefusal::TokenNeeded => Refused::TokenNeeded,
            LoginRefusal::TooManyTries => Refused::TooManyTries,
            LoginRefusal::BadName => Refused::BadName,
        });
        self.send(to, &Message::LoginReply(LoginReply::refused(why, message)));
    }
}
