//! What the encoder is told, given what the path carries. Pure.

/// Below this a picture cannot be recognised, bits a second; the encoder gets no less.
const MIN_VIDEO: u32 = 40_000;

/// RTP, SRTP, UDP and IP headers on a packet of 20 ms of sound: 50 a second, about 60 bytes each.
const AUDIO_OVERHEAD: u32 = 24_000;

/// The share of the rest that pictures may take: headers, repairs and the encoder's own
/// unsteadiness need some air, or the pacer's queue grows.
const VIDEO_SHARE: f64 = 0.95;

/// The video encoder's target when the path carries `path` and sound is encoded at `audio`, all in
/// bits a second. `audio` is 0 when no sound is sent.
#[must_use]
pub fn video_bitrate(path: u32, audio: u32) -> u32 {
    let sound = if audio == 0 { 0 } else { audio + AUDIO_OVERHEAD };
    let rest = path.saturating_sub(sound);
    ((f64::from(rest) * VIDEO_SHARE) as u32).max(MIN_VIDEO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_comes_first_and_pictures_stay_below_the_rest() {
        assert_eq!(video_bitrate(1_500_000, 32_000), 1_371_800);
        assert_eq!(video_bitrate(1_000_000, 0), 950_000);
        assert_eq!(video_bitrate(50_000, 32_000), MIN_VIDEO);
        assert!(video_bitrate(u32::MAX, 0) < u32::MAX);
    }
}
