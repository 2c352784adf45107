//! H.264 as MP4 and Matroska store it: the avcC record, and NAL units with a length in front.
//!
//! Translates to and from Annex B. ISO/IEC 14496-15 section 5.3.3.

use super::bytes::Cursor;
use super::{ContainerError, MAX_PACKET};
use crate::media::codec::h264::nal::{nal_type, nal_unit_type, nal_units};

/// The decoder configuration record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvcConfig {
    /// Bytes of the length before each NAL unit: 1, 2 or 4.
    length_size: usize,
    /// Sequence parameter sets.
    pub sps: Vec<Vec<u8>>,
    /// Picture parameter sets.
    pub pps: Vec<Vec<u8>>,
}

impl AvcConfig {
    /// Parses an avcC record.
    ///
    /// # Errors
    /// When it is cut or holds no parameter sets.
    pub fn parse(data: &[u8]) -> Result<Self, ContainerError> {
        let mut cursor = Cursor::new(data);
        let head = cursor.take(5)?;
        if head[0] != 1 {
            return Err(ContainerError::corrupt("the H.264 configuration has an unknown version"));
        }
        let length_size = usize::from(head[4] & 3) + 1;
        let sps_count = cursor.u8()? & 0x1F;
        let sps = parameter_sets(&mut cursor, sps_count)?;
        let pps_count = cursor.u8()?;
        let pps = parameter_sets(&mut cursor, pps_count)?;
        Ok(Self { length_size, sps, pps })
    }

    /// Turns one sample into Annex B; puts the parameter sets before an IDR that has none. Of a
    /// sample that ends in the middle of a unit the rest is what there is.
    ///
    /// # Errors
    /// Never today; a sample is whatever its bytes are.
    pub fn to_annexb(&self, sample: &[u8]) -> Result<Vec<u8>, ContainerError> {
        let mut cursor = Cursor::new(sample);
        let mut out = Vec::with_capacity(sample.len().min(MAX_PACKET) + 64);
        let mut has_sps = false;
        while let Ok(len) = cursor.uint(self.length_size) {
            let nal = usize::try_from(len).ok().and_then(|len| cursor.take(len).ok());
            let Some(nal) = nal else { break };
            has_sps |= nal_unit_type(nal) == nal_type::SPS;
            if nal_unit_type(nal) == nal_type::IDR && !has_sps {
                has_sps = true;
                out.extend_from_slice(&self.sets());
            }
            push_nal(&mut out, nal);
        }
        Ok(out)
    }

    /// The parameter sets in Annex B form: what a decoder must see that begins without an IDR.
    #[must_use]
    pub fn sets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.sps.iter().chain(&self.pps).for_each(|set| push_nal(&mut out, set));
        out
    }
}

fn parameter_sets(cursor: &mut Cursor<'_>, count: u8) -> Result<Vec<Vec<u8>>, ContainerError> {
    (0..count)
        .map(|_| {
            let len = cursor.u16()?;
            Ok(cursor.take(usize::from(len))?.to_vec())
        })
        .collect()
}

fn push_nal(out: &mut Vec<u8>, nal: &[u8]) {
    out.extend_from_slice(&[0, 0, 0, 1]);
    out.extend_from_slice(nal);
}

/// Turns an Annex B access unit into NAL units with four-byte lengths.
///
/// Parameter sets stay where they are, so that a change of size in the middle of a stream keeps
/// its description; delimiters go.
#[must_use]
pub fn to_length_prefixed(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len() + 16);
    for nal in nal_units(unit).filter(|nal| nal_unit_type(nal) != nal_type::AUD) {
        // A NAL unit of 4 GiB cannot come out of an access unit in memory on the network.
        out.extend_from_slice(&(nal.len() as u32).to_be_bytes());
        out.extend_from_slice(nal);
    }
    out
}

/// The first SPS and PPS of an access unit.
#[must_use]
pub fn parameter_sets_of(unit: &[u8]) -> Option<(&[u8], &[u8])> {
    let find = |kind| nal_units(unit).find(|nal| nal_unit_type(nal) == kind);
    Some((find(nal_type::SPS)?, find(nal_type::PPS)?))
}

/// Builds the avcC record for one SPS and PPS; `None` when they are too short or too long to be such.
#[must_use]
pub fn build_config(sps: &[u8], pps: &[u8]) -> Option<Vec<u8>> {
    let [_, profile, constraints, level, ..] = *sps else { return None };
    let mut out = vec![1, profile, constraints, level, 0xFF, 0xE1];
    out.extend_from_slice(&u16::try_from(sps.len()).ok()?.to_be_bytes());
    out.extend_from_slice(sps);
    out.push(1);
    out.extend_from_slice(&u16::try_from(pps.len()).ok()?.to_be_bytes());
    out.extend_from_slice(pps);
    if matches!(profile, 100 | 110 | 122 | 144) {
        // 4:2:0, 8 bits, no SPS extensions: all that a WebRTC High profile stream can be.
        out.extend_from_slice(&[0xFD, 0xF8, 0xF8, 0]);
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPS: [u8; 6] = [0x67, 66, 0xC0, 31, 0xDA, 2];
    const PPS: [u8; 3] = [0x68, 0xCE, 0x3C];

    #[test]
    fn a_record_survives_building_and_parsing() {
        let config = AvcConfig::parse(&build_config(&SPS, &PPS).unwrap()).unwrap();
        assert_eq!(
            config,
            AvcConfig { length_size: 4, sps: vec![SPS.to_vec()], pps: vec![PPS.to_vec()] }
        );
    }

    #[test]
    fn an_access_unit_goes_there_and_back() {
        let unit = [0, 0, 0, 1, 9, 0xF0, 0, 0, 0, 1, 0x65, 0x88, 1, 0, 0, 1, 0x65, 8, 2];
        let sample = to_length_prefixed(&unit);
        assert_eq!(sample, [0, 0, 0, 3, 0x65, 0x88, 1, 0, 0, 0, 3, 0x65, 8, 2]);
        let config = AvcConfig::parse(&build_config(&SPS, &PPS).unwrap()).unwrap();
        let back = config.to_annexb(&sample).unwrap();
        let found: Vec<&[u8]> = nal_units(&back).collect();
        assert_eq!(found, [&SPS[..], &PPS, &[0x65, 0x88, 1], &[0x65, 8, 2]]);
        assert_eq!(parameter_sets_of(&back), Some((&SPS[..], &PPS[..])));
    }

    proptest! {
        #[test]
        fn wild_bytes_never_panic(record in proptest::collection::vec(any::<u8>(), 0..80),
                                  sample in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut record = record;
            if let Some(version) = record.first_mut() { *version = 1; }
            if let Ok(config) = AvcConfig::parse(&record)
                && let Ok(unit) = config.to_annexb(&sample) {
                let sets: usize = config.sps.iter().chain(&config.pps).map(|set| set.len() + 4).sum();
                prop_assert!(unit.len() <= 4 * sample.len() + sets);
            }
        }
    }
}
