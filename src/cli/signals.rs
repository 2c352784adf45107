//! Ctrl-C and SIGTERM: the first ends politely, the second at once.
//!
//! Owns the handlers; what a polite end is, each command decides.

use anyhow::Context;
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
        let signals = Signals::listen()?;
        let (to, first) = mpsc::channel(1);
        tokio::spawn(watch(signals, to));
        Ok(Self { first })
    }

    /// Waits for the first signal; after that, for ever.
    pub async fn first(&mut self) {
        if self.first.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

async fn watch(mut signals: Signals, first: mpsc::Sender<()>) {
    signals.next().await;
    // Nobody listens any more when the command is over already.
    let _ = first.send(()).await;
    drop(first);
    signals.next().await;
    // The polite end hangs or is too slow for somebody: nothing is tidied up but the terminal.
    super::terminal::give_back_at_once();
    std::process::exit(AT_ONCE);
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        Ok(Self { interrupt, terminate })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    terminate: tokio::signal::windows::CtrlBreak,
}

#[cfg(windows)]
impl Signals {
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c};
        let interrupt = ctrl_c().context("cannot listen for Ctrl-C")?;
        let terminate = ctrl_break().context("cannot listen for Ctrl-Break")?;
        Ok(Self { interrupt, terminate })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
