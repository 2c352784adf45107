//! The signaling server, and the paths that a call could take.

use std::time::Instant;

use super::{Check, left};
use crate::clock;
use crate::phone::config::{DEFAULT_STUN, IcePolicy, NetworkOptions, Trust};
use crate::rtc::probe::{self, Mapping, StunReport};
use crate::signaling::client::{Client, ClientOptions, ConnectError};

/// Asked along with the default, because one server alone cannot tell the kind of a NAT.
const SECOND_STUN: &str = "stun:stun1.l.google.com:19302";

/// Logs in under a name that nobody else has.
pub(super) async fn server(url: &str, trust: &Trust, until: Instant) -> Check {
    let name = format!("doctor-{}", std::process::id());
    let began_at = clock::now();
    let options = ClientOptions {
        timeout: left(until) / 2,
        trust: trust.clone(),
        ..ClientOptions::default()
    };
    match Client::connect_with(url, &name, options).await {
        Ok((client, _events)) => {
            let took = (clock::now() - began_at).as_secs_f64() * 1e3;
            client.close().await;
            Check::pass("server", format!("{url} accepted a login in {took:.0} ms"))
        }
        // A server that does not want this name is there all the same.
        Err(
            ConnectError::NameTaken { .. }
            | ConnectError::TokenNeeded { .. }
            | ConnectError::WrongToken { .. },
        ) => Check::pass("server", format!("{url} answers")),
        Err(error) => Check::fail("server", error.to_string(), advice(&error)),
    }
}

fn advice(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Untrusted { .. } => {
            "--ca FILE takes the certificate that 'peer serve --tls-self-signed' keeps, or that of \
             the server's authority"
        }
        ConnectError::BadCa { .. } => "give --ca a PEM file that you may read",
        ConnectError::Unreachable { not_running_here: true, .. } => {
            "start one with 'peer serve', or name another with --server"
        }
        ConnectError::Unreachable { .. } => {
            "check the address and the network; --server names another"
        }
        _ => "check the address; --server names another",
    }
}

/// Asks STUN and TURN servers.
pub(super) async fn paths(network: &NetworkOptions, until: Instant) -> Vec<Check> {
    let mut stun = network.stun.clone();
    if stun == [DEFAULT_STUN] {
        stun.push(SECOND_STUN.to_owned());
    }
    let limit = left(until).mul_f64(0.8);
    let (seen, relays) = tokio::join!(
        probe::stun(&stun, network.bind, limit),
        futures_util::future::join_all(network.turn.iter().map(|url| relay(network, url, limit))),
    );
    let has_relay = relays.iter().any(|check| check.outcome == super::Outcome::Pass);
    let mut checks = stun_checks(&seen, has_relay);
    if network.turn.is_empty() && network.ice_policy == IcePolicy::Relay {
        let found = "none is given, and --ice-policy relay allows nothing else";
        checks.push(Check::fail("turn", found, "name one with --turn turn:HOST:PORT"));
    } else if network.turn.is_empty() {
        let found = "none is given; networks that block UDP between peers need one";
        checks.push(Check::pass("turn", found));
    }
    checks.extend(relays);
    checks
}

async fn relay(network: &NetworkOptions, url: &str, limit: std::time::Duration) -> Check {
    let user = network.turn_user.as_deref().unwrap_or_default();
    let password = network.turn_password.as_ref().map_or("", |password| password.expose());
    match probe::turn(url, user, password, &network.trust, network.bind, limit).await {
        Ok(relayed) => Check::pass(url, format!("it relays from {relayed}")),
        Err(fault) => match network.ice_policy {
            IcePolicy::Relay => Check::fail(url, fault.to_string(), fault.advice()),
            IcePolicy::All => Check::warn(url, fault.to_string(), fault.advice()),
        },
    }
}

fn stun_checks(seen: &StunReport, has_relay: bool) -> Vec<Check> {
    const UNSEEN: &str = "without STUN only peers in the same network are reached; is UDP blocked?";
    let each = seen.servers.iter().map(|(url, answer)| match answer {
        Ok(address) => Check::pass(url, format!("it sees us as {address}")),
        Err(error) => Check::warn(url, error.to_string(), UNSEEN),
    });
    let mut checks: Vec<_> = each.collect();
    checks.extend(seen.mapping().map(|mapping| match mapping {
        Mapping::None => Check::pass("nat", "none: our address is seen as it is"),
        Mapping::EndpointIndependent => {
            Check::pass("nat", "endpoint-independent mapping: direct calls work with most peers")
        }
        Mapping::Unknown => {
            Check::pass("nat", "there is one; a second --stun server would tell its kind")
        }
        Mapping::EndpointDependent if has_relay => {
            Check::pass("nat", "endpoint-dependent mapping (symmetric): calls go through TURN")
        }
        Mapping::EndpointDependent => Check::warn(
            "nat",
            "endpoint-dependent mapping (symmetric): direct calls often fail",
            "name a TURN server with --turn",
        ),
    }));
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[tokio::test]
    async fn relay_only_without_a_relay_cannot_work() {
        let network = NetworkOptions {
            stun: vec![],
            ice_policy: IcePolicy::Relay,
            ..NetworkOptions::default()
        };
        let checks = paths(&network, clock::now()).await;
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].outcome, Outcome::Fail);
    }
}
