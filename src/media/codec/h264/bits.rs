//! Bits of a NAL unit: flags and Exp-Golomb numbers (ITU-T H.264 sections 7.2 and 9.1).
//!
//! Pure, over bytes that may come from the network: says when they end, never panics.

/// Bits of a NAL unit, emulation prevention bytes left out (section 7.4.1).
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    zeros: u32,
    byte: u8,
    left: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, zeros: 0, byte: 0, left: 0 }
    }

    fn next_byte(&mut self) -> Option<u8> {
        let mut byte = *self.data.get(self.at)?;
        self.at += 1;
        if self.zeros >= 2 && byte == 3 {
            self.zeros = 0;
            byte = *self.data.get(self.at)?;
            self.at += 1;
        }
        self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
        Some(byte)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        if self.left == 0 {
            self.byte = self.next_byte()?;
            self.left = 8;
        }
        self.left -= 1;
        Some(self.byte >> self.left & 1 == 1)
    }

    /// `count` bits, at most 32.
    pub(super) fn read(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// An Exp-Golomb number (section 9.1).
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        (1u32 << zeros).checked_add(self.read(zeros)?)?.checked_sub(1)
    }

    pub(super) fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 0 { -code / 2 } else { (code + 1) / 2 })
    }
}
