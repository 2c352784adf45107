//! A signaling server that lies: it stands before an honest one and changes what it passes on to
//! whoever connects to it.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, connect_async};

/// What becomes of a description.
pub(crate) type Lie = fn(&str) -> String;

/// Starts one before the server at `honest`, and gives its URL; it ends with the test.
pub(crate) async fn before(honest: &str, lie: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("a bound port"));
    let honest = honest.to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pass_on(stream, honest.clone(), lie));
        }
    });
    url
}

async fn pass_on(stream: TcpStream, honest: String, lie: Lie) -> Option<()> {
    let (mut to_client, mut from_client) = accept_async(stream).await.ok()?.split();
    let (mut to_server, mut from_server) = connect_async(honest).await.ok()?.0.split();
    loop {
        tokio::select! {
            message = from_client.next() => to_server.send(message?.ok()?).await.ok()?,
            message = from_server.next() => {
                to_client.send(changed(message?.ok()?, lie)).await.ok()?;
            }
        }
    }
}

fn changed(message: Message, lie: Lie) -> Message {
    let Message::Text(text) = &message else { return message };
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return message };
    for kind in ["offer", "answer"] {
        if let Some(sdp) = value.pointer_mut(&format!("/{kind}/sdp")) {
            *sdp = lie(sdp.as_str().unwrap_or_default()).into();
        }
    }
    Message::text(value.to_string())
}
