//! The call flags: how long it rings, how long it lasts, who may call.
//!
//! Owns the words and their turning into the library's options; what they do
//! is the phone's business.

use std::time::Duration;

use clap::Args;

use super::values;
use crate::phone::allowed::Allowed;
use crate::phone::config::{AnswerPolicy, CallOptions, RateOptions};

/// When to stop.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Call")]
pub struct CallArgs {
    /// How long it may ring: 30s, 500ms or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    timeout: Duration,
    /// Hang up after being connected so long
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    duration: Option<Duration>,
}

impl CallArgs {
    /// When to stop and how much to send; `answer` and `allow` are what the command says of callers.
    #[must_use]
    pub fn call_options(
        &self,
        rate: RateOptions,
        answer: AnswerPolicy,
        allow: Vec<Allowed>,
    ) -> CallOptions {
        CallOptions { answer, allow, ring_timeout: self.timeout, duration: self.duration, rate }
    }
}

/// What to do when it rings.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Call")]
pub struct AnswerArgs {
    /// Answer every call [default: ask; refuse when nobody can be asked]
    #[arg(long)]
    pub auto_answer: bool,
    /// Only NAME may call, more than once for several; others are rejected. NAME@KEY lets in
    /// only the holder of that key, as 'peer keys' shows it there
    #[arg(long, value_name = "NAME[@KEY]", value_delimiter = ',', value_parser = values::allowed)]
    pub allow: Vec<Allowed>,
}

impl AnswerArgs {
    /// The policy, given whether somebody (or a script) can be asked on standard input.
    #[must_use]
    pub fn policy(&self, can_ask: bool) -> AnswerPolicy {
        match (self.auto_answer, can_ask) {
            (true, _) => AnswerPolicy::Auto,
            (false, true) => AnswerPolicy::Ask,
            (false, false) => AnswerPolicy::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        call: CallArgs,
        #[command(flatten)]
        answer: AnswerArgs,
    }

    fn parse(words: &[&str]) -> Only {
        Only::try_parse_from(std::iter::once("x").chain(words.iter().copied())).unwrap()
    }

    #[test]
    fn without_flags_the_library_defaults_hold() {
        let only = parse(&[]);
        let options =
            only.call.call_options(RateOptions::default(), only.answer.policy(true), Vec::new());
        assert_eq!(options, CallOptions::default());
    }

    #[test]
    fn every_flag_reaches_its_option() {
        let only = parse(&["--timeout=500ms", "--duration=2m", "--allow=ann", "--allow=ben,cy"]);
        let rate = RateOptions { max: Some(1), ..RateOptions::default() };
        let options = only.call.call_options(rate, AnswerPolicy::Refuse, only.answer.allow);
        assert_eq!(options.ring_timeout, Duration::from_millis(500));
        assert_eq!(options.duration, Some(Duration::from_secs(120)));
        assert_eq!(options.allow, ["ann", "ben", "cy"].map(Allowed::name));
        assert_eq!((options.rate, options.answer), (rate, AnswerPolicy::Refuse));
    }

    #[test]
    fn nobody_to_ask_means_refuse_unless_told_to_answer() {
        assert_eq!(parse(&[]).answer.policy(true), AnswerPolicy::Ask);
        assert_eq!(parse(&[]).answer.policy(false), AnswerPolicy::Refuse);
        assert_eq!(parse(&["--auto-answer"]).answer.policy(false), AnswerPolicy::Auto);
    }
}
