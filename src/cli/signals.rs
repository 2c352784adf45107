//! Ctrl-C and SIGTERM: the first ends politely, the second at once.
//!
//! Owns the handlers; what a polite end is, each command decides.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// The exit code after a second signal, as shells have it for Ctrl-C (128 + 2).
const AT_ONCE: i32 = 130;

/// The wish to end.
#[derive(Debug)]
pub struct Interrupts {
    first: mpsc::Receiver<()>,
}

impl Interrupts {
    /// Takes over both signals. Must be called inside the runtime.
    ///
    /// # Errors
    /// When the operating system refuses the handlers.
    pub fn listen() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let (to, first) = mpsc::channel(1);
        tokio::spawn(watch(interrupt, terminate, to));
        Ok(Self { first })
    }

    /// Waits for the first signal; after that, for ever.
    pub async fn first(&mut self) {
        if self.first.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

async fn watch(mut interrupt: Signal, mut terminate: Signal, first: mpsc::Sender<()>) {
    either(&mut interrupt, &mut terminate).await;
    // Nobody listens any more when the command is over already.
    let _ = first.send(()).await;
    drop(first);
    either(&mut interrupt, &mut terminate).await;
    // The polite end hangs or is too slow for somebody: nothing is tidied up but the terminal.
    super::terminal::give_back_at_once();
    std::process::exit(AT_ONCE);
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
