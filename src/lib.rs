//! A native WebRTC peer: capture, encode, call, receive, show.
//!
//! Most programs need three things: a [`PhoneConfig`] that says which server, which name, which
//! media; a [`Phone`], which is a login on that server; and its [`Events`]. [`Command`] is all
//! that a phone can be told, [`Event`] all that it tells. The folder `examples/` has a call in
//! forty lines, a bot that answers with a file, a source that draws, and a sink that saves.
//!
//! The house has five floors, and each knows only those below it:
//!
//! | floor | modules | what they own |
//! | --- | --- | --- |
//! | 5 | [`cli`] | the command line |
//! | 4 | [`phone`], [`loopback`], [`doctor`] | a login and its calls; a call with itself, measured; could a call work |
//! | 3 | [`call`] | one call: its life as a pure machine, and the task that carries it out |
//! | 2 | [`signaling`], [`rtc`] | who is online; the peer connection |
//! | 1 | [`media`] | pictures and sound |
//! | ground | [`clock`], [`ice`], [`key`], [`quantity`], [`race`], [`secret`], [`sequence`], [`system`], [`trust`] | time; candidates and servers as plain data; keys that sign; numbers with units; which of a host's addresses answers first; what is never shown; numbers that wrap; faults in words; whose certificates are believed |
//!
//! Own pictures or sound come in through [`VideoSource`] and [`AudioSource`], and go out through
//! [`VideoSink`] and [`AudioSink`].

pub mod call;
pub mod cli;
pub mod clock;
pub mod doctor;
pub mod ice;
pub mod key;
pub mod loopback;
pub mod media;
pub mod phone;
pub mod quantity;
pub mod race;
pub mod rtc;
pub mod secret;
pub mod sequence;
pub mod signaling;
pub mod system;
pub mod trust;

pub use media::frame::{AudioFrame, Size, VideoFrame};
pub use media::sink::{AudioSink, Sinks, VideoSink};
pub use media::source::{AudioSource, Sources, VideoSource};
pub use phone::command::Command;
pub use phone::config::PhoneConfig;
pub use phone::event::{Event, EventKind};
pub use phone::{Events, Phone, PhoneError};
