//! A Wayland desktop of the test's own, as far as a program that shares its screen sees one: a bus, a
//! portal that grants at once, and a PipeWire server on which the screen is to be seen.
//!
//! No compositor: none runs without a graphics device. The portal speaks the real
//! protocol over a real bus, the pictures come from a real PipeWire server.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;
use zbus::message::Header;
use zbus::zvariant::{ObjectPath, OwnedFd, OwnedObjectPath, OwnedValue, Value as Variant};
use zbus::{Connection, fdo, interface};

use super::PATIENCE;
use super::camera::QUARTERS;
use super::process::PeerBuilder;

const PORTAL: &str = "/org/freedesktop/portal/desktop";

/// A running desktop. It ends with the test.
pub(crate) struct Desktop {
    run: TempDir,
    bus: String,
    services: Vec<Child>,
    connection: Connection,
    portal: Granting,
}

/// What the portal was asked for.
#[derive(Clone, Default)]
struct Granting {
    pipewire: PathBuf,
    node: u32,
    refuses: bool,
    asked: Arc<AtomicU32>,
    sessions: Arc<Mutex<Vec<OwnedObjectPath>>>,
}

/// What must be there for it; the first that is not.
pub(crate) fn missing() -> Option<&'static str> {
    let programs = ["dbus-daemon", "pipewire", "wireplumber", "pw-dump", "gst-launch-1.0"];
    let there = |program: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    programs.into_iter().find(|program| !there(program))
}

impl Desktop {
    /// Starts one whose screen shows four quarters: red, green above blue, white.
    pub(crate) async fn start() -> Self {
        Self::with(false).await
    }

    /// Starts one where the person says no.
    pub(crate) async fn that_refuses() -> Self {
        Self::with(true).await
    }

    async fn with(refuses: bool) -> Self {
        let run = tempfile::tempdir().expect("a temporary folder");
        let (bus_daemon, bus) = start_bus(run.path());
        let mut services = vec![bus_daemon];
        for service in ["pipewire", "wireplumber"] {
            services.push(quiet(service, run.path(), &bus).spawn().expect(service));
        }
        services
            .push(quiet("gst-launch-1.0", run.path(), &bus).args(screen()).spawn().expect("gst"));
        let found = tokio::time::timeout(PATIENCE, node(run.path()));
        let portal = Granting {
            pipewire: run.path().join("pipewire-0"),
            node: found.await.expect("PipeWire shows the screen"),
            refuses,
            ..Granting::default()
        };
        let builder = zbus::connection::Builder::address(bus.as_str()).expect("an address");
        let connection = builder
            .serve_at(PORTAL, portal.clone())
            .and_then(|builder| builder.name("org.freedesktop.portal.Desktop"))
            .expect("a portal")
            .build()
            .await
            .expect("a portal on the bus");
        Self { run, bus, services, connection, portal }
    }

    /// Lets a `peer` use it, and only it.
    pub(crate) fn with_peer(&self, peer: PeerBuilder) -> PeerBuilder {
        peer.env("WAYLAND_DISPLAY", self.run.path().join("no-compositor"))
            .env("XDG_RUNTIME_DIR", self.run.path())
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
    }

    /// How often somebody was asked to choose a screen.
    pub(crate) fn asked(&self) -> u32 {
        self.portal.asked.load(Ordering::Relaxed)
    }

    /// The person takes back what was granted.
    pub(crate) async fn take_back(&self) {
        let sessions = self.portal.sessions.lock().expect("no portal panics").clone();
        for session in sessions {
            let body = HashMap::<String, OwnedValue>::new();
            let interface = "org.freedesktop.portal.Session";
            let told =
                self.connection.emit_signal(None::<&str>, session, interface, "Closed", &body);
            told.await.expect("the bus takes signals");
        }
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        // Fails where one has ended by itself.
        for mut service in self.services.drain(..).rev() {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

fn quiet(program: &str, run: &Path, bus: &str) -> Command {
    let mut command = Command::new(program);
    command.env("XDG_RUNTIME_DIR", run).env("HOME", run).env("DBUS_SESSION_BUS_ADDRESS", bus);
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").current_dir(run);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn start_bus(run: &Path) -> (Child, String) {
    let mut daemon = quiet("dbus-daemon", run, "")
        .args(["--session", "--nofork", "--print-address=1"])
        .arg(format!("--address=unix:path={}", run.join("bus").display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("dbus-daemon; `make deps` installs it");
    let mut address = String::new();
    // Written once it listens.
    let said = daemon.stdout.take().expect("stdout is piped");
    BufReader::new(said).read_line(&mut address).expect("dbus-daemon says its address");
    (daemon, address.trim().to_owned())
}

/// GStreamer as a screen of 1280x800 with the four quarters.
fn screen() -> Vec<String> {
    let mut words = "compositor name=all sink_1::xpos=640 sink_2::ypos=400 sink_3::xpos=640 \
                     sink_3::ypos=400 ! video/x-raw,format=BGRx,width=1280,height=800,\
                     framerate=30/1 ! pipewiresink mode=provide \
                     stream-properties=p,node.name=screen,media.class=Video/Source"
        .to_owned();
    for (at, (r, g, b)) in QUARTERS.into_iter().enumerate() {
        let colour = u32::from_be_bytes([0xff, r, g, b]);
        words.push_str(&format!(
            " videotestsrc is-live=true pattern=solid-color foreground-color={colour} ! \
             video/x-raw,format=BGRx,width=640,height=400,framerate=30/1 ! all.sink_{at}"
        ));
    }
    std::iter::once("-q").chain(words.split_whitespace()).map(str::to_owned).collect()
}

/// The screen's node, once it is there.
async fn node(run: &Path) -> u32 {
    loop {
        let dump = quiet("pw-dump", run, "").stdout(Stdio::piped()).output().expect("pw-dump");
        let objects: Value = serde_json::from_slice(&dump.stdout).unwrap_or_default();
        let is_ours = |object: &&Value| object["info"]["props"]["node.name"] == "screen";
        let found = objects.as_array().and_then(|objects| objects.iter().find(is_ours));
        if let Some(id) = found.and_then(|object| object["id"].as_u64()) {
            return u32::try_from(id).expect("a node's number");
        }
        tokio::task::yield_now().await;
    }
}

type Options = HashMap<String, OwnedValue>;

impl Granting {
    /// Answers a request as portals do: by a signal of an object that the asker foresees.
    async fn answer(
        &self,
        (header, bus): (&Header<'_>, &Connection),
        options: &Options,
        (code, results): (u32, HashMap<&str, Variant<'_>>),
    ) -> fdo::Result<OwnedObjectPath> {
        let path = foreseen("request", header, options, "handle_token")?;
        let to = header.sender().cloned();
        let interface = "org.freedesktop.portal.Request";
        bus.emit_signal(to, &path, interface, "Response", &(code, results)).await?;
        Ok(path)
    }
}

fn foreseen(
    kind: &str,
    header: &Header<'_>,
    options: &Options,
    token: &str,
) -> fdo::Result<OwnedObjectPath> {
    let sender = header.sender().map(ToString::to_string).unwrap_or_default();
    let sender = sender.trim_start_matches(':').replace('.', "_");
    let token = options.get(token).and_then(|token| token.downcast_ref::<String>().ok());
    let token = token.ok_or_else(|| fdo::Error::InvalidArgs("a token is missing".to_owned()))?;
    let path = ObjectPath::try_from(format!("{PORTAL}/{kind}/{sender}/{token}"));
    path.map(Into::into).map_err(|error| fdo::Error::InvalidArgs(error.to_string()))
}

#[interface(name = "org.freedesktop.portal.ScreenCast")]
impl Granting {
    async fn create_session(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        options: Options,
    ) -> fdo::Result<OwnedObjectPath> {
        let session = foreseen("session", &header, &options, "session_handle_token")?;
        let results = HashMap::from([("session_handle", Variant::from(session.as_str()))]);
        self.sessions.lock().expect("no portal panics").push(session.clone());
        self.answer((&header, bus), &options, (0, results)).await
    }

    async fn select_sources(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        _session: OwnedObjectPath,
        options: Options,
    ) -> fdo::Result<OwnedObjectPath> {
        self.answer((&header, bus), &options, (0, HashMap::new())).await
    }

    async fn start(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        _session: OwnedObjectPath,
        _window: String,
        options: Options,
    ) -> fdo::Result<OwnedObjectPath> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.refuses {
            return self.answer((&header, bus), &options, (1, HashMap::new())).await;
        }
        let about = HashMap::from([("size", Variant::from((1280_i32, 800_i32)))]);
        let streams = vec![(self.node, about)];
        let results = HashMap::from([("streams", Variant::from(streams))]);
        self.answer((&header, bus), &options, (0, results)).await
    }

    async fn open_pipe_wire_remote(
        &self,
        _session: OwnedObjectPath,
        _options: Options,
    ) -> fdo::Result<OwnedFd> {
        let remote = UnixStream::connect(&self.pipewire);
        let remote = remote.map_err(|error| fdo::Error::IOError(error.to_string()))?;
        Ok(std::os::fd::OwnedFd::from(remote).into())
    }

    #[zbus(property, name = "version")]
    fn version(&self) -> u32 {
        4
    }

    #[zbus(property)]
    fn available_source_types(&self) -> u32 {
        1
    }

    #[zbus(property)]
    fn available_cursor_modes(&self) -> u32 {
        3
    }
}
