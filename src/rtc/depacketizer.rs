//! RTP payloads to access units (RFC 6184, packetization-modes 0 and 1).
//!
//! Pure, over bytes from the network: whatever they hold, nothing panics and
//! nothing grows beyond a bound.

use bytes::{BufMut, Bytes, BytesMut};

use super::packetizer::{FU_A, STAP_A};

/// The largest access unit that is believed: far beyond a keyframe at the highest rates.
pub const MAX_ACCESS_UNIT: usize = 4 * 1024 * 1024;

/// Why a payload cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DepacketizeError {
    /// It ends before its own syntax does.
    #[error("the payload is cut short")]
    Truncated,
    /// A fragment without its beginning, or a beginning in the middle.
    #[error("a fragment does not fit the one before it")]
    BrokenFragment,
    /// A kind that packetization-mode 1 does not have (STAP-B, MTAP, FU-B) or that is reserved.
    #[error("NAL unit type {0} is not for this mode")]
    UnsupportedType(u8),
    /// The picture would be larger than [`MAX_ACCESS_UNIT`].
    #[error("the picture is too large")]
    TooLarge,
}

/// Whether a payload can be the first of an access unit: all but the later fragments.
#[must_use]
pub fn begins_nal_unit(payload: &[u8]) -> bool {
    match payload {
        [indicator, header, ..] if indicator & 0x1f == FU_A => header & 0x80 != 0,
        _ => true,
    }
}

/// Puts the payloads of one access unit together, in Annex B form.
#[derive(Debug, Default)]
pub struct Assembler {
    data: BytesMut,
    in_fragment: bool,
    broken: bool,
}

impl Assembler {
    /// Adds the next payload in order; an empty one (padding only) is nothing.
    ///
    /// # Errors
    /// When the payload breaks the syntax; the access unit is then lost.
    pub fn add(&mut self, payload: &[u8]) -> Result<(), DepacketizeError> {
        let result = self.add_unless_broken(payload);
        self.broken |= result.is_err();
        result
    }

    fn add_unless_broken(&mut self, payload: &[u8]) -> Result<(), DepacketizeError> {
        let Some(first) = payload.first() else { return Ok(()) };
        let kind = first & 0x1f;
        if self.in_fragment && kind != FU_A {
            return Err(DepacketizeError::BrokenFragment);
        }
        match kind {
            1..=23 => self.nal_unit(payload),
            STAP_A => self.aggregate(&payload[1..]),
            FU_A => self.fragment(payload),
            other => Err(DepacketizeError::UnsupportedType(other)),
        }
    }

    fn nal_unit(&mut self, nal: &[u8]) -> Result<(), DepacketizeError> {
        self.room_for(nal.len() + 4)?;
        self.data.put_slice(&[0, 0, 0, 1]);
        self.data.put_slice(nal);
        Ok(())
    }

    fn aggregate(&mut self, mut rest: &[u8]) -> Result<(), DepacketizeError> {
        while let [high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let nal = after.get(..length).ok_or(DepacketizeError::Truncated)?;
            if !nal.is_empty() {
                self.nal_unit(nal)?;
            }
            rest = &after[length..];
        }
        // One byte more than the units is padding of a careless sender; they are whole.
        Ok(())
    }

    fn fragment(&mut self, payload: &[u8]) -> Result<(), DepacketizeError> {
        let [indicator, header, body @ ..] = payload else {
            return Err(DepacketizeError::Truncated);
        };
        let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
        if start == self.in_fragment {
            return Err(DepacketizeError::BrokenFragment);
        }
        self.in_fragment = !end;
        if start {
            return self.nal_unit_from(indicator & 0xe0 | header & 0x1f, body);
        }
        self.room_for(body.len())?;
        self.data.put_slice(body);
        Ok(())
    }

    fn nal_unit_from(&mut self, header: u8, body: &[u8]) -> Result<(), DepacketizeError> {
        self.room_for(body.len() + 5)?;
        self.data.put_slice(&[0, 0, 0, 1, header]);
        self.data.put_slice(body);
        Ok(())
    }

    fn room_for(&self, more: usize) -> Result<(), DepacketizeError> {
        match self.data.len() + more <= MAX_ACCESS_UNIT {
            true => Ok(()),
            false => Err(DepacketizeError::TooLarge),
        }
    }

    /// The access unit, if it is whole and not empty; afterwards the assembler is as new.
    pub fn finish(&mut self) -> Option<Bytes> {
        let whole = !self.broken && !self.in_fragment && !self.data.is_empty();
        let data = std::mem::take(self).data;
        whole.then(|| data.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assemble(payloads: &[&[u8]]) -> Option<Bytes> {
        let mut assembler = Assembler::default();
        for payload in payloads {
            let _ = assembler.add(payload);
        }
        assembler.finish()
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

    proptest! {
        #[test]
        fn never_panics_and_stays_within_its_bound(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..64),
        ) {
            let mut assembler = Assembler::default();
            for payload in &payloads {
                let _ = begins_nal_unit(payload);
                let _ = assembler.add(payload);
            }
            let total: usize = payloads.iter().map(|payload| payload.len() * 5 + 5).sum();
            prop_assert!(assembler.finish().is_none_or(|unit| unit.len() <= total));
        }
    }
}
