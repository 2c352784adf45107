//! Job control: Ctrl-Z gives the terminal back and stops, `fg` takes it up again, and a call in the
//! background goes on without it.
//!
//! Owns the signals of it (POSIX, "Terminal Access Control"); what there is to give back
//! `terminal.rs` knows.

use super::output::Output;

/// Watches over whose the terminal is, until the process ends. Must be called inside the runtime.
///
/// # Errors
/// When the operating system refuses the handlers.
#[cfg(unix)]
pub fn watch(output: &Output) -> anyhow::Result<()> {
    let signals = on_unix::Signals::listen()?;
    if !super::tty::is_ours() {
        super::terminal::step_back(output);
    }
    tokio::spawn(on_unix::follow(signals, output.clone()));
    Ok(())
}

/// Elsewhere there is none.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn watch(_: &Output) -> anyhow::Result<()> {
    Ok(())
}

#[cfg(unix)]
mod on_unix {
    use std::time::Duration;

    use anyhow::Context;
    use rustix::process;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use crate::cli::output::Output;
    use crate::cli::{terminal, tty};
    use crate::clock;

    /// Nothing tells a job that runs in the background already that it came to the front.
    const LOOK_EVERY: Duration = Duration::from_millis(200);

    pub(super) struct Signals {
        /// Ctrl-Z, or somebody's `kill -TSTP`.
        stop: Signal,
        /// `fg` and `bg`.
        go_on: Signal,
    }

    impl Signals {
        pub(super) fn listen() -> anyhow::Result<Self> {
            let kind = |signal: process::Signal| SignalKind::from_raw(signal.as_raw());
            let stop = signal(kind(process::Signal::TSTP)).context("cannot listen for Ctrl-Z")?;
            let go_on = signal(kind(process::Signal::CONT)).context("cannot listen for SIGCONT")?;
            Ok(Self { stop, go_on })
        }
    }

    pub(super) async fn follow(mut signals: Signals, output: Output) {
        loop {
            let look_at = terminal::is_away().then(|| clock::now() + LOOK_EVERY);
            tokio::select! {
                _ = signals.stop.recv() => stop(&mut signals.go_on, &output).await,
                // Whoever sends SIGSTOP does not ask, and the shell has set the terminal since.
                _ = signals.go_on.recv() => {}
                () = clock::until(look_at) => {}
            }
            match (tty::is_ours(), terminal::is_away()) {
                (true, _) => terminal::step_forward(&output),
                (false, false) => terminal::step_back(&output),
                (false, true) => terminal::note_shell(),
            }
        }
    }

    /// Stops until somebody lets us go on.
    async fn stop(go_on: &mut Signal, output: &Output) {
        if !tty::has_a_shell() {
            // Nobody would let us go on, as POSIX has it for orphaned process groups.
            return;
        }
        if tty::is_ours() {
            terminal::step_back(output);
        }
        if process::kill_process(process::getpid(), process::Signal::STOP).is_ok() {
            go_on.recv().await;
        }
    }
}
