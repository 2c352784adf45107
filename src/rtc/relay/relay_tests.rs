//! The servers of a connection as the library sees them.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::task::{Context, Poll, Waker};

use webrtc::runtime::{RecvMeta, Transmit};

use super::stun::tests::{ALLOCATE_REQUEST, refusal, written};
use super::*;

fn server(urls: &[&str]) -> IceServer {
    IceServer {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        username: Some("u".into()),
        credential: Some("p".into()),
    }
}

fn relays(servers: &[IceServer]) -> (Arc<Relays>, mpsc::Receiver<ConnectionEvent>) {
    let (news, events) = mpsc::channel(8);
    (Arc::new(Relays::new(servers, Trust::System, news, Arc::default())), events)
}

/// The stand-ins of a URL that the library is given, as it asks for them.
fn stand_ins(relays: &Relays, url: &str) -> Vec<SocketAddr> {
    relays.stand_ins(url.split_once(':').unwrap().1).unwrap()
}

#[test]
fn the_library_sees_datagrams_to_stand_ins_and_nothing_that_it_would_stumble_over() {
    let urls = ["stun:a.example", "turn:a.example", "turns:[2001:db8::1]:443?transport=tcp"];
    let bad = ["stuns:a.example", "http:x", "turn:a.example?transport=x"];
    let without = IceServer { urls: vec!["turn:b.example".into()], ..IceServer::default() };
    let (relays, _events) = relays(&[server(&bad), server(&urls), without]);
    let seen: Vec<_> = relays.urls().into_iter().map(|(url, _)| url).collect();
    let wanted = [
        "stun:server-3-0.invalid:3478",
        "turn:server-4-0.invalid:3478",
        "turn:server-5-0.invalid:443",
    ];
    assert_eq!(seen, wanted);
    let [stun, turn, tls] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(stand_ins(&relays, stun), stand_ins(&relays, turn), "one place, one address");
    assert_ne!(stand_ins(&relays, turn), stand_ins(&relays, tls));
    for address in stand_ins(&relays, tls) {
        assert_eq!(relays.target_at(address).unwrap().0, 5);
    }
    for host in ["a.example:3478", "server-9-0.invalid:1", "server-x.invalid:1", ".invalid"] {
        assert_eq!(relays.stand_ins(host), None, "{host}");
    }
    let faults = relays.reports().into_iter().filter(|r| matches!(r.answer, Answer::Fault(_)));
    assert_eq!(faults.count(), 4);
}

#[test]
fn addresses_of_others_are_nobodys_stand_in() {
    let (relays, _events) = relays(&[server(&["turn:a.example"])]);
    for text in ["0.0.0.0:1", "0.0.0.2:1", "192.0.2.1:1", "[::]:1", "[100::]:1", "[100::2]:1"] {
        assert!(relays.target_at(text.parse().unwrap()).is_none(), "{text}");
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_told_at_once() {
    let without = IceServer { urls: vec!["turn:b.example".into()], ..IceServer::default() };
    let (relays, mut events) = relays(&[without]);
    relays.look_up();
    let Some(ConnectionEvent::NoRelay(servers)) = events.recv().await else { panic!("not told") };
    assert_eq!(servers.len(), 1);
    assert!(servers[0].1.to_string().contains("password"), "{}", servers[0].1);
}

#[tokio::test]
async fn a_name_without_address_is_told() {
    let (relays, mut events) = relays(&[server(&["turn:nowhere.invalid"])]);
    relays.look_up();
    let Some(ConnectionEvent::NoRelay(servers)) = events.recv().await else { panic!("not told") };
    assert!(matches!(servers[0].1, ServerFault::Unknown { .. }), "{:?}", servers[0].1);
    let before = relays.urls()[0].0.clone();
    assert!(relays.renew(), "another network may know it");
    assert_ne!(relays.urls()[0].0, before);
}

/// A socket that keeps whom it sent to, refuses to send to some, and gives what it was given.
#[derive(Debug, Default)]
struct Wire {
    no_way: Vec<SocketAddr>,
    sent: Mutex<Vec<SocketAddr>>,
    coming: Mutex<VecDeque<(SocketAddr, Vec<u8>)>>,
}

impl AsyncUdpSocket for Wire {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(([192, 0, 2, 99], 9).into())
    }

    fn poll_send(&self, _: &mut Context<'_>, sent: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.sent.lock().unwrap().push(sent.destination);
        match self.no_way.contains(&sent.destination) {
            true => Poll::Ready(Err(io::ErrorKind::NetworkUnreachable.into())),
            false => Poll::Ready(Ok(sent.contents.len())),
        }
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let Some((from, bytes)) = self.coming.lock().unwrap().pop_front() else {
            return Poll::Pending;
        };
        bufs[0][..bytes.len()].copy_from_slice(&bytes);
        meta[0] = RecvMeta::default();
        (meta[0].len, meta[0].stride, meta[0].addr) = (bytes.len(), bytes.len(), from);
        Poll::Ready(Ok(1))
    }
}

/// A TURN server over UDP with these addresses, asked over such a socket.
struct Asked {
    wire: Arc<Wire>,
    socket: Arc<dyn AsyncUdpSocket>,
    /// Of the server, and of one by another name with the same addresses.
    stand_in: SocketAddr,
    other: SocketAddr,
    _events: mpsc::Receiver<ConnectionEvent>,
}

impl Asked {
    fn new(addresses: &[SocketAddr], no_way: &[SocketAddr]) -> Self {
        let (relays, events) = relays(&[server(&["turn:a.example", "stun:b.example"])]);
        for target in &relays.targets {
            target.addresses.send_replace(Some(Ok(addresses.to_vec())));
        }
        let wire = Arc::new(Wire { no_way: no_way.to_vec(), ..Wire::default() });
        let socket = relays.wrap(wire.clone()).unwrap();
        let [stand_in, other] = [0, 1].map(|at| stand_ins(&relays, &relays.urls()[at].0)[0]);
        Self { wire, socket, stand_in, other, _events: events }
    }

    /// The library asks with this ID, perhaps again; gives who was asked, and whether that went well.
    fn asks(&self, id: u8) -> (Vec<SocketAddr>, bool) {
        self.sends(self.stand_in, &written(ALLOCATE_REQUEST, id, &[]))
    }

    fn sends(&self, destination: SocketAddr, contents: &[u8]) -> (Vec<SocketAddr>, bool) {
        let transmit =
            Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
        let mut cx = Context::from_waker(Waker::noop());
        let sent = self.socket.poll_send(&mut cx, &transmit);
        let asked = std::mem::take(&mut *self.wire.sent.lock().unwrap());
        (asked, matches!(sent, Poll::Ready(Ok(_))))
    }

    /// Whom the library takes the sender of an answer for.
    fn hears(&self, from: SocketAddr, id: u8) -> SocketAddr {
        self.receives(from, refusal(id, 401))
    }

    fn receives(&self, from: SocketAddr, bytes: Vec<u8>) -> SocketAddr {
        self.wire.coming.lock().unwrap().push_back((from, bytes));
        let (mut buffer, mut meta) = ([0; 512], [RecvMeta::default()]);
        let mut cx = Context::from_waker(Waker::noop());
        let read = self.socket.poll_recv(&mut cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta);
        assert!(matches!(read, Poll::Ready(Ok(1))), "{read:?}");
        meta[0].addr
    }
}

#[tokio::test]
async fn a_question_that_got_no_answer_goes_to_the_next_address_and_who_answers_is_stayed_with() {
    let [dead, alive] = ["198.51.100.1:3478", "198.51.100.2:3478"].map(|at| at.parse().unwrap());
    let asked = Asked::new(&["[2001:db8::1]:3478".parse().unwrap(), dead, alive], &[]);
    assert_eq!(asked.asks(1), (vec![dead], true));
    assert_eq!(asked.asks(1), (vec![alive], true));
    assert_eq!(asked.hears(alive, 1), asked.stand_in);
    for id in [2, 2, 3] {
        assert_eq!(asked.asks(id), (vec![alive], true));
    }
    assert_eq!(asked.hears(dead, 1), asked.stand_in, "late, and still a server of ours");
    assert_eq!(asked.asks(3), (vec![alive], true));
}

#[tokio::test]
async fn an_address_without_a_way_is_passed_by_at_once() {
    let [lost, good] = ["198.51.100.1:3478", "198.51.100.2:3478"].map(|at| at.parse().unwrap());
    let asked = Asked::new(&[lost, good], &[lost]);
    assert_eq!(asked.asks(1), (vec![lost, good], true));
    let nowhere = Asked::new(&[lost, good], &[lost, good]);
    assert_eq!(nowhere.asks(1), (vec![lost, good], false), "each once");
}

#[tokio::test]
async fn what_a_server_of_two_names_passes_on_is_for_whoever_spoke_to_it_last() {
    let address = "198.51.100.1:3478".parse().unwrap();
    let asked = Asked::new(&[address], &[]);
    assert_eq!(asked.asks(1), (vec![address], true));
    assert_eq!(asked.sends(asked.other, &written(0x0001, 9, &[])), (vec![address], true));
    assert_eq!(asked.hears(address, 1), asked.stand_in, "by its question");
    let data = vec![0x40, 0, 0, 1, 7];
    assert_eq!(asked.sends(asked.stand_in, &data), (vec![address], true));
    assert_eq!(asked.receives(address, data), asked.stand_in);
}
