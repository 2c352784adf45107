//! A native WebRTC peer: capture, encode, call, receive, show.

pub mod call;
pub mod clock;
pub mod ice;
pub mod media;
pub mod phone;
pub mod rtc;
pub mod signaling;
