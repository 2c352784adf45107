//! Remembered settings from outside: which value wins, what is shown, what is saved, what is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::PATIENCE;
use crate::support::process::{Ended, PeerBuilder};
use crate::support::server::{Server, peer};

/// `peer config` in a home with these settings.
async fn config(home: &Path, words: &[&str]) -> Ended {
    PeerBuilder::new(["config", "--json"]).args(words).in_home(home).run().await
}

fn write(home: &Path, name: &str, text: &str) {
    let folder = home.join("config").join("peer");
    std::fs::create_dir_all(&folder).expect("a folder for settings");
    std::fs::write(folder.join(name), text).expect("settings are written");
}

fn setting<'a>(ended: &'a Ended, name: &str) -> &'a Value {
    let settings = ended.events[0]["settings"].as_array().expect("settings");
    settings.iter().find(|setting| setting["name"] == name).expect("a setting of that name")
}

#[tokio::test]
async fn every_value_is_shown_with_where_it_came_from() {
    let home = tempfile::tempdir().expect("a home");
    write(home.path(), "config.toml", "# mine\nserver = \"ws://filed:1\"\nvideo = \"test\"\n");
    write(home.path(), "secrets.toml", "turn-password = \"hush\"\n");
    let secrets = home.path().join("config/peer/secrets.toml");
    let ended = config(home.path(), &[]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains("chmod 600"), "{}", ended.said);
    std::fs::set_permissions(&secrets, PermissionsExt::from_mode(0o600)).expect("our own file");

    let ended = PeerBuilder::new(["config", "--json", "--audio", "none"])
        .env("PEER_SERVER", "ws://said:2")
        .in_home(home.path())
        .run()
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let path = home.path().join("config/peer/config.toml");
    assert_eq!(ended.events[0]["path"], *path.to_str().expect("a plain path"));
    for (name, value, source) in [
        ("audio", "none", "flag"),
        ("server", "ws://said:2", "environment"),
        ("video", "test", "file"),
        ("turn-password", "(secret)", "file"),
        ("view", "auto", "default"),
    ] {
        let setting = setting(&ended, name);
        assert_eq!((&setting["value"], &setting["source"]), (&value.into(), &source.into()));
    }
    assert_eq!(setting(&ended, "server")["variable"], "PEER_SERVER");
    assert_eq!(setting(&ended, "video")["line"], 3);
    assert!(!ended.said.contains("hush"), "{}", ended.said);
    let ended = PeerBuilder::new(["config"]).in_home(home.path()).run().await;
    assert!(ended.said.contains("file: config.toml, line 3"), "{}", ended.said);
    assert!(!ended.said.contains("hush"), "{}", ended.said);
}

#[tokio::test]
async fn settings_are_used_and_flags_win() {
    let server = Server::start().await;
    let home = tempfile::tempdir().expect("a home");
    let text = format!(
        "server = '{}'\nname = 'alice'\nvideo = 'test'\naudio = 'tone'\nview = 'none'\nspeaker = 'none'\nstun = 'none'\n",
        server.url()
    );
    write(home.path(), "config.toml", &text);
    let mut alice = PeerBuilder::new(["login", "--json"]).in_home(home.path()).start();
    assert_eq!(alice.await_event("logged-in", PATIENCE).await["name"], "alice");
    let ended = PeerBuilder::new(["call", "nobody", "--as", "bob", "--json"])
        .in_home(home.path())
        .run()
        .await;
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert_eq!(ended.events[0]["name"], "bob");
}

#[tokio::test]
async fn what_login_saves_later_commands_use() {
    let server = Server::start().await;
    let home = tempfile::tempdir().expect("a home");
    write(home.path(), "config.toml", "# mine\nfps = 20 # slow\n");
    let words = ["login", "alice", "--save", "--fps", "25", "--turn", "turn:t", "--turn-user", "u"];
    let mut alice =
        peer(server.url(), &words).args(["--turn-password", "hush"]).in_home(home.path()).start();
    alice.await_event("logged-in", PATIENCE).await;
    alice.terminate();
    let ended = alice.wait(PATIENCE).await;
    assert!(ended.said.contains("config.toml now has server, name"), "{}", ended.said);

    let folder = home.path().join("config/peer");
    let text = std::fs::read_to_string(folder.join("config.toml")).expect("settings");
    assert!(text.starts_with("# mine\nfps = 25 # slow\n"), "{text}");
    assert!(text.contains("turn = \"turn:t\"") && !text.contains("hush"), "{text}");
    let secrets = folder.join("secrets.toml");
    assert!(std::fs::read_to_string(&secrets).expect("secrets").contains("hush"));
    let mode = secrets.metadata().expect("secrets").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let shown = config(home.path(), &[]).await;
    for (name, value) in [("name", "alice"), ("server", server.url()), ("turn-user", "u")] {
        assert_eq!(setting(&shown, name)["value"], value, "{}", shown.said);
        assert_eq!(setting(&shown, name)["source"], "file");
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_line() {
    let home = tempfile::tempdir().expect("a home");
    write(home.path(), "config.toml", "audio = 'tone'\nvidoe = 'test'\n");
    for words in [&["config"][..], &["call", "bob", "--as", "alice"], &["login", "alice"]] {
        let ended = PeerBuilder::new(words).in_home(home.path()).run().await;
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        let error = "config.toml, line 2: unknown setting 'vidoe'; did you mean 'video'?";
        assert!(ended.said.contains(error), "{}", ended.said);
    }
    // What needs no settings is not kept from working.
    let ended = PeerBuilder::new(["man"]).in_home(home.path()).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let other = home.path().join("other.toml");
    let other = other.to_str().expect("a plain path");
    let ended = config(home.path(), &["--config", other]).await;
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains("there is no such file"), "{}", ended.said);
    std::fs::write(other, "fps = 25\n").expect("a file");
    let ended = PeerBuilder::new(["config", "--json"])
        .env("PEER_CONFIG", other)
        .in_home(home.path())
        .run()
        .await;
    assert_eq!(setting(&ended, "fps")["value"], "25", "{}", ended.said);
}

#[tokio::test]
async fn a_manual_page_and_completions_are_written() {
    let ended = PeerBuilder::new(["man", "login"]).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains(".TH peer-login 1"), "{}", ended.said);
    let ended = PeerBuilder::new(["man", "dance"]).run().await;
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    let folder = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let ended = PeerBuilder::new(["completions", shell]).run().await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        if shell == "bash" {
            completes(folder.path(), &ended.said);
        }
    }
}

/// Has bash itself complete.
fn completes(folder: &Path, said: &str) {
    let script: String = said
        .lines()
        .filter_map(|line| line.strip_prefix("out| "))
        .map(|line| format!("{line}\n"))
        .collect();
    let path = folder.join("peer.bash");
    // Somebody had calls with these; one of them knows what a shell expands.
    let state = folder.join("peer");
    std::fs::create_dir_all(&state).expect("a folder");
    let last = r#"{"server":"ws://h","name":"me","people":["bob","$(touch evil)","berta"]}"#;
    std::fs::write(state.join("last.json"), last).expect("a file");
    std::fs::write(folder.join("tape.mp4"), "").expect("a file");
    let peer = format!("peer() {{ {} \"$@\"; }}", env!("CARGO_BIN_EXE_peer"));
    for (typed, completed) in [
        ("login --no-b", "--no-bell"),
        ("call --content m", "motion"),
        ("call --ice-policy r", "relay"),
        ("login --view w", "window"),
        ("call --video t", "tape.mp4 test"),
        ("call b", "berta bob"),
        ("login --allow be", "berta"),
        ("completions b", "bash"),
    ] {
        let words: Vec<&str> = typed.split(' ').collect();
        let (current, before) =
            (words[words.len() - 1], words.get(words.len() - 2).unwrap_or(&"peer"));
        let ask = format!(
            "COMP_WORDS=(peer {typed}); COMP_CWORD={}; _peer peer {current} {before}; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\" | sort | tr '\\n' ' '",
            words.len()
        );
        std::fs::write(&path, format!("{script}\n{peer}\n{ask}\n")).expect("a file");
        let bash = std::process::Command::new("bash")
            .arg(&path)
            .current_dir(folder)
            .env("XDG_STATE_HOME", folder)
            .output()
            .expect("bash runs");
        assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), completed, "{typed}: {bash:?}");
    }
    assert!(!folder.join("evil").exists(), "a name is not a command");
}

#[tokio::test]
async fn every_command_has_its_page_installed() {
    let share = tempfile::tempdir().expect("a folder");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/install-documents.sh");
    let installed = std::process::Command::new(script)
        .arg(env!("CARGO_BIN_EXE_peer"))
        .arg(share.path())
        .status()
        .expect("the script runs");
    assert!(installed.success());
    let help = PeerBuilder::new(["--help"]).run().await.said;
    let commands = help.split("Commands:").nth(1).expect("commands").lines().skip(1);
    let commands = commands.map_while(|line| line.strip_prefix("out|   ")?.split(' ').next());
    let commands: Vec<&str> = commands.filter(|name| !name.is_empty() && *name != "help").collect();
    assert!(commands.contains(&"login"), "{help}");
    for command in commands {
        let page = share.path().join(format!("man/man1/peer-{command}.1"));
        assert!(page.exists(), "scripts/install-documents.sh leaves out {command}");
    }
    for path in [
        "man/man1/peer.1",
        "bash-completion/completions/peer",
        "zsh/site-functions/_peer",
        "fish/vendor_completions.d/peer.fish",
    ] {
        assert!(share.path().join(path).exists(), "{path}");
    }
    let removed = std::process::Command::new(script).arg("--remove").arg(share.path()).status();
    assert!(removed.expect("the script runs").success());
    let left = files(share.path());
    assert!(left.is_empty(), "uninstall leaves {left:?}");
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_service_is_installed_where_systemd_looks_and_taken_away_again() {
    let make = |target: &str| {
        let made = std::process::Command::new("make")
            .args(["-n", target, "DESTDIR=/stage", "PREFIX=/opt/peer"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("make runs");
        String::from_utf8_lossy(&made.stdout).into_owned()
    };
    let unit = "/stage/opt/peer/lib/systemd/system/peer-serve.service";
    let (put, away) = (make("install"), make("uninstall"));
    assert!(put.contains(unit) && put.contains("s|/usr/local/bin|/opt/peer/bin|"), "{put}");
    assert!(away.contains(&format!("rm -f {unit}")), "{away}");
    assert!(away.contains("rm -f /stage/opt/peer/bin/peer"), "{away}");
}

#[tokio::test]
async fn a_robot_keeps_in_its_file_what_it_wants() {
    let server = Server::start().await;
    let home = tempfile::tempdir().expect("a home");
    let flags = ["--auto-answer", "--allow", "bob,carol", "--bind", "127.0.0.1", "--no-auto-gain"];
    let words = [&["login", "robot", "--save"][..], &flags].concat();
    let mut robot = peer(server.url(), &words).in_home(home.path()).start();
    robot.await_event("logged-in", PATIENCE).await;
    robot.terminate();
    robot.gone(PATIENCE).await;
    let text =
        std::fs::read_to_string(home.path().join("config/peer/config.toml")).expect("a file");
    for line in ["auto-answer = true", "bind = \"127.0.0.1\"", "no-auto-gain = true"] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let shown = config(home.path(), &[]).await;
    assert_eq!(setting(&shown, "allow")["value"], serde_json::json!(["bob", "carol"]));
    assert_eq!(setting(&shown, "auto-answer")["value"], true);
    // And it answers, without a word on its command line.
    let mut robot = PeerBuilder::new(["login", "--json"]).in_home(home.path()).start();
    robot.await_event("logged-in", PATIENCE).await;
    let refused = peer(server.url(), &["call", "robot", "--as", "dave"]).run().await;
    assert_eq!(refused.code, Some(4), "{}", refused.said);
    let words = ["call", "robot", "--as", "bob", "--duration", "1s", "--bind", "127.0.0.1"];
    let answered = peer(server.url(), &words).run().await;
    assert_eq!(answered.code, Some(0), "{}", answered.said);
}
