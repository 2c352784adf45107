//! H.264 in RTP (RFC 6184): access units to payloads and back.
//!
//! Pure, over bytes from the network: whatever they hold, nothing panics and nothing grows beyond a
//! bound. Sends in packetization-mode 1, reads that and mode 0.

use bytes::{BufMut, Bytes, BytesMut};

use super::{MAX_FRAME, Offer, Payload, Pictures, Readable, parameter};
use crate::media::codec::h264::nal::{nal_type, nal_unit_type, nal_units};

/// Constrained baseline first: everybody decodes it. The plain baseline of the second is what some
/// browsers list first; what we send is a subset of it (section 8.1).
pub(super) const PAYLOAD: Payload = Payload {
    // Section 8.2.1.
    clock_rate: 90_000,
    channels: 0,
    offers: &[
        Offer {
            payload_type: 102,
            repairs: Some(103),
            parameters: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        },
        Offer {
            payload_type: 104,
            repairs: Some(105),
            parameters: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
        },
    ],
    reads,
    pictures: Some(Pictures { split, join, begins, begins_keyframe }),
};

/// NAL unit types of RTP's own (table 1).
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Whether pictures may be cut up and put together says packetization-mode (section 6.3); modes 0 and 1
/// can be read, and we send in 1.
fn reads(parameters: &str) -> Option<Readable> {
    match parameter(parameters, "packetization-mode").unwrap_or("0") {
        "0" => Some(Readable::Only),
        "1" => Some(Readable::AndSendable),
        _ => None,
    }
}

/// The payloads of one access unit in Annex B form, in order. Parameter sets travel together (STAP-A),
/// large NAL units in fragments (FU-A), the others by themselves.
fn split(access_unit: &Bytes, max_payload: usize) -> Vec<Bytes> {
    let max_payload = max_payload.max(LEAST_PAYLOAD);
    let mut payloads = Vec::new();
    let mut parameter_sets: Vec<Bytes> = Vec::new();
    for nal in nal_units(access_unit) {
        let nal = access_unit.slice_ref(nal);
        match nal_unit_type(&nal) {
            nal_type::SPS | nal_type::PPS => parameter_sets.push(nal),
            // Of no use over RTP: its boundaries are the marker and the timestamp.
            nal_type::AUD => {}
            _ => {
                aggregate(std::mem::take(&mut parameter_sets), max_payload, &mut payloads);
                single_or_fragments(nal, max_payload, &mut payloads);
            }
        }
    }
    aggregate(parameter_sets, max_payload, &mut payloads);
    payloads
}

/// Smaller payloads than this are not made.
const LEAST_PAYLOAD: usize = 16;

fn aggregate(nals: Vec<Bytes>, max_payload: usize, payloads: &mut Vec<Bytes>) {
    let length = 1 + nals.iter().map(|nal| 2 + nal.len()).sum::<usize>();
    if nals.len() < 2 || length > max_payload {
        for nal in nals {
            single_or_fragments(nal, max_payload, payloads);
        }
        return;
    }
    let mut payload = BytesMut::with_capacity(length);
    // NRI is the highest of those inside (section 5.7).
    let nri = nals.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
    payload.put_u8(nri | STAP_A);
    for nal in nals {
        payload.put_u16(nal.len() as u16);
        payload.put_slice(&nal);
    }
    payloads.push(payload.freeze());
}

fn single_or_fragments(nal: Bytes, max_payload: usize, payloads: &mut Vec<Bytes>) {
    if nal.len() <= max_payload {
        payloads.push(nal);
        return;
    }
    let (header, body) = (nal[0], &nal[1..]);
    let room = max_payload - 2;
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

/// Whether a payload can be the first of an access unit: all but the later fragments.
fn begins(payload: &[u8]) -> bool {
    match payload {
        [indicator, header, ..] if indicator & 0x1f == FU_A => header & 0x80 != 0,
        _ => true,
    }
}

/// Whether a payload is the first of a picture that needs no other: parameter sets stand before it.
fn begins_keyframe(payload: &[u8]) -> bool {
    match payload {
        [first, _, _, nal, ..] if first & 0x1f == STAP_A => nal & 0x1f == nal_type::SPS,
        payload => !payload.is_empty() && nal_unit_type(payload) == nal_type::SPS,
    }
}

/// The access unit that these payloads are, in Annex B form.
fn join(payloads: &[Bytes]) -> Option<Bytes> {
    let most = payloads.iter().map(|payload| payload.len() + START_CODE.len()).sum::<usize>();
    let data = BytesMut::with_capacity(most.min(MAX_FRAME));
    let mut assembler = Assembler { data, in_fragment: false };
    payloads.iter().try_for_each(|payload| assembler.add(payload)).ok()?;
    assembler.finish()
}

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Why a payload cannot be taken.
enum Broken {
    /// It ends before its own syntax does.
    Truncated,
    /// A fragment without its beginning, or a beginning in the middle.
    Fragment,
    /// A kind that packetization-mode 1 does not have (STAP-B, MTAP, FU-B) or that is reserved.
    Type,
    /// The picture would be larger than [`MAX_FRAME`].
    TooLarge,
}

/// Puts the payloads of one access unit together, in Annex B form.
struct Assembler {
    data: BytesMut,
    in_fragment: bool,
}

impl Assembler {
    /// Adds the next payload in order; an empty one (padding only) is nothing.
    fn add(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let Some(first) = payload.first() else { return Ok(()) };
        let kind = first & 0x1f;
        if self.in_fragment && kind != FU_A {
            return Err(Broken::Fragment);
        }
        match kind {
            1..=23 => self.nal_unit(payload),
            STAP_A => self.aggregate(&payload[1..]),
            FU_A => self.fragment(payload),
            _ => Err(Broken::Type),
        }
    }

    fn nal_unit(&mut self, nal: &[u8]) -> Result<(), Broken> {
        self.room_for(nal.len() + START_CODE.len())?;
        self.data.put_slice(&START_CODE);
        self.data.put_slice(nal);
        Ok(())
    }

    fn aggregate(&mut self, mut rest: &[u8]) -> Result<(), Broken> {
        while let [high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let nal = after.get(..length).ok_or(Broken::Truncated)?;
            if !nal.is_empty() {
                self.nal_unit(nal)?;
            }
            rest = &after[length..];
        }
        // One byte more than the units is padding of a careless sender; they are whole.
        Ok(())
    }

    fn fragment(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let [indicator, header, body @ ..] = payload else {
            return Err(Broken::Truncated);
        };
        let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
        if start == self.in_fragment {
            return Err(Broken::Fragment);
        }
        self.in_fragment = !end;
        if start {
            return self.nal_unit_from(indicator & 0xe0 | header & 0x1f, body);
        }
        self.room_for(body.len())?;
        self.data.put_slice(body);
        Ok(())
    }

    fn nal_unit_from(&mut self, header: u8, body: &[u8]) -> Result<(), Broken> {
        self.room_for(body.len() + 5)?;
        self.data.put_slice(&[0, 0, 0, 1, header]);
        self.data.put_slice(body);
        Ok(())
    }

    fn room_for(&self, more: usize) -> Result<(), Broken> {
        match self.data.len() + more <= MAX_FRAME {
            true => Ok(()),
            false => Err(Broken::TooLarge),
        }
    }

    /// The access unit, if it is whole and not empty.
    fn finish(self) -> Option<Bytes> {
        let whole = !self.in_fragment && !self.data.is_empty();
        whole.then(|| self.data.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assemble(payloads: &[&[u8]]) -> Option<Bytes> {
        let payloads: Vec<Bytes> =
            payloads.iter().map(|payload| Bytes::copy_from_slice(payload)).collect();
        join(&payloads)
    }

    #[test]
    fn joins_single_units_aggregates_and_fragments() {
        let unit = assemble(&[
            &[0x78, 0, 2, 0x67, 9, 0, 1, 0x68],
            &[0x7c, 0x85, 1, 2],
            &[0x7c, 0x05, 3],
            &[],
            &[0x7c, 0x45, 4],
        ]);
        let expected = [0, 0, 0, 1, 0x67, 9, 0, 0, 0, 1, 0x68, 0, 0, 0, 1, 0x65, 1, 2, 3, 4];
        assert_eq!(unit.as_deref(), Some(&expected[..]));
    }

    #[test]
    fn an_aggregate_with_a_trailing_byte_keeps_its_units() {
        let unit = assemble(&[&[0x78, 0, 2, 0x67, 9, 0]]);
        assert_eq!(unit.as_deref(), Some(&[0, 0, 0, 1, 0x67, 9][..]));
    }

    #[test]
    fn what_is_broken_is_not_handed_on() {
        assert_eq!(assemble(&[&[0x7c, 0x05, 3]]), None, "a fragment without a beginning");
        assert_eq!(assemble(&[&[0x7c, 0x85, 3]]), None, "a fragment without an end");
        assert_eq!(assemble(&[&[0x7c, 0x85, 3], &[0x61, 1]]), None, "a unit inside fragments");
        assert_eq!(assemble(&[&[0x78, 0, 9, 1]]), None, "an aggregate that is cut short");
        assert_eq!(assemble(&[&[0x79, 0, 0]]), None, "STAP-B");
        assert_eq!(assemble(&[]), None);
    }

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
        let payloads = split(&unit, 1_000);
        assert_eq!(&payloads[0][..], [0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x68, 3]);
        assert_eq!(payloads.len(), 4);
        let fu_headers: Vec<u8> = payloads[1..].iter().map(|payload| payload[1]).collect();
        assert_eq!(fu_headers, [0x85, 0x05, 0x45]);
        assert!(payloads.iter().all(|payload| payload.len() <= 1_000));
    }

    proptest! {
        #[test]
        fn join_gives_back_what_split_took_apart(
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
            let payloads = split(&unit, max);
            prop_assert!(payloads.iter().all(|payload| payload.len() <= max));
            // Parameter sets may have moved together, never past a picture.
            prop_assert_eq!(join(&payloads), (!nals.is_empty()).then_some(unit));
        }

        #[test]
        fn never_panics_and_stays_within_its_bound(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..64),
        ) {
            let payloads: Vec<Bytes> = payloads.into_iter().map(Bytes::from).collect();
            for payload in &payloads {
                let _ = (begins(payload), begins_keyframe(payload));
            }
            let total: usize = payloads.iter().map(|payload| payload.len() * 5 + 5).sum();
            prop_assert!(join(&payloads).is_none_or(|unit| unit.len() <= total));
        }
    }

    #[test]
    fn modes_that_can_be_read_and_sent() {
        assert_eq!(reads(""), Some(Readable::Only));
        assert_eq!(
            reads("profile-level-id=42e01f;packetization-mode=1"),
            Some(Readable::AndSendable)
        );
        assert_eq!(reads("packetization-mode=2"), None, "interleaved");
    }
}
