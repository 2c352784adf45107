//! Many calls on one login leave nothing behind: no thread, no socket, no memory that grows.

use std::fs;

use peer::phone::command::Command;
use peer::phone::config::{AnswerPolicy, PhoneConfig};
use peer::phone::event::EventKind;
use peer::phone::{Events, Phone};

use crate::support::server::{Server, peer};
use crate::support::{PATIENCE, one_at_a_time};

const CALLS: usize = 20;

/// What a process holds, as Linux counts it.
#[derive(Debug, Clone, Copy)]
struct Held {
    threads: u64,
    files: u64,
    memory: u64,
}

fn held(pid: i32) -> Held {
    let count =
        |folder: &str| fs::read_dir(format!("/proc/{pid}/{folder}")).expect("alive").count() as u64;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a field of Linux");
        line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("a number")
    };
    Held { threads: count("task"), files: count("fd"), memory: field("VmRSS:") * 1024 }
}

#[tokio::test]
async fn twenty_calls_in_a_row() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    // Glibc keeps what was freed in an arena for each thread that coincided with another, so that
    // memory tells of chance; in one arena it tells of what is held.
    let login = async |words: &[&str]| {
        let peer = peer(server.url(), words).env("MALLOC_ARENA_MAX", "1");
        let mut peer = peer.with_input().start();
        peer.await_event("logged-in", PATIENCE).await;
        peer
    };
    let mut bob = login(&["login", "bob", "--auto-answer"]).await;
    let mut alice = login(&["login", "alice"]).await;
    let mut after = Vec::new();
    for _ in 0..2 * CALLS {
        alice.type_line("call bob");
        alice.await_event("first-video-frame", PATIENCE).await;
        bob.await_event("first-video-frame", PATIENCE).await;
        alice.type_line("hangup");
        alice.await_event("ended", PATIENCE).await;
        bob.await_event("ended", PATIENCE).await;
        after.push([held(alice.pid()), held(bob.pid())]);
    }
    // The first twenty warm up what is kept: threads that wait for work, the allocator's pools.
    let (early, late) = after.split_at(CALLS);
    for (at, who) in ["alice", "bob"].into_iter().enumerate() {
        let most = |of: fn(&Held) -> u64| early.iter().map(|held| of(&held[at])).max();
        let least =
            |of: fn(&Held) -> u64| late.iter().rev().take(5).map(|held| of(&held[at])).min();
        println!(
            "{who}: first {:?}, 20th {:?}, 40th {:?}",
            early[0][at], early[19][at], late[19][at]
        );
        assert!(least(|held| held.files) <= most(|held| held.files), "{who}: {after:#?}");
        // The runtime keeps threads for blocking work a while, and makes another when two coincide.
        let spare = most(|held| held.threads).map(|threads| threads + 2);
        assert!(least(|held| held.threads) <= spare, "{who}: {after:#?}");
        let grown = least(|held| held.memory).zip(most(|held| held.memory));
        assert!(grown.is_some_and(|(late, early)| late < early + (4 << 20)), "{who}: {after:#?}");
    }
}

/// The same from inside, where tasks can be counted too.
#[tokio::test(flavor = "multi_thread")]
async fn no_task_is_left_behind() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let config = |name: &str| {
        let mut config = PhoneConfig::new(server.url(), name);
        config.network.stun.clear();
        config.call.answer = AnswerPolicy::Auto;
        config
    };
    let (bob, mut bob_hears) = Phone::login(config("bob")).await.expect("a login");
    let (alice, mut alice_hears) = Phone::login(config("alice")).await.expect("a login");
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..CALLS {
        alice.tell(Command::Call { name: "bob".to_owned() });
        hear(&mut alice_hears, |kind| matches!(kind, EventKind::FirstVideoFrame { .. })).await;
        alice.tell(Command::Hangup);
        hear(&mut alice_hears, |kind| matches!(kind, EventKind::Ended { .. })).await;
        hear(&mut bob_hears, |kind| matches!(kind, EventKind::Ended { .. })).await;
    }
    // A task may need a moment to be gone after its last word.
    let gone = async {
        while tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, gone).await;
    assert!(in_time.is_ok(), "{before} tasks before {CALLS} calls, {} after", tasks());
    alice.close().await;
    bob.close().await;
}

async fn hear(events: &mut Events, wanted: impl Fn(&EventKind) -> bool) {
    let heard = async {
        while let Some(event) = events.recv().await {
            if wanted(&event.kind) {
                return;
            }
        }
        panic!("the phone has stopped");
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("the event comes");
}
