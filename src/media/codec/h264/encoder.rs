//! Pictures to H.264.

use std::time::{Duration, Instant};

use bytes::Bytes;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, Level,
    MatrixCoefficients, Profile, RateControlMode, SpsPpsStrategy, UsageType, VuiConfig,
};
use openh264::formats::YUVSource;
use openh264::{OpenH264API, Timestamp};

use super::{CODEC, level_idc};
use crate::media::codec::{CodecError, VideoEncoder, VideoEncoderSettings, in_words};
use crate::media::encoded::{Codec, EncodedFrame, FrameTime};
use crate::media::frame::{Size, VideoFrame};
use crate::media::showing::{Colour, Matrix};

/// Room for a quarter more pictures a second than the nominal rate: a source that is not quite
/// regular must not look too fast to the rate control, which would then skip pictures.
const RATE_HEADROOM: f64 = 1.25;

/// How far a moment may go over the target; the path's pacer smooths it.
const PEAK: f64 = 1.5;

/// What the rate control is told, of the target, for a keyframe that somebody waits for: a small one is
/// sooner there, and its rest comes with the next pictures.
const KEYFRAME_SHARE: f64 = 0.5;

/// Encodes pictures in constrained baseline without B-frames, SPS and PPS before every IDR. The SPS
/// says what the colours of the pictures mean.
pub struct H264Encoder {
    encoder: Encoder,
    settings: VideoEncoderSettings,
    colour: Colour,
    level: u8,
    began_at: Option<Instant>,
    last: Duration,
    keyframe_wanted: bool,
    was_keyframe: bool,
}

impl std::fmt::Debug for H264Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H264Encoder").field("settings", &self.settings).finish()
    }
}

impl H264Encoder {
    /// An encoder for pictures of that size; pictures of another size restart it.
    ///
    /// # Errors
    /// When the library refuses the settings, for example a size over 3840x2160.
    pub fn new(settings: VideoEncoderSettings) -> Result<Self, CodecError> {
        let colour = Colour::default();
        let level = level_idc(settings.size, settings.fps, settings.bitrate);
        let encoder = open(&settings, colour, level)?;
        Ok(Self {
            encoder,
            settings,
            colour,
            level,
            began_at: None,
            last: Duration::ZERO,
            keyframe_wanted: false,
            was_keyframe: false,
        })
    }

    /// Begins anew with a small keyframe. One in the middle would leave the rate control in debt: it
    /// skips every second picture for seconds after it.
    fn begin_anew(&mut self) -> Result<(), CodecError> {
        let bitrate = (f64::from(self.settings.bitrate) * KEYFRAME_SHARE) as u32;
        let settings = VideoEncoderSettings { bitrate, ..self.settings };
        self.encoder = open(&settings, self.colour, self.level)?;
        (self.began_at, self.last) = (None, Duration::ZERO);
        Ok(())
    }

    /// The rate control wants times that grow; pictures of one source have them.
    fn timestamp(&mut self, captured_at: Instant) -> Timestamp {
        let began_at = *self.began_at.get_or_insert(captured_at);
        let since = captured_at.saturating_duration_since(began_at);
        self.last = since.max(self.last + Duration::from_millis(1));
        Timestamp::from_millis(self.last.as_millis() as u64)
    }
}

impl VideoEncoder for H264Encoder {
    fn encode(&mut self, frame: &VideoFrame) -> Result<Option<EncodedFrame>, CodecError> {
        if frame.size() != self.settings.size || frame.colour() != self.colour {
            (self.settings.size, self.colour) = (frame.size(), frame.colour());
            let VideoEncoderSettings { size, fps, bitrate } = self.settings;
            self.level = level_idc(size, fps, bitrate);
            self.begin_anew()?;
        } else if self.keyframe_wanted && self.was_keyframe {
            // Two encoders would give both the same idr_pic_id (ITU-T H.264 section 7.4.3).
            self.encoder.force_intra_frame();
        } else if self.keyframe_wanted && self.began_at.is_some() {
            self.begin_anew()?;
        }
        self.keyframe_wanted = false;
        let first = self.began_at.is_none();
        let at = self.timestamp(frame.captured_at());
        let stream = self.encoder.encode_at(&Picture(frame), at).map_err(|error| {
            let reason = format!("it takes no picture of {}", frame.size());
            CodecError::Encode { codec: CODEC, reason: in_words(CODEC, &error, reason) }
        })?;
        let keyframe = matches!(stream.frame_type(), FrameType::IDR | FrameType::I);
        let data = stream.to_vec();
        if !data.is_empty() {
            self.was_keyframe = keyframe;
        }
        if first {
            // The safe API sets the bound to the target, which makes pictures be skipped all the time.
            set_live_bitrate(&mut self.encoder, 0, self.settings.bitrate);
        }
        let time = FrameTime::Captured(frame.captured_at());
        Ok((!data.is_empty())
            .then(|| EncodedFrame::picture(Codec::H264, Bytes::from(data), keyframe, time)))
    }

    fn request_keyframe(&mut self) {
        self.keyframe_wanted = true;
    }

    fn set_bitrate(&mut self, bitrate: u32) {
        let old = std::mem::replace(&mut self.settings.bitrate, bitrate);
        // Before the first picture the library has no layers to set; the setting is used then anyway.
        if self.began_at.is_none() {
            if let Ok(encoder) = open(&self.settings, self.colour, self.level) {
                self.encoder = encoder;
            }
            return;
        }
        set_live_bitrate(&mut self.encoder, old, bitrate);
    }
}

/// What the SPS says of the colours (ITU-T H.264 annex E.2.1). Silence would be a guess of each
/// receiver: browsers take it for BT.709, whatever the size. The red, green and blue behind a BT.601
/// matrix are those of screens and cameras (sRGB, and so BT.709), not of old television: who is told
/// of the latter converts them once more.
fn described(colour: Colour) -> VuiConfig {
    let told = match colour.matrix {
        Matrix::Bt601 => VuiConfig::bt709().matrix_coefficients(MatrixCoefficients::Smpte170M),
        Matrix::Bt709 => VuiConfig::bt709(),
        Matrix::Bt2020 => VuiConfig::bt2020(),
    };
    told.full_range(colour.full_range)
}

fn open(settings: &VideoEncoderSettings, colour: Colour, level: u8) -> Result<Encoder, CodecError> {
    let config = EncoderConfig::new()
        .bitrate(BitRate::from_bps(settings.bitrate))
        .max_frame_rate(FrameRate::from_hz((settings.fps * RATE_HEADROOM) as f32))
        .usage_type(UsageType::CameraVideoRealTime)
        .rate_control_mode(RateControlMode::Bitrate)
        // Without skipping, this rate control cannot hold its rate.
        .skip_frames(true)
        .complexity(Complexity::Low)
        .profile(Profile::Baseline)
        .vui(described(colour))
        .level(level_of(level))
        .sps_pps_strategy(SpsPpsStrategy::ConstantId)
        // Keyframes come when somebody asks for them.
        .intra_frame_period(IntraFramePeriod::from_num_frames(0))
        .scene_change_detect(false)
        .background_detection(false)
        .num_threads(1);
    Encoder::with_api_config(OpenH264API::from_source(), config).map_err(|error| {
        let (size, fps) = (settings.size, settings.fps);
        let reason = format!(
            "its encoder takes no pictures of {size} at {fps:.0} a second; use a smaller --size"
        );
        CodecError::Setup { codec: CODEC, reason: in_words(CODEC, &error, reason) }
    })
}

fn level_of(level_idc: u8) -> Level {
    match level_idc {
        10 => Level::Level_1_0,
        11 => Level::Level_1_1,
        12 => Level::Level_1_2,
        13 => Level::Level_1_3,
        20 => Level::Level_2_0,
        21 => Level::Level_2_1,
        22 => Level::Level_2_2,
        30 => Level::Level_3_0,
        31 => Level::Level_3_1,
        32 => Level::Level_3_2,
        40 => Level::Level_4_0,
        42 => Level::Level_4_2,
        50 => Level::Level_5_0,
        51 => Level::Level_5_1,
        _ => Level::Level_5_2,
    }
}

/// Tells a running encoder its new target; creating it anew would cost a keyframe.
#[allow(unsafe_code)] // The one exception: the safe API cannot change the bitrate of a running encoder.
fn set_live_bitrate(encoder: &mut Encoder, old: u32, new: u32) {
    use openh264_sys2::{
        ENCODER_OPTION_BITRATE, ENCODER_OPTION_MAX_BITRATE, SBitrateInfo, SPATIAL_LAYER_0,
    };
    let target = (ENCODER_OPTION_BITRATE, new);
    let bound = (ENCODER_OPTION_MAX_BITRATE, (f64::from(new) * PEAK) as u32);
    // At no moment may the target be over the bound.
    let steps = if new > old { [bound, target] } else { [target, bound] };
    for (option, bitrate) in steps {
        let bitrate = i32::try_from(bitrate).unwrap_or(i32::MAX);
        let mut info = SBitrateInfo { iLayer: SPATIAL_LAYER_0, iBitrate: bitrate };
        // SAFETY: both options read one SBitrateInfo behind the pointer during the call and keep
        // nothing of it (openh264 codec_app_def.h); `info` outlives the call and is not shared.
        let refused = unsafe { encoder.raw_api().set_option(option, (&raw mut info).cast()) };
        if refused != 0 {
            tracing::warn!(old, new, refused, "the encoder keeps its old bitrate");
        }
    }
}

/// Shows the library our picture without copying it.
struct Picture<'a>(&'a VideoFrame);

impl YUVSource for Picture<'_> {
    fn dimensions(&self) -> (usize, usize) {
        let Size { width, height } = self.0.size();
        (width as usize, height as usize)
    }

    fn strides(&self) -> (usize, usize, usize) {
        let width = self.0.size().width as usize;
        (width, width / 2, width / 2)
    }

    fn y(&self) -> &[u8] {
        self.0.y()
    }

    fn u(&self) -> &[u8] {
        self.0.u()
    }

    fn v(&self) -> &[u8] {
        self.0.v()
    }
}
