//! A model of the tutorial's signaling server, faults included: it greets in plain text,
//! forwards without names, is silent about unknown callees, says `leave` twice, and dies
//! of a `leave` to nobody. Knows nothing of ours.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::carrier::carry;

/// Serves until `shutdown`, or until a client kills it.
pub(crate) async fn run(listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let room = Arc::new(Room::default());
    let mut clients = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                clients.spawn(serve(stream, Arc::clone(&room)));
            }
            () = room.died.notified() => return,
            () = &mut shutdown => return,
        }
    }
}

#[derive(Default)]
struct Room {
    users: Mutex<HashMap<String, User>>,
    died: Notify,
}

struct User {
    to: mpsc::Sender<Value>,
    other: Option<String>,
}

async fn serve(stream: TcpStream, room: Arc<Room>) {
    let (to, outgoing) = mpsc::channel::<Value>(256);
    let mut name = None;
    let heard = |data: &[u8]| room.handle(&mut name, &to, data);
    carry(stream, Some("Hello world"), outgoing, heard).await;
    room.close(name);
}

impl Room {
    fn handle(&self, name: &mut Option<String>, me: &mpsc::Sender<Value>, data: &[u8]) {
        let message: Value = serde_json::from_slice(data).unwrap_or_else(|_| json!({}));
        let kind = message["type"].as_str().unwrap_or("undefined");
        let target = message["name"].as_str().unwrap_or_default();
        match kind {
            "login" => {
                let success = self.log_in(target, me);
                if success {
                    *name = Some(target.to_owned());
                }
                tell(me, json!({ "type": "login", "success": success }));
            }
            "offer" => {
                let caller = name.clone();
                let offer = json!({ "type": "offer", "offer": message["offer"], "name": caller });
                self.forward(name.as_deref(), target, true, offer);
            }
            "answer" => {
                let answer = json!({ "type": "answer", "answer": message["answer"] });
                self.forward(name.as_deref(), target, true, answer);
            }
            "candidate" => {
                let candidate = json!({ "type": "candidate", "candidate": message["candidate"] });
                self.forward(name.as_deref(), target, false, candidate);
            }
            "leave" => self.leave(target),
            _ => tell(
                me,
                json!({ "type": "error", "message": format!("Command not found: {kind}") }),
            ),
        }
    }

    fn log_in(&self, name: &str, me: &mpsc::Sender<Value>) -> bool {
        let mut users = self.users.lock().expect("no client panics");
        if users.contains_key(name) {
            return false;
        }
        users.insert(name.to_owned(), User { to: me.clone(), other: None });
        true
    }

    fn forward(&self, from: Option<&str>, target: &str, bind: bool, message: Value) {
        let mut users = self.users.lock().expect("no client panics");
        let Some(to) = users.get(target).map(|user| user.to.clone()) else { return };
        if let Some(sender) = from.filter(|_| bind).and_then(|name| users.get_mut(name)) {
            sender.other = Some(target.to_owned());
        }
        tell(&to, message);
    }

    fn leave(&self, target: &str) {
        let mut users = self.users.lock().expect("no client panics");
        let Some(user) = users.get_mut(target) else { return self.died.notify_one() };
        user.other = None;
        tell(&user.to, json!({ "type": "leave" }));
    }

    fn close(&self, name: Option<String>) {
        let mut users = self.users.lock().expect("no client panics");
        let Some(other) = name.and_then(|name| users.remove(&name)?.other) else { return };
        if let Some(user) = users.get_mut(&other) {
            user.other = None;
            tell(&user.to, json!({ "type": "leave" }));
        }
    }
}

/// A client that does not read for so long has lost its messages.
fn tell(to: &mpsc::Sender<Value>, message: Value) {
    let _ = to.try_send(message);
}
