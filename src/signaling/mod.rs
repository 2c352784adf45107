//! Floor 2: who is online, and what they tell each other.
//!
//! Owns the JSON protocol, the switchboard and both ends of the WebSocket. It
//! knows no media and no RTP: SDP and candidates are text to it.

pub mod client;
pub mod counts;
pub mod envelope;
pub mod handout;
pub mod host;
pub mod ledger;
pub mod limiter;
pub mod message;
pub mod name;
pub mod origin;
pub mod reconnect;
pub mod server;
pub mod switchboard;
pub mod token_bucket;

#[cfg(test)]
mod test_support;
