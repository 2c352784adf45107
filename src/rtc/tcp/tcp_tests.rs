//! When TCP has its turn, who gets in, and what passes: over real sockets on 127.0.0.1.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use webrtc::runtime::default_runtime;

use super::*;
use crate::clock;
use crate::rtc::connection::{Connection, ConnectionConfig};
use crate::rtc::events::IceState;
use crate::rtc::passwords;
use crate::rtc::progress::Progress;
use crate::rtc::relay::Relays;
use crate::trust::Trust;

const PATIENCE: Duration = Duration::from_secs(30);

fn tcp() -> (Arc<Tcp>, Arc<Progress>) {
    let (progress, (news, _)) = (Arc::<Progress>::default(), tokio::sync::mpsc::channel(1));
    let relays = Arc::new(Relays::new(&[], Trust::System, news.clone(), Arc::clone(&progress)));
    let runtime = default_runtime().unwrap();
    let porter = Porter { runtime, relays, progress: Arc::clone(&progress), news };
    (Tcp::new(porter, Some(vec![Ipv4Addr::LOCALHOST.into()]), Arc::default()), progress)
}

/// Something to give candidates to.
async fn connection() -> Connection {
    let config = ConnectionConfig {
        ice_servers: vec![],
        trust: Trust::System,
        relay_only: false,
        bind: vec![Ipv4Addr::LOCALHOST.into()],
        send_video: false,
        send_audio: true,
        max_bitrate: 1_000_000,
        min_bitrate: 0,
        runtime: None,
        wire: None,
    };
    Connection::open(config).await.unwrap().0
}

async fn is(tcp: &Tcp, stage: Stage) {
    let mut now = tcp.stage();
    timeout(PATIENCE, now.wait_for(|now| *now == stage)).await.unwrap().unwrap();
}

/// A check for this user, as a frame.
fn check(user: &str) -> Vec<u8> {
    let mut framed = Vec::new();
    framing::frame(&passwords::check(user, "secret", 7), &mut framed);
    framed
}

const US: &str = "v=0\r\na=ice-ufrag:us\r\na=ice-pwd:secret\r\n";

#[tokio::test]
async fn others_have_their_chance_first_and_a_path_is_the_end() {
    let ((tcp, progress), connection, knocker) = (tcp(), connection().await, Knocker::default());
    let describe =
        |session| tcp.described_there(Some(session), Arc::downgrade(connection.inner()), &knocker);
    let begun = clock::now();
    describe("one");
    assert_eq!(*tcp.stage().borrow(), Stage::Waiting);
    is(&tcp, Stage::Open).await;
    assert!(clock::now() - begun >= GRACE);
    tcp.theirs("1 1 tcp 1 127.0.0.1 5000 typ host tcptype passive");
    let taken = async {
        while tcp.book().stand_ins.real("0.0.1.0:5000".parse().unwrap()).is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, taken).await.unwrap();
    progress.ice(IceState::Checking);
    progress.ice(IceState::Connected);
    is(&tcp, Stage::Settled).await;
    // A later round of the same session changes nothing.
    describe("one");
    assert_eq!(*tcp.stage().borrow(), Stage::Settled);
    // What has worked need not wait when ICE begins anew, and the path that is given up is no path.
    tcp.carries.store(true, Ordering::Relaxed);
    describe("two");
    is(&tcp, Stage::Open).await;
    progress.ice(IceState::Checking);
    progress.ice(IceState::Connected);
    is(&tcp, Stage::Settled).await;
    // A path that comes in time leaves it no turn.
    describe("three");
    progress.ice(IceState::Checking);
    progress.ice(IceState::Connected);
    tcp.theirs("1 1 tcp 1 127.0.0.1 5000 typ host tcptype passive");
    is(&tcp, Stage::Settled).await;
    assert_eq!(tcp.book().stand_ins.real("0.0.2.0:5000".parse().unwrap()), None);
    knocker.stop();
}

#[tokio::test]
async fn there_is_an_end_to_what_they_name() {
    let ((tcp, _), connection, knocker) = (tcp(), connection().await, Knocker::default());
    let mut all = 0;
    for session in 0..10 {
        let session = session.to_string();
        tcp.described_there(Some(&session), Arc::downgrade(connection.inner()), &knocker);
        for port in 5000..5100 {
            tcp.theirs(&format!("1 1 tcp 1 127.0.0.1 {port} typ host tcptype passive"));
        }
        let named = tcp.book().theirs.len();
        assert!(named <= MOST_THEIRS);
        all += named;
    }
    assert_eq!(all, MOST_IN_A_CALL);
}

#[tokio::test]
async fn who_knows_the_call_gets_in_when_it_is_time_and_nobody_else() {
    let (tcp, progress) = tcp();
    progress.doors().described_here(US);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    port.set_nonblocking(true).unwrap();
    let at = port.local_addr().unwrap();
    let listener = tcp.listen(port).unwrap();
    for says in [check("them:us"), check("us2:them"), b"\0\x04junk".to_vec(), vec![0xff; 9]] {
        let mut stranger = TcpStream::connect(at).await.unwrap();
        stranger.write_all(&says).await.unwrap();
        let heard = timeout(PATIENCE, stranger.read(&mut [0; 9])).await.unwrap();
        assert!(matches!(heard, Ok(0) | Err(_)), "sent away: {says:?}");
    }
    let (mut guest, said) = (TcpStream::connect(at).await.unwrap(), check("us:them"));
    guest.write_all(&said).await.unwrap();
    tcp.stage.send_replace(Stage::Open);
    let (stream, stand_in) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let named = tcp.named(&format!("prflx {stand_in}"));
    assert_eq!(named, Some(format!("prflx {}", guest.local_addr().unwrap())));
    assert_eq!(tcp.named("prflx"), None);
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).await.unwrap();
    assert_eq!(buffer[..length], said);
    // The library answers who has the password, and from then on he is known.
    let mut answer = Vec::new();
    framing::frame(&[&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat(), &mut answer);
    stream.write_all(&answer).await.unwrap();
    let mut heard = vec![0; answer.len()];
    timeout(PATIENCE, guest.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, answer);
    assert!(progress.doors().is_known(stand_in));
    // A handshake waits for the path, media does not.
    let (mut hello, mut media) = (Vec::new(), Vec::new());
    let record = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 15, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3];
    framing::frame(&[&record[..], &[0; 3]].concat(), &mut hello);
    framing::frame(&[0x80, 96, 0, 1], &mut media);
    guest.write_all(&[&hello[..], &media].concat()).await.unwrap();
    let length = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
    assert_eq!((&buffer[..length], tcp.carries.load(Ordering::Relaxed)), (&media[..], true));
    let (held, _) = tokio::join!(timeout(PATIENCE, stream.read(&mut buffer)), async {
        progress.ice(IceState::Connected);
    });
    let length = held.unwrap().unwrap();
    assert_eq!(buffer[..length], hello);
    tcp.stage.send_replace(Stage::Settled);
    let closed = async { while TcpStream::connect(at).await.is_ok() {} };
    timeout(PATIENCE, closed).await.unwrap();
    drop(guest);
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 0, "it is over");
    stream.write_all(&media).await.unwrap();
}

#[tokio::test]
async fn we_connect_to_nobody_but_whom_a_stand_in_stands_for() {
    let (tcp, _) = tcp();
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let real = port.local_addr().unwrap();
    assert!(tcp.connect(real).await.is_err());
    let stand_in = tcp.book().stand_ins.of(real);
    let mut streams = Vec::new();
    for _ in 0..MOST_EACH_WAY {
        streams.push(tcp.connect(stand_in).await.unwrap());
    }
    assert!(tcp.connect(stand_in).await.is_err(), "there is no place left");
    assert_eq!(streams[0].peer_addr().unwrap(), stand_in);
    let (mut them, _) = port.accept().await.unwrap();
    // More than can wait: what finds no room is dropped, and nothing is waited for.
    let mut media = Vec::new();
    framing::frame(&[0x80; 1200], &mut media);
    for _ in 0..10_000 {
        streams[0].write_all(&media).await.unwrap();
    }
    drop(streams);
    let mut heard = Vec::new();
    timeout(PATIENCE, them.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert!(!heard.is_empty() && heard.len() % media.len() == 0, "whole frames: {}", heard.len());
    assert!(heard.len() < 5_000 * media.len(), "{}", heard.len());
}
