//! How far a running call has come, told to its phone.
//!
//! Owns what is noted on the way, and that `connected` is told together with the words to compare;
//! decides nothing.

use super::snapshot::Since;
use super::step::Progress;
use super::tried::Seen;
use super::{Running, STATS_INTERVAL, Said};
use crate::clock;

impl Running {
    pub(super) async fn report(&mut self, progress: Progress) {
        let now = clock::now();
        match progress {
            // Setting up begins when there is somebody to set up with.
            Progress::Accepted if self.connection.is_none() => self.began_at = now,
            Progress::Connecting(state) if state.is_up() => self.reached(|setup| &mut setup.ice),
            Progress::Connected => {
                self.connected_at = Some(now);
                self.since = Since::start(now);
                self.next_stats = Some(now + STATS_INTERVAL);
                self.reached(|setup| &mut setup.dtls);
                if let Some(key) = self.machine.their_key() {
                    self.say(Said::Proved(key)).await;
                }
                self.untold = Some(self.ms_since_began(now));
                if !self.machine.awaits_words() {
                    self.say_words().await;
                }
                return;
            }
            Progress::Words => return self.say_words().await,
            Progress::Impostor => return self.tried.impostor(Seen::Here),
            _ => {}
        }
        self.say(Said::Progress(progress)).await;
    }

    async fn say_words(&mut self) {
        let words = self.machine.safety_words().cloned();
        match (self.untold.take(), words) {
            (Some(setup_ms), words) => self.say(Said::Connected(setup_ms, words)).await,
            (None, Some(words)) => self.say(Said::SafetyWords(words)).await,
            (None, None) => {}
        }
    }
}
