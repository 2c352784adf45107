//! What a link is asked to be, in words: `rate=1M,delay=50ms,loss=5%;18 rate=300k`.
//!
//! Pure: text in, profiles and their times out. Every word is checked here, for flags too, so that
//! they are refused in the same sentence wherever they were written.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::quantity;

/// What one direction does to what is sent into it.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkProfile {
    /// Bits a second with all headers from IP on; `None` is without a limit.
    pub rate: Option<f64>,
    /// How much may wait for its turn, as the time that it takes to send it; what comes when the queue
    /// is full is dropped.
    pub queue: Duration,
    /// How long every packet is under way.
    pub delay: Duration,
    /// How much more or less than `delay` it may be.
    pub jitter: Duration,
    /// How the jitter is spread.
    pub spread: JitterSpread,
    /// Whether jitter lets packets overtake each other.
    pub reorder: bool,
    /// The share of packets that is lost at random, 0 to 1.
    pub loss: f64,
    /// How many are lost in a row, on average; 1: each for itself.
    pub burst: f64,
}

/// How jitter is spread around the delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JitterSpread {
    /// Everything between the bounds is as likely.
    Uniform,
    /// Normal with a third of the jitter as its deviation, cut at the bounds (RFC 8867 section 4.1.1).
    Gauss,
}

impl Default for LinkProfile {
    /// A link that does nothing; with a rate, its queue holds 300 ms.
    fn default() -> Self {
        Self {
            rate: None,
            queue: Duration::from_millis(300),
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            spread: JitterSpread::Uniform,
            reorder: false,
            loss: 0.0,
            burst: 1.0,
        }
    }
}

const RATES: std::ops::RangeInclusive<f64> = 10e3..=1e9;
const LONGEST: f64 = 10.0;
const LONGEST_BURST: f64 = 1000.0;
const MOST_CHANGES: usize = 1000;
const WORDS: &str = "rate, queue, delay, jitter, dist, reorder, loss, burst";

impl LinkProfile {
    /// Changes one property, named as in a profile's text.
    ///
    /// # Errors
    /// When there is no such property, or it cannot have that value; the message says what to write.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "rate" => self.rate = rate(value)?,
            "queue" => self.queue = time(name, value)?,
            "delay" => self.delay = time(name, value)?,
            "jitter" => self.jitter = time(name, value)?,
            "dist" => self.spread = spread(value)?,
            "reorder" => self.reorder = yes_or_no(value)?,
            "loss" => self.loss = share(value)?,
            "burst" => self.burst = burst(value)?,
            _ => return Err(format!("a link has no '{name}'; it has {WORDS}")),
        }
        Ok(())
    }

    /// Whether nothing gets through.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.loss >= 1.0
    }

    /// How long a packet may be under way that is not lost.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let queue = if self.rate.is_some() { self.queue } else { Duration::ZERO };
        self.delay + self.jitter + queue
    }
}

fn rate(text: &str) -> Result<Option<f64>, String> {
    if text == "none" {
        return Ok(None);
    }
    let rate = quantity::bits_a_second(text)
        .ok_or_else(|| format!("'{text}' is not a link's rate; write 3M, 500k or none"))?;
    if !RATES.contains(&rate) {
        return Err(format!("{text}: a link's rate must be 10k to 1000M"));
    }
    Ok(Some(rate))
}

fn time(name: &str, text: &str) -> Result<Duration, String> {
    let seconds = quantity::seconds(text)
        .map_err(|_| format!("'{text}' is not a {name}; write 50ms or 1.5s"))?;
    if seconds > LONGEST {
        return Err(format!("{text}: a link's {name} must be 0ms to 10s"));
    }
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(quantity::decimal);
    match percent {
        Some(percent) if percent <= 100.0 => Ok(percent / 100.0),
        Some(_) => Err(format!("{text}: a loss must be 0% to 100%")),
        None => Err(format!("'{text}' is not a loss; write it in percent, such as 5% or 0.5%")),
    }
}

fn burst(text: &str) -> Result<f64, String> {
    match quantity::decimal(text) {
        Some(burst) if (1.0..=LONGEST_BURST).contains(&burst) => Ok(burst),
        _ => Err(format!(
            "'{text}' is not a burst; write how many packets are lost in a row, 1 to 1000"
        )),
    }
}

fn spread(text: &str) -> Result<JitterSpread, String> {
    match text {
        "uniform" => Ok(JitterSpread::Uniform),
        "gauss" => Ok(JitterSpread::Gauss),
        _ => Err(format!("'{text}' is not a way to spread jitter; write uniform or gauss")),
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "1" => Ok(true),
        "no" | "0" => Ok(false),
        _ => Err(format!("'{text}' is neither yes nor no")),
    }
}

/// Both directions of a call's network, and how they change.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// What is so from the start, then every change in the order of its time.
    steps: Vec<Step>,
    /// The same seed loses the same packets.
    pub seed: u64,
    text: String,
}

/// What both directions are from a moment on.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Since the call is connected; what is so from the start has none.
    pub at: Duration,
    /// What the caller sends into.
    pub up: LinkProfile,
    /// What the callee sends into.
    pub down: LinkProfile,
}

impl Network {
    /// What is so from the start, then every change.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Network {
    type Err = String;

    /// `PROFILE[;SECONDS PROFILE]…`: what is so from the start, and what changes so many seconds after
    /// the call is connected. A profile is `name=value,…`; `up.` before a name is what the caller
    /// sends, `down.` what the callee sends, neither is both.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(';');
        let mut step =
            Step { at: Duration::ZERO, up: LinkProfile::default(), down: LinkProfile::default() };
        change(&mut step, parts.next().unwrap_or_default())?;
        let mut steps = vec![step.clone()];
        for part in parts {
            let part = part.trim();
            let (at, profile) = part
                .split_once(char::is_whitespace)
                .ok_or_else(|| format!("'{part}' is not a change; write it as '18 rate=600k'"))?;
            let seconds =
                quantity::decimal(at).filter(|seconds| *seconds <= 86_400.0).ok_or_else(|| {
                    format!("'{at}' is not the time of a change; write seconds, such as 18")
                })?;
            step.at = Duration::from_secs_f64(seconds);
            if steps.last().is_some_and(|last| last.at > step.at) {
                return Err(format!("'{part}' comes before the change that is written before it"));
            }
            change(&mut step, profile)?;
            steps.push(step.clone());
            if steps.len() > MOST_CHANGES {
                return Err(format!("a network can change {MOST_CHANGES} times at most"));
            }
        }
        Ok(Self { steps, seed: 1, text: text.to_owned() })
    }
}

fn change(step: &mut Step, profile: &str) -> Result<(), String> {
    for word in profile.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| format!("'{word}' has no value; write it as name=value"))?;
        let (name, value) = (name.trim(), value.trim());
        match name.split_once('.') {
            Some(("up", name)) => step.up.set(name, value)?,
            Some(("down", name)) => step.down.set(name, value)?,
            Some((side, _)) => {
                return Err(format!("'{side}' is not a direction; write up. or down."));
            }
            None => {
                step.up.set(name, value)?;
                step.down.set(name, value)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn network(text: &str) -> Result<Network, String> {
        text.parse()
    }

    #[test]
    fn every_word_has_its_place() {
        let text = "rate=1.5M,queue=200ms,delay=50ms,jitter=20ms,dist=gauss,reorder=yes,loss=2.5%,\
                    burst=3";
        let network = network(text).unwrap();
        let wanted = LinkProfile {
            rate: Some(1_500_000.0),
            queue: Duration::from_millis(200),
            delay: Duration::from_millis(50),
            jitter: Duration::from_millis(20),
            spread: JitterSpread::Gauss,
            reorder: true,
            loss: 0.025,
            burst: 3.0,
        };
        assert_eq!((&network.steps[0].up, &network.steps[0].down), (&wanted, &wanted));
        assert_eq!(network.to_string(), text);
        assert_eq!(wanted.longest(), Duration::from_millis(270));
    }

    #[test]
    fn directions_and_changes_build_on_what_was() {
        let network = network("rate=3M,up.delay=25ms;18 up.rate=600k; 30 rate=none").unwrap();
        let [first, second, third] = network.steps() else { panic!("{network:?}") };
        assert_eq!((first.up.delay, first.down.delay), (Duration::from_millis(25), Duration::ZERO));
        assert_eq!((second.at, second.up.rate), (Duration::from_secs(18), Some(600e3)));
        assert_eq!((second.down.rate, second.up.delay), (Some(3e6), Duration::from_millis(25)));
        assert_eq!(
            (third.at, third.up.rate, third.down.rate),
            (Duration::from_secs(30), None, None)
        );
    }

    #[test]
    fn nothing_asked_is_a_link_that_does_nothing() {
        assert_eq!(network("").unwrap().steps()[0].up, LinkProfile::default());
        assert_eq!(LinkProfile::default().longest(), Duration::ZERO);
        assert!(!LinkProfile::default().is_out());
        assert!(network("loss=100%").unwrap().steps()[0].up.is_out());
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (text, hint) in [
            ("loss=0.05", "5%"),
            ("loss=5", "5%"),
            ("loss=101%", "0% to 100%"),
            ("rate=fast", "3M, 500k or none"),
            ("rate=0", "10k to 1000M"),
            ("delay=50", "50ms"),
            ("delay=11s", "0ms to 10s"),
            ("jitter=-5ms", "50ms"),
            ("queue", "name=value"),
            ("speed=3M", "it has rate"),
            ("left.rate=3M", "up. or down."),
            ("reorder=perhaps", "yes nor no"),
            ("dist=pareto", "uniform or gauss"),
            ("burst=0", "1 to 1000"),
            ("rate=3M;rate=1M", "18 rate=600k"),
            ("rate=3M;soon rate=1M", "seconds"),
            ("rate=3M;9 rate=1M;8 rate=2M", "before"),
        ] {
            let error = network(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "[a-z.=;, 0-9%]{0,60}") {
            let _ = network(&text);
        }
    }
}
