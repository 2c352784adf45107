//! What STUN servers are asked, and whose answers are believed.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use peer::ice::IceServer;
use peer::rtc::connection::{Connection, ConnectionConfig};
use peer::rtc::events::ConnectionEvent;
use peer::trust::Trust;
use tokio::net::UdpSocket;

use crate::support::{one_at_a_time, within_patience};

const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();

/// Answers a question with this ID as if it came from there (RFC 8489 section 14.2).
fn answer(id: &[u8], saw: SocketAddrV4) -> Vec<u8> {
    let port = saw.port().to_be_bytes();
    let ip = saw.ip().octets();
    let mut bytes = vec![0x01, 0x01, 0, 12];
    bytes.extend(COOKIE);
    bytes.extend(id);
    bytes.extend([0, 0x20, 0, 8, 0, 1, port[0] ^ COOKIE[0], port[1] ^ COOKIE[1]]);
    bytes.extend(ip.iter().zip(COOKIE).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A STUN server that sees everybody at `saw`, and before it answers sends what somebody would who
/// forges its address and has seen nothing of what it was asked.
async fn serve(
    socket: UdpSocket,
    saw: SocketAddrV4,
    forged: SocketAddrV4,
    ids: &mut HashSet<Vec<u8>>,
) {
    let mut buffer = [0; 512];
    let (len, from) = socket.recv_from(&mut buffer).await.expect("a question");
    let id = buffer.get(8..20).filter(|_| len >= 20).expect("a header").to_vec();
    for (id, saw) in [(vec![0; 12], forged), (id.clone(), saw)] {
        socket.send_to(&answer(&id, saw), from).await.expect("it is there");
    }
    ids.insert(id);
}

#[tokio::test]
async fn each_is_asked_with_an_id_of_its_own_and_nobody_answers_in_its_name() {
    let _alone = one_at_a_time().await;
    let forged = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 66), 4_660);
    let seen = [1, 2].map(|n| SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, n), 4_660));
    let mut sockets = vec![];
    for _ in seen {
        sockets.push(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port"));
    }
    let urls = sockets.iter().map(|socket| {
        let address: SocketAddr = socket.local_addr().expect("bound");
        format!("stun:{address}")
    });
    let config = ConnectionConfig {
        ice_servers: vec![IceServer { urls: urls.collect(), ..IceServer::default() }],
        trust: Trust::default(),
        relay_only: false,
        bind: vec![Ipv4Addr::LOCALHOST.into()],
        send_video: true,
        send_audio: true,
        max_bitrate: 1_000_000,
        min_bitrate: 0,
        wire: None,
        runtime: None,
    };
    let (connection, mut events) = Connection::open(config).await.expect("a connection");
    connection.create_offer(false).await.expect("an offer");
    let mut ids = HashSet::new();
    within_patience(async {
        for (socket, saw) in sockets.into_iter().zip(seen) {
            serve(socket, saw, forged, &mut ids).await;
        }
    })
    .await;
    assert!(ids.len() == seen.len() && !ids.contains(&vec![0; 12]), "{ids:?}");
    let mut candidates = String::new();
    within_patience(async {
        while !seen.iter().all(|seen| candidates.contains(&seen.ip().to_string())) {
            if let Some(ConnectionEvent::LocalCandidate(Some(found))) = events.recv().await {
                candidates.push_str(&found.candidate);
            }
        }
    })
    .await;
    assert!(!candidates.contains(&forged.ip().to_string()), "{candidates}");
    let said: Vec<_> = connection.servers().iter().map(ToString::to_string).collect();
    assert!(said.iter().all(|said| said.ends_with(" answered")), "{said:?}");
    connection.close().await;
}
