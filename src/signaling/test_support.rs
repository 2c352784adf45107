//! What the socket tests share: a server of our own in this process, and a client that
//! knows frames and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::server::{self, ServerConfig, ServerError};

#[path = "../../tests/support/carrier.rs"]
mod carrier;
#[path = "../../tests/support/tutorial_server.rs"]
#[allow(unreachable_pub)] // The main suite uses it too.
pub(super) mod tutorial_server;

pub(super) struct TestServer {
    pub(super) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServerError>>,
}

impl TestServer {
    pub(super) async fn start(config: ServerConfig) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), config).await
    }

    pub(super) async fn start_at(address: SocketAddr, config: ServerConfig) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server::run(listener, config, async {
            let _ = stopped.await;
        }));
        Self { address, stop: Some(stop), task }
    }

    pub(super) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(super) fn begin_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(super) async fn stopped(self) {
        self.task.await.unwrap().unwrap();
    }

    pub(super) async fn stop(mut self) {
        self.begin_stop();
        self.stopped().await;
    }

    /// As a crash does it: no goodbye from the switchboard's task.
    pub(super) async fn abort(self) {
        self.task.abort();
        assert!(self.task.await.is_err());
    }
}

pub(super) struct RawClient(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl RawClient {
    pub(super) async fn connect(url: &str) -> Self {
        Self(connect_async(url).await.unwrap().0)
    }

    pub(super) async fn login(url: &str, name: &str) -> Self {
        let mut client = Self::connect(url).await;
        client.send(&format!(r#"{{"type":"login","name":"{name}"}}"#)).await;
        let reply = client.receive().await;
        assert!(reply.starts_with(r#"{"type":"login","success":true,"resume":""#), "{reply}");
        client
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.0.send(Frame::text(text)).await.unwrap();
    }

    pub(super) async fn send_binary(&mut self, text: &str) {
        self.0.send(Frame::binary(text.as_bytes().to_vec())).await.unwrap();
    }

    /// Sends where the other side may close meanwhile.
    pub(super) async fn try_send(&mut self, text: &str) -> bool {
        self.0.send(Frame::text(text)).await.is_ok()
    }

    /// The next text; pings are answered on the way.
    pub(super) async fn receive(&mut self) -> String {
        loop {
            match self.0.next().await.unwrap().unwrap() {
                Frame::Text(text) => return text.as_str().to_owned(),
                Frame::Ping(_) | Frame::Pong(_) => {}
                other => panic!("{other:?} instead of a text"),
            }
        }
    }

    /// The next text; `None` when the connection is over.
    pub(super) async fn try_receive(&mut self) -> Option<String> {
        loop {
            match self.0.next().await?.ok()? {
                Frame::Text(text) => return Some(text.as_str().to_owned()),
                Frame::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Reads on to the close frame; `None` when the connection ends without one.
    pub(super) async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match self.0.next().await? {
                Ok(Frame::Close(frame)) => return frame,
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    pub(super) async fn close(mut self) {
        self.0.close(None).await.unwrap();
        while let Some(Ok(_)) = self.0.next().await {}
    }
}
