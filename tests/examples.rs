//! The examples do what they say: each is run against the real program.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::server::{Server, THE_END, login, peer};
use crate::support::{PATIENCE, clip, one_at_a_time};

/// A running example. Dropping it kills it.
struct Example {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    /// Starts one that `cargo test` has built beside the program.
    fn start(name: &str, args: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_BIN_EXE_peer")).parent().expect("a folder");
        let mut child = Command::new(folder.join("examples").join(name))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; `cargo test` builds the examples"));
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// The next line that has these words.
    async fn says(&mut self, words: &str) -> String {
        let wanted = async {
            while let Some(line) = self.lines.next_line().await.expect("text") {
                if line.contains(words) {
                    return Some(line);
                }
            }
            None
        };
        let said = timeout(THE_END, wanted).await.expect("it says something");
        said.unwrap_or_else(|| panic!("ended without saying '{words}'"))
    }

    async fn ends_well(mut self) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends");
        assert!(status.expect("a status").success());
    }
}

#[tokio::test]
async fn the_smallest_call() {
    let _alone = one_at_a_time().await;
    let mut example = Example::start("call", &[]);
    example.says("first picture, 640x360").await;
    example.says("ended (Hangup)").await;
    example.ends_well().await;
}

#[tokio::test]
async fn a_bot_answers_with_a_file() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let film = clip("camera-360p.mp4");
    let mut bot = Example::start("answer_with_file", &[server.url(), "bot", &film]);
    bot.says("answers with").await;
    let mut alice = peer(server.url(), &["call", "bot", "--as", "alice"]).start();
    let first = alice.await_event("first-video-frame", PATIENCE).await;
    assert_eq!((&first["width"], &first["height"]), (&640.into(), &360.into()));
    bot.says("alice is connected").await;
    alice.interrupt();
    bot.says("alice has left").await;
}

#[tokio::test]
async fn a_source_that_draws() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let mut painter = Example::start("custom_source", &[server.url(), "bob"]);
    let first = bob.await_event("first-video-frame", PATIENCE).await;
    assert_eq!((&first["width"], &first["height"]), (&320.into(), &240.into()));
    bob.type_line("hangup");
    painter.says("pictures sent").await;
    painter.ends_well().await;
}

#[tokio::test]
async fn a_sink_that_saves_pictures() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().to_str().expect("a plain path");
    let mut collector = Example::start("custom_sink", &[server.url(), "bob", path]);
    collector.says("ended: Duration").await;
    collector.ends_well().await;
    let picture = std::fs::read(folder.path().join("picture-002.png")).expect("a second picture");
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 1_000);
}
