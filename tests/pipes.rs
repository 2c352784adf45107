//! Pipes in place of files: what is piped in (`-`) is sent from its first byte, a named pipe keeps its
//! reader from the trial to the call, and nothing is written over what is read or waits without a word.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::support::process::{Peer, PeerBuilder};
use crate::support::server::{Server, THE_END, login, peer};
use crate::support::{PATIENCE, hears, one_at_a_time, sees_more};

/// Pictures of a size that neither the card nor the test picture has.
const FILM: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=s=176x144:r=25:d=20"];
const TONE: [&str; 4] = ["-f", "lavfi", "-i", "aevalsrc=0.5*sin(2764*t):s=48000:d=20"];
const H264: [&str; 8] =
    ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25"];

/// Makes a file of what ffmpeg gets.
fn made(folder: &Path, name: &str, words: &[&[&str]]) -> PathBuf {
    let path = folder.join(name);
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-v", "error", "-nostdin", "-y"])
        .args(words.concat())
        .arg(&path)
        .output()
        .expect("ffmpeg; `make deps` installs it");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    path
}

/// The film in IVF, by the clock of RTP, while its header names another: so some write what they got.
fn ivf_of_rtp(folder: &Path) -> PathBuf {
    let stream = made(folder, "for-ivf.h264", &[&FILM, &H264, &["-bf", "0"]]);
    let stream = std::fs::read(stream).expect("a stream");
    let frames = crate::in_step::access_units(&stream);
    let mut file = b"DKIF\0\0\x20\0H264\xb0\0\x90\0\x19\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    for (number, frame) in frames.iter().enumerate() {
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend((4_000_000_000 + number as u64 * 3_600).to_le_bytes());
        file.extend_from_slice(frame);
    }
    let path = folder.join("rtp.ivf");
    std::fs::write(&path, file).expect("a file");
    path
}

/// Runs it with what this command writes as its standard input. The shell becomes the program, so that
/// it ends with its test, and with it who writes.
fn fed(builder: PeerBuilder, command: &str) -> PeerBuilder {
    builder.through(&["bash", "-c", &format!("exec \"$0\" \"$@\" < <({command})")])
}

fn cat(path: &Path) -> String {
    format!("cat '{}'", path.display())
}

fn no_trouble(said: &str) {
    for word in ["source-waits", "device-back", "something else", "damaged"] {
        assert!(!said.contains(word), "{word}: {said}");
    }
}

/// That the film is what comes, and goes on.
async fn sees_the_film(bob: &mut Peer) {
    let first = bob.await_event("first-video-frame", PATIENCE).await;
    assert_eq!((&first["width"], &first["height"]), (&176.into(), &144.into()), "{first}");
    sees_more(bob, 30).await;
}

#[tokio::test]
async fn what_is_piped_in_is_sent_from_its_first_byte() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    for film in [
        made(at, "film.y4m", &[&FILM, &["-pix_fmt", "yuv420p"]]),
        made(at, "film.h264", &[&FILM, &H264]),
        made(at, "film.mkv", &[&FILM, &H264]),
        ivf_of_rtp(at),
    ] {
        println!("{}", film.display());
        let words = ["call", "bob", "--as", "alice", "--video", "-", "--audio", "none"];
        let alice = fed(peer(server.url(), &words).args(["--duration", "5s"]), &cat(&film)).start();
        sees_the_film(&mut bob).await;
        let alice = alice.wait(THE_END).await;
        assert_eq!(alice.code, Some(0), "{}", alice.said);
        no_trouble(&alice.said);
        bob.await_event("ended", PATIENCE).await;
    }
    for tone in [
        made(at, "tone.wav", &[&TONE]),
        made(at, "tone.ogg", &[&TONE, &["-c:a", "libopus"]]),
        made(at, "tone.mka", &[&TONE, &["-c:a", "libopus"]]),
    ] {
        println!("{}", tone.display());
        let words = ["call", "bob", "--as", "alice", "--video", "none", "--audio", "-"];
        let alice = fed(peer(server.url(), &words).args(["--duration", "5s"]), &cat(&tone)).start();
        hears(&mut bob, "a tone", |level| (0.2..0.8).contains(&level)).await;
        let alice = alice.wait(THE_END).await;
        assert_eq!(alice.code, Some(0), "{}", alice.said);
        no_trouble(&alice.said);
        bob.await_event("ended", PATIENCE).await;
    }
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

/// Ends what a test has started.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_named_pipe_whose_writer_came_first_keeps_him() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipe = folder.path().join("pipe");
    fifo(&pipe);
    let film = made(folder.path(), "film.y4m", &[&FILM, &["-t", "4", "-pix_fmt", "yuv420p"]]);
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let mut writer = Command::new("cp").arg(&film).arg(&pipe).spawn().expect("cp");
    let words = ["call", "bob", "--as", "alice", "--audio", "none"];
    let mut alice = peer(server.url(), &words).arg("--video").arg(&pipe).start();
    sees_the_film(&mut bob).await;
    let whole = tokio::task::spawn_blocking(move || writer.wait().expect("an end")).await;
    assert!(whole.expect("no panic").success(), "the writer lost his reader: {}", alice.said());
    no_trouble(&alice.said());
    // The film is over, and another comes.
    let waits = alice.await_event("error", PATIENCE).await;
    assert_eq!(waits["code"], "source-waits", "{waits}");
    let _writer = Writer(Command::new("cp").arg(&film).arg(&pipe).spawn().expect("cp"));
    assert_eq!(alice.await_event("error", PATIENCE).await["code"], "device-back");
    sees_more(&mut bob, 30).await;
    alice.interrupt();
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
}

#[tokio::test]
async fn a_login_sends_what_is_piped_in_to_each_call_and_takes_no_commands_from_it() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let endless = "ffmpeg -v error -nostdin -f lavfi -i testsrc2=s=176x144:r=25 -pix_fmt yuv420p \
                   -f yuv4mpegpipe -";
    let words = ["login", "bot", "--auto-answer", "--video", "-", "--audio", "none"];
    let mut bot = fed(peer(server.url(), &words), endless).start();
    bot.await_event("logged-in", PATIENCE).await;
    for _ in 0..2 {
        let words = ["call", "bot", "--as", "alice", "--duration", "4s"];
        let mut alice = peer(server.url(), &words).start();
        sees_the_film(&mut alice).await;
        alice.await_event("ended", THE_END).await;
        alice.gone(PATIENCE).await;
        bot.await_event("ended", PATIENCE).await;
    }
    let said = bot.said();
    assert!(said.contains("there are no commands"), "{said}");
    assert!(!said.contains("bad-command"), "{said}");
    no_trouble(&said);
}

#[tokio::test]
async fn what_cannot_be_piped_in_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let film = made(folder.path(), "film.mp4", &[&FILM, &H264, &["-t", "1"]]);
    let words = ["call", "bob", "--as", "alice", "--video", "-", "--audio", "none"];
    for (command, says) in [
        (cat(&film).as_str(), "MP4 cannot come through a pipe; name the file, or send Matroska"),
        ("true", "standard input is damaged: it is empty"),
        ("echo no film at all", "standard input cannot be played: unknown format"),
    ] {
        let alice = fed(peer("ws://127.0.0.1:9", &words), command).run().await;
        assert_eq!(alice.code, Some(5), "{}", alice.said);
        assert!(alice.said.contains(says), "{says}: {}", alice.said);
    }
    let loopback = ["loopback", "--video", "-", "--audio", "none"];
    let ended = fed(PeerBuilder::new(loopback), &cat(&film)).run().await;
    assert_eq!(ended.code, Some(5), "{}", ended.said);
    assert!(ended.said.contains("by one side only"), "{}", ended.said);
}

#[tokio::test]
async fn nothing_is_written_over_what_is_piped_in_or_sent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let film = at("film.mkv");
    made(folder.path(), "film.mkv", &[&FILM, &H264, &["-t", "1"]]);
    let whole = std::fs::read(&film).expect("the film");
    std::fs::hard_link(&film, at("hard.mkv")).expect("a link");
    for (sent, output, says) in [
        ("-", ["--record", &film], "that file is being sent, as standard input"),
        ("-", ["--record-local", &at("hard.mkv")], "standard input"),
        ("-", ["--stats", &film], "standard input"),
        ("test", ["--stats", &film], "standard input"),
        (&film, ["--stats", &at("hard.mkv")], "that file is being sent"),
    ] {
        let words = ["call", "bob", "--as", "alice", "--video", sent, "--audio", "none"];
        let from = format!("exec \"$0\" \"$@\" <'{film}'");
        let alice = peer("ws://127.0.0.1:9", &words).args(output);
        let alice = alice.through(&["sh", "-c", &from]).run().await;
        assert_eq!(alice.code, Some(5), "{output:?}: {}", alice.said);
        assert!(alice.said.contains(says), "{output:?}: {}", alice.said);
        assert!(std::fs::read(&film).expect("the film") == whole, "{output:?}");
    }
    let both = ["call", "bob", "--as", "alice", "--record", "a.mkv", "--stats", "./a.mkv"];
    let alice = peer("ws://127.0.0.1:9", &both).run().await;
    assert_eq!(alice.code, Some(5), "{}", alice.said);
    assert!(alice.said.contains("--stats needs one of its own"), "{}", alice.said);
    let both = ["login", "alice", "--record-local", "a.mkv", "--stats", "a.mkv"];
    let alice = peer("ws://127.0.0.1:9", &both).run().await;
    assert_eq!(alice.code, Some(5), "{}", alice.said);
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_is_no_place_to_write_to() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipe = folder.path().join("pipe.mkv");
    fifo(&pipe);
    let pipe = pipe.to_str().expect("a plain path");
    for (flag, says) in [
        ("--record", "it is a pipe, and a recording needs a file"),
        ("--record-local", "it is a pipe"),
        ("--stats", "it is a pipe that nobody reads"),
    ] {
        let words = ["call", "bob", "--as", "alice", flag, pipe];
        let alice = peer("ws://127.0.0.1:9", &words).run().await;
        assert_eq!(alice.code, Some(5), "{flag}: {}", alice.said);
        assert!(alice.said.contains(says), "{flag}: {}", alice.said);
    }
}

#[tokio::test]
async fn what_waits_delays_no_end() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipe = folder.path().join("pipe");
    fifo(&pipe);
    let ivf = crate::files::waits_for_years(folder.path());
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let none = Path::new("none");
    for (video, audio) in [(ivf.as_path(), none), (&pipe, none), (none, &pipe)] {
        for ends in ["--duration", "hangup"] {
            ended_in_time(server.url(), &mut bob, (video, audio), ends).await;
        }
    }
}

/// Ends a call that waits for its source by itself, or by a command, within a few seconds.
async fn ended_in_time(server: &str, bob: &mut Peer, (video, audio): (&Path, &Path), ends: &str) {
    let media = [Path::new("--video"), video, Path::new("--audio"), audio];
    let reason = if ends == "hangup" { "hangup" } else { "duration" };
    let before;
    let ended = if ends == "hangup" {
        let mut alice = peer(server, &["login", "alice"]).args(media).with_input().start();
        alice.await_event("logged-in", PATIENCE).await;
        alice.type_line("call bob");
        alice.await_event("connected", PATIENCE).await;
        bob.next_event("stats", PATIENCE).await;
        before = tokio::time::Instant::now();
        alice.type_line("hangup");
        let ended = alice.await_event("ended", PATIENCE).await;
        alice.type_line("quit");
        alice.gone(PATIENCE).await;
        ended
    } else {
        let words = ["call", "bob", "--as", "alice", "--duration", "1s"];
        let mut alice = peer(server, &words).args(media).start();
        alice.await_event("connected", PATIENCE).await;
        before = tokio::time::Instant::now();
        let ended = alice.await_event("ended", PATIENCE).await;
        alice.gone(PATIENCE).await;
        ended
    };
    let took = before.elapsed();
    assert_eq!(ended["reason"], reason, "{media:?}: {ended}");
    assert!(took.as_secs() < 5, "{media:?} {ends}: {took:?}");
    bob.await_event("ended", PATIENCE).await;
}
