//! Who gets a name: the rules of logging in. Pure, as the switchboard is.
//!
//! Owns the allowances for logins and for wrong tokens. Whether a token is right is found out
//! elsewhere, and comes back as a verdict.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::offers::Offers;
use super::partners::Partners;
use super::{
    CloseReason, Connection, ConnectionId, Limits, Login, Names, Output, Switchboard, Verdict,
    Wanted,
};
use crate::secret::Secret;
use crate::signaling::counts::Refused;
use crate::signaling::envelope::quoted;
use crate::signaling::limiter::{Allowances, Source, SourceAllowances};
use crate::signaling::message::{LoginRefusal, LoginReply, Message, ParseError};
use crate::signaling::name::Looks;

/// Addresses and names that are remembered at a time, each about 100 bytes.
const REMEMBERED: usize = 16 * 1024;

/// One name may be tried this many times as often as one address may try: whoever guesses from one
/// address only must not keep a name's owner out.
const OF_ALL_ADDRESSES: f64 = 10.0;

/// How long who comes back to a server that has forgotten him may say with whom he was in a call.
const RETURNING: Duration = Duration::from_secs(60);

/// Addresses that are remembered for a name, the last from which its token was right.
const KNOWN: usize = 4;

/// Who may try, and how often.
#[derive(Debug)]
pub(super) struct Logins {
    names: Names,
    name_chars: usize,
    by_source: SourceAllowances,
    wrong_by_source: SourceAllowances,
    wrong_by_name: Allowances<String>,
    /// From where right tokens came: as many names as there are in the file of users, at most.
    known: HashMap<String, VecDeque<Source>>,
}

impl Logins {
    pub(super) fn new(limits: Limits, names: Names) -> Self {
        Self {
            names,
            name_chars: limits.name_chars,
            by_source: SourceAllowances::new(limits.logins_per_minute, REMEMBERED),
            wrong_by_source: SourceAllowances::new(limits.tries_per_minute, REMEMBERED),
            wrong_by_name: Allowances::new(limits.tries_per_minute * OF_ALL_ADDRESSES, REMEMBERED),
            known: HashMap::new(),
        }
    }

    fn is_known(&self, source: Source, name: &str) -> bool {
        self.known.get(name).is_some_and(|sources| sources.contains(&source))
    }

    fn was_right(&mut self, source: Source, name: &str) {
        let sources = self.known.entry(name.to_owned()).or_default();
        sources.retain(|known| *known != source);
        sources.push_front(source);
        sources.truncate(KNOWN);
    }

    /// Whether this name may be tried once more from there. Taken before the token is looked at, so
    /// that many at once are not more than one after the other. What is tried elsewhere does not lock
    /// out who comes from where the token was right before.
    fn may_try(&mut self, now: Instant, source: Source, name: &str, is_known: bool) -> bool {
        if !self.wrong_by_source.take(now, source) {
            return false;
        }
        if is_known {
            return true;
        }
        let may = self.wrong_by_name.take(now, name.to_owned());
        if !may {
            self.wrong_by_source.give_back(source);
        }
        may
    }

    fn was_not_wrong(&mut self, source: Source, name: &str, is_known: bool) {
        self.wrong_by_source.give_back(source);
        if !is_known {
            self.wrong_by_name.give_back(name);
        }
    }
}

impl Switchboard {
    pub(super) fn login_message(&mut self, now: Instant, id: ConnectionId, text: &str) {
        match Message::parse_within(text, self.limits.message_bytes) {
            Ok(Message::Login { name, token, resume }) => {
                self.login(now, id, (name, resume), token);
            }
            Ok(_) => self.complain(id, Refused::InvalidMessage, "a login needs a name"),
            // Every page understands the reply to a login.
            Err(error @ ParseError::Name(_)) => {
                self.refuse(id, LoginRefusal::BadName, error.to_string());
            }
            Err(error) => self.complain(id, Refused::InvalidMessage, &error.to_string()),
        }
    }

    fn login(
        &mut self,
        now: Instant,
        id: ConnectionId,
        (name, resume): (String, Option<Secret>),
        token: Option<Secret>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let source = connection.source;
        if let Some(Login { name: held, resume, .. }) = &connection.login {
            if *held == name {
                let resume = resume.clone();
                return self.outputs.push_back(Output::Welcome { to: id, name, resume });
            }
            let text = format!("already logged in as '{held}'; connect again to change the name");
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
        let has_token = self.logins.names == Names::WithTokens;
        let is_known = has_token && self.logins.is_known(source, &name);
        let wanted = Wanted { name, resume, has_token, is_known };
        if !has_token {
            return self.grant(now, id, wanted);
        }
        let Some(token) = token else {
            return self.refuse_plainly(id, LoginRefusal::TokenNeeded);
        };
        let name = wanted.name.clone();
        if !self.logins.may_try(now, source, &name, is_known) {
            // It cost us nothing, and many behind one address come back at once after a restart.
            self.logins.by_source.give_back(source);
            return self.refuse_plainly(id, LoginRefusal::TooManyTries);
        }
        connection.verifying = Some(wanted);
        self.outputs.push_back(Output::Verify { id, name, token, is_known });
    }

    pub(super) fn verified(&mut self, now: Instant, id: ConnectionId, verdict: Verdict) {
        // Who is gone meanwhile has used up a try, right or wrong.
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(wanted) = connection.verifying.take() else { return };
        let source = connection.source;
        if verdict != Verdict::Wrong {
            self.logins.was_not_wrong(source, &wanted.name, wanted.is_known);
        }
        match verdict {
            Verdict::Right => {
                self.logins.was_right(source, &wanted.name);
                self.grant(now, id, wanted);
            }
            Verdict::Wrong => self.refuse_plainly(id, LoginRefusal::WrongToken),
            Verdict::Busy => {
                self.logins.by_source.give_back(source);
                self.refuse_plainly(id, LoginRefusal::TooManyTries);
            }
        }
        // The time was up while the token was looked at.
        let is_late =
            |connection: &Connection| connection.login.is_none() && connection.log_in_by <= now;
        if self.connections.get(&id).is_some_and(is_late) {
            self.close(now, id, CloseReason::NoLogin);
        }
    }

    fn grant(&mut self, now: Instant, id: ConnectionId, wanted: Wanted) {
        let Wanted { name, resume, has_token, .. } = wanted;
        self.kept.expire(now);
        let Some(source) = self.connections.get(&id).map(|connection| connection.source) else {
            return;
        };
        let shown = resume.as_ref().filter(|shown| !shown.expose().is_empty());
        let held_by = self.names.get(&name).copied();
        let looks = Looks::of(&name);
        if self.looks_like_another(&name, &looks) {
            let text = "the name looks like that of somebody else here; choose another";
            return self.refuse(id, LoginRefusal::NameTaken, text.to_owned());
        }
        let returned_until = match held_by {
            Some(held_by) if self.is_its_own(held_by, shown) => self.take_over(now, held_by, id),
            Some(_) => return self.refuse_plainly(id, LoginRefusal::NameTaken),
            None if !has_token && self.kept.is_kept_from(&name, source, shown) => {
                let text = "the name has just lost its connection and is kept for its owner for a \
                            minute; choose another, or try again then";
                return self.refuse(id, LoginRefusal::NameTaken, text.to_owned());
            }
            None => self.come_back(now, &name, id, shown),
        };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let secret = Secret::new(format!("{:032x}", rand::random::<u128>()));
        self.looks.extend(looks.iter().map(|look| (look.to_owned(), id)));
        self.to_log_in.remove(&(connection.log_in_by, id));
        connection.login = Some(Login {
            looks,
            quoted: quoted(&name),
            name: name.clone(),
            resume: secret.clone(),
            resumes: resume.is_some(),
            returned_until,
        });
        self.names.insert(name.clone(), id);
        self.counts.logins += 1;
        self.outputs.push_back(Output::Welcome { to: id, name, resume: secret });
    }

    fn looks_like_another(&self, name: &str, looks: &Looks) -> bool {
        let held = |look: &str| {
            let by = self.looks.get(look).copied();
            by.is_some_and(|by| self.name_of(by).is_some_and(|held| held != name))
        };
        looks.iter().any(held) || self.kept.has_alike(name, looks)
    }

    /// Whether who shows this is the client that `held_by` was given to.
    fn is_its_own(&self, held_by: ConnectionId, shown: Option<&Secret>) -> bool {
        let login = self.connections.get(&held_by).and_then(|held| held.login.as_ref());
        login.is_some_and(|login| login.is_shown(shown))
    }

    /// The client of `lost` is back as `back`: nobody is told, its calls go on. Until when it may say
    /// with whom it was in a call before that.
    fn take_over(
        &mut self,
        now: Instant,
        lost: ConnectionId,
        back: ConnectionId,
    ) -> Option<Instant> {
        let old = self.connections.get_mut(&lost)?;
        let returned = old.login.take().and_then(|login| login.returned_until);
        let (partners, offers) = (std::mem::take(&mut old.partners), old.offers.take());
        self.know_again(lost, back, (partners, offers));
        self.close(now, lost, CloseReason::Resumed);
        returned
    }

    /// Somebody has a name that may have been kept. Whoever shows a secret that nobody knows may have
    /// been logged in before this server was there: until when he may say with whom.
    fn come_back(
        &mut self,
        now: Instant,
        name: &str,
        back: ConnectionId,
        shown: Option<&Secret>,
    ) -> Option<Instant> {
        match self.kept.take(name) {
            Some(lost) if lost.login.is_shown(shown) => {
                self.know_again(lost.id, back, (lost.partners, lost.offers));
                lost.login.returned_until
            }
            _ => shown.and(now.checked_add(RETURNING)),
        }
    }

    /// Whom `lost` knew `back` knows, and the other way round.
    fn know_again(
        &mut self,
        lost: ConnectionId,
        back: ConnectionId,
        (partners, offers): (Partners, Option<Box<Offers>>),
    ) {
        for partner in partners.all() {
            if let Some(partner) = self.connections.get_mut(&partner) {
                partner.partners.replace(lost, back);
            }
        }
        if let Some(new) = self.connections.get_mut(&back) {
            (new.partners, new.offers) = (partners, offers);
        }
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

#[cfg(test)]
#[path = "logins_tests.rs"]
mod tests;
