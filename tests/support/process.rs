//! Drives the `peer` program from outside: arguments and an empty home in, events, prose,
//! signals and the exit code out. Every wait has a limit, and every failure shows all that
//! the program said. Nothing outlives its test.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::PATIENCE;

/// A `peer` that is about to be started.
pub(crate) struct PeerBuilder {
    command: Command,
    home: TempDir,
}

impl PeerBuilder {
    /// `peer` with these arguments, a home directory of its own and no input.
    pub(crate) fn new<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        Self::of(env!("CARGO_BIN_EXE_peer"), args)
    }

    fn of<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Self {
        let home = tempfile::tempdir().expect("a temporary home");
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_remove("PEER_SERVER").env_remove("PEER_NAME").env_remove("RUST_LOG");
        // Devices of the machine are none of a test's business unless it brings its own.
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command.env_remove("PULSE_SERVER").env_remove("DBUS_SESSION_BUS_ADDRESS");
        live_in(&mut command, home.path());
        share_keys(home.path());
        Self { command, home }
    }

    /// Lives in the home of another `peer`, to find what that one remembered.
    pub(crate) fn in_home(mut self, home: &Path) -> Self {
        live_in(&mut self.command, home);
        self
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Keeps standard input open for [`Peer::type_line`].
    pub(crate) fn with_input(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Reads and writes a terminal: its keys, and the words that people read.
    pub(crate) fn on_terminal(mut self, input: Stdio, output: Stdio) -> Self {
        self.command.stdin(input).stderr(output);
        self
    }

    /// Writes its events there: nobody can await them.
    pub(crate) fn events_to(mut self, output: Stdio) -> Self {
        self.command.stdout(output);
        self
    }

    /// Runs it through another program, which takes it and its arguments as its last.
    pub(crate) fn through(mut self, wrapper: &[&str]) -> Self {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.command.get_current_dir().expect("every peer has a folder"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command = command;
        self
    }

    /// Starts it and returns at once.
    pub(crate) fn start(mut self) -> Peer {
        let said = Arc::new(Mutex::new(format!("$ {:?}\n", self.command)));
        let mut child = self.command.spawn().expect("the peer binary starts");
        // A terminal's other side must end with the child, and the builder would hold it open.
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let input = child.stdin.take();
        let (events_in, events) = mpsc::channel(1024);
        let readers = [
            read_events(&mut child, events_in, Arc::clone(&said)),
            read_prose(&mut child, Arc::clone(&said)),
        ];
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid fits into i32"));
        let exit = await_exit(child, readers);
        Peer { pid, input, events, exit, said, home: self.home }
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> Ended {
        self.start().wait(PATIENCE).await
    }
}

/// Of one name, each home has the same key: a program that is started anew in a fresh home is not
/// somebody else. Who wants to be somebody else brings a home of his own.
fn share_keys(home: &Path) {
    let (keys, own) =
        (Path::new(env!("CARGO_TARGET_TMPDIR")).join("keys"), home.join("state/peer"));
    for folder in [&keys, &own] {
        std::fs::create_dir_all(folder).expect("a folder for keys");
        std::fs::set_permissions(folder, Permissions::from_mode(0o700)).expect("our folder");
    }
    std::os::unix::fs::symlink(keys, own.join("keys")).expect("a link in the temporary home");
}

fn live_in(command: &mut Command, home: &Path) {
    command.env("HOME", home).env("NO_COLOR", "1").current_dir(home);
    for (name, folder) in [
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_STATE_HOME", "state"),
        ("XDG_DATA_HOME", "data"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_RUNTIME_DIR", "run"),
    ] {
        let path = home.join(folder);
        std::fs::create_dir_all(&path).expect("a folder in the temporary home");
        command.env(name, path);
    }
}

/// A running `peer`. Dropping it kills the process.
pub(crate) struct Peer {
    pid: Pid,
    input: Option<ChildStdin>,
    events: mpsc::Receiver<Value>,
    exit: watch::Receiver<Option<ExitStatus>>,
    said: Arc<Mutex<String>>,
    home: TempDir,
}

/// A `peer` that has ended.
pub(crate) struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output and standard error, in the order of arrival, each line marked.
    pub(crate) said: String,
    /// The events that nobody had awaited.
    pub(crate) events: Vec<Value>,
}

impl Peer {
    /// The next event of this name; others before it are passed over.
    ///
    /// Panics with all that the program said when the process ends, or `limit` passes, first.
    pub(crate) async fn await_event(&mut self, name: &str, limit: Duration) -> Value {
        let wanted = async {
            while let Some(event) = self.events.recv().await {
                if event["event"] == name {
                    return Some(event);
                }
            }
            None
        };
        match timeout(limit, wanted).await {
            Ok(Some(event)) => event,
            Ok(None) => panic!("peer ended without the event '{name}'\n{}", self.said()),
            Err(_) => panic!("no event '{name}' within {limit:?}\n{}", self.said()),
        }
    }

    /// The next event of this name that is yet to come: what was said so far is passed over.
    pub(crate) async fn next_event(&mut self, name: &str, limit: Duration) -> Value {
        while self.events.try_recv().is_ok() {}
        self.await_event(name, limit).await
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn wait(mut self, limit: Duration) -> Ended {
        let mut events = Vec::new();
        let ended = async {
            while let Some(event) = self.events.recv().await {
                events.push(event);
            }
            let status = self.exit.wait_for(Option::is_some).await;
            status.expect("the waiting thread lives").and_then(|status| status.code())
        };
        match timeout(limit, ended).await {
            Ok(code) => Ended { code, said: self.said(), events },
            Err(_) => panic!("peer still runs after {limit:?}\n{}", self.said()),
        }
    }

    /// Waits until the process is gone; its home stays.
    pub(crate) async fn gone(&mut self, limit: Duration) {
        let gone = timeout(limit, self.exit.wait_for(Option::is_some)).await.is_ok();
        assert!(gone, "peer still runs after {limit:?}\n{}", self.said());
    }

    /// Types a line at it. Needs [`PeerBuilder::with_input`].
    pub(crate) fn type_line(&mut self, line: &str) {
        let input = self.input.as_mut().expect("started with_input()");
        writeln!(input, "{line}").expect("peer reads its input");
    }

    /// Says goodbye and waits for its end: the name of one that is only lost is kept for it a minute, and
    /// another home does not have its secret. Needs [`PeerBuilder::with_input`].
    pub(crate) async fn quit(mut self) {
        self.type_line("quit");
        self.gone(PATIENCE).await;
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// What a service manager sends.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// `kill -9`: nothing can be finished.
    pub(crate) fn kill9(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// All that it said so far, with the command line on top.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("no reader panics").clone()
    }

    /// Its process id, to look it up under `/proc`.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Its home directory, which is also where it runs.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    fn signal(&self, signal: Signal) {
        if self.exit.borrow().is_none() {
            // It may end in this very moment: then there is nobody left to signal.
            let _ = kill(self.pid, signal);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn read_events(
    child: &mut Child,
    events: mpsc::Sender<Value>,
    said: Arc<Mutex<String>>,
) -> thread::JoinHandle<()> {
    let stdout = child.stdout.take();
    thread::spawn(move || {
        // Elsewhere the test reads it there.
        let Some(stdout) = stdout else { return };
        let stdout = BufReader::new(stdout);
        for line in stdout.lines().map_while(Result::ok) {
            note(&said, "out", &line);
            if let Ok(event @ Value::Object(_)) = serde_json::from_str(&line) {
                // Nobody may be left to hear it; the text was noted all the same.
                let _ = events.blocking_send(event);
            }
        }
    })
}

fn read_prose(child: &mut Child, said: Arc<Mutex<String>>) -> thread::JoinHandle<()> {
    let stderr = child.stderr.take();
    thread::spawn(move || {
        // On a terminal the test reads it there.
        let Some(stderr) = stderr else { return };
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        // A progress line is redrawn after a carriage return; it need not be valid UTF-8.
        while stderr.by_ref().take(64 * 1024).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            note(&said, "err", String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    })
}

fn note(said: &Mutex<String>, stream: &str, line: &str) {
    let mut said = said.lock().expect("no reader panics");
    said.push_str(&format!("{stream}| {line}\n"));
}

/// Waits for the process on a thread of its own, then for all that it has written.
fn await_exit(
    mut child: Child,
    readers: [thread::JoinHandle<()>; 2],
) -> watch::Receiver<Option<ExitStatus>> {
    let (tell, exit) = watch::channel(None);
    thread::spawn(move || {
        let status = child.wait().ok();
        for reader in readers {
            let _ = reader.join();
        }
        let _ = tell.send(status);
    });
    exit
}

/// The harness itself, on a shell in place of `peer`.
mod tests {
    use super::*;

    fn shell(script: &str) -> PeerBuilder {
        PeerBuilder::of("sh", ["-c", script])
    }

    #[tokio::test]
    async fn events_prose_and_exit_code_come_through() {
        let mut peer = shell(
            r#"echo '{"event":"one"}'; echo no json; echo '{"event":"two","n":2}'
               echo oops >&2; echo '{"event":"three"}'; exit 4"#,
        )
        .start();
        assert_eq!(peer.await_event("two", PATIENCE).await["n"], 2);
        let ended = peer.wait(PATIENCE).await;
        assert_eq!(ended.code, Some(4));
        assert_eq!(ended.events, [serde_json::json!({ "event": "three" })]);
        for line in ["out| no json\n", "err| oops\n", r#"out| {"event":"one"}"#] {
            assert!(ended.said.contains(line), "{}", ended.said);
        }
    }

    #[tokio::test]
    async fn signals_arrive_and_input_is_typed() {
        let stubborn = r#"trap 'exit 3' INT; trap 'exit 5' TERM; echo '{"event":"ready"}'
                          while read -r line; do echo "{\"event\":\"$line\"}"; done; exit 9"#;
        for (signal, code) in [("int", Some(3)), ("term", Some(5)), ("kill", None)] {
            let mut peer = shell(stubborn).with_input().start();
            peer.await_event("ready", PATIENCE).await;
            peer.type_line("typed");
            peer.await_event("typed", PATIENCE).await;
            match signal {
                "int" => peer.interrupt(),
                "term" => peer.terminate(),
                _ => peer.kill9(),
            }
            assert_eq!(peer.wait(PATIENCE).await.code, code, "{signal}");
        }
    }

    #[tokio::test]
    async fn each_has_a_home_of_its_own_and_may_visit_another() {
        let show = r#"printf '{"event":"home","path":"%s","run":"%s"}\n' "$HOME" "$XDG_RUNTIME_DIR"
                      echo "${PEER_NAME-unset} $1" >&2; read -r line"#;
        let mut host =
            shell(show).env("PEER_NAME", "me").arg("sh").arg("extra").with_input().start();
        let event = host.await_event("home", PATIENCE).await;
        assert_eq!(event["path"], *host.home().to_str().expect("a plain path"));
        assert!(Path::new(event["run"].as_str().expect("a path")).is_dir());
        let guest = shell(show).in_home(host.home()).run().await;
        assert_eq!(guest.events[0]["path"], event["path"]);
        assert!(host.pid() > 0);
        host.type_line("done");
        assert!(host.wait(PATIENCE).await.said.contains("err| me extra"));
        assert!(guest.said.contains("err| unset"));
    }

    #[tokio::test]
    #[should_panic(expected = "ended without the event 'never'")]
    async fn an_event_that_cannot_come_is_not_waited_for() {
        shell("echo why >&2").start().await_event("never", PATIENCE).await;
    }

    #[tokio::test]
    async fn nothing_outlives_its_test() {
        let mut peer = shell("echo '{\"event\":\"ready\"}'; read -r line").with_input().start();
        peer.await_event("ready", PATIENCE).await;
        let mut exit = peer.exit.clone();
        drop(peer);
        let ended = timeout(PATIENCE, exit.wait_for(Option::is_some)).await.expect("it is killed");
        assert!(ended.expect("the waiting thread lives").is_some_and(|status| !status.success()));
    }
}
