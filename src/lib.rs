//! A native WebRTC peer: capture, encode, call, receive, show.

pub mod call;
pub mod cli;
pub mod clock;
pub mod ice;
pub mod loopback;
pub mod media;
pub mod phone;
pub mod rtc;
pub mod signaling;
