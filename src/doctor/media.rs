//! Codecs and devices: each encodes, films, listens and plays for half a second.
//!
//! Every device is tried on a thread of its own, which is left behind when the
//! device hangs.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Check, left};
use crate::clock;
use crate::media::audio::echo::EchoReference;
use crate::media::codec::{
    AudioEncoderSettings, CodecError, OPUS_FRAME_SAMPLES, VideoEncoderSettings, table,
};
use crate::media::device::DeviceError;
use crate::media::devices::{self, Camera, Listing, Sound};
use crate::media::encoded::Codec;
use crate::media::frame::{AudioFrame, MaxPicture, Size};
use crate::media::sink::AudioSink;
use crate::media::sink::speaker::Speaker;
use crate::media::source::camera::CameraSource;
use crate::media::source::microphone::Microphone;
use crate::media::source::test::TestPicture;
use crate::media::source::{AUDIO_BLOCK, AudioSource, VideoSource};

/// How long each device is used.
const MOMENT: Duration = Duration::from_millis(500);

/// Quieter than any room: a microphone that is muted (dB of full scale).
const MUTED_DB: f64 = -80.0;

/// Encodes and decodes some pictures and sound.
pub(super) async fn codecs(until: Instant) -> Check {
    const ADVICE: &str = "install peer again; its codecs are built into it";
    match on_a_thread(until, || try_codecs().map_err(|error| error.to_string())).await {
        Some(Ok(found)) => Check::pass("codecs", found),
        Some(Err(reason)) => Check::fail("codecs", reason, ADVICE),
        None => Check::fail("codecs", "no picture was encoded in time", "use a faster machine"),
    }
}

fn try_codecs() -> Result<String, CodecError> {
    let pictures = table::PICTURES.iter().map(|codec| try_pictures(*codec));
    let sound = table::SOUND.iter().map(|codec| try_sound(*codec));
    Ok(pictures.chain(sound).collect::<Result<Vec<_>, _>>()?.join("; "))
}

fn try_pictures(codec: Codec) -> Result<String, CodecError> {
    const PICTURES: u32 = 10;
    let (size, fps) = (Size { width: 640, height: 360 }, 30.0);
    let settings = VideoEncoderSettings { size, fps, bitrate: 1_000_000 };
    let mut encoder = table::video_encoder(codec, settings)?;
    let mut decoder = table::video_decoder(codec, MaxPicture::default())?;
    // As fast as they can be drawn.
    let mut source = TestPicture::new(size, 1_000.0);
    let (mut spent, mut decoded) = (Duration::ZERO, 0);
    for _ in 0..PICTURES {
        let Ok(Some(picture)) = source.next_frame() else { break };
        let began_at = clock::now();
        if let Some(encoded) = encoder.encode(&picture)? {
            decoded += u32::from(decoder.decode(&encoded.data, began_at)?.is_some());
        }
        spent += clock::now() - began_at;
    }
    let each = spent.as_secs_f64() * 1e3 / f64::from(PICTURES);
    let title = codec.title();
    Ok(format!("{title}: {decoded} of {PICTURES} pictures of 640x360, {each:.1} ms each"))
}

fn try_sound(codec: Codec) -> Result<String, CodecError> {
    let settings =
        AudioEncoderSettings { channels: 1, bitrate: 32_000, inband_fec: true, dtx: false };
    let samples = vec![0.1; OPUS_FRAME_SAMPLES];
    let block = AudioFrame { samples, channels: 1, captured_at: clock::now() };
    let packet = table::audio_encoder(codec, settings)?.encode(&block)?;
    let samples = table::audio_decoder(codec, 1)?.decode(&packet.data)?.len();
    Ok(format!("{}: {samples} samples", codec.title()))
}

/// Tries every device that there is.
pub(super) async fn devices(until: Instant) -> Vec<Check> {
    let Some(found) = on_a_thread(until, devices::list).await else {
        let advice = "restart the sound server, or unplug the device that hangs";
        return vec![Check::warn("devices", "no answer in time", advice)];
    };
    let mut tries = tokio::task::JoinSet::new();
    let mut checks = Vec::new();
    checks.extend(absent("camera", "no picture would be sent", &found.cameras));
    checks.extend(absent("microphone", "no sound would be sent", &found.microphones));
    checks.extend(absent("speaker", "nothing would be heard", &found.speakers));
    for camera in found.cameras.devices {
        tries.spawn(
            async move { (0, one(camera.video.clone(), until, move || film(&camera)).await) },
        );
    }
    for sound in found.microphones.devices {
        let word = sound.audio.clone().unwrap_or_default();
        tries.spawn(async move { (1, one(word, until, move || listen(&sound)).await) });
    }
    for sound in found.speakers.devices {
        let word = format!("speaker:{}", sound.speaker.clone().unwrap_or_default());
        tries.spawn(async move { (2, one(word, until, move || play(&sound)).await) });
    }
    let mut tried = tries.join_all().await;
    tried.sort_by(|(at, check), (other, beside)| (at, &check.check).cmp(&(other, &beside.check)));
    checks.extend(tried.into_iter().map(|(_, check)| check));
    checks
}

fn absent<T>(what: &str, so: &str, listing: &Listing<T>) -> Option<Check> {
    let problem = listing.problem.as_ref()?;
    Some(Check::warn(what, format!("{}; {so}", problem.reason), &problem.hint))
}

async fn one(
    word: String,
    until: Instant,
    work: impl FnOnce() -> Result<(String, Option<String>), DeviceError> + Send + 'static,
) -> Check {
    match on_a_thread(until, work).await {
        Some(Ok((found, None))) => Check::pass(&word, found),
        Some(Ok((found, Some(advice)))) => Check::warn(&word, found, advice),
        Some(Err(error)) => Check::warn(&word, error.reason, error.hint),
        None => Check::warn(&word, "it did not answer in time", "unplug it and plug it in again"),
    }
}

type Tried = Result<(String, Option<String>), DeviceError>;

fn film(camera: &Camera) -> Tried {
    let wanted = camera.video.strip_prefix("camera:").map(str::to_owned);
    let mut source = CameraSource::open(wanted, None, None)?;
    let until = clock::now() + MOMENT;
    let mut pictures = 0;
    while clock::now() < until {
        match source.next_frame() {
            Ok(Some(_)) => pictures += 1,
            Ok(None) => break,
            Err(error) => return Err(broken(&camera.video, &error.to_string())),
        }
        if let Some(notice) = source.notice() {
            return Err(broken(&camera.video, &notice.message));
        }
    }
    let size = source.format().size;
    let found = format!("{}: {pictures} pictures of {}x{}", camera.name, size.width, size.height);
    Ok((found, None))
}

fn listen(sound: &Sound) -> Tried {
    let word = sound.audio.clone().unwrap_or_default();
    let wanted = word.strip_prefix("mic:").map(str::to_owned);
    let mut source = Microphone::open(wanted, None)?;
    let until = clock::now() + MOMENT;
    let (mut samples, mut energy) = (0_u32, 0.0_f64);
    while clock::now() < until {
        let block = source.next_frame().map_err(|error| broken(&word, &error.to_string()))?;
        let Some(block) = block else { break };
        samples += block.samples.len() as u32;
        energy += block.samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
        if let Some(notice) = source.notice() {
            return Err(broken(&word, &notice.message));
        }
    }
    let level = 10.0 * (energy / f64::from(samples.max(1))).max(1e-12).log10();
    let found = format!("{}: {samples} samples, {level:.0} dB", sound.name);
    let advice = (level < MUTED_DB).then(|| "it hears nothing at all: is it muted?".to_owned());
    Ok((found, advice))
}

fn play(sound: &Sound) -> Tried {
    let word = sound.speaker.clone().unwrap_or_default();
    let mut speaker = Speaker::open(Some(word.clone()), EchoReference::default())?;
    let mut at = clock::now();
    let until = at + MOMENT;
    while at < until {
        let silence = AudioFrame { samples: vec![0.0; 480], channels: 1, captured_at: at };
        speaker.play(&silence).map_err(|error| broken(&word, &error.to_string()))?;
        if let Some(notice) = speaker.notice() {
            return Err(broken(&word, &notice.message));
        }
        at += AUDIO_BLOCK;
        clock::sleep_until(at);
    }
    let delay = speaker.delay().as_secs_f64() * 1e3;
    Ok((format!("{}: half a second of silence, {delay:.0} ms behind", sound.name), None))
}

fn broken(device: &str, reason: &str) -> DeviceError {
    let hint = "unplug it and plug it in again, or use another".to_owned();
    DeviceError { device: device.to_owned(), reason: reason.to_owned(), hint }
}

/// Runs it on a thread of its own; `None` when it is not done in time.
async fn on_a_thread<T: Send + 'static>(
    until: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("peer-doctor".into());
    thread
        .spawn(move || {
            // Nobody waits for what comes too late.
            let _ = tell.send(work());
        })
        .ok()?;
    tokio::time::timeout(left(until), told).await.ok()?.ok()
}
