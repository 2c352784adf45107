//! Help text and README agree: what the README types is what the program takes.

use std::collections::BTreeSet;

use crate::support::process::PeerBuilder;

#[tokio::test]
async fn every_flag_in_the_readme_exists() {
    // Those of cargo.
    let mut known = BTreeSet::from(["--release".to_owned(), "--open".to_owned()]);
    known.extend(flags(&help(&["--help"]).await));
    for command in
        ["serve", "login", "call", "loopback", "doctor", "config", "keys", "completions", "man"]
    {
        known.extend(flags(&help(&[command, "--help"]).await));
    }
    let readme = include_str!("../README.md");
    let unknown: Vec<String> = flags(readme).difference(&known).cloned().collect();
    assert!(unknown.is_empty(), "README.md names flags that no command has: {unknown:?}");
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
