//! Access units to RTP payloads (RFC 6184, packetization-mode 1). Pure.

use bytes::{BufMut, Bytes, BytesMut};

use crate::media::codec::h264::nal::{nal_type, nal_unit_type, nal_units};

/// NAL unit types of RTP's own (RFC 6184 table 1).
pub(super) const STAP_A: u8 = 24;
pub(super) const FU_A: u8 = 28;

/// Splits access units into payloads of a bounded size.
#[derive(Debug, Clone)]
pub struct Packetizer {
    max_payload: usize,
}

impl Packetizer {
    /// Payloads will be at most `max_payload` bytes long (at least 16).
    #[must_use]
    pub fn new(max_payload: usize) -> Self {
        Self { max_payload: max_payload.max(16) }
    }

    /// The payloads of one access unit in Annex B form, in order. Parameter sets travel together
    /// (STAP-A), large NAL units in fragments (FU-A), the others by themselves.
    #[must_use]
    pub fn packetize(&self, access_unit: &Bytes) -> Vec<Bytes> {
        let mut payloads = Vec::new();
        let mut parameter_sets: Vec<Bytes> = Vec::new();
        for nal in nal_units(access_unit) {
            let nal = access_unit.slice_ref(nal);
            match nal_unit_type(&nal) {
                nal_type::SPS | nal_type::PPS => parameter_sets.push(nal),
                // Of no use over RTP: its boundaries are the marker and the timestamp.
                nal_type::AUD => {}
                _ => {
                    self.aggregate(std::mem::take(&mut parameter_sets), &mut payloads);
                    self.single_or_fragments(nal, &mut payloads);
                }
            }
        }
        self.aggregate(parameter_sets, &mut payloads);
        payloads
    }

    fn aggregate(&self, nals: Vec<Bytes>, payloads: &mut Vec<Bytes>) {
        let length = 1 + nals.iter().map(|nal| 2 + nal.len()).sum::<usize>();
        if nals.len() < 2 || length > self.max_payload {
            for nal in nals {
                self.single_or_fragments(nal, payloads);
            }
            return;
        }
        let mut payload = BytesMut::with_capacity(length);
        // NRI is the highest of those inside (RFC 6184 section 5.7).
        let nri = nals.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
        payload.put_u8(nri | STAP_A);
        for nal in nals {
            payload.put_u16(nal.len() as u16);
            payload.put_slice(&nal);
        }
        payloads.push(payload.freeze());
    }

    fn single_or_fragments(&self, nal: Bytes, payloads: &mut Vec<Bytes>) {
        if nal.len() <= self.max_payload {
            payloads.push(nal);
            return;
        }
        let (header, body) = (nal[0], &nal[1..]);
        let room = self.max_payload - 2;
        // Even sizes: a small last packet costs as much as a full one.
        let count = body.len().div_ceil(room);
        let size = body.len().div_ceil(count);
        for (index, fragment) in body.chunks(size).enumerate() {
            let start = if index == 0 { 0x80 } else { 0 };
            let end = if index + 1 == count { 0x40 } else { 0 };
            let mut payload = BytesMut::with_capacity(2 + fragment.len());
            payload.put_u8(header & 0xe0 | FU_A);
            payload.put_u8(start | end | header & 0x1f);
            payload.put_slice(fragment);
            payloads.push(payload.freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::depacketizer::Assembler;
    use proptest::prelude::*;

    fn access_unit(nals: &[Vec<u8>]) -> Bytes {
        let mut data = Vec::new();
        for nal in nals {
            data.extend([0, 0, 0, 1]);
            data.extend(nal);
        }
        Bytes::from(data)
    }

    #[test]
    fn parameter_sets_travel_together_before_the_fragments() {
        let idr: Vec<u8> = std::iter::once(0x65).chain(std::iter::repeat_n(7, 2_500)).collect();
        let unit = access_unit(&[vec![0x67, 1, 2], vec![0x68, 3], idr]);
        let payloads = Packetizer::new(1_000).packetize(&unit);
        assert_eq!(&payloads[0][..], [0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x68, 3]);
        assert_eq!(payloads.len(), 4);
        let fu_headers: Vec<u8> = payloads[1..].iter().map(|payload| payload[1]).collect();
        assert_eq!(fu_headers, [0x85, 0x05, 0x45]);
        assert!(payloads.iter().all(|payload| payload.len() <= 1_000));
    }

    proptest! {
        #[test]
        fn the_depacketizer_gives_back_what_went_in(
            sizes in prop::collection::vec((1_u8..=23, 1_usize..4_000), 1..6),
            max in 16_usize..1_500,
        ) {
            let nals: Vec<Vec<u8>> = sizes
                .iter()
                .filter(|(kind, _)| *kind != nal_type::AUD)
                .map(|(kind, size)| {
                    let body = (0..*size).map(|n| (n % 251) as u8 | 1);
                    std::iter::once(0x60 | kind).chain(body).collect()
                })
                .collect();
            let unit = access_unit(&nals);
            let mut assembler = Assembler::default();
            for payload in Packetizer::new(max).packetize(&unit) {
                prop_assert!(payload.len() <= max);
                prop_assert!(assembler.add(&payload).is_ok());
            }
            // Parameter sets may have moved together, never past a picture.
            prop_assert_eq!(assembler.finish(), (!nals.is_empty()).then_some(unit));
        }
    }
}
