//! A sound server of the test's own: a speaker that nobody hears but a test, and a microphone that
//! hears what a test plays. Real PulseAudio in user space; it ends with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use super::PATIENCE;
use super::process::PeerBuilder;

/// Sinks that nobody hears: what is played into `micfeed` is what `mic` hears. Without `norewinds`
/// their clients starve.
const SETUP: &str = "\
load-module module-native-protocol-unix auth-anonymous=1
load-module module-null-sink norewinds=1 sink_name=speaker rate=48000 channels=2 sink_properties=device.description=TestSpeaker
load-module module-null-sink norewinds=1 sink_name=micfeed rate=48000 channels=1 sink_properties=device.description=MicFeed
load-module module-remap-source master=micfeed.monitor source_name=mic source_properties=device.description=TestMic
set-default-sink speaker
set-default-source mic
";

/// A running sound server.
pub(crate) struct SoundServer {
    folder: TempDir,
    server: Option<Child>,
}

impl SoundServer {
    /// Starts one and waits until it answers.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("setup.pa"), SETUP).expect("a file");
        let mut server = Self { folder, server: None };
        server.resume().await;
        server
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) async fn resume(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        let child = self
            .command("pulseaudio")
            .args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit"])
            .args(["--use-pid-file=no", "--log-target=stderr", "-F"])
            .arg(self.folder.path().join("setup.pa"))
            .stderr(log)
            .spawn()
            .expect("pulseaudio; `make deps` installs it");
        self.server = Some(child);
        let answers = async {
            while !self.ask(&["info"]).await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, answers).await.unwrap_or_else(|_| {
            let log = std::fs::read_to_string(self.folder.path().join("log"));
            panic!("the sound server does not answer: {}", log.unwrap_or_default())
        });
    }

    async fn ask(&self, words: &[&str]) -> bool {
        let mut pactl = tokio::process::Command::from(self.command("pactl"));
        let status = pactl.args(words).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        status.expect("pactl; `make deps` installs it").success()
    }

    /// Tells the server something; it must agree.
    pub(crate) async fn tell(&self, words: &[&str]) {
        assert!(self.ask(words).await, "pactl {words:?}");
    }

    /// Tells the server something as soon as it agrees: what it is about may not be there yet.
    pub(crate) async fn tell_until(&self, words: &[&str]) {
        let agrees = async {
            while !self.ask(words).await {
                tokio::task::yield_now().await;
            }
        };
        let agreed = tokio::time::timeout(PATIENCE, agrees).await;
        assert!(agreed.is_ok(), "pactl {words:?}");
    }

    /// The server dies, as it does when a session's sound is restarted.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("it runs");
            server.wait().expect("it ends");
        }
    }

    /// Lets a `peer` use this server.
    pub(crate) fn with(&self, peer: PeerBuilder) -> PeerBuilder {
        peer.env("XDG_RUNTIME_DIR", self.folder.path()).env("PULSE_SERVER", self.address())
    }

    /// Plays a WAV file into the microphone, once or for as long as the player lives.
    pub(crate) fn play_into_microphone(&self, wav: &Path) -> Running {
        Running(self.command("paplay").args(["-d", "micfeed"]).arg(wav).spawn().expect("paplay"))
    }

    /// Records what the speaker plays: mono, 48 kHz, f32, until the recorder is dropped.
    pub(crate) fn record_speaker(&self, to: &Path) -> Running {
        let file = std::fs::File::create(to).expect("a file");
        let mut parec = self.command("parec");
        parec.args(["-d", "speaker.monitor", "--rate=48000", "--channels=1", "--format=float32le"]);
        Running(parec.args(["--latency-msec=20"]).stdout(file).spawn().expect("parec"))
    }

    /// What a sink plays: mono, 48 kHz, f32, as soon as it can be had, until the recorder is dropped.
    pub(crate) fn listen(&self, sink: &str) -> (Running, ChildStdout) {
        let mut parec = self.command("parec");
        parec.args(["-d", &format!("{sink}.monitor"), "--rate=48000", "--channels=1"]);
        parec.args(["--format=float32le", "--latency-msec=2"]).stdout(Stdio::piped());
        let mut child = parec.spawn().expect("parec");
        let output = child.stdout.take().expect("stdout is piped");
        (Running(child), output)
    }

    fn address(&self) -> String {
        format!("unix:{}", self.folder.path().join("pulse/native").display())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("XDG_RUNTIME_DIR", self.folder.path()).env("HOME", self.folder.path());
        command.env("PULSE_SERVER", self.address()).env_remove("DBUS_SESSION_BUS_ADDRESS");
        if program == "pulseaudio" {
            command.env_remove("PULSE_SERVER");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program that ends when it is dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Waits until it has ended by itself.
    pub(crate) fn wait(mut self) {
        self.0.wait().expect("it ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails where it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A voice as WAV in `folder`, so many times over: the shipped one, made higher so that it is another
/// than what the other side says.
pub(crate) fn speech(folder: &Path, times: u32) -> PathBuf {
    let to = folder.join(format!("speech-{times}.wav"));
    let again = (times - 1).to_string();
    let higher = "aformat=sample_rates=48000,asetrate=60000,aresample=48000";
    let file = to.display().to_string();
    ffmpeg(&[
        "-stream_loop",
        &again,
        "-i",
        &super::clip("speech.opus"),
        "-ac",
        "1",
        "-af",
        higher,
        &file,
    ]);
    to
}

/// The sound of any file as mono samples at 48 kHz.
pub(crate) fn samples(file: &Path) -> Vec<f32> {
    let raw = tempfile::NamedTempFile::new().expect("a temporary file").into_temp_path();
    ffmpeg(&[
        "-i",
        &file.display().to_string(),
        "-vn",
        "-ac",
        "1",
        "-ar",
        "48000",
        "-f",
        "f32le",
        &raw.display().to_string(),
    ]);
    raw_samples(&raw)
}

/// The samples that a recorder has written.
pub(crate) fn raw_samples(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).expect("a recording");
    bytes.as_chunks().0.iter().map(|sample| f32::from_le_bytes(*sample)).collect()
}

fn ffmpeg(words: &[&str]) {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(words)
        .output()
        .expect("ffmpeg; `make deps` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
