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
