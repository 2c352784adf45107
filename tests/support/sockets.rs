//! WebSocket clients that send what they like, frame by frame, and requests byte by byte. Knows the
//! framing (RFC 6455 section 5.2) and nothing of ours.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::within_patience;

/// Text frame, and close frame.
pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;

/// The whole answer to a request for `path`.
pub(crate) async fn get(address: &str, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")).await
}

/// The whole answer to this request.
pub(crate) async fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = String::new();
    within_patience(stream.read_to_string(&mut answer)).await.expect("an answer");
    answer
}

/// A frame as clients send it. The mask is all zeros, which changes nothing.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A connection whose handshake is over.
pub(crate) struct Client {
    /// For what is not a frame.
    pub(crate) stream: TcpStream,
    came: Vec<u8>,
}

impl Client {
    /// Shakes hands; what the server says instead, where it does not want to.
    pub(crate) async fn connect(address: &str, headers: &str) -> Result<Self, String> {
        Self::connect_as(address, address, headers).await
    }

    /// As `connect`, to a server that is asked for as `host`.
    pub(crate) async fn connect_as(
        address: &str,
        host: &str,
        headers: &str,
    ) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        Self::shake_hands(stream, host, headers).await
    }

    /// As `connect`, from another address of this machine: 127.0.0.0/8 has many.
    pub(crate) async fn connect_from(from: &str, address: &str) -> Result<Self, String> {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(format!("{from}:0").parse().expect("an address")).expect("a free port");
        let to = address.parse().expect("an address");
        let stream = socket.connect(to).await.expect("the server listens");
        Self::shake_hands(stream, address, "").await
    }

    async fn shake_hands(mut stream: TcpStream, host: &str, headers: &str) -> Result<Self, String> {
        stream.set_nodelay(true).expect("a socket");
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut came = Vec::new();
        loop {
            let more = within_patience(stream.read_buf(&mut came)).await;
            if more.map_err(|error| error.to_string())? == 0 {
                return Err(String::from_utf8_lossy(&came).into_owned());
            }
            let Some(end) = came.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            if came.starts_with(b"HTTP/1.1 101") {
                came.drain(..end + 4);
                return Ok(Self { stream, came });
            }
        }
    }

    /// Connects and logs in.
    pub(crate) async fn login(address: &str, name: &str) -> Self {
        let mut client = Self::connect(address, "").await.expect("a place");
        client.say(&format!(r#"{{"type":"login","name":"{name}"}}"#)).await;
        let reply = client.hear().await.expect("a reply");
        assert!(reply.contains(r#""success":true"#), "{reply}");
        client
    }

    /// Sends a text.
    pub(crate) async fn say(&mut self, text: &str) {
        let sent = self.stream.write_all(&frame(TEXT, text.as_bytes())).await;
        sent.expect("the server reads");
    }

    /// The next frame; `None` when the connection is over.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((header, length)) = measure(&self.came)
                && self.came.len() >= header + length
            {
                let payload = self.came[header..header + length].to_vec();
                let opcode = self.came[0] & 0x0f;
                self.came.drain(..header + length);
                return Some((opcode, payload));
            }
            match within_patience(self.stream.read_buf(&mut self.came)).await {
                Ok(1..) => {}
                _ => return None,
            }
        }
    }

    /// The next text; `None` when the connection is over.
    pub(crate) async fn hear(&mut self) -> Option<String> {
        loop {
            match self.next().await? {
                (TEXT, payload) => return Some(String::from_utf8(payload).expect("UTF-8")),
                (CLOSE, _) => return None,
                _ => {}
            }
        }
    }

    /// Reads on to the end; the code of the close frame, if there is one.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.next().await? {
                (CLOSE, payload) => return Some(u16::from_be_bytes([payload[0], payload[1]])),
                _ => continue,
            }
        }
    }
}

/// The lengths of the header and of the payload of a server's frame, when they can be seen.
pub(crate) fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.get(1)? & 0x7f {
        126 => Some((4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])))),
        127 => {
            let length: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
            Some((10, usize::try_from(u64::from_be_bytes(length)).ok()?))
        }
        length => Some((2, usize::from(length))),
    }
}

/// Counts frames in a stream without keeping what is in them.
#[derive(Default)]
pub(crate) struct FrameCounter {
    header: Vec<u8>,
    to_skip: usize,
}

impl FrameCounter {
    /// How many frames have ended in these bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> usize {
        let (mut ended, mut at) = (0, 0);
        while at < bytes.len() {
            if self.to_skip > 0 {
                let skipped = self.to_skip.min(bytes.len() - at);
                at += skipped;
                self.to_skip -= skipped;
                ended += usize::from(self.to_skip == 0);
                continue;
            }
            self.header.push(bytes[at]);
            at += 1;
            if let Some((_, payload)) = measure(&self.header) {
                self.header.clear();
                self.to_skip = payload;
                ended += usize::from(payload == 0);
            }
        }
        ended
    }
}
