//! The machine and the path: what ICE tells, what the addresses of this machine mean for it, and
//! when it is restarted. Pure, as the machine is.

use std::time::{Duration, Instant};

use super::{Machine, Stage};
use crate::call::negotiation;
use crate::call::outage::Outage;
use crate::call::reason::EndReason;
use crate::call::step::{Action, IceState, Progress};
use crate::signaling::message::LeaveReason;

/// After the other side has lost the server and then the path, both so soon one after the other, its
/// program is gone.
const GONE: Duration = Duration::from_secs(10);

impl Machine {
    pub(super) fn ice(&mut self, now: Instant, state: IceState) {
        if self.ice == state {
            return;
        }
        self.ice = state;
        self.report(Progress::Connecting(state));
        match state {
            IceState::Connected | IceState::Completed => {
                self.outage = None;
                self.check_connected(now);
            }
            IceState::Disconnected if self.is_connected() => self.lose_path(now),
            // A restart is under way, and there is no path until it has found one.
            IceState::Checking if self.is_connected() && self.outage.is_none() => {
                self.open_outage(now).restarted(now);
            }
            IceState::Failed | IceState::Closed => match self.stage {
                Stage::Accepted { .. } => self.hang_up(EndReason::ConnectionFailed),
                // Only a restart can help.
                Stage::Connected { .. } => self.open_outage(now).hurry(now),
                // Nothing is agreed yet that could fail.
                _ => {}
            },
            _ => {}
        }
    }

    fn lose_path(&mut self, now: Instant) {
        let gone = self.gone_at.is_some_and(|at| now.saturating_duration_since(at) < GONE);
        if gone {
            return self.end(EndReason::RemoteHangup, Some(LeaveReason::Failed));
        }
        self.open_outage(now);
        // Whatever has broken the path may have broken the way to the server too.
        self.actions.push_back(Action::CheckServer);
    }

    fn open_outage(&mut self, now: Instant) -> &mut Outage {
        let setup = &self.setup;
        // One side first, so that not both do it.
        let restart_after =
            if self.is_offerer { setup.restart_after } else { setup.restart_after * 3 };
        self.outage.get_or_insert(Outage::new(now, restart_after, setup.disconnected_timeout))
    }

    /// Addresses that are gone take paths with them, and ICE would notice late; new ones are of use
    /// only where there is no path.
    pub(super) fn addresses_changed(&mut self, now: Instant, lost: bool) {
        self.moved |= lost;
        if lost || self.outage.is_some() {
            self.follow_addresses(now);
        }
    }

    /// A round may be over.
    pub(super) fn settled(&mut self, now: Instant) {
        self.agree_on_words();
        if self.is_ended() {
            return;
        }
        let rounds = self.negotiation.rounds();
        if std::mem::replace(&mut self.rounds, rounds) != rounds
            && let Some(outage) = &mut self.outage
        {
            outage.restarted(now);
        }
        if self.moved {
            self.follow_addresses(now);
        }
    }

    fn follow_addresses(&mut self, now: Instant) {
        let in_call = matches!(self.stage, Stage::Accepted { .. } | Stage::Connected { .. });
        if in_call && self.negotiation.is_established() {
            self.moved = false;
            self.restart(now);
        }
    }

    /// Without the server there is none, and whoever asks is asked again when it is back.
    pub(super) fn may_restart(&self) -> bool {
        !self.server_gone && self.negotiation.is_established()
    }

    /// Offers to restart ICE. The path that there is goes on being asked, and is given up only when
    /// the other side has answered.
    pub(super) fn restart(&mut self, now: Instant) {
        if let Some(outage) = &mut self.outage {
            outage.offered(now);
        }
        self.negotiate(
            now,
            match self.negotiation.is_restarting() {
                true => negotiation::Input::Repeat,
                false => negotiation::Input::Offer { ice_restart: true },
            },
        );
    }
}
