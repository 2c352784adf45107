//! Help text and documents agree: what they type is what the program takes.

use std::collections::BTreeSet;

use crate::support::process::PeerBuilder;

#[tokio::test]
async fn every_flag_in_the_documents_exists() {
    // Those of cargo.
    let mut known = BTreeSet::from(["--release".to_owned(), "--open".to_owned()]);
    known.extend(flags(&help(&["--help"]).await));
    for command in
        ["serve", "login", "call", "loopback", "doctor", "config", "keys", "completions", "man"]
    {
        known.extend(flags(&help(&[command, "--help"]).await));
    }
    // PERFORMANCE.md has flags of other programs.
    let pages = ["BAD-NETWORK", "DEVICES", "EVENTS", "EXIT-CODES", "LIMITS", "RECIPES", "SERVER"];
    let pages = pages.into_iter().chain(["SETTINGS", "TROUBLE"]);
    for page in pages.map(|name| format!("docs/{name}.md")).chain(["README.md".to_owned()]) {
        let text = std::fs::read_to_string(format!("{}/{page}", env!("CARGO_MANIFEST_DIR")));
        let text = text.unwrap_or_else(|error| panic!("{page}: {error}"));
        let unknown: Vec<String> = flags(&text).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{page} names flags that no command has: {unknown:?}");
    }
}

/// What bash offers for a line that ends where something is to be completed.
fn offered(script: &str, line: &str) -> Vec<String> {
    let ask = r#"
        peer() { printf 'bob\n'; }
        source /dev/stdin <<<"$1"
        line=$2
        COMP_LINE=$line COMP_POINT=${#line}
        # As readline parts words: at colons too.
        read -ra COMP_WORDS <<<"${line//:/ : }"
        [[ $line == *' ' || $line == *: ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _peer peer "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = std::process::Command::new("bash");
    let shown = bash.args(["-c", ask, "bash", script, line]).output().expect("bash");
    let text = String::from_utf8(shown.stdout).expect("UTF-8");
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[tokio::test]
async fn bash_completes_values_names_and_commands_wherever_they_belong() {
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_peer"))
        .args(["completions", "bash"])
        .output()
        .expect("the peer binary starts");
    let script = String::from_utf8(ended.stdout).expect("UTF-8");
    for (line, wanted) in [
        ("peer keys forget ", "bob"),
        ("peer call ", "bob"),
        ("peer login x --allow ", "bob"),
        ("peer man lo", "login"),
        ("peer call bob --view term", "terminal:sixel"),
        ("peer call bob --view terminal:k", "kitty"),
        ("peer call bob --stun n", "none"),
        ("peer call bob --ice-policy r", "relay"),
        ("peer call bob --speaker d", "default"),
        ("peer call bob --size 12", "1280x720"),
        ("peer completions z", "zsh"),
    ] {
        let offered = offered(&script, line);
        assert!(offered.iter().any(|one| one == wanted), "{line:?}: {wanted}: {offered:?}");
    }
    assert!(offered(&script, "peer keys ").iter().any(|word| word == "forget"));
}

async fn help(args: &[&str]) -> String {
    let ended = PeerBuilder::new(args).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    ended.said
}

/// Every `--word-word` in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    words
        .filter(|word| word.starts_with("--") && !word.starts_with("---"))
        .map(str::to_owned)
        .filter(|word| word.len() > 3)
        .collect()
}
