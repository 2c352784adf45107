//! Asks the person which screen to show, through the desktop's portal (org.freedesktop.portal.ScreenCast).
//!
//! Owns the session with it, on a thread of its own: what was granted lasts as
//! long as the session. Takes no pictures.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ashpd::PortalError;
use ashpd::desktop::screencast::{CursorMode, Screencast, SelectSourcesOptions, SourceType};
use ashpd::desktop::{PersistMode, Session};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::system;

/// How long the portal may take to answer for itself, and a person to choose.
const ANSWER: Duration = Duration::from_secs(10);
const CHOICE: Duration = Duration::from_secs(120);

/// What the person granted, for all calls of a login: nobody is asked twice. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct ScreenShare(Arc<Mutex<Option<Arc<Granted>>>>);

impl PartialEq for ScreenShare {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A screen that may be read. Dropped, it may no longer be.
#[derive(Debug)]
pub(super) struct Granted {
    /// Its node in the PipeWire graph.
    pub(super) node: u32,
    /// As the compositor counts, if it says so.
    pub(super) size: Option<(i32, i32)>,
    connections: mpsc::Sender<Reply<OwnedFd>>,
}

/// No bus, or nobody on it who is a portal.
pub(super) const NOT_THERE: &str = "its desktop portal cannot be reached";

type Reply<T> = SyncSender<Result<T, String>>;

impl ScreenShare {
    /// What was granted before and still is, else what the person grants now. Blocks until then.
    pub(super) fn ask(&self) -> Result<Arc<Granted>, String> {
        if let Some(granted) = self.granted() {
            return Ok(granted);
        }
        let (tell, told) = sync_channel(1);
        let thread = std::thread::Builder::new().name("peer-portal".into());
        thread.spawn(move || run(&tell)).map_err(|error| no_thread(&error))?;
        let silent = |_| Err("its thread ended without an answer".to_owned());
        let granted = Arc::new(told.recv().unwrap_or_else(silent)?);
        *self.lock() = Some(Arc::clone(&granted));
        Ok(granted)
    }

    /// What was granted before and still is.
    pub(super) fn granted(&self) -> Option<Arc<Granted>> {
        self.lock().take_if(|granted| granted.is_over());
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Granted>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Granted {
    /// Whether it was taken back.
    pub(super) fn is_over(&self) -> bool {
        self.connections.is_closed()
    }

    /// A connection to the PipeWire server on which this screen is to be seen. Blocks.
    pub(super) fn connect(&self) -> Result<OwnedFd, String> {
        let gone = || "the screen is no longer shared".to_owned();
        let (reply, answer) = sync_channel(1);
        self.connections.blocking_send(reply).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

/// The session's whole life.
fn run(tell: &Reply<Granted>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let lived = match runtime {
        Ok(runtime) => runtime.block_on(session(tell)),
        Err(error) => Err(no_thread(&error)),
    };
    if let Err(reason) = lived {
        // Nobody listens any more once something was granted.
        let _ = tell.try_send(Err(reason));
    }
}

async fn session(tell: &Reply<Granted>) -> Result<(), String> {
    let begun = async {
        // One of its own: ashpd's lives no longer than the runtime of the first who asks.
        let bus = ashpd::zbus::Connection::session().await?;
        let portal = Screencast::with_connection(bus).await?;
        let session = portal.create_session(Default::default()).await?;
        let cursor = portal.available_cursor_modes().await?;
        let cursor = cursor.contains(CursorMode::Embedded).then_some(CursorMode::Embedded);
        let wanted = SelectSourcesOptions::default()
            .set_sources(Some(SourceType::Monitor.into()))
            .set_multiple(false)
            .set_cursor_mode(cursor)
            .set_persist_mode(PersistMode::DoNot);
        portal.select_sources(&session, wanted).await?.response()?;
        Ok::<_, ashpd::Error>((portal, session))
    };
    let (portal, session) = in_time(ANSWER, "it does not answer", begun).await?;
    let started = async { portal.start(&session, None, Default::default()).await?.response() };
    let streams = in_time(CHOICE, "no screen was chosen", started).await?;
    let stream = streams.streams().first().ok_or("no screen was chosen")?;
    let (connections, asked) = mpsc::channel(1);
    let (node, size) = (stream.pipe_wire_node_id(), stream.size());
    // Fails when nobody waits any more: then the channel is closed as well.
    let _ = tell.send(Ok(Granted { node, size, connections }));
    serve(&portal, &session, asked).await
}

/// Makes connections until nobody wants any, or the person takes back what was granted.
async fn serve(
    portal: &Screencast,
    session: &Session<Screencast>,
    mut asked: mpsc::Receiver<Reply<OwnedFd>>,
) -> Result<(), String> {
    let mut closed = std::pin::pin!(session.receive_closed().await.map_err(text)?);
    loop {
        tokio::select! {
            reply = asked.recv() => {
                let Some(reply) = reply else { break };
                let connected = portal.open_pipe_wire_remote(session, Default::default());
                // Who asked may be gone.
                let _ = reply.try_send(in_time(ANSWER, "it does not answer", connected).await);
            }
            _ = closed.next() => return Ok(()),
        }
    }
    session.close().await.map_err(text)
}

async fn in_time<T>(
    limit: Duration,
    late: &str,
    work: impl Future<Output = Result<T, ashpd::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(text),
        Err(_) => Err(late.to_owned()),
    }
}

fn no_thread(error: &std::io::Error) -> String {
    format!("it cannot be asked ({})", system::words(error))
}

/// What the library says is for those who work on it, and goes to the log.
fn text(error: ashpd::Error) -> String {
    tracing::info!(%error, "the desktop portal");
    let reason = match error {
        ashpd::Error::Response(_) | ashpd::Error::Portal(PortalError::Cancelled(_)) => {
            "no screen was chosen"
        }
        ashpd::Error::Portal(PortalError::NotAllowed(_)) => "it does not allow this program to ask",
        ashpd::Error::PortalNotFound(_) | ashpd::Error::RequiresVersion(..) => {
            "it cannot share screens"
        }
        ashpd::Error::Zbus(_) => NOT_THERE,
        _ => "it refused without saying why",
    };
    reason.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_portal_says_is_told_in_words() {
        let gone = ashpd::zbus::Error::InvalidReply;
        for (error, says) in [
            (ashpd::Error::Portal(PortalError::Cancelled("x".into())), "no screen was chosen"),
            (ashpd::Error::NoResponse, "without saying why"),
            (ashpd::Error::Portal(PortalError::NotAllowed("x".into())), "does not allow"),
            (ashpd::Error::RequiresVersion(5, 1), "cannot share screens"),
            (ashpd::Error::Zbus(gone), NOT_THERE),
        ] {
            let theirs = error.to_string();
            let said = text(error);
            assert!(said.contains(says) && said != theirs, "{theirs}: {said}");
        }
        assert!(!no_thread(&std::io::Error::from_raw_os_error(11)).contains("os error"));
    }
}
