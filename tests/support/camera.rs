//! A camera of the test's own: `v4l2.c`, preloaded, answers what the kernel would answer about
//! `/dev/video0`, so that everything from the library down to the system calls is the real thing.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::PeerBuilder;

/// A camera that can be pulled out.
pub(crate) struct Camera {
    folder: TempDir,
    library: PathBuf,
    form: &'static str,
    size: (u32, u32),
    /// What its driver says of its colours: `colorspace` and `quantization` of V4L2.
    colours: (u32, u32),
}

impl Camera {
    /// 640x480, 30 pictures a second, all of them the four quarters, in YUYV, NV12 or MJPG.
    pub(crate) fn new(form: &'static str) -> Self {
        let camera = Self::blank(form, (640, 480));
        draw_quarters((640, 480), 2, &pixels_of(form), &camera.path("pictures"));
        camera
    }

    /// Of any size, and films what any file shows.
    pub(crate) fn filming(form: &'static str, size: (u32, u32), film: &Path) -> Self {
        let camera = Self::blank(form, size);
        let output = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i"])
            .arg(film)
            .args(["-vf", &format!("scale={}:{},fps=30", size.0, size.1)])
            .args(pixels_of(form))
            .arg(camera.path("pictures"))
            .output()
            .expect("ffmpeg; `make deps` installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        camera
    }

    /// Of any size, and films these pictures, which are in its form already.
    pub(crate) fn of_pictures(form: &'static str, size: (u32, u32), pictures: &Path) -> Self {
        let camera = Self::blank(form, size);
        std::fs::copy(pictures, camera.path("pictures")).expect("pictures");
        camera
    }

    /// Its driver says this of its colours: `colorspace` and `quantization` of V4L2.
    pub(crate) fn says(mut self, colorspace: u32, quantization: u32) -> Self {
        self.colours = (colorspace, quantization);
        self
    }

    fn blank(form: &'static str, size: (u32, u32)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = folder.path().join("v4l2.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/v4l2.c");
        let compiled = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        assert!(compiled.expect("cc; `make deps` installs it").success());
        for (devices, names) in [("dev", &["video0"][..]), ("none", &[])] {
            let devices = folder.path().join(devices);
            std::fs::create_dir(&devices).expect("a folder");
            for name in names {
                std::fs::write(devices.join(name), "").expect("a file");
            }
        }
        let camera = Self { folder, library, form, size, colours: (0, 0) };
        camera.is("there");
        camera
    }

    /// From now on it is `there`, `gone`, `busy` or `denied`.
    pub(crate) fn is(&self, state: &str) {
        std::fs::write(self.path("state"), state).expect("a file");
    }

    /// Gives it to a `peer`.
    pub(crate) fn with(&self, peer: PeerBuilder) -> PeerBuilder {
        peer.env("LD_PRELOAD", &self.library)
            .env("FAKE_CAMERA_PICTURES", self.path("pictures"))
            .env("FAKE_CAMERA_FORMAT", self.form)
            .env("FAKE_CAMERA_SIZE", format!("{}x{}", self.size.0, self.size.1))
            .env("FAKE_CAMERA_COLOURS", format!("{} {}", self.colours.0, self.colours.1))
            .env("FAKE_CAMERA_STATE", self.path("state"))
            .env("FAKE_CAMERA_DEV", self.path("dev"))
            .env("FAKE_CAMERA_NONE", self.path("none"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What ffmpeg is told to write pictures of this form.
fn pixels_of(form: &str) -> [&str; 6] {
    match form {
        "MJPG" => ["-f", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj422p"],
        "NV12" => ["-f", "rawvideo", "-bsf:v", "null", "-pix_fmt", "nv12"],
        _ => ["-f", "rawvideo", "-bsf:v", "null", "-pix_fmt", "yuyv422"],
    }
}

/// Red, green, blue and white: clockwise from the upper left they are red, green, white, blue.
pub(crate) const QUARTERS: [(u8, u8, u8); 4] =
    [(220, 20, 20), (20, 200, 20), (20, 20, 220), (230, 230, 230)];

/// A film of so many pictures, all of them red, green above blue, white, in the form that ffmpeg is
/// told.
pub(crate) fn draw_quarters(size: (u32, u32), pictures: u32, form: &[&str], to: &Path) {
    let colour = |at: usize| {
        let (r, g, b) = QUARTERS[at];
        format!("color=0x{r:02x}{g:02x}{b:02x}:s={}x{}:r=30", size.0 / 2, size.1 / 2)
    };
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"]);
    for at in 0..4 {
        ffmpeg.args(["-f", "lavfi", "-i", &colour(at)]);
    }
    let tiled = "[0][1]hstack[a];[2][3]hstack[b];[a][b]vstack,scale=out_color_matrix=bt601";
    let output = ffmpeg
        .args(["-filter_complex", tiled, "-frames:v", &pictures.to_string()])
        .args(form)
        .arg(to)
        .output()
        .expect("ffmpeg; `make deps` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The colours in the middle of the four quarters of a film's last picture, as RGB.
pub(crate) fn quarters_of(film: &Path) -> [(u8, u8, u8); 4] {
    let raw = film.with_extension("last.rgb");
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i"])
        .arg(film)
        .args(["-vf", "scale=64:48", "-f", "rawvideo", "-pix_fmt", "rgb24"])
        .arg(&raw)
        .output()
        .expect("ffmpeg; `make deps` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(&raw).expect("pictures");
    let last = &bytes[bytes.len() - 64 * 48 * 3..];
    [(16, 12), (48, 12), (16, 36), (48, 36)].map(|(x, y): (usize, usize)| {
        let at = (y * 64 + x) * 3;
        (last[at], last[at + 1], last[at + 2])
    })
}

/// Whether these are the four quarters, as far as codecs leave colours as they are.
pub(crate) fn are_quarters(found: [(u8, u8, u8); 4]) -> bool {
    found.iter().zip(QUARTERS).all(|(found, wanted)| {
        let near = |a: u8, b: u8| a.abs_diff(b) < 40;
        near(found.0, wanted.0) && near(found.1, wanted.1) && near(found.2, wanted.2)
    })
}
