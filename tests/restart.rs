//! What becomes of calls and logins when the server dies, and when it is told to end.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::support::process::Peer;
use crate::support::server::{Server, THE_END, login, peer};
use crate::support::{PATIENCE, one_at_a_time, sees_more};

const CALLS: usize = 10;
/// Small and slow, so that twenty programs fit on a small machine.
const SMALL: [&str; 4] = ["--size", "160x90", "--fps", "5"];
/// Everybody is logged in again so soon after the server's return.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// Seconds from one event to another that is no day later, by their RFC 3339 times.
fn seconds_between(earlier: &Value, later: &Value) -> f64 {
    let of_day = |event: &Value| {
        let text = event["time"].as_str().and_then(|time| time.get(11..23)).expect("a time");
        let parts: Vec<f64> = text.split(':').map(|part| part.parse().expect("digits")).collect();
        parts.iter().fold(0.0, |sum, part| sum * 60.0 + part)
    };
    (of_day(later) - of_day(earlier)).rem_euclid(86_400.0)
}

/// Two programs in a call, each of which sees the other.
async fn pair(server: &str, number: usize) -> [Peer; 2] {
    let (caller, callee) = (format!("caller-{number}"), format!("callee-{number}"));
    let mut callee_side =
        login(server, &callee, &["--auto-answer", "--size", "160x90", "--fps", "5"]).await;
    let words = ["call", &callee, "--as", &caller];
    let mut caller_side = peer(server, &words).args(SMALL).start();
    for side in [&mut caller_side, &mut callee_side] {
        side.await_event("first-video-frame", PATIENCE).await;
    }
    [caller_side, callee_side]
}

/// Whether a name is taken on a server, as a browser's page would find out.
async fn is_taken(server: &str, name: &str) -> bool {
    let (mut socket, _) = connect_async(server).await.expect("a connection");
    let login = format!(r#"{{"type":"login","name":"{name}"}}"#);
    socket.send(Frame::text(login)).await.expect("a login is sent");
    loop {
        match socket.next().await.expect("a reply").expect("a reply") {
            Frame::Text(text) => return text.contains("false"),
            _ => continue,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_calls_go_on_when_the_server_is_killed_and_all_are_logged_in_again() {
    let _alone = one_at_a_time().await;
    let mut server = Server::start().await;
    let url = server.url().to_owned();
    let pairs = join_all((0..CALLS).map(|number| pair(&url, number))).await;
    let mut peers: Vec<Peer> = pairs.into_iter().flatten().collect();

    server.kill9().await;
    join_all(peers.iter_mut().map(|peer| peer.await_event("reconnecting", PATIENCE))).await;
    // Without a server, and for so long that the pauses have grown.
    join_all(peers.iter_mut().map(|peer| sees_more(peer, 10))).await;

    let (server, listening) = server.start_again().await;
    let logins =
        join_all(peers.iter_mut().map(|peer| peer.await_event("logged-in", PATIENCE))).await;
    let mut after: Vec<f64> =
        logins.iter().map(|login| seconds_between(&listening, login)).collect();
    after.sort_by(f64::total_cmp);
    println!(
        "logged in again after {:.2} s (median), {:.2} s (last)",
        after[CALLS],
        after[2 * CALLS - 1]
    );
    assert!(after.iter().all(|after| *after <= BACK_WITHIN.as_secs_f64()), "{after:?}");
    for number in 0..CALLS {
        for side in ["caller", "callee"] {
            assert!(is_taken(&url, &format!("{side}-{number}")).await, "{side}-{number}");
        }
    }
    assert!(!is_taken(&url, "nobody").await);

    join_all(peers.iter_mut().map(|peer| sees_more(peer, 10))).await;
    // The new server knows who is who: an end of a call gets through it.
    for pair in peers.chunks(2) {
        pair[0].interrupt();
    }
    for (at, peer) in peers.iter_mut().enumerate() {
        let reason = peer.await_event("ended", THE_END).await["reason"].clone();
        assert_eq!(reason, ["interrupted", "remote-hangup"][at % 2]);
        assert!(!peer.said().contains(r#""event":"error""#), "{}", peer.said());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_told_to_end_says_so_to_everybody_and_ends_soon() {
    let server = Server::start().await;
    let (mut page, _) = connect_async(server.url()).await.expect("a connection");
    let (_deaf, _) = connect_async(server.url()).await.expect("a connection");
    let mut bob = login(server.url(), "bob", &[]).await;
    let ended = tokio::spawn(server.stop());
    let goodbye = loop {
        match page.next().await.expect("a goodbye").expect("a goodbye") {
            Frame::Close(Some(frame)) => break frame,
            _ => continue,
        }
    };
    assert_eq!(u16::from(goodbye.code), 1001);
    bob.await_event("reconnecting", PATIENCE).await;
    ended.await.expect("the server ends with 0");
}
