//! A bad network on the machine of anybody: what an end sends goes over a link that we make up.
//!
//! `words` is what a link is asked to be, `link` the link itself as a pure machine, `meter` what
//! it counts, `wire` the thread and the sockets around it. Nothing here knows what a packet holds.

mod link;
pub mod meter;
pub mod wire;
pub mod words;

pub use meter::LinkCounts;
pub use wire::Wire;
pub use words::{LinkProfile, Network};
