//! The flags of a bad network that a call is sent over.
//!
//! Owns the flags; what their values may be is said in `rtc/netem/words.rs`. Nothing is started here.

use clap::Args;

use crate::rtc::netem::{LinkProfile, Network};

/// What the network is like, in both directions.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Bad network")]
pub struct BadNetworkArgs {
    /// What each direction carries, bits a second, all headers counted: 1M, 500k
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<Word>,
    /// How much may wait for that rate; more is dropped [default: 300ms]
    #[arg(long, value_name = "TIME", value_parser = queue, requires = "rate")]
    queue: Option<Word>,
    /// How long every packet is under way, each way
    #[arg(long, value_name = "TIME", value_parser = delay)]
    delay: Option<Word>,
    /// How much more or less than the delay that may be
    #[arg(long, value_name = "TIME", value_parser = jitter)]
    jitter: Option<Word>,
    /// Jitter lets packets overtake each other
    #[arg(long, requires = "jitter")]
    reorder: bool,
    /// The share of packets that is lost at random, in percent: 5%
    #[arg(long, value_name = "PERCENT", value_parser = loss)]
    loss: Option<Word>,
    /// How many packets are lost in a row, on average
    #[arg(long, value_name = "N", value_parser = burst, requires = "loss")]
    burst: Option<Word>,
    /// All of these in one, how each direction differs, and how it changes so many seconds after the call
    /// is connected: 'rate=3M,delay=25ms;18 up.rate=600k;30 rate=3M'
    #[arg(long, value_name = "NETWORK", value_parser = network, conflicts_with_all =
          ["rate", "queue", "delay", "jitter", "reorder", "loss", "burst"])]
    network: Option<Network>,
    /// Another number loses other packets, the same one the same
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64))]
    seed: u64,
}

/// `name=value`, checked.
#[derive(Debug, Clone)]
struct Word(String);

impl BadNetworkArgs {
    /// The network that is asked for; `None`: the one that there is.
    #[must_use]
    pub fn network(&self) -> Option<Network> {
        let mut network = self.network.clone().or_else(|| self.in_words())?;
        network.seed = self.seed;
        Some(network)
    }

    fn in_words(&self) -> Option<Network> {
        let reorder = self.reorder.then(|| Word("reorder=yes".to_owned()));
        let flags =
            [&self.rate, &self.queue, &self.delay, &self.jitter, &reorder, &self.loss, &self.burst];
        let words: Vec<&str> =
            flags.into_iter().flatten().map(|Word(word)| word.as_str()).collect();
        if words.is_empty() { None } else { words.join(",").parse().ok() }
    }
}

/// A property of a link, checked; the refusal says what to write.
fn word(name: &str, value: &str) -> Result<Word, String> {
    LinkProfile::default().set(name, value)?;
    Ok(Word(format!("{name}={value}")))
}

fn rate(text: &str) -> Result<Word, String> {
    word("rate", text)
}

fn queue(text: &str) -> Result<Word, String> {
    word("queue", text)
}

fn delay(text: &str) -> Result<Word, String> {
    word("delay", text)
}

fn jitter(text: &str) -> Result<Word, String> {
    word("jitter", text)
}

fn loss(text: &str) -> Result<Word, String> {
    word("loss", text)
}

fn burst(text: &str) -> Result<Word, String> {
    word("burst", text)
}

fn network(text: &str) -> Result<Network, String> {
    text.parse()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: BadNetworkArgs,
    }

    fn parse(words: &[&str]) -> Result<Option<Network>, String> {
        let words = std::iter::once("x").chain(words.iter().copied());
        Only::try_parse_from(words).map(|only| only.args.network()).map_err(|e| e.to_string())
    }

    #[test]
    fn without_flags_there_is_no_bad_network() {
        assert_eq!(parse(&[]), Ok(None));
    }

    #[test]
    fn every_flag_reaches_the_link() {
        let network = parse(&[
            "--loss=5%",
            "--burst=2",
            "--rate=1M",
            "--delay=50ms",
            "--jitter=20ms",
            "--queue=250ms",
            "--reorder",
            "--seed=9",
        ]);
        let network = network.unwrap().unwrap();
        let link = &network.steps()[0].up;
        assert_eq!((link.loss, link.burst, link.rate), (0.05, 2.0, Some(1e6)));
        assert_eq!(link.longest(), Duration::from_millis(320));
        assert!(link.reorder);
        assert_eq!(network.seed, 9);
        let whole = "rate=1M,queue=250ms,delay=50ms,jitter=20ms,reorder=yes,loss=5%,burst=2";
        assert_eq!(network.to_string(), whole);
        let same = parse(&["--network", whole, "--seed=9"]).unwrap().unwrap();
        assert_eq!(same, network);
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (words, hint) in [
            (&["--loss=0.05"][..], "such as 5%"),
            (&["--rate=1G"], "3M, 500k or none"),
            (&["--delay=50"], "write 50ms"),
            (&["--queue=100ms"], "--rate"),
            (&["--reorder"], "--jitter"),
            (&["--loss=5%", "--network=loss=3%"], "cannot be used with"),
            (&["--network=rate=3M;rate=1M"], "18 rate=600k"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(hint), "{words:?}: {error}");
        }
    }
}
