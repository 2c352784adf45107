//! Ctrl-Z, `fg` and `bg`: whatever runs on a terminal gives it back, takes it up again, any number of
//! times, and a call in the background goes on.

use crate::server_rules::{line, server_with_users};
use crate::support::process::{Peer, PeerBuilder};
use crate::support::server::{Server, login, peer};
use crate::support::sockets::get;
use crate::support::terminal::Terminal;
use crate::support::{PATIENCE, hears, one_at_a_time, sees_more, until};

/// Rows and columns: enough for what the shell says three times.
const SIZE: (u16, u16) = (70, 100);

/// Every command is stopped so often.
const TIMES: usize = 3;

async fn at_prompt(terminal: &Terminal) {
    let status = |text: &str| {
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines.len() > 1
            && lines[lines.len() - 1] == ">"
            && lines[lines.len() - 2].contains("no call]")
    };
    terminal.until("the prompt", status).await;
}

#[tokio::test]
async fn a_prompt_is_stopped_and_goes_on() {
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let alice = terminal.with_job_control(peer(server.url(), &["login", "alice"]));
    let mut alice = alice.start();
    at_prompt(&terminal).await;
    for _ in 0..TIMES {
        terminal.stop_job().await;
        terminal.press("\r");
        at_prompt(&terminal).await;
        terminal.press("call som");
        terminal.until("the line", |_| terminal.typed() == "> call som").await;
        // It clears what is typed, and ends nothing.
        terminal.press("\x03");
        at_prompt(&terminal).await;
    }
    terminal.press("status\r");
    terminal.until("an answer", |text| text.contains("no call is connected")).await;
    at_prompt(&terminal).await;

    // Behind, it goes on and says what happens; the shell's terminal stays as it is.
    terminal.stop_job().await;
    terminal.press("bg\r");
    terminal.until("the shell", |text| text.contains("behind")).await;
    let words = ["call", "alice", "--as", "bob", "--timeout", "500ms"];
    assert_eq!(peer(server.url(), &words).run().await.code, Some(4));
    alice.await_event("missed", PATIENCE).await;
    terminal.until("what happened", |text| text.contains("'bob' is calling")).await;
    terminal.press("\r");
    terminal.until("the prompt", |text| text.contains("[1 missed call  'alice' at")).await;
    terminal.press("quit\r");
    terminal.until("the end", |text| text.contains("exit code 0")).await;
    let end =
        |text: &str| text.rsplit("exit code 0").next().is_some_and(|left| left.contains("iexten"));
    terminal.until("its modes", end).await;
}

#[tokio::test]
async fn a_line_that_was_begun_is_there_when_it_goes_on() {
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let _alice = terminal.with_job_control(peer(server.url(), &["login", "alice"])).start();
    at_prompt(&terminal).await;
    terminal.press("call some");
    terminal.until("the line", |_| terminal.typed() == "> call some").await;
    terminal.stop_job().await;
    terminal.press("\r");
    terminal.until("the line again", |_| terminal.typed() == "> call some").await;
    terminal.press("body");
    terminal.until("the rest of it", |_| terminal.typed() == "> call somebody").await;
}

/// Bob, and alice in a call with him on a terminal.
async fn call(server: &Server, terminal: &Terminal, view: &str) -> (Peer, Peer) {
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let words = ["call", "bob", "--as", "alice", "--view", view];
    let mut alice = terminal.with_job_control(peer(server.url(), &words)).start();
    alice.await_event("first-video-frame", PATIENCE).await;
    hears(&mut bob, "sound", |level| level > 0.01).await;
    (alice, bob)
}

#[tokio::test]
async fn a_call_is_stopped_and_its_keys_work_again() {
    let _alone = one_at_a_time().await;
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let (_alice, mut bob) = call(&server, &terminal, "none").await;
    for _ in 0..TIMES {
        terminal.stop_job().await;
        terminal.press("\r");
        hears(&mut bob, "sound again", |level| level > 0.01).await;
        terminal.press("m");
        hears(&mut bob, "silence", |level| level < 0.001).await;
        terminal.press("m");
        hears(&mut bob, "sound", |level| level > 0.01).await;
    }
    terminal.stop_job().await;
    terminal.press("bg\r");
    terminal.until("the shell", |text| text.contains("behind")).await;
    sees_more(&mut bob, 30).await;
    terminal.press("\r");
    // What is typed before it has noticed that it is in front is not lost.
    terminal.press("q");
    terminal.until("the end", |text| text.contains("exit code 0")).await;
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
}

#[tokio::test]
async fn pictures_on_a_terminal_make_room_and_come_back() {
    let _alone = one_at_a_time().await;
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let (_alice, mut bob) = call(&server, &terminal, "terminal").await;
    let drawn = |text: &str| text.contains('\u{2580}');
    for _ in 0..TIMES {
        terminal.until("a picture", |text| drawn(text) && terminal.is_taken()).await;
        terminal.until("the status", |text| text.contains("connected to 'bob'")).await;
        let text = terminal.stop_job().await;
        assert!(!drawn(&text), "the picture is gone\n{text}");
        terminal.press("\r");
        terminal.until("a picture again", |text| drawn(text) && terminal.is_taken()).await;
        terminal.press("m");
        hears(&mut bob, "silence", |level| level < 0.001).await;
        terminal.press("m");
        hears(&mut bob, "sound", |level| level > 0.01).await;
    }
}

#[tokio::test]
async fn pictures_of_a_login_make_room_and_come_back() {
    let _alone = one_at_a_time().await;
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let words = ["login", "alice", "--view", "terminal", "--auto-answer"];
    let mut alice = terminal.with_job_control(peer(server.url(), &words)).start();
    alice.await_event("logged-in", PATIENCE).await;
    let mut bob = login(server.url(), "bob", &[]).await;
    bob.type_line("call alice");
    hears(&mut bob, "sound", |level| level > 0.01).await;
    let drawn = |text: &str| text.contains('\u{2580}');
    for _ in 0..TIMES {
        terminal.until("a picture", |text| drawn(text) && terminal.is_taken()).await;
        let text = terminal.stop_job().await;
        assert!(!drawn(&text), "the picture is gone\n{text}");
        terminal.press("\r");
        terminal.until("a picture again", |text| drawn(text) && terminal.is_taken()).await;
        terminal.press("mute\r");
        hears(&mut bob, "silence", |level| level < 0.001).await;
        terminal.press("unmute\r");
        hears(&mut bob, "sound", |level| level > 0.01).await;
    }
    terminal.press("quit\r");
    terminal.until("the end", |text| text.contains("exit code 0")).await;
}

#[tokio::test]
async fn a_token_is_asked_for_on_and_still_not_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let users = folder.path().join("users");
    std::fs::write(&users, line("alice", "north").await).expect("a writable folder");
    let server = server_with_users(&users, &[]).await;
    let terminal = Terminal::new(SIZE.0, SIZE.1);
    let alice = terminal.with_job_control(peer(server.url(), &["login", "alice"]));
    let mut alice = alice.start();
    terminal.until("the question", |text| text.contains("token of 'alice':")).await;
    for _ in 0..TIMES {
        until("a terminal that shows nothing", || !terminal.echoes()).await;
        terminal.stop_job().await;
        terminal.press("\r");
        until("a terminal that shows nothing again", || !terminal.echoes()).await;
    }
    terminal.press("north\r");
    alice.await_event("logged-in", PATIENCE).await;
    at_prompt(&terminal).await;
    assert!(!terminal.text().contains("north"), "{}", terminal.text());
}

/// Nothing about the terminal is changed by these, and nothing of it is lost.
#[tokio::test]
async fn a_server_a_measurement_and_a_doctor_are_stopped_and_go_on() {
    let _alone = one_at_a_time().await;
    let terminal = Terminal::new(SIZE.0, SIZE.1);
    let words = ["serve", "--listen", "127.0.0.1:0", "--json"];
    let mut serve = terminal.with_job_control(PeerBuilder::new(words)).start();
    let listening = serve.await_event("listening", PATIENCE).await;
    let address = listening["server"].as_str().expect("an address").trim_start_matches("ws://");
    for _ in 0..TIMES {
        terminal.stop_job().await;
        terminal.press("\r");
        assert!(get(address, "/healthz").await.contains(" 200 "), "it goes on");
    }
    terminal.press("\x03");
    terminal.until("the end", |text| text.contains("exit code 0")).await;

    let terminal = Terminal::new(SIZE.0, SIZE.1);
    let words = ["loopback", "--duration", "10m", "--video", "none", "--audio", "tone", "--json"];
    let _loopback = terminal.with_job_control(PeerBuilder::new(words)).start();
    for _ in 0..TIMES {
        let measuring = |text: &str| {
            let last = text.trim_end().lines().last().unwrap_or_default();
            last.starts_with("measuring, ")
        };
        terminal.until("the status", measuring).await;
        terminal.stop_job().await;
        terminal.press("\r");
        terminal.until("the status again", measuring).await;
    }
    terminal.press("\x03");
    terminal.until("the end", |text| text.contains("exit code 1")).await;

    // Nobody answers it, so that it takes its time.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let stun = format!("stun:{}", silent.local_addr().expect("a bound port"));
    let terminal = Terminal::new(SIZE.0, SIZE.1);
    let words = ["doctor", "--json", "--server", "ws://127.0.0.1:1", "--stun", &stun];
    let mut doctor = terminal.with_job_control(PeerBuilder::new(words)).start();
    let trying = |text: &str| {
        let last = text.trim_end().lines().last().unwrap_or_default();
        last.starts_with("trying codecs") || text.contains("exit code 1")
    };
    for _ in 0..TIMES {
        terminal.until("what it does", trying).await;
        // It takes four seconds, and may be through before a slow machine is.
        if terminal.text().contains("exit code 1") {
            break;
        }
        terminal.stop_job().await;
        terminal.press("\r");
    }
    doctor.await_event("diagnosis", PATIENCE).await;
    terminal.until("the end", |text| text.contains("exit code 1")).await;
}

#[tokio::test]
async fn without_a_shell_nobody_stops() {
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let _alice = terminal.with(peer(server.url(), &["login", "alice"])).start();
    at_prompt(&terminal).await;
    terminal.press("\x1acall some");
    terminal.until("the line", |_| terminal.typed() == "> call some").await;
}
