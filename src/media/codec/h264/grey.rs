//! Grey pictures to begin with where a stream has no IDR.
//!
//! Pure. A decoder that will only begin with an IDR is shown one that we make, and after it copies
//! until the numbers of pictures (ITU-T H.264 section 7.4.3, `frame_num` and
//! `pic_order_cnt_lsb`) are where the stream goes on.

use super::bits::Bits;
use super::nal::{nal_type, nal_unit_type, nal_units};
use super::sps::{Numbering, Sps};

/// So many pictures are made at most.
const MAX_GREY: u32 = 1024;

/// The highest number of a picture parameter set that OpenH264 takes; ours.
const OWN_SET: u32 = 56;

/// How far the picture to begin with comes after the last grey one: as many as may be shown before
/// it and come after it.
const LEAD: u32 = 32;

/// Grey pictures, each an access unit in Annex B form, after which a decoder goes on with this one,
/// which holds parameter sets and a picture that is no IDR. `None` when its numbers are out of reach.
#[must_use]
pub fn before(annex_b: &[u8]) -> Option<Vec<Vec<u8>>> {
    let numbering = Sps::find(annex_b)?.numbering;
    let Numbering { frame_bits, order_bits, is_summed, .. } = numbering;
    if is_summed {
        return None;
    }
    let first = nal_units(annex_b).find(|nal| nal_unit_type(nal) == nal_type::SLICE)?;
    let mut bits = Bits::new(first.get(1..)?);
    for _ in 0..3 {
        bits.ue()?;
    }
    let frame = bits.read(frame_bits)?;
    let order = order_bits.map_or(Some(0), |count| bits.read(count))?;
    let all_frames = 1u32.checked_shl(frame_bits)?;
    let mut copies = frame.checked_sub(1).unwrap_or(all_frames - 1);
    while copies < 4 {
        copies += all_frames;
    }
    if copies > MAX_GREY {
        return None;
    }
    // The order rises from 0 to shortly before that of the first picture, evenly.
    let all_orders = 1u32.checked_shl(order_bits.unwrap_or(4))?;
    let mut last = order.wrapping_sub(LEAD.min(all_orders / 4)) % all_orders;
    last += copies.saturating_sub(last).next_multiple_of(all_orders);
    let slice = |n: u32| {
        let order = u64::from(last) * u64::from(n) / u64::from(copies);
        numbering.slice(n % all_frames, order as u32 % all_orders, n == 0)
    };
    let mut pictures: Vec<Vec<u8>> = (0..=copies).map(slice).collect();
    let mut begin = Vec::new();
    for nal in nal_units(annex_b).filter(|nal| nal_unit_type(nal) == nal_type::SPS) {
        begin.extend_from_slice(&[0, 0, 0, 1]);
        begin.extend_from_slice(nal);
    }
    begin.extend_from_slice(&numbering.set());
    pictures.first_mut()?.splice(0..0, begin);
    Some(pictures)
}

impl Numbering {
    /// A picture parameter set without anything optional (section 7.3.2.2).
    fn set(&self) -> Vec<u8> {
        let mut out = Writer::new(0x68);
        out.ue(OWN_SET);
        out.ue(self.id);
        // No CABAC, no fields; one slice group, one reference each; no weights.
        out.put(0, 2);
        out.ue(0);
        out.ue(0);
        out.ue(0);
        out.put(0, 3);
        // Three quantizers; deblocking is told in slices; nothing else.
        out.put(0b111, 3);
        out.put(0b100, 3);
        out.end()
    }

    /// A grey picture, or a copy of the one before (sections 7.3.3 to 7.3.5).
    fn slice(&self, frame: u32, order: u32, is_idr: bool) -> Vec<u8> {
        let mut out = Writer::new(if is_idr { 0x65 } else { 0x61 });
        out.ue(0);
        out.ue(if is_idr { 7 } else { 5 });
        out.ue(OWN_SET);
        out.put(frame, self.frame_bits);
        if is_idr {
            out.ue(0);
        }
        if let Some(bits) = self.order_bits {
            out.put(order, bits);
        }
        // Which references, and how they are marked: as always. Then the quantizer.
        out.put(0, 2);
        if !is_idr {
            out.put(0, 1);
        }
        out.ue(0);
        // No deblocking.
        out.ue(1);
        if is_idr {
            // Predicted from nothing, which is 128, and nothing added to that: Intra_16x16 with DC,
            // chroma with DC, the same quantizer, no coefficients.
            (0..self.blocks).for_each(|_| out.put(0b0010_0111, 8));
        } else {
            out.ue(self.blocks);
        }
        out.end()
    }
}

/// Writes a NAL unit in Annex B form.
struct Writer {
    out: Vec<u8>,
    zeros: u32,
    byte: u8,
    taken: u32,
}

impl Writer {
    fn new(first: u8) -> Self {
        Self { out: vec![0, 0, 0, 1, first], zeros: 0, byte: 0, taken: 0 }
    }

    fn put(&mut self, value: u32, bits: u32) {
        for n in (0..bits).rev() {
            self.byte = self.byte << 1 | (value >> n & 1) as u8;
            self.taken += 1;
            if self.taken == 8 {
                self.put_byte();
            }
        }
    }

    fn put_byte(&mut self) {
        if self.zeros >= 2 && self.byte <= 3 {
            self.out.push(3);
            self.zeros = 0;
        }
        self.zeros = if self.byte == 0 { self.zeros + 1 } else { 0 };
        self.out.push(self.byte);
        (self.byte, self.taken) = (0, 0);
    }

    fn ue(&mut self, value: u32) {
        let bits = 32 - (value + 1).leading_zeros();
        self.put(0, bits - 1);
        self.put(value + 1, bits);
    }

    /// The stop bit and what fills its byte (section 7.3.2.11).
    fn end(mut self) -> Vec<u8> {
        self.put(1, 1);
        while self.taken > 0 {
            self.put(0, 1);
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_read() {
        let mut out = Writer::new(0x65);
        for value in [0, 1, 7, 56, 8160] {
            out.ue(value);
        }
        out.put(0, 24);
        let written = out.end();
        let mut bits = Bits::new(&written[5..]);
        for value in [0, 1, 7, 56, 8160] {
            assert_eq!(bits.ue(), Some(value));
        }
        assert_eq!(bits.read(24), Some(0), "no start code is made");
    }

    proptest! {
        #[test]
        fn wild_streams_never_panic(data: Vec<u8>, slice: Vec<u8>, frame_bits in 4u32..17) {
            let whole = [&[0, 0, 1, 0x67, 66, 0, 31][..], &data, &[0, 0, 1, 0x41], &slice].concat();
            prop_assert!(before(&whole).is_none_or(|made| made.len() <= MAX_GREY as usize + 1));
            let numbering = Numbering { frame_bits, blocks: 4, ..Numbering::default() };
            prop_assert!(numbering.slice(3, 0, true).len() > 8);
        }
    }
}
