//! The first checks of somebody who asks once, chooses a path with it, and then waits for half a second,
//! as ICE agents other than browsers do.

use hmac::{Hmac, Mac};
use serde_json::Value;
use sha1::Sha1;
use tokio::net::UdpSocket;

use crate::datagrams::MEDIA;
use crate::hostile_calls::{hears, offer};
use crate::support::server::{Server, login};
use crate::support::sockets::Client;
use crate::support::{one_at_a_time, within_patience};

const REQUEST: u16 = 1;
const SUCCESS: u16 = 0x101;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// In every offer of [`offer`].
const OUR_PASSWORD: &str = "0123456789012345678901234";

/// A message of STUN (RFC 8489 section 5) that is made with a password.
fn stun(kind: u16, transaction: &[u8], attributes: &[(u16, &[u8])], password: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in attributes {
        body.extend(name.to_be_bytes());
        body.extend((value.len() as u16).to_be_bytes());
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let length = (body.len() as u16 + 24).to_be_bytes();
    let mut bytes = [&kind.to_be_bytes(), &length[..], &COOKIE, transaction, &body].concat();
    let mut sum = Hmac::<Sha1>::new_from_slice(password.as_bytes()).expect("a password");
    sum.update(&bytes);
    bytes.extend([0, 8, 0, 20]);
    bytes.extend(sum.finalize().into_bytes());
    bytes
}

/// The answer to a check that came from this port of 127.0.0.1.
fn answer(check: &[u8], port: u16) -> Vec<u8> {
    let hidden: Vec<u8> = [127, 0, 0, 1].iter().zip(COOKIE).map(|(a, b)| a ^ b).collect();
    let mapped = [&[0, 1][..], &(port ^ 0x2112).to_be_bytes(), &hidden].concat();
    stun(SUCCESS, &check[8..20], &[(0x20, &mapped)], OUR_PASSWORD)
}

/// The rest of a line that begins so.
fn said<'a>(sdp: &'a str, begins: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.strip_prefix(begins)).map(str::trim_end)
}

/// The port of a candidate over UDP.
fn port(line: &str) -> Option<u16> {
    let words: Vec<_> = line.split(' ').collect();
    (words.get(2) == Some(&"udp")).then(|| words.get(5)?.parse().ok()).flatten()
}

#[tokio::test]
async fn whoever_asks_once_and_chooses_a_path_is_answered() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bot = login(server.url(), "bot", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let mut caller = Client::login(server.address(), "caller").await;
    caller.say(&offer("bot", 1, "")).await;
    let answered = hears(&mut caller, &["answer"]).await;
    let sdp = answered["answer"]["sdp"].as_str().expect("a description").to_owned();
    let user = format!("{}:pest1", said(&sdp, "a=ice-ufrag:").expect("a fragment"));
    let password = said(&sdp, "a=ice-pwd:").expect("a password");
    let mut at = said(&sdp, "a=candidate:").and_then(port);
    while at.is_none() {
        let candidate: Value = hears(&mut caller, &["candidate"]).await;
        at = candidate["candidate"]["candidate"].as_str().and_then(port);
    }
    let to = ("127.0.0.1", at.expect("a port"));
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let controlling: [(u16, &[u8]); 3] =
        [(6, user.as_bytes()), (0x24, &[110, 0, 30, 255]), (0x802a, &[9; 8])];
    let choice: (u16, &[u8]) = (0x25, &[]);
    let chooses = [&controlling[..], &[choice]].concat();
    // Nobody is known yet, and then somebody is.
    for (transaction, attributes) in [([1; 12], &chooses[..]), ([2; 12], &controlling[..])] {
        let check = stun(REQUEST, &transaction, attributes, password);
        socket.send_to(&check, to).await.expect("a way");
        loop {
            let mut buffer = [0; 1500];
            let (length, from) =
                within_patience(socket.recv_from(&mut buffer)).await.expect("an answer");
            let came = &buffer[..length];
            if came.starts_with(&REQUEST.to_be_bytes()) {
                socket.send_to(&answer(came, from.port()), from).await.expect("a way");
            } else if came.starts_with(&SUCCESS.to_be_bytes()) && came[8..20] == transaction {
                break;
            }
        }
    }
}
