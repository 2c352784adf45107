//! Cameras of this machine, through `nokhwa`, which takes only raw pictures here.
//!
//! The only file that names it. Owns how a camera is found, how it is opened in
//! a format of our choice, and the words for what goes wrong.

use std::time::Duration;

use nokhwa::Camera;
use nokhwa::utils::{
    ApiBackend, CameraFormat as NativeFormat, CameraIndex, FrameFormat, RequestedFormat,
    RequestedFormatType, Resolution,
};

use super::choose::{CameraFormat, PixelFormat, choose};
use crate::clock;
use crate::media::device::DeviceError;
use crate::media::frame::Size;
use crate::media::showing::Colour;

/// A camera that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraDevice {
    /// What tells it from others: `camera:0`.
    pub index: u32,
    /// What people call it.
    pub name: String,
    /// What it can do, or why that cannot be known.
    pub formats: Result<Vec<CameraFormat>, DeviceError>,
}

/// All cameras. A camera that another program uses is asked only what it can do.
#[must_use]
pub fn list() -> Vec<CameraDevice> {
    let formats = |index| {
        let mut camera =
            connect(index).map_err(|reason| failed(&format!("camera:{index}"), &reason))?;
        Ok(offered(&mut camera))
    };
    let described = known().into_iter().map(|(index, name)| {
        let formats = formats(index);
        CameraDevice { index, name, formats }
    });
    // A camera has further nodes that give no pictures.
    described.filter(|camera| camera.formats.as_ref().map_or(true, |all| !all.is_empty())).collect()
}

/// Index and name of every node that could be a camera, in order.
fn known() -> Vec<(u32, String)> {
    let all = nokhwa::query(ApiBackend::Auto).unwrap_or_default();
    let mut known: Vec<_> = all
        .iter()
        .filter_map(|info| Some((info.index().as_index().ok()?, info.human_name())))
        .map(|(index, name)| match name.starts_with('/') {
            true => (index, own_name(index).unwrap_or(name)),
            false => (index, name),
        })
        .collect();
    known.sort();
    known
}

/// What the camera itself says, where the system has no name for it but its path.
fn own_name(index: u32) -> Option<String> {
    connect(index).ok().map(|camera| camera.info().human_name())
}

/// A camera that delivers pictures.
pub(super) struct OpenCamera {
    camera: Camera,
    pub(super) name: String,
    pub(super) format: CameraFormat,
    /// What its numbers mean, as its driver says.
    pub(super) colour: Colour,
}

impl OpenCamera {
    /// Opens the camera of that index, path or name, or the first that gives pictures.
    pub(super) fn open(wanted: Option<&str>, size: Size, fps: f64) -> Result<Self, DeviceError> {
        let asked = match wanted {
            Some(wanted) => format!("camera '{wanted}'"),
            None => "camera".to_owned(),
        };
        let known = known();
        let candidates = candidates(&known, wanted);
        let mut last = None;
        for (index, name) in candidates {
            match Self::open_one(index, name, size, fps) {
                Ok(camera) => return Ok(camera),
                Err(reason) => last = Some(reason),
            }
        }
        Err(match last {
            Some(reason) => failed(&asked, &reason),
            None => missing(asked, &known, wanted.is_some()),
        })
    }

    fn open_one(index: u32, name: String, size: Size, fps: f64) -> Result<Self, String> {
        let mut camera = connect(index)?;
        let format = choose(&offered(&mut camera), size, fps).ok_or(NO_FORM)?;
        let resolution = Resolution::new(format.width, format.height);
        let native = NativeFormat::new(resolution, to_native(format.pixels), format.fps);
        let exactly = RequestedFormat::with_formats(RequestedFormatType::Exact(native), &FORMATS);
        camera.set_camera_requset(exactly).map_err(|error| in_words(&error))?;
        camera.open_stream().map_err(|error| in_words(&error))?;
        Ok(Self { camera, name, format, colour: told_colour(index) })
    }

    /// Waits for the next picture, without a limit: its bytes, and how old it is.
    ///
    /// The driver says when its first byte came; where it does not, it came now.
    pub(super) fn next(&mut self) -> Result<(nokhwa::Buffer, Duration), String> {
        let buffer = self.camera.frame().map_err(|error| in_words(&error))?;
        let now = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let age = buffer.capture_timestamp().map_or(Duration::ZERO, |at| now.saturating_sub(at));
        // A clock that was set meanwhile would make pictures of another day.
        Ok((buffer, age.min(Duration::from_millis(500))))
    }
}

/// What the driver says of the colours of its pictures, which the library keeps to itself. What it
/// leaves open is the default of its colour space (linux/videodev2.h, `V4L2_MAP_YCBCR_ENC_DEFAULT` and
/// `V4L2_MAP_QUANTIZATION_DEFAULT`).
#[cfg(target_os = "linux")]
fn told_colour(index: u32) -> Colour {
    use crate::media::showing::Matrix;
    use v4l::format::{Colorspace, Quantization};
    use v4l::video::Capture;
    let told = v4l::Device::new(index as usize).and_then(|device| device.format());
    let Ok(told) = told else { return Colour::default() };
    let matrix = match told.colorspace {
        Colorspace::Rec709 | Colorspace::DCIP3 => Matrix::Bt709,
        Colorspace::Rec2020 => Matrix::Bt2020,
        _ => Matrix::Bt601,
    };
    let full_range = match told.quantization {
        Quantization::FullRange => true,
        Quantization::LimitedRange => false,
        Quantization::Default => matches!(told.colorspace, Colorspace::JPEG),
    };
    tracing::info!(?matrix, full_range, "the camera's colours");
    Colour { matrix, full_range }
}

#[cfg(not(target_os = "linux"))]
fn told_colour(_: u32) -> Colour {
    Colour::default()
}

const FORMATS: [FrameFormat; 4] =
    [FrameFormat::NV12, FrameFormat::YUYV, FrameFormat::MJPEG, FrameFormat::GRAY];

fn connect(index: u32) -> Result<Camera, String> {
    let any = RequestedFormat::with_formats(RequestedFormatType::None, &FORMATS);
    Camera::new(CameraIndex::Index(index), any).map_err(|error| in_words(&error))
}

const NO_FORM: &str = "it offers no pictures in a supported format";

/// The library's words are for those who work on it. Where the operating system gave a number, that
/// says all; an error without one is about formats or about the driver.
fn in_words(error: &nokhwa::NokhwaError) -> String {
    let text = error.to_string();
    if text.contains("os error") {
        return text;
    }
    tracing::info!(reason = text, "the camera's driver");
    match error {
        nokhwa::NokhwaError::GetPropertyError { .. }
        | nokhwa::NokhwaError::SetPropertyError { .. }
        | nokhwa::NokhwaError::OpenDeviceError(..) => NO_FORM.to_owned(),
        _ => "its driver failed unexpectedly".to_owned(),
    }
}

fn offered(camera: &mut Camera) -> Vec<CameraFormat> {
    let all = camera.compatible_camera_formats().unwrap_or_default();
    let known = all.iter().filter_map(|native| {
        let pixels = from_native(native.format())?;
        let (width, height, fps) = (native.width(), native.height(), native.frame_rate());
        Some(CameraFormat { pixels, width, height, fps })
    });
    known.filter(|format| format.width >= 16 && format.height >= 16 && format.fps > 0).collect()
}

fn from_native(format: FrameFormat) -> Option<PixelFormat> {
    match format {
        FrameFormat::NV12 => Some(PixelFormat::Nv12),
        FrameFormat::YUYV => Some(PixelFormat::Yuyv),
        FrameFormat::MJPEG => Some(PixelFormat::Mjpeg),
        FrameFormat::GRAY => Some(PixelFormat::Grey),
        _ => None,
    }
}

fn to_native(format: PixelFormat) -> FrameFormat {
    match format {
        PixelFormat::Nv12 => FrameFormat::NV12,
        PixelFormat::Yuyv => FrameFormat::YUYV,
        PixelFormat::Mjpeg => FrameFormat::MJPEG,
        PixelFormat::Grey => FrameFormat::GRAY,
    }
}

/// Those that are meant: all of them by no word, else one by number, path, whole name or part of it.
fn candidates(known: &[(u32, String)], wanted: Option<&str>) -> Vec<(u32, String)> {
    let Some(wanted) = wanted else { return known.to_vec() };
    let number = wanted.strip_prefix("/dev/video").unwrap_or(wanted).parse::<u32>().ok();
    let by_number = known.iter().find(|(index, _)| Some(*index) == number);
    let whole = known.iter().find(|(_, name)| name == wanted);
    let lower = wanted.to_lowercase();
    let part = || known.iter().filter(|(_, name)| name.to_lowercase().contains(&lower));
    match by_number.or(whole) {
        Some(one) => vec![one.clone()],
        None => part().cloned().collect(),
    }
}

fn missing(device: String, known: &[(u32, String)], named: bool) -> DeviceError {
    let there: Vec<_> =
        known.iter().map(|(index, name)| format!("camera:{index} ({name})")).collect();
    let (reason, hint) = match (named, there.is_empty()) {
        (true, false) => ("there is none of that name", format!("there are {}", there.join(", "))),
        (true, true) => ("there is no camera at all", WAY_OUT.to_owned()),
        (false, _) => ("there is none", format!("plug one in, or {WAY_OUT}")),
    };
    DeviceError { device, reason: reason.to_owned(), hint }
}

const WAY_OUT: &str = "use --video test, --video none or --video FILE";

/// The library hands on what the operating system said; its number is what can be relied on.
pub(super) fn failed(device: &str, reason: &str) -> DeviceError {
    let number = reason.rsplit_once("os error ").and_then(|(_, rest)| {
        rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<i32>().ok()
    });
    let (reason, hint) = match number {
        Some(16) => {
            ("another program holds it".to_owned(), format!("end that program, or {WAY_OUT}"))
        }
        Some(1 | 13) => (
            "this user is not allowed to use it".to_owned(),
            "add yourself to the group video (sudo usermod -aG video $USER) and log in again"
                .to_owned(),
        ),
        Some(2 | 6 | 19) => ("it is not there".to_owned(), format!("plug it in, or {WAY_OUT}")),
        _ => (reason.to_owned(), WAY_OUT.to_owned()),
    };
    DeviceError { device: device.to_owned(), reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_meant_by_number_path_or_name() {
        let known: Vec<_> = [(0, "Integrated Camera"), (2, "HD Pro Webcam C920"), (4, "c920 two")]
            .map(|(index, name)| (index, name.to_owned()))
            .into();
        let meant =
            |wanted| candidates(&known, wanted).iter().map(|(index, _)| *index).collect::<Vec<_>>();
        assert_eq!(meant(None), [0, 2, 4]);
        assert_eq!(meant(Some("2")), [2]);
        assert_eq!(meant(Some("/dev/video4")), [4]);
        assert_eq!(meant(Some("c920 two")), [4]);
        assert_eq!(meant(Some("c920")), [2, 4]);
        assert_eq!(meant(Some("7")), [0; 0]);
    }

    #[test]
    fn every_failure_says_what_to_do() {
        let said = |reason| failed("camera", reason).to_string();
        assert!(
            said("V4L2 Error: Device or resource busy (os error 16)").contains("another program")
        );
        assert!(said("Permission denied (os error 13)").contains("usermod -aG video"));
        assert!(said("No such device (os error 19)").contains("not there"));
        assert!(said("it does not like us").contains("--video"));
        let known = [(3, "Cam".to_owned())];
        assert!(missing("camera 'x'".into(), &known, true).to_string().contains("camera:3 (Cam)"));
        assert!(missing("camera".into(), &[], false).to_string().contains("plug one in"));
    }
}
