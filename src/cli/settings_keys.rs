//! What can be remembered: which flags, and what their values look like in the user's file.

use clap::Arg;

/// What a value looks like in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A number, or text that is one.
    Number,
    /// Text, or an array of it.
    List,
    /// `true` or `false`.
    Switch,
    /// Text that stands in the file for secrets, and is never shown.
    Secret,
}

/// Something that can be remembered, named like its flag.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// The flag without its dashes.
    pub word: &'static str,
    /// What its value looks like.
    pub kind: Kind,
}

const fn key(word: &'static str, kind: Kind) -> Key {
    Key { word, kind }
}

/// Everything that can be remembered. What is added here must be a long flag of `peer login` and
/// `peer call`, but for the token, which is none: other users see a command line.
pub const KEYS: &[Key] = &[
    key("server", Kind::Text),
    key("name", Kind::Text),
    key("video", Kind::Text),
    key("audio", Kind::Text),
    key("size", Kind::Text),
    key("fps", Kind::Number),
    key("max-picture", Kind::Text),
    key("max-bitrate", Kind::Text),
    key("min-bitrate", Kind::Text),
    key("content", Kind::Text),
    key("view", Kind::Text),
    key("speaker", Kind::Text),
    key("record", Kind::Text),
    key("record-local", Kind::Text),
    key("record-split", Kind::Text),
    key("stun", Kind::List),
    key("turn", Kind::List),
    key("turn-user", Kind::Text),
    key("turn-password", Kind::Secret),
    key("ice-policy", Kind::Text),
    key("ca", Kind::Text),
    key("insecure", Kind::Switch),
    key("bind", Kind::Text),
    key("auto-answer", Kind::Switch),
    key("allow", Kind::List),
    key("timeout", Kind::Text),
    key("duration", Kind::Text),
    key("once", Kind::Switch),
    key("no-echo-cancellation", Kind::Switch),
    key("no-noise-suppression", Kind::Switch),
    key("no-auto-gain", Kind::Switch),
    key("no-high-pass", Kind::Switch),
    key("stats", Kind::Text),
    key("no-bell", Kind::Switch),
    key("token", Kind::Secret),
];

/// The setting that a flag can have. Our own name is `--as` of one command and an argument of
/// another.
#[must_use]
pub fn key_of(arg: &Arg) -> Option<&'static Key> {
    let word = if arg.get_id() == "me" { "name" } else { arg.get_long()? };
    KEYS.iter().find(|key| key.word == word)
}
