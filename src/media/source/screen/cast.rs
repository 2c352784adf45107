//! What a Wayland compositor shows, through its portal and PipeWire.
//!
//! Owns the helper that reads PipeWire: GStreamer's `gst-launch-1.0`, so that a
//! machine without PipeWire needs nothing of it.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::portal::{Granted, NOT_THERE, ScreenShare};
use super::{LARGEST, failed};
use crate::media::device::DeviceError;
use crate::media::frame::{Size, VideoFrame};
use crate::media::scale::{Planes, Scaler};
use crate::system;

/// Where the compositor does not say how large its screen is.
const USUAL: Size = Size { width: 1280, height: 720 };

/// Until the first picture is there; the others come when something changes.
const FIRST: Duration = Duration::from_secs(10);

/// The same while a card stands in for the screen.
const AGAIN: Duration = Duration::from_secs(2);

/// Pictures that wait; the helper waits when there are more.
const QUEUE: usize = 2;

const PACKAGES: &str = "install gstreamer1.0-tools, gstreamer1.0-plugins-base and \
                        gstreamer1.0-pipewire, or use --video test or --video FILE";

/// Takes pictures of the screen that a person chose.
pub(super) struct Cast {
    granted: Arc<Granted>,
    size: Size,
    helper: Helper,
    latest: Option<Vec<u8>>,
    scaler: Scaler,
}

impl std::fmt::Debug for Cast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cast").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Cast {
    /// Asks the person, unless they have granted it before. Blocks until they have chosen.
    pub(super) fn open(share: &ScreenShare, fps: f64) -> Result<Self, DeviceError> {
        can_read()?;
        let refused = |reason: String| DeviceError {
            hint:
                "choose a screen when you are asked, install xdg-desktop-portal and that of your \
                   desktop, or use --video test"
                    .to_owned(),
            ..failed("screen", format!("this is a Wayland session, and {}", in_words(&reason)))
        };
        let granted = share.ask().map_err(refused)?;
        Self::read(granted, fps, FIRST).map_err(|reason| failed("screen", reason))
    }

    /// Reads again what is still granted; nobody is asked.
    pub(super) fn again(share: &ScreenShare, fps: f64) -> Option<Self> {
        Self::read(share.granted()?, fps, AGAIN).ok()
    }

    fn read(granted: Arc<Granted>, fps: f64, patience: Duration) -> Result<Self, String> {
        let size = padded(granted.size.map_or(USUAL, |(width, height)| Size {
            width: u32::try_from(width).unwrap_or(USUAL.width),
            height: u32::try_from(height).unwrap_or(USUAL.height),
        }));
        let helper = Helper::start(&granted, size, fps)?;
        let mut cast = Self { granted, size, helper, latest: None, scaler: Scaler::default() };
        match cast.helper.pictures.recv_timeout(patience) {
            Ok(first) => cast.latest = Some(first),
            Err(_) => return Err(cast.helper.reason("no picture comes from PipeWire")),
        }
        Ok(cast)
    }

    /// As the helper gives it.
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// What it shows now, made as large as `frame`.
    pub(super) fn draw(&mut self, frame: &mut VideoFrame) -> Result<(), String> {
        if self.granted.is_over() {
            return Err("it is no longer shared".to_owned());
        }
        loop {
            match self.helper.pictures.try_recv() {
                Ok(picture) => {
                    if let Some(before) = self.latest.replace(picture) {
                        // Full only when the reader has enough of them.
                        let _ = self.helper.empty.try_send(before);
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    return Err(self.helper.reason("PipeWire delivers no more pictures"));
                }
            }
        }
        let picture = self.latest.as_deref().unwrap_or_default();
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let planes = Planes::packed(width, height, picture).ok_or("a picture is cut off")?;
        self.scaler.draw(planes, frame);
        Ok(())
    }
}

fn in_words(reason: &str) -> String {
    match reason {
        NOT_THERE => NOT_THERE.to_owned(),
        reason => format!("its desktop portal shared no screen: {reason}"),
    }
}

/// Whether the helper is there, before anybody is asked for anything.
fn can_read() -> Result<(), DeviceError> {
    let missing = |reason: &str| DeviceError {
        hint: PACKAGES.to_owned(),
        ..failed("screen", format!("this is a Wayland session, and {reason}"))
    };
    let asked = Command::new("gst-inspect-1.0")
        // With `--exists` it wants a version of its own.
        .arg("pipewiresrc")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match asked {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(missing("GStreamer's PipeWire plugin is not installed")),
        Err(_) => Err(missing("gst-launch-1.0, which reads its pictures, is not installed")),
    }
}

/// GStreamer aligns rows to eight bytes and more; a width that needs no filling has none.
fn padded(own: Size) -> Size {
    let Size { width, height } = own.within(LARGEST);
    Size { width: (width & !7).max(8), height: height.max(2) }
}

/// The process that reads PipeWire, and the thread that reads the process.
struct Helper {
    child: Child,
    pictures: Receiver<Vec<u8>>,
    empty: SyncSender<Vec<u8>>,
    reader: Option<JoinHandle<()>>,
}

impl Helper {
    fn start(granted: &Granted, size: Size, fps: f64) -> Result<Self, String> {
        // Its standard input is the connection: the only way to hand it on without changing ours.
        let mut child = Command::new("gst-launch-1.0")
            .args(pipeline(granted.node, size, fps))
            // Ctrl-C at our terminal is for us.
            .process_group(0)
            // Nobody reads what it says before its end: it shall say little.
            .env_remove("GST_DEBUG")
            .env("G_MESSAGES_DEBUG", "")
            .stdin(Stdio::from(granted.connect()?))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("gst-launch-1.0 does not start: {}", system::words(&error)))?;
        let (to, pictures) = sync_channel(QUEUE);
        let (empty, emptied) = sync_channel(QUEUE);
        let output = child.stdout.take();
        let reader = std::thread::Builder::new()
            .name("peer-screen".into())
            .spawn(move || output.into_iter().for_each(|out| read(out, size, &to, &emptied)))
            .map_err(|error| format!("nobody can read it: {}", system::words(&error)))
            .inspect_err(|_| end(&mut child))?;
        Ok(Self { child, pictures, empty, reader: Some(reader) })
    }

    /// Ends it; why, in its own words where it has any.
    fn reason(&mut self, otherwise: &str) -> String {
        end(&mut self.child);
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            // Words that are no text say nothing.
            let _ = stderr.take(4_096).read_to_string(&mut said);
        }
        if let Some(line) = said.lines().find(|line| line.contains("ERROR")) {
            // For those who work on it.
            tracing::info!(line, "gst-launch-1.0");
        }
        otherwise.to_owned()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        end(&mut self.child);
        // A reader that waits for room finds nobody on the other side.
        drop(std::mem::replace(&mut self.pictures, sync_channel(1).1));
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn end(child: &mut Child) {
    // Fails where it has ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Pictures of a screen come when it changes, with no times of their own in some compositors.
fn pipeline(node: u32, Size { width, height }: Size, fps: f64) -> Vec<String> {
    let rate = (fps.ceil() as u32).max(1);
    let words = format!(
        "-q pipewiresrc fd=0 path={node} do-timestamp=true keepalive-time=1000 ! \
         videorate drop-only=true max-rate={rate} ! videoconvert ! videoscale ! \
         video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1 ! \
         fdsink fd=1 sync=false"
    );
    words.split_whitespace().map(str::to_owned).collect()
}

fn read(mut from: ChildStdout, size: Size, to: &SyncSender<Vec<u8>>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut picture = empty.try_recv().unwrap_or_default();
        picture.resize(size.i420_len(), 0);
        if from.read_exact(&mut picture).is_err() || to.send(picture).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_helper_have_no_filling() {
        for ((width, height), (w, h)) in
            [((1366, 768), (1360, 768)), ((3840, 2160), (1920, 1080)), ((3, 1), (8, 2))]
        {
            assert_eq!(padded(Size { width, height }), Size { width: w, height: h });
        }
    }

    #[test]
    fn the_helper_is_told_all_in_words_of_their_own() {
        let words = pipeline(42, Size { width: 640, height: 400 }, 29.97);
        assert!(words.contains(&"path=42".to_owned()) && words.contains(&"max-rate=30".to_owned()));
        assert!(words.iter().any(|word| word.contains("width=640,height=400")), "{words:?}");
    }
}
