//! The terminal as a place for pictures, on a pseudo-terminal: what is seen on it, what its keys do,
//! and that it is given back.

use std::path::Path;

use crate::support::camera::{are_quarters, draw_quarters};
use crate::support::process::{Peer, PeerBuilder};
use crate::support::server::{Server, login, peer};
use crate::support::terminal::Terminal;
use crate::support::{PATIENCE, hears, one_at_a_time};

/// Rows and columns; four rows at the bottom are for words.
const SIZE: (u16, u16) = (24, 80);

/// The middle of the quarters of a 16:9 picture of 70 columns and 20 rows.
const QUARTERS: [(u16, u16); 4] = [(5, 17), (5, 52), (15, 17), (15, 52)];

async fn filming_bob(server: &Server, folder: &Path) -> Peer {
    let film = folder.join("quarters.mp4");
    draw_quarters((640, 360), 30, &["-c:v", "libx264", "-pix_fmt", "yuv420p"], &film);
    let words = ["--auto-answer", "--video", film.to_str().expect("a plain path")];
    login(server.url(), "bob", &words).await
}

fn calling_alice(server: &Server, terminal: &Terminal) -> PeerBuilder {
    let words = ["call", "bob", "--as", "alice", "--view", "terminal"];
    terminal.with(peer(server.url(), &words))
}

/// Waits until the terminal is as it should be; looks once for each snapshot of the call.
async fn until(peer: &mut Peer, terminal: &Terminal, what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..PATIENCE.as_secs() {
        if is_so() {
            return;
        }
        peer.next_event("stats", PATIENCE).await;
    }
    panic!("{what}: not seen\n{}", terminal.text());
}

#[tokio::test]
async fn their_picture_words_and_keys() {
    let _alone = one_at_a_time().await;
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut bob = filming_bob(&server, folder.path()).await;
    let mut alice = calling_alice(&server, &terminal).start();
    let seen = || {
        let found = QUARTERS.map(|(row, column)| terminal.colours(row, column));
        // Upper and lower half of each letter.
        [0, 1].into_iter().all(|half| {
            found.iter().all(Option::is_some)
                && are_quarters(found.map(|cell| cell.map_or((0, 0, 0), |cell| cell[half])))
        })
    };
    until(&mut alice, &terminal, "their picture", seen).await;
    until(&mut alice, &terminal, "the status, and words that leave the picture alone", || {
        terminal.text().lines().rev().take(4).any(|line| line.contains("connected to 'bob'"))
            && seen()
    })
    .await;

    hears(&mut bob, "sound", |level| level > 0.01).await;
    terminal.press("m");
    hears(&mut bob, "silence", |level| level < 0.001).await;
    terminal.press("d");
    let numbers = |text: &str| {
        ["received  ", "sent  ", "path  "].iter().all(|word| text.contains(word)) && seen()
    };
    terminal.until("all numbers beside the picture", numbers).await;
    terminal.press("m");
    hears(&mut bob, "sound again", |level| level > 0.01).await;
    terminal.press("v");
    terminal.until("no picture of ours", |text| text.contains("VIDEO OFF")).await;
    terminal.press("v");
    terminal.until("ours again", |text| !text.contains("VIDEO OFF")).await;
    terminal.press("r");
    alice.await_event("recording-started", PATIENCE).await;
    terminal.press("r");
    alice.await_event("recording-stopped", PATIENCE).await;
    terminal.press("?");
    terminal.until("the keys", |text| text.contains("h or q hang up, ? these keys")).await;
    terminal.press("q");
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    alice.gone(PATIENCE).await;
    terminal
        .until("the screen as it was", |text| {
            !terminal.is_taken() && !text.contains('▀') && text.contains("calling 'bob'")
        })
        .await;
}

#[tokio::test]
async fn a_terminal_is_given_back_at_once_too() {
    let _alone = one_at_a_time().await;
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _bob = filming_bob(&server, folder.path()).await;
    let mut alice = calling_alice(&server, &terminal).start();
    until(&mut alice, &terminal, "a picture", || terminal.is_taken()).await;
    // The polite end, and at once the impatient one.
    alice.interrupt();
    alice.interrupt();
    alice.gone(PATIENCE).await;
    terminal.until("the screen as it was", |_| !terminal.is_taken()).await;
}

/// A terminal that says nothing is waited for, and meanwhile shows no keys.
#[tokio::test]
async fn a_terminal_is_given_back_while_it_is_asked_what_it_can_draw() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    for (command, keys) in
        [("login", "\x03"), ("login", "\x03\x03"), ("call", "\x03"), ("call", "\x03\x03")]
    {
        let terminal = Terminal::new(SIZE.0, SIZE.1);
        let words = [command, "bob", "--view", "terminal"];
        let words = peer(server.url(), &words).env("PEER_NAME", "alice");
        let _shell = terminal.with_shell(words).start();
        terminal.until_written(b"\x1b[c").await;
        terminal.press(keys);
        terminal.until("the end", |text| text.contains("iexten")).await;
        let text = terminal.text();
        let given_back = ["isig icanon ", " echo "].iter().all(|mode| text.contains(mode));
        assert!(given_back && !text.contains("-icanon"), "{command} {keys:?}\n{text}");
        let polite = text.contains("exit code 0");
        assert!(polite || keys.len() > 1 && text.contains("exit code 130"), "{command}\n{text}");
    }
}

#[tokio::test]
async fn without_a_terminal_a_call_goes_on_unseen() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let words = ["call", "bob", "--as", "alice", "--duration", "1s", "--view", "terminal"];
    let ended = peer(server.url(), &words).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("nothing is shown"), "{}", ended.said);
}

#[tokio::test]
async fn a_terminal_that_says_so_gets_pictures_over_its_whole_width() {
    let _alone = one_at_a_time().await;
    for (answer, drawn) in [
        // Letters of 10 x 20 pixels: 720 x 400 for a picture of 640 x 360 in 80 columns, 20 rows.
        (&b"\x1b[6;20;10t\x1b[?62;4;22c"[..], &b"\x1bP0;1q\"1;1;710;400"[..]),
        (b"\x1b_Gi=31;OK\x1b\\\x1b[6;20;10t\x1b[?62;c", b"c=72,r=20,C=1"),
    ] {
        let server = Server::start().await;
        let terminal = Terminal::answering(SIZE.0, SIZE.1, answer);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let _bob = filming_bob(&server, folder.path()).await;
        let mut alice = calling_alice(&server, &terminal).start();
        alice.await_event("first-video-frame", PATIENCE).await;
        terminal.until_written(drawn).await;
        terminal.press("h");
        assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    }
}

#[tokio::test]
async fn without_a_display_a_large_terminal_takes_its_place_and_a_small_one_says_so() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let words = ["call", "bob", "--as", "alice", "--view", "auto"];
    let terminal = Terminal::new(SIZE.0, SIZE.1);
    let mut alice = terminal.with(peer(server.url(), &words)).start();
    until(&mut alice, &terminal, "a picture", || terminal.text().contains('▀')).await;
    terminal.press("q");
    alice.gone(PATIENCE).await;

    let small = Terminal::new(24, 34);
    let mut alice = small.with(peer(server.url(), &words)).start();
    alice.await_event("first-video-frame", PATIENCE).await;
    let said = |text: &str| text.replace('\n', "").contains("no display: no pictures are shown");
    small.until("why there is no picture", said).await;
    small
        .until("the status in one line", |text| {
            text.lines().any(|line| line.starts_with("connected to 'bob' ") && line.ends_with('s'))
        })
        .await;
    small.press("?");
    let keys = |text: &str| text.replace('\n', "").contains("h or q hang up");
    small.until("the keys", keys).await;
    small.press("d");
    small.until("numbers", |text| text.contains("Round trip")).await;
    small.press("h");
    alice.gone(PATIENCE).await;
}

#[tokio::test]
async fn a_login_draws_beside_its_prompt_and_gives_the_screen_back() {
    let _alone = one_at_a_time().await;
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let words = ["login", "alice", "--view", "auto"];
    let mut alice = terminal.with(peer(server.url(), &words)).start();
    let at_prompt = |text: &str| text.trim_end().ends_with("no call]\n>");
    terminal.until("the prompt", at_prompt).await;
    terminal.until("what it does", |text| text.contains("are drawn in this terminal")).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut bob = filming_bob(&server, folder.path()).await;
    bob.type_line("call alice");
    terminal.until("the bell", |text| text.contains("'bob' is calling: answer or reject?")).await;
    terminal.press("ans\t\r");
    let seen = || {
        let found = QUARTERS.map(|(row, column)| terminal.colours(row, column));
        found.iter().all(Option::is_some)
            && are_quarters(found.map(|cell| cell.map_or((0, 0, 0), |cell| cell[0])))
    };
    let in_call = |typed: &str| {
        let text = terminal.text();
        let lines: Vec<&str> = text.lines().collect();
        let last = [lines.len().checked_sub(2), lines.len().checked_sub(1)];
        let [status, line] = last.map(|at| at.and_then(|at| lines.get(at)).copied());
        // It stands in the four rows below the picture; at their top after Ctrl-L.
        lines.len() > usize::from(SIZE.0) - 3
            && status.is_some_and(|status| status.contains("[connected to 'bob' "))
            && line.is_some_and(|line| line.trim_end() == typed)
            && seen()
    };
    terminal.until("the picture, the status, the prompt", |_| in_call(">")).await;
    assert!(terminal.is_taken());
    hears(&mut bob, "sound", |level| level > 0.01).await;
    terminal.press("mu\t");
    terminal.until("a word completed under the picture", |_| in_call("> mute")).await;
    assert_eq!(terminal.typed(), "> mute", "the cursor stands in the line");
    // It clears its own rows, and no picture.
    terminal.press("\x0cx\x7f");
    terminal.until("the line where it was", |_| in_call("> mute")).await;
    terminal.press("\r");
    hears(&mut bob, "silence", |level| level < 0.001).await;
    terminal.press("\x1b[A");
    terminal.until("the line before", |_| in_call("> mute")).await;
    terminal.press("\x15hang");
    terminal.until("another", |_| in_call("> hang")).await;
    bob.type_line("hangup");
    alice.await_event("ended", PATIENCE).await;
    // What was begun is still there, on the screen as it was.
    let back = |text: &str| {
        !terminal.is_taken()
            && text.trim_end().ends_with("no call]\n> hang")
            && text.matches("no call]").count() == 1
            && !text.contains('▀')
    };
    terminal.until("the prompt as it was", back).await;
    terminal.press("\x15quit\r");
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
}

#[tokio::test]
async fn another_size_eats_no_words() {
    let _alone = one_at_a_time().await;
    let (server, terminal) = (Server::start().await, Terminal::new(SIZE.0, SIZE.1));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _bob = filming_bob(&server, folder.path()).await;
    let mut alice = calling_alice(&server, &terminal).start();
    until(&mut alice, &terminal, "a picture", || terminal.is_taken()).await;
    until(&mut alice, &terminal, "words", || terminal.text().contains("first picture")).await;
    for columns in [34, 100, 60] {
        terminal.resize(SIZE.0, columns);
        until(&mut alice, &terminal, "a picture of that width", || {
            let drawn = |line: &str| line.matches('▀').count();
            let widest = terminal.text().lines().map(drawn).max().unwrap_or(0);
            widest > usize::from(columns) / 2 && widest <= usize::from(columns)
        })
        .await;
        until(&mut alice, &terminal, "the status, and the last words still", || {
            let text = terminal.text();
            text.contains("connected to 'bob'") && text.contains("first ")
        })
        .await;
    }
}
