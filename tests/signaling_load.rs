//! Measurements of the signaling server, not tests: what idle logins take, how long a message takes,
//! and how many pass, next to a minimal server for Node with the `ws` package. The server has one
//! core, we have the other: `cargo test --release -- --ignored --nocapture measure_signaling`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use peer::clock;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::support::one_at_a_time;
use crate::support::sockets::{Client, FrameCounter, TEXT, frame};

const IDLE: usize = 10_000;
const DEAF: usize = 300;
const RATE: u64 = 5_000;
/// From where the server is abused: who opens too many connections loses the oldest of his own, and that
/// shall not be one of those that are measured.
const ELSEWHERE: &str = "127.0.5.5";

/// A server on the first core. Dropped, it is killed.
struct Pinned {
    process: Child,
    address: String,
}

impl Pinned {
    fn peer() -> Self {
        let mut child = Command::new("taskset")
            .args([
                "-c",
                "0",
                env!("CARGO_BIN_EXE_peer"),
                "serve",
                "--json",
                "--listen",
                "127.0.0.1:0",
            ])
            .args(["--max-connections", "20000", "--max-connections-per-address", "20000"])
            .args(["--logins-per-minute", "1000000", "--messages-per-second", "1000000"])
            .args(["--bytes-per-second", "100000000"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("taskset and peer");
        let listening: Value = serde_json::from_str(&first_line(&mut child)).expect("JSON");
        let url = listening["server"].as_str().expect("a URL");
        let address = url.trim_start_matches("ws://").to_owned();
        Self { process: child, address }
    }

    /// Installs `ws` into `folder`, unless NODE_PATH leads to one.
    fn node(folder: &std::path::Path) -> Self {
        let mut modules = std::env::var_os("NODE_PATH");
        if modules.is_none() {
            let installed = Command::new("npm")
                .args(["install", "--silent", "--no-audit", "--no-fund", "ws"])
                .current_dir(folder)
                .status();
            assert!(installed.is_ok_and(|status| status.success()), "npm install ws");
            modules = Some(folder.join("node_modules").into());
        }
        let script = folder.join("server.js");
        std::fs::write(&script, NODE).expect("a writable folder");
        let mut child = Command::new("taskset")
            .args(["-c", "0", "node"])
            .arg(script)
            .env("NODE_PATH", modules.unwrap_or_default())
            .stdout(Stdio::piped())
            .spawn()
            .expect("taskset and node");
        let address = format!("127.0.0.1:{}", first_line(&mut child).trim());
        Self { process: child, address }
    }

    fn memory_mb(&self) -> f64 {
        self.memory("VmRSS:")
    }

    /// The most that it ever had.
    fn most_memory_mb(&self) -> f64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, which: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix(which)).expect("memory");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0 / 1e6
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The least that can be called a signaling server.
const NODE: &str = r#"
const { WebSocketServer } = require('ws');
const users = new Map();
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false }, () =>
    console.log(server.address().port));
server.on('connection', (socket) => {
    socket.on('message', (data) => {
        let message;
        try { message = JSON.parse(data); } catch { return; }
        if (message.type === 'login') {
            socket.name = message.name;
            users.set(message.name, socket);
            socket.send(JSON.stringify({ type: 'login', success: true }));
            return;
        }
        const to = users.get(message.name);
        if (to) { message.name = socket.name; to.send(JSON.stringify(message)); }
    });
    socket.on('close', () => users.delete(socket.name));
});
"#;

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let stdout = child.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    line
}

/// All our threads to the second core.
fn stay_away() {
    let pid = std::process::id().to_string();
    let moved = Command::new("taskset").args(["-a", "-p", "-c", "1", &pid]).output();
    assert!(moved.is_ok_and(|output| output.status.success()), "a second core");
}

/// A candidate as browsers have them, or an offer of so many bytes.
fn message(to: &str, sdp: usize, stamp: u128) -> String {
    if sdp > 0 {
        let sdp = "a=rtpmap:96 H264/90000\\r\\n".repeat(sdp / 26);
        return format!(
            r#"{{"type":"offer","offer":{{"type":"offer","sdp":"{sdp}"}},"name":"{to}"}}"#
        );
    }
    format!(
        r#"{{"type":"candidate","candidate":{{"candidate":"candidate:842163049 1 udp 1677729535 192.0.2.33 46154 typ srflx raddr 10.0.0.17 rport 46154 generation 0","sdpMid":"0","sdpMLineIndex":0}},"t":"{stamp:020}","name":"{to}"}}"#
    )
}

async fn pairs(address: &str, count: usize) -> Vec<(Client, Client)> {
    let mut pairs = Vec::new();
    for number in 0..count {
        let mut from = Client::login(address, &format!("from{number}")).await;
        let mut to = Client::login(address, &format!("to{number}")).await;
        // Without an offer between them nothing else is passed on.
        from.say(&message(&format!("to{number}"), 26, 0)).await;
        to.hear().await.expect("the offer");
        pairs.push((from, to));
    }
    pairs
}

#[tokio::test]
#[ignore = "a measurement of some seconds"]
async fn measure_signaling_idle_logins() {
    let _alone = one_at_a_time().await;
    stay_away();
    let server = Pinned::peer();
    let empty = server.memory_mb();
    let began = clock::now();
    let mut idle = Vec::new();
    for number in 0..IDLE {
        idle.push(Client::login(&server.address, &format!("idle{number}")).await);
    }
    let took = (clock::now() - began).as_secs_f64();
    println!("{IDLE} logins in {took:.1} s: {:.1} MB, {empty:.1} MB before", server.memory_mb());
    do_not_read(&mut idle).await;
    let (now, most) = (server.memory_mb(), server.most_memory_mb());
    println!("after floods to {DEAF} who do not read: {now:.1} MB, at most {most:.1} MB");
    // What a call leaves behind: an offer of 8 kB each.
    let others = idle.len();
    for number in 0..others {
        let to = (number + 1) % others;
        idle[number].say(&message(&format!("idle{}", to + DEAF), 8_000, 0)).await;
        idle[to].hear().await.expect("the offer");
    }
    println!("after an offer of 8 kB from each: {:.1} MB", server.memory_mb());
}

/// Each of the last of them sends 2 MB to one of the first, who does not read; all of these leave.
async fn do_not_read(idle: &mut Vec<Client>) {
    let senders = idle.split_off(idle.len() - DEAF);
    let mut floods = JoinSet::new();
    for (number, mut sender) in senders.into_iter().enumerate() {
        floods.spawn(async move {
            let offer = frame(TEXT, message(&format!("idle{number}"), 8_000, 0).as_bytes());
            for _ in 0..250 {
                // The server slows them, and closes them in the end.
                let sent = sender.stream.write_all(&offer);
                if !matches!(tokio::time::timeout(Duration::from_secs(5), sent).await, Ok(Ok(()))) {
                    break;
                }
            }
        });
    }
    while floods.join_next().await.is_some() {}
    idle.drain(..DEAF);
}

/// Messages at [`RATE`] among `count` pairs for so long; latencies in microseconds, sorted.
async fn latencies(address: &str, count: usize, length: Duration) -> Vec<u64> {
    let begin = clock::now();
    let (mut senders, mut readers) = (Vec::new(), JoinSet::new());
    for (from, mut to) in pairs(address, count).await {
        senders.push(from);
        readers.spawn(async move {
            let mut seen = Vec::new();
            while let Some(text) = to.hear().await {
                let now = (clock::now() - begin).as_nanos();
                let at = text.find("\"t\":\"").expect("a stamp") + 5;
                let stamp: u128 = text[at..at + 20].parse().expect("a number");
                if stamp == 0 {
                    break;
                }
                seen.push(((now - stamp) / 1000) as u64);
            }
            seen
        });
    }
    let start = clock::now();
    let mut sent = 0_u64;
    while clock::now() - start < length {
        clock::until(Some(start + Duration::from_micros(sent * 1_000_000 / RATE))).await;
        let due = (clock::now() - start).as_micros() as u64 * RATE / 1_000_000;
        while sent < due {
            let pair = sent as usize % count;
            let stamp = (clock::now() - begin).as_nanos();
            senders[pair].say(&message(&format!("to{pair}"), 0, stamp)).await;
            sent += 1;
        }
    }
    for (pair, sender) in senders.iter_mut().enumerate() {
        sender.say(&message(&format!("to{pair}"), 0, 0)).await;
    }
    let mut all = Vec::new();
    while let Some(seen) = readers.join_next().await {
        all.extend(seen.expect("a reader"));
    }
    assert_eq!(all.len() as u64, sent, "every message came");
    all.sort_unstable();
    all
}

fn print_latencies(what: &str, all: &[u64]) {
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    println!(
        "{what}: {} messages, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        all.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

#[tokio::test]
#[ignore = "a measurement of a minute"]
async fn measure_signaling_latency() {
    let _alone = one_at_a_time().await;
    stay_away();
    let server = Pinned::peer();
    let length = Duration::from_secs(10);
    print_latencies("5000 a second", &latencies(&server.address, 250, length).await);

    let stop = Arc::new(AtomicBool::new(false));
    let mut abuse = JoinSet::new();
    abuse.spawn(flood(server.address.clone(), Arc::clone(&stop)));
    print_latencies("with floods", &latencies(&server.address, 250, length).await);
    abuse.spawn(half_open(server.address.clone(), Arc::clone(&stop)));
    print_latencies("and half-open sockets", &latencies(&server.address, 250, length).await);
    stop.store(true, Ordering::Relaxed);
    while abuse.join_next().await.is_some() {}
    println!("{:.1} MB at the end", server.memory_mb());
}

/// Nonsense as fast as it is taken, in messages of the largest size and in small ones.
async fn flood(address: String, stop: Arc<AtomicBool>) {
    let large = frame(TEXT, &b"[".repeat(60_000));
    let small = frame(TEXT, br#"{"type":"__proto__"}"#).repeat(50);
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::connect_from(ELSEWHERE, &address).await else { continue };
        for _ in 0..20 {
            let sent = client.stream.write_all(&large).await;
            if sent.is_err() || client.stream.write_all(&small).await.is_err() {
                break;
            }
            clock::until(Some(clock::now() + Duration::from_millis(5))).await;
        }
    }
}

async fn half_open(address: String, stop: Arc<AtomicBool>) {
    let to = address.parse().expect("an address");
    let mut open = std::collections::VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(format!("{ELSEWHERE}:0").parse().expect("an address")).expect("a free port");
        open.push_back(socket.connect(to).await);
        if open.len() > 1000 {
            open.pop_front();
            clock::until(Some(clock::now() + Duration::from_millis(2))).await;
        }
    }
}

/// Keeps `window` messages under way from one to the other; counts those that arrived.
async fn pump(pair: (Client, Client), batch: Vec<u8>, chunk: usize, count: Arc<AtomicU64>) {
    let (mut from, mut to) = pair;
    let mut buffer = vec![0; 64 * 1024];
    let (mut frames, mut open) = (FrameCounter::default(), 0);
    for _ in 0..2 {
        from.stream.write_all(&batch).await.expect("the server reads");
    }
    loop {
        let read = to.stream.read(&mut buffer).await.expect("the server sends");
        assert!(read > 0, "the server closed a connection");
        let came = frames.feed(&buffer[..read]);
        count.fetch_add(came as u64, Ordering::Relaxed);
        open += came;
        while open >= chunk {
            open -= chunk;
            from.stream.write_all(&batch).await.expect("the server reads");
        }
    }
}

/// Messages a second that get through when `window` are under way on each of `count` pairs.
async fn throughput(address: &str, count: usize, window: usize, sdp: usize) -> f64 {
    let counted = Arc::new(AtomicU64::new(0));
    let mut pumps = JoinSet::new();
    let chunk = (window / 2).max(1);
    for (number, pair) in pairs(address, count).await.into_iter().enumerate() {
        let one = frame(TEXT, message(&format!("to{number}"), sdp, 1).as_bytes());
        pumps.spawn(pump(pair, one.repeat(chunk), chunk, Arc::clone(&counted)));
    }
    let pause = |length| async move { clock::until(Some(clock::now() + length)).await };
    pause(Duration::from_secs(1)).await;
    let (before, began): (u64, Instant) = (counted.load(Ordering::Relaxed), clock::now());
    pause(Duration::from_secs(5)).await;
    let came = counted.load(Ordering::Relaxed) - before;
    let rate = came as f64 / (clock::now() - began).as_secs_f64();
    pumps.shutdown().await;
    rate
}

#[tokio::test]
#[ignore = "a measurement of a minute"]
async fn measure_signaling_throughput_next_to_node() {
    let _alone = one_at_a_time().await;
    stay_away();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, node) = (Pinned::peer(), Pinned::node(folder.path()));
    for (what, count, window, sdp) in [
        ("candidates, 2 under way on 200 pairs", 200, 2, 0),
        ("candidates, 64 under way on 32 pairs", 32, 64, 0),
        ("offers of 4 kB, 16 under way on 32 pairs", 32, 16, 4_000),
    ] {
        let theirs = throughput(&node.address, count, window, sdp).await;
        let rate = throughput(&ours.address, count, window, sdp).await;
        println!("{what}: peer {rate:.0} a second, Node {theirs:.0}, {:.1} times", rate / theirs);
    }
}
