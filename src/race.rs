//! Which of the addresses of one host is used: the first that answers (Happy Eyeballs, RFC 8305).
//!
//! Owns the order, the pauses and how many are tried. What it takes to be connected to one knows
//! the caller, who also limits the time.

#[cfg(all(test, target_os = "linux"))]
pub(crate) mod test_support;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::clock;

/// An address that has not answered for so long is not waited for any more: the next is tried
/// beside it (RFC 8305 section 5).
pub const PAUSE: Duration = Duration::from_millis(250);

/// Of one host so many addresses are tried; whoever answers for its name may say any number.
pub const MOST_ADDRESSES: usize = 8;

/// The order in which addresses are tried: IPv6 and IPv4 in turns, beginning with that of the first,
/// and else as they were given (RFC 8305 section 4). None twice, and at most [`MOST_ADDRESSES`].
#[must_use]
pub fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut left: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if !left.contains(address) {
            left.push(*address);
        }
    }
    let mut order: Vec<SocketAddr> = Vec::new();
    while order.len() < MOST_ADDRESSES && !left.is_empty() {
        let last = order.last().map(SocketAddr::is_ipv4);
        let other = left.iter().position(|address| Some(address.is_ipv4()) != last);
        order.push(left.remove(other.unwrap_or(0)));
    }
    order
}

/// Connects to each of these addresses, in this order, until the first is connected: to the next
/// when the one before has failed, or has not answered for [`PAUSE`]. What is still under way then is
/// given up. `failed` hears of each that failed.
///
/// `None` when all have failed.
pub async fn first<T, E, F>(
    addresses: &[SocketAddr],
    connect: impl FnMut(SocketAddr) -> F,
    failed: impl FnMut(E),
) -> Option<T>
where
    F: Future<Output = Result<T, E>>,
{
    first_after(PAUSE, addresses, connect, failed).await
}

async fn first_after<T, E, F>(
    pause: Duration,
    addresses: &[SocketAddr],
    mut connect: impl FnMut(SocketAddr) -> F,
    mut failed: impl FnMut(E),
) -> Option<T>
where
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = addresses.iter().copied();
    let mut attempts = FuturesUnordered::new();
    let mut next_at = Some(clock::now());
    while next_at.is_some() || !attempts.is_empty() {
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(connected) => return Some(connected),
                Err(error) => {
                    failed(error);
                    next_at = next_at.map(|_| clock::now());
                }
            },
            () = clock::until(next_at) => {
                let next = waiting.next();
                next_at = next.map(|_| clock::now() + pause);
                attempts.extend(next.map(&mut connect));
            }
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// `6` and `4` for the family, with a number.
    fn addresses(text: &str) -> Vec<SocketAddr> {
        let address = |word: &str| match word.split_at(1) {
            ("6", number) => format!("[2001:db8::{number}]:1").parse().unwrap(),
            (_, number) => format!("192.0.2.{number}:1").parse().unwrap(),
        };
        text.split_whitespace().map(address).collect()
    }

    #[test]
    fn families_take_turns_and_none_is_asked_twice() {
        for (given, order) in [
            ("", ""),
            ("41", "41"),
            ("61 62 63 41 42", "61 41 62 42 63"),
            ("41 42 61", "41 61 42"),
            ("61 61 41 61", "61 41"),
            ("61 62 63", "61 62 63"),
        ] {
            assert_eq!(in_turns(&addresses(given)), addresses(order), "{given}");
        }
        let many: Vec<_> = (1..200).map(|n| SocketAddr::from(([192, 0, 2, n], 1))).collect();
        assert_eq!(in_turns(&many).len(), MOST_ADDRESSES);
    }

    /// An hour is never waited for, and a moment at once.
    const HOUR: Duration = Duration::from_secs(3_600);
    const MOMENT: Duration = Duration::from_millis(1);

    /// What an address does: nothing for ever, or an answer.
    type Answer = (&'static str, Option<Result<(), &'static str>>);

    /// Who won, who was tried, and what was said of those that failed.
    async fn race(pause: Duration, answers: &[Answer]) -> (Option<SocketAddr>, usize, Vec<&str>) {
        let all: Vec<SocketAddr> = answers.iter().map(|(at, _)| addresses(at)[0]).collect();
        let (mut tried, mut failures) = (0, Vec::new());
        let connect = |to: SocketAddr| {
            tried += 1;
            let answer = answers.iter().find(|(at, _)| addresses(at)[0] == to).unwrap().1;
            async move {
                tokio::task::yield_now().await;
                match answer {
                    Some(answer) => answer.map(|()| to),
                    None => std::future::pending().await,
                }
            }
        };
        let won = first_after(pause, &all, connect, |error| failures.push(error)).await;
        (won, tried, failures)
    }

    #[tokio::test]
    async fn who_answers_in_time_is_asked_alone() {
        let (won, tried, _) = race(HOUR, &[("61", Some(Ok(()))), ("41", Some(Ok(())))]).await;
        assert_eq!((won, tried), (Some(addresses("61")[0]), 1));
    }

    #[tokio::test]
    async fn a_silent_address_keeps_no_other_away() {
        let answers = [("61", None), ("41", None), ("62", Some(Ok(()))), ("42", None)];
        let (won, tried, failures) = race(MOMENT, &answers).await;
        assert_eq!((won, failures), (Some(addresses("62")[0]), vec![]));
        assert!(tried >= 3, "{tried}");
    }

    #[tokio::test]
    async fn after_a_failure_nobody_waits() {
        let answers =
            [("61", Some(Err("no route"))), ("41", Some(Err("refused"))), ("62", Some(Ok(())))];
        let (won, tried, failures) = race(HOUR, &answers).await;
        assert_eq!((won, tried), (Some(addresses("62")[0]), 3));
        assert_eq!(failures, ["no route", "refused"]);
    }

    #[tokio::test]
    async fn when_all_have_failed_each_has_been_told() {
        let answers = [("61", Some(Err("no route"))), ("41", Some(Err("refused")))];
        assert_eq!(race(HOUR, &answers).await, (None, 2, vec!["no route", "refused"]));
        assert_eq!(race(HOUR, &[]).await, (None, 0, vec![]));
    }
}
