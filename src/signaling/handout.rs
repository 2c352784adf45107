//! What a login is told to use: STUN and TURN servers, the latter with passwords that run out. Pure;
//! the time is handed in.
//!
//! Owns coturn's REST scheme (`use-auth-secret`): the user name holds the time of its end, and the
//! password proves that it was made with the secret that server and relay share.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::message::LoginReply;
use crate::ice::IceServer;
use crate::secret::Secret;

/// What is handed out with each login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handout {
    /// The same for everybody.
    pub servers: Vec<IceServer>,
    /// A relay for which everybody gets their own temporary password.
    pub relay: Option<Relay>,
}

/// TURN servers that take passwords made with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Their `turn:` and `turns:` URLs.
    pub urls: Vec<String>,
    /// Known to us and to them.
    pub secret: Secret,
    /// How long a password is good.
    pub ttl: Duration,
}

impl Handout {
    /// The reply to a login that succeeded.
    #[must_use]
    pub fn reply(&self, now: SystemTime, name: &str) -> LoginReply {
        let mut ice_servers = self.servers.clone();
        ice_servers.extend(self.relay.as_ref().map(|relay| relay.for_user(now, name)));
        let ttl = self.relay.as_ref().map(|relay| relay.ttl.as_secs());
        LoginReply {
            success: true,
            ice_servers,
            ice_servers_ttl: ttl.and_then(|ttl| u32::try_from(ttl).ok()),
            ..LoginReply::default()
        }
    }
}

impl Relay {
    fn for_user(&self, now: SystemTime, name: &str) -> IceServer {
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let username = format!("{}:{name}", (since_1970 + self.ttl).as_secs());
        // HMAC takes keys of any length.
        let credential = Hmac::<Sha1>::new_from_slice(self.secret.expose().as_bytes()).map(|mac| {
            let mac = mac.chain_update(username.as_bytes());
            BASE64_STANDARD.encode(mac.finalize().into_bytes())
        });
        IceServer { urls: self.urls.clone(), username: Some(username), credential: credential.ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_a_password_of_his_own_that_runs_out() {
        let stun = IceServer { urls: vec!["stun:s".to_owned()], ..IceServer::default() };
        let relay = Relay {
            urls: vec!["turn:t".to_owned()],
            secret: Secret::new("north"),
            ttl: Duration::from_secs(600),
        };
        let handout = Handout { servers: vec![stun.clone()], relay: Some(relay) };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let reply = handout.reply(now, "alice");
        assert!(reply.success && reply.ice_servers_ttl == Some(600));
        assert_eq!(reply.ice_servers[0], stun);
        let turn = &reply.ice_servers[1];
        assert_eq!(turn.username.as_deref(), Some("1700000600:alice"));
        // printf %s 1700000600:alice | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(turn.credential.as_deref(), Some("gthUwOpcRoLI0MMCziCEBOWYnpo="));
        assert_ne!(handout.reply(now, "bob").ice_servers[1].credential, turn.credential);
    }

    #[test]
    fn nothing_is_added_to_the_tutorials_reply_where_nothing_is_handed_out() {
        let reply = Handout::default().reply(SystemTime::UNIX_EPOCH, "alice");
        assert_eq!(reply, LoginReply { success: true, ..LoginReply::default() });
    }
}
