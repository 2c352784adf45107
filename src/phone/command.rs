//! What a phone can be told: one vocabulary for the prompt, scripts and the library.

/// Tells a phone to do something. Commands without a name act on the current call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Call somebody.
    Call {
        /// Their name on the server.
        name: String,
    },
    /// Go on with whom the last `key-changed` was about, as they showed themselves then: they are called,
    /// and their key takes the place of the known one once the call is connected.
    Trust,
    /// Answer the call that rings.
    Answer,
    /// Reject the call that rings.
    Reject,
    /// End the call, whatever state it is in.
    Hangup,
    /// End the call, whatever state it is in, with the reason `interrupted`.
    Interrupt,
    /// Send silence instead of our sound (`true`), or our sound again.
    Mute(bool),
    /// Send our picture (`true`), or a dark one instead.
    Video(bool),
    /// Record what the other side sends from now on (`true`), or no longer. The file is the next one of
    /// [`Sinks::open_recorder`](crate::media::sink::Sinks::open_recorder).
    Record(bool),
    /// Say at once how the call goes: a `stats` event.
    Status,
    /// Say which calls were missed: a `missed` event.
    Missed,
    /// Hang up, log out and stop.
    Quit,
}
