//! Opus in RTP (RFC 7587): one packet a payload, as it is.

use super::{Offer, Payload, Readable};

/// Under the number that browsers use. FEC is welcome, and packets of 10 ms and more (RFC 7587 section
/// 6.1).
pub(super) const PAYLOAD: Payload = Payload {
    clock_rate: 48_000,
    channels: 2,
    offers: &[Offer { payload_type: 111, repairs: None, parameters: "minptime=10;useinbandfec=1" }],
    reads: |_| Some(Readable::AndSendable),
    pictures: None,
};
