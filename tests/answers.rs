//! What a command was asked for is on stdout, and nothing else is: `| grep` and `> file` work.

use std::process::{Command, Output, Stdio};

use crate::support::{one_at_a_time, within_patience};

/// A `peer` in an empty home, whose streams are kept apart.
async fn peer(words: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a home");
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
    command.args(words).current_dir(home.path()).stdin(Stdio::null());
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
        command.env(name, home.path());
    }
    for name in ["DISPLAY", "WAYLAND_DISPLAY", "PULSE_SERVER", "PEER_SERVER", "RUST_LOG"] {
        command.env_remove(name);
    }
    let running = tokio::task::spawn_blocking(move || (command.output(), home).0);
    within_patience(running).await.expect("it runs").expect("the peer binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn answers_are_on_stdout_however_quiet() {
    for (words, answer) in [
        (&["devices"][..], "microphones, for --audio"),
        (&["config"], "  server "),
        (&["keys"], "keys of others"),
        (&["man", "call"], ".TH peer-call 1"),
        (&["completions", "bash"], "complete "),
        (&["doctor", "--server", "ws://127.0.0.1:1", "--stun", "none"], "codecs"),
    ] {
        for quiet in [&[][..], &["-q"]] {
            let ended = peer(&[words, quiet].concat()).await;
            let (out, err) = (text(&ended.stdout), text(&ended.stderr));
            assert!(out.contains(answer), "{words:?} {quiet:?}\n{out}\n{err}");
            assert!(!err.contains(answer), "{words:?} {quiet:?}\n{err}");
        }
    }
}

#[tokio::test]
async fn with_json_only_that_is_on_stdout() {
    for (words, event) in [
        (["devices", "--json"], "devices"),
        (["config", "--json"], "config"),
        (["keys", "--json"], "keys"),
    ] {
        let ended = peer(&words).await;
        let out = text(&ended.stdout);
        let answer: serde_json::Value = serde_json::from_str(&out).expect("one line of JSON");
        assert_eq!(answer["event"], event, "{out}");
    }
}

#[tokio::test]
async fn a_report_is_the_table_and_nothing_else() {
    let _alone = one_at_a_time().await;
    let words = ["loopback", "--duration", "1s", "--video", "none", "--audio", "tone"];
    for quiet in [false, true] {
        let ended = peer(&[&words[..], if quiet { &["-q"] } else { &[] }].concat()).await;
        let (out, err) = (text(&ended.stdout), text(&ended.stderr));
        assert!(out.starts_with(' ') && out.contains("caller to callee"), "{out}\n{err}");
        assert!(out.contains("\nverdict "), "{out}");
        assert!(!out.contains("calling itself"), "{out}\n{err}");
        assert_eq!(err.contains("calling itself"), !quiet, "{out}\n{err}");
    }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_no_fault_and_one_that_is_lost_is() {
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_peer")]).stdin(Stdio::null());
        command.output().expect("a shell")
    };
    let counted = shell(r#""$1" devices 2>/dev/null | grep -c -e --audio"#);
    assert_eq!(text(&counted.stdout).trim(), "1");
    let read = shell(r#"{ "$1" config; echo "$?" >&2; } | head -n 1 >/dev/null"#);
    assert_eq!(text(&read.stderr).trim(), "0");
    let full = shell(r#""$1" config >/dev/full"#);
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    assert!(text(&full.stderr).contains("cannot write to stdout"), "{full:?}");
}
