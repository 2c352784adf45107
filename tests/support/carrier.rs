//! One connection of a server of the tests: JSON out, and whatever comes in.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// Carries messages until the other side closes: a greeting first, then what is in `outgoing`; `heard`
/// is given what comes, in text or binary frames.
pub(crate) async fn carry(
    stream: TcpStream,
    greeting: Option<&str>,
    mut outgoing: mpsc::Receiver<Value>,
    mut heard: impl FnMut(&[u8]),
) {
    let Ok(socket) = accept_async(stream).await else { return };
    let (mut sink, mut stream) = socket.split();
    if let Some(greeting) = greeting
        && sink.send(Message::text(greeting)).await.is_err()
    {
        return;
    }
    loop {
        tokio::select! {
            Some(message) = outgoing.recv() => {
                if sink.send(Message::text(message.to_string())).await.is_err() {
                    return;
                }
            }
            received = stream.next() => match received {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    heard(&message.into_data());
                }
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}
