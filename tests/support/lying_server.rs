//! A signaling server that does as a test wants it: it changes what it passes on, and keeps people in
//! rooms of their own, so that two who use one name can be shown to different others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::carrier::carry;

/// What becomes of a message: who sent it, to whom it goes, and the message itself. All three can be
/// changed.
pub(crate) type Lie = Box<dyn Fn(&mut String, &mut String, &mut Value) + Send>;

/// The server; it ends with the test.
pub(crate) struct LyingServer {
    url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    room: u32,
    users: HashMap<(u32, String), mpsc::Sender<Value>>,
    lie: Lie,
}

impl LyingServer {
    /// One that does not lie yet.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("a bound port"));
        let state = State { room: 0, users: HashMap::new(), lie: Box::new(|_, _, _| {}) };
        let state = Arc::new(Mutex::new(state));
        let all = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&all)));
            }
        });
        Self { url, state }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Who logs in from now on is in this room.
    pub(crate) fn room(&self, room: u32) {
        self.state().room = room;
    }

    /// Changes what is passed on from now on.
    pub(crate) fn lie(&self, lie: impl Fn(&mut String, &mut String, &mut Value) + Send + 'static) {
        self.state().lie = Box::new(lie);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no client panics")
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let (to, outgoing) = mpsc::channel::<Value>(256);
    let mut me = None;
    let heard = |text: &[u8]| {
        let message = serde_json::from_slice(text).expect("peer sends JSON");
        take(&mut state.lock().expect("no client panics"), &mut me, &to, message);
    };
    carry(stream, None, outgoing, heard).await;
    if let Some(me) = me {
        let users = &mut state.lock().expect("no client panics").users;
        // Somebody may have the name anew.
        if users.get(&me).is_some_and(|user| user.same_channel(&to)) {
            users.remove(&me);
        }
    }
}

fn take(
    state: &mut State,
    me: &mut Option<(u32, String)>,
    to: &mpsc::Sender<Value>,
    mut message: Value,
) {
    let mut target = message["name"].as_str().unwrap_or_default().to_owned();
    if message["type"] == "login" {
        let place = (state.room, target);
        state.users.insert(place.clone(), to.clone());
        *me = Some(place);
        let _ = to.try_send(json!({ "type": "login", "success": true, "iceServers": [] }));
        return;
    }
    let Some((room, mut from)) = me.clone() else { return };
    (state.lie)(&mut from, &mut target, &mut message);
    message["name"] = json!(from);
    if let Some(user) = state.users.get(&(room, target)) {
        // Who does not read for so long has lost it.
        let _ = user.try_send(message);
    }
}
