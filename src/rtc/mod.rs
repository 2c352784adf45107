//! Floor 2: the only place that names the `webrtc` crate.
//!
//! Owns the peer connection, RTP in and out, and every workaround that the
//! library needs. It knows nothing of names, servers or people.

mod agreed;
pub mod attributes;
mod candidates;
mod checks;
pub mod codecs;
pub mod config;
pub mod congestion;
pub mod connection;
pub mod counts;
pub mod doors;
pub mod events;
mod feedback;
mod fingerprints;
mod gate;
mod handler;
pub mod handshake;
pub mod inbound;
mod interceptors;
pub mod jitter_buffer;
pub mod netem;
mod outlet;
mod passwords;
pub mod path;
mod payload;
mod porter;
pub mod probe;
mod progress;
pub mod receiver;
mod records;
pub mod red;
mod refusal;
pub mod refused_datagrams;
pub mod relay;
mod rounds;
mod runtime;
mod sdp;
pub mod sender;
pub mod server_fault;
mod settings;
pub mod stats;
mod streams;
mod stun;
pub mod tcp;
mod tracks;
mod vouch;
