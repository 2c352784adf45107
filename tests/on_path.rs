//! Somebody who sits on the path of a call: what he adds comes from addresses that the call knows. He
//! has no key, so that he ends nothing but what he does not pass on.

use std::time::Duration;

use crate::datagrams::{ALERT, MEDIA, fragments, goes_on, record, refused};
use crate::support::lying_server::LyingServer;
use crate::support::on_path::{Deed, OnPath};
use crate::support::server::{login, peer};
use crate::support::{PATIENCE, one_at_a_time, sees_more};

#[tokio::test]
async fn who_is_on_the_path_of_a_call_ends_it_by_nothing_that_he_adds() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    let path = OnPath::of_alice(&server, Deed::Pass).await;
    let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let words = [&["call", "bob", "--as", "alice"][..], &MEDIA].concat();
    let mut alice = peer(server.url(), &words).start();
    alice.await_event("connected", PATIENCE).await;
    bob.await_event("connected", PATIENCE).await;
    sees_more(&mut bob, 40).await;
    let before = bob.next_event("stats", PATIENCE).await;
    let junk = (0..300).flat_map(|n| {
        let media = [&[0x80, 96, 0, n as u8][..], &[7; 40]].concat();
        let report = [&[0x81, 200, 0, 6][..], &[7; 40]].concat();
        let protected = [21, 22, 23].map(|kind| record(kind, 1, 5_000 + n, &[9; 60]));
        let plain = [record(ALERT, 0, n, &[2, 40]), record(20, 0, n, &[1])];
        [media, report].into_iter().chain(protected).chain(plain)
    });
    let all: Vec<_> = fragments(6, 0).chain(fragments(7, 30_000)).chain(junk).collect();
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    for some in all.chunks(2) {
        pace.tick().await;
        for datagram in some {
            path.forge(datagram).await;
        }
    }
    let after = bob.next_event("stats", PATIENCE).await;
    assert!(refused(&after) - refused(&before) > 500, "{before} {after}");
    // What is protected still says what it said, the end of the call as well.
    goes_on((&before, &after), alice, bob).await;
}

/// Processor time that a process has used, in seconds (proc(5), where a tick is 10 ms).
fn processor_time(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let times = fields.split_ascii_whitespace().skip(11).take(2);
    times.map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0).sum()
}

#[tokio::test]
async fn a_caller_with_fragments_for_a_handshake_ends_his_own_call_and_nothing_else() {
    let _alone = one_at_a_time().await;
    // Of the first message of a handshake, which is the one that is waited for. In order, where what
    // has come is looked at again with each; and with the beginning last, where all is then gone
    // through at once, one within the other.
    let in_order: Vec<_> = fragments(0, 30_000).collect();
    let mut beginning_last = in_order.clone();
    beginning_last.rotate_left(1);
    for flood in [in_order, beginning_last] {
        let server = LyingServer::start().await;
        let _path = OnPath::of_alice(&server, Deed::Instead(flood)).await;
        let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
        let call = |name| ["call", "bob", "--as", name, "--duration", "2s"];
        let before = processor_time(bob.pid());
        let alice = peer(server.url(), &[&call("alice")[..], &MEDIA].concat()).run().await;
        assert_eq!(alice.code, Some(6), "{}", alice.said);
        let ended = bob.await_event("ended", PATIENCE).await;
        assert_eq!(ended["reason"], "connection-failed", "{ended}");
        let used = processor_time(bob.pid()) - before;
        let before = processor_time(bob.pid());
        let friend = peer(server.url(), &[&call("friend")[..], &MEDIA].concat()).run().await;
        assert_eq!(friend.code, Some(0), "{}", friend.said);
        // The control: a call of two seconds, in which pictures are encoded.
        let control = processor_time(bob.pid()) - before;
        println!("{used:.2} s for fragments, {control:.2} s for a friend");
        assert!(used < 0.5 + 2.0 * control, "{used} s for fragments, {control} s for a friend");
    }
}

#[tokio::test]
async fn who_is_on_the_path_keeps_no_call_from_coming_up_by_alerts_that_he_adds() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    let alert = record(ALERT, 0, 900, &[2, 40]);
    let _path = OnPath::of_alice(&server, Deed::Before(alert)).await;
    let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    // Longer than a handshake that was refused is given to end well nevertheless.
    let words = ["call", "bob", "--as", "alice", "--duration", "5s"];
    let alice = peer(server.url(), &[&words[..], &MEDIA].concat()).run().await;
    assert_eq!(alice.code, Some(0), "{}", alice.said);
    let ended = bob.await_event("ended", PATIENCE).await;
    assert_eq!(ended["reason"], "remote-hangup", "{ended}");
}
