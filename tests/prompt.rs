//! `peer login` fed line by line, as a script or a person does.

use crate::support::process::Peer;
use crate::support::server::{Server, login, peer};
use crate::support::terminal::Terminal;
use crate::support::{PATIENCE, one_at_a_time};

#[tokio::test]
async fn a_script_calls_answers_mutes_and_hangs_up() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &[]).await;
    let mut alice = login(server.url(), "alice", &[]).await;
    alice.type_line("call bob");
    assert_eq!(bob.await_event("incoming", PATIENCE).await["peer"], "alice");
    bob.type_line("answer");
    alice.await_event("first-audio", PATIENCE).await;
    bob.await_event("first-audio", PATIENCE).await;

    bob.type_line("mute");
    let mut last = energy(&alice.next_event("stats", PATIENCE).await);
    loop {
        let now = energy(&alice.await_event("stats", PATIENCE).await);
        if now - last < 1e-4 {
            break; // A second of silence: the tone has 0.03 and more.
        }
        last = now;
    }
    bob.type_line("unmute");
    while energy(&alice.await_event("stats", PATIENCE).await) - last < 1e-3 {}

    bob.type_line("hangup");
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "hangup");
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
}

fn energy(stats: &serde_json::Value) -> f64 {
    stats["inbound"]["audio"]["totalAudioEnergy"].as_f64().unwrap_or(f64::NAN)
}

#[tokio::test]
async fn nonsense_is_answered_and_harms_nothing() {
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &[]).await;
    for (line, code) in [
        ("dance", "bad-command"),
        ("call", "bad-command"),
        ("call alice", "bad-name"),
        ("answer", "no-call"),
        ("reject", "no-call"),
        ("hangup", "no-call"),
        ("mute", "no-call"),
    ] {
        alice.type_line(line);
        let error = alice.await_event("error", PATIENCE).await;
        assert_eq!(error["code"], code, "{line}: {error}");
    }
    alice.type_line("status");
    alice.type_line("");
    alice.type_line("quit");
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
}

#[tokio::test]
async fn without_anybody_to_ask_calls_are_refused() {
    let server = Server::start().await;
    let mut bob = peer(server.url(), &["login", "bob"]).start();
    bob.await_event("logged-in", PATIENCE).await;
    let ended = peer(server.url(), &["call", "bob", "--as", "alice"]).run().await;
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert_eq!(ended.events.last().expect("events")["reason"], "rejected");
    assert!(bob.said().contains("--auto-answer"), "says what to do: {}", bob.said());
}

/// Rows and columns of the terminal.
const SIZE: (u16, u16) = (24, 100);

/// Alice at a prompt.
async fn alice_at(terminal: &Terminal, server: &Server, words: &[&str]) -> Peer {
    let words = [&["login", "alice"], words].concat();
    let alice = terminal.with(peer(server.url(), &words)).start();
    at_prompt(terminal).await;
    alice
}

async fn at_prompt(terminal: &Terminal) {
    terminal.until("the prompt", |text| text.contains("no call]\n>")).await;
}

/// The last line of what stands there.
fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default()
}

#[tokio::test]
async fn an_event_leaves_the_line_being_typed_whole() {
    let _alone = one_at_a_time().await;
    let (server, terminal) = (Server::start().await, Terminal::new(2 * SIZE.0, SIZE.1));
    let mut alice = alice_at(&terminal, &server, &[]).await;
    terminal.press("call som");
    terminal.until("the line", |text| last_line(text) == "> call som").await;
    let mut bob = login(server.url(), "bob", &[]).await;
    bob.type_line("call alice");
    let ringing = "'bob' is calling; type answer or reject";
    terminal
        .until("the event over the line, and the status", |text| {
            text.contains(ringing)
                && text.contains("['bob' is calling: answer or reject?]\n> call som")
                && text.matches("call som").count() == 1
        })
        .await;
    terminal.until("the cursor where it was", |_| terminal.typed() == "> call som").await;
    assert_eq!(terminal.rang(), 1, "it rings once");

    // The rest of the word, in the middle of a login that goes on.
    terminal.press("\x15answer\r");
    bob.await_event("connected", PATIENCE).await;
    terminal
        .until("the status of the call", |text| {
            let lines: Vec<&str> = text.trim_end().lines().collect();
            lines.len() > 1
                && lines[lines.len() - 1] == ">"
                && ["[connected to 'bob' ", "fps", "kbit/s", "rtt", "loss"]
                    .iter()
                    .all(|word| lines[lines.len() - 2].contains(word))
        })
        .await;
    terminal.press("status\r");
    terminal
        .until("the status on a line", |text| {
            text.contains("\nconnected to 'bob' ") && text.contains("\n> status\n")
        })
        .await;
    terminal.press("hangup\r");
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
    alice.await_event("ended", PATIENCE).await;
    // The status moves on with the line; it leaves nothing behind. The editor takes both away before
    // it prints, so a look in between sees neither.
    terminal
        .until("the end, one status and every line that was typed", |text| {
            let after_the_end = text.rsplit("you hung up on 'bob'").next().unwrap_or_default();
            after_the_end.trim_end().ends_with("no call]\n>")
                && text.matches("no call]").count() == 1
                && ["\n> answer\n", "\n> hangup\n"].iter().all(|line| text.contains(line))
        })
        .await;
}

#[tokio::test]
async fn lines_are_remembered_and_words_completed() {
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let mut alice = alice_at(&terminal, &server, &[]).await;
    terminal.press("cal\tZoë\r");
    let ended = alice.await_event("ended", PATIENCE).await;
    assert_eq!((&ended["peer"], &ended["reason"]), (&"Zoë".into(), &"unknown-user".into()));
    at_prompt(&terminal).await;
    terminal.press("m\t");
    terminal.until("the first that fits", |_| terminal.typed() == "> mute").await;
    terminal.press("\t");
    terminal.until("the next", |_| terminal.typed() == "> missed").await;
    terminal.press("\x15");
    terminal.press("call z\t");
    terminal.until("a name", |_| terminal.typed() == "> call Zoë").await;
    terminal.press("\x15stat");
    terminal.until("the line", |_| terminal.typed() == "> stat").await;
    terminal.press("\x1b[A");
    terminal.until("the line before", |_| terminal.typed() == "> call Zoë").await;
    terminal.press("\x15help\r");
    terminal.until("the commands", |text| text.contains("hang up and log out")).await;
    at_prompt(&terminal).await;
    terminal.press("\x04");
    alice.gone(PATIENCE).await;

    let history = alice.home().join("state/peer/history");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &history.metadata().expect("a history").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let terminal = Terminal::new(SIZE.0, SIZE.1);
    let words = ["login", "alice"];
    let later = terminal.with(peer(server.url(), &words)).in_home(alice.home()).start();
    at_prompt(&terminal).await;
    terminal.press("\x1b[A");
    terminal.until("the last line of before", |_| terminal.typed() == "> help").await;
    terminal.press("\x12cal");
    terminal
        .until("a search", |_| {
            terminal.typed().contains("call Zoë")
                || last_line(&terminal.text()).contains("call Zoë")
        })
        .await;
    terminal.press("\x07\x15call zo\t");
    terminal.until("a name of before", |_| terminal.typed() == "> call Zoë").await;
    drop(later);
}

#[tokio::test]
async fn another_size_eats_neither_the_line_nor_its_status() {
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let mut alice = alice_at(&terminal, &server, &[]).await;
    terminal.press("call some");
    terminal.until("the line", |_| terminal.typed() == "> call some").await;
    for columns in [34, 100, 60] {
        terminal.resize(SIZE.0, columns);
        // Whatever happens next is drawn in the new size.
        let words = ["call", "alice", "--as", "bob", "--timeout", "300ms"];
        assert_eq!(peer(server.url(), &words).run().await.code, Some(4));
        alice.await_event("missed", PATIENCE).await;
        terminal
            .until("the line, and its status on one", |text| {
                let lines: Vec<&str> = text.trim_end().lines().collect();
                let above = lines.len().checked_sub(2).and_then(|at| lines.get(at));
                let fits = |status: &&&str| {
                    status.starts_with('[')
                        && status.contains("missed call")
                        && status.chars().count() < usize::from(columns)
                };
                lines.last() == Some(&"> call some") && above.filter(fits).is_some()
            })
            .await;
        let text = terminal.text();
        assert_eq!(text.matches("> call some").count(), 1, "{columns} columns\n{text}");
    }
    terminal.press("body");
    terminal.until("the rest of it", |_| terminal.typed() == "> call somebody").await;
}

#[tokio::test]
async fn a_call_that_nobody_answers_is_missed() {
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let mut alice = alice_at(&terminal, &server, &["--no-bell"]).await;
    let words = ["call", "alice", "--as", "bob", "--timeout", "500ms"];
    assert_eq!(peer(server.url(), &words).run().await.code, Some(4));
    let missed = alice.await_event("missed", PATIENCE).await;
    assert_eq!((&missed["peer"], &missed["calls"][0]["peer"]), (&"bob".into(), &"bob".into()));
    terminal.until("the status", |text| text.contains("[1 missed call  'alice' at")).await;
    assert_eq!(terminal.rang(), 0, "--no-bell");
    terminal.press("missed\r");
    terminal.until("the list", |text| text.contains(" UTC  'bob'")).await;
    let listed = alice.await_event("missed", PATIENCE).await;
    assert_eq!(listed["calls"], missed["calls"]);
    assert!(listed.get("call").is_none(), "{listed}");
    terminal.until("that it was seen", |text| text.contains("\n['alice' at")).await;
}

#[tokio::test]
async fn who_rejects_a_call_has_not_missed_it() {
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &[]).await;
    let bob = peer(server.url(), &["call", "alice", "--as", "bob"]).start();
    alice.await_event("incoming", PATIENCE).await;
    alice.type_line("reject");
    assert_eq!(bob.wait(PATIENCE).await.code, Some(4));
    alice.await_event("ended", PATIENCE).await;
    alice.type_line("missed");
    assert_eq!(alice.await_event("missed", PATIENCE).await["calls"], serde_json::json!([]));
    alice.type_line("quit");
    let ended = alice.wait(PATIENCE).await;
    assert!(ended.said.contains("no call was missed"), "{}", ended.said);
    assert!(ended.said.contains("err| you rejected the call from 'bob'"), "{}", ended.said);
}

#[tokio::test]
async fn every_way_out_gives_the_terminal_back() {
    for (key, reason) in [("\x03", "Ctrl-C"), ("\x04", "Ctrl-D"), ("quit\r", "quit")] {
        let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
        let alice = terminal.with_shell(peer(server.url(), &["login", "alice"])).start();
        at_prompt(&terminal).await;
        terminal.press(key);
        terminal.until(reason, |text| text.contains("exit code 0")).await;
        terminal
            .until("its modes", |text| text.contains(" icanon") && text.contains(" echo "))
            .await;
        drop(alice);
    }
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let alice = alice_at(&terminal, &server, &[]).await;
    terminal.press("half a line");
    terminal.until("the line", |_| terminal.typed() == "> half a line").await;
    alice.terminate();
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
}

#[tokio::test]
async fn json_on_the_same_terminal_does_not_tear_the_line() {
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let _alice = terminal.all_on(peer(server.url(), &["login", "alice"])).start();
    at_prompt(&terminal).await;
    terminal.press("answer\r");
    terminal
        .until("the event", |text| {
            text.contains(r#""code":"no-call""#)
                && text.lines().any(|line| line.starts_with(r#"{"event":"error""#))
                && text.trim_end().ends_with('>')
        })
        .await;
}
