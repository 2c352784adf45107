//! Floor 5: the command line.
//!
//! One file a subcommand: its flags and what it shows a person. It knows the
//! phone and the words of its options; it knows no sockets, no codecs and no
//! calls.

pub mod addresses;
pub mod call;
pub mod call_args;
pub mod devices;
pub mod doctor;
pub mod exit;
pub mod format;
pub mod listening;
pub mod logging;
pub mod login;
pub mod loopback;
pub mod marks;
pub mod media_args;
pub mod network_args;
pub mod open_files;
pub mod output;
pub mod output_args;
pub mod prompt;
pub mod qr;
pub mod remembered;
pub mod report_table;
pub mod reporter;
pub mod serve;
pub mod serve_args;
pub mod service;
pub mod setup;
pub mod signals;
pub mod stage;
pub mod stats_file;
pub mod status;
pub mod stdin;
pub mod terminal;
pub mod tls_args;
pub mod token;
pub mod tty;
pub mod values;

use anyhow::Context;
use clap::{Parser, Subcommand};

use exit::{Exit, Failure};
use output::Output;
use output_args::OutputArgs;
use stage::Stage;

use crate::media::sink::ViewSpec;
use crate::phone::event::{Event, EventKind};

const EXAMPLES: &str = "\
Examples:
  peer serve                    the server, and a page for browsers
  peer login alice              stay online and be called
  peer call alice --as bob      call alice
  peer loopback                 a call with itself, measured
  peer devices                  what there is to film, hear and play with
  peer doctor                   could a call work here?

Exit codes: 0 as asked, 1 a check or a fault, 2 usage, 3 server, 4 nobody there, 5 media, 6 connection";

/// Call a browser or another peer: H.264 and Opus over WebRTC
#[derive(Debug, Parser)]
#[command(name = "peer", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Subject,
    /// How much is said.
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Run the signaling server, with a page for browsers on the same port
    #[command(after_help = serve::EXAMPLES)]
    Serve(serve::ServeCommand),
    /// Log in, stay online, call and be called
    #[command(after_help = login::EXAMPLES, args_override_self = true)]
    Login(Box<login::LoginCommand>),
    /// Call somebody
    #[command(after_help = call::EXAMPLES, args_override_self = true)]
    Call(Box<call::CallCommand>),
    /// Call itself in one process, and measure how good it was
    #[command(after_help = loopback::EXAMPLES)]
    Loopback(loopback::LoopbackCommand),
    /// List cameras, screens, microphones and speakers, with the words that ask for them
    #[command(after_help = devices::EXAMPLES)]
    Devices(devices::DevicesCommand),
    /// Find out whether a call could work: codecs, devices, server, STUN, TURN
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorCommand),
}

/// Runs the command and says why it failed, if it did.
#[must_use]
pub fn run(cli: Cli, output: &Output) -> Exit {
    match try_run(cli.command, output) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            output.clear_status();
            output.error(&failure.to_string(), failure.hint());
            // The `ended` event has said it already.
            if !matches!(failure, Failure::Call { .. }) {
                output.json(&error_event(failure.code(), failure.to_string()));
            }
            failure.exit()
        }
    }
}

/// A window wants the main thread; then everything else runs on another.
fn try_run(command: Subject, output: &Output) -> Result<(), Failure> {
    let view = match &command {
        Subject::Login(command) => command.media.view,
        Subject::Call(command) => command.media.view,
        _ => ViewSpec::None,
    };
    let _borrowed = terminal::Borrowed;
    let (stage, window, missing) = Stage::set(view, output);
    if let Some(error) = missing {
        output.warn(&format!("{error}; nothing is shown"));
    }
    let Some(window) = window else { return on_a_runtime(command, stage, output) };
    let curtain = stage.curtain();
    std::thread::scope(|threads| {
        let running = std::thread::Builder::new()
            .name("peer-main".into())
            .spawn_scoped(threads, || {
                let ended = on_a_runtime(command, stage, output);
                curtain();
                ended
            })
            .context("cannot start a thread")?;
        if let Err(error) = window.run() {
            output.warn(&format!("{error}; nothing is shown any more"));
        }
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn on_a_runtime(command: Subject, stage: Stage, output: &Output) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Media have threads of their own; what is left is too little to be handed around.
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the threads of the runtime")?;
    let ended = runtime.block_on(async {
        match command {
            Subject::Serve(command) => serve::run(command, output).await,
            Subject::Login(command) => login::run(*command, stage, output).await,
            Subject::Call(command) => call::run(*command, stage, output).await,
            Subject::Loopback(command) => loopback::run(command, output).await,
            Subject::Devices(command) => devices::run(command, output).await,
            Subject::Doctor(command) => doctor::run(command, output).await,
        }
    });
    // Whatever still runs (a name being resolved) is no reason to wait.
    runtime.shutdown_background();
    ended
}

/// An `error` event of the command itself.
fn error_event(code: &str, message: String) -> Event {
    Event {
        kind: EventKind::Error { code: code.to_owned(), message },
        time: crate::clock::wall(),
        call: None,
        peer: None,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
