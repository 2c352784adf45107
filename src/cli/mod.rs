//! Floor 5: the command line.
//!
//! One file a subcommand: its flags and what it shows a person. It knows the
//! phone and the words of its options; it knows no sockets, no codecs and no
//! calls.

pub mod above;
pub mod addresses;
pub mod anybody;
pub mod bad_network_args;
pub mod bar;
pub mod call;
pub mod call_args;
pub mod completing;
pub mod config;
pub mod devices;
pub mod doctor;
pub mod editor;
pub mod exit;
pub mod format;
pub mod help;
pub mod job;
pub mod keys;
pub mod listening;
pub mod logging;
pub mod login;
pub mod loopback;
pub mod manual;
pub mod marks;
pub mod media_args;
pub mod network_args;
pub mod numbers;
pub mod open_files;
pub mod output;
pub mod output_args;
pub mod people;
pub mod privacy;
pub mod prompt;
pub mod qr;
pub mod remembered;
pub mod report_table;
pub mod reporter;
pub mod serve;
pub mod serve_args;
pub mod service;
pub mod settings;
pub mod settings_file;
pub mod settings_keys;
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

use std::path::PathBuf;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use exit::{Exit, Failure};
use output::Output;
use output_args::OutputArgs;
use settings::{Layers, Settings};
use stage::Stage;

use crate::media::sink::ViewSpec;
use crate::phone::event::{Event, EventKind};

const EXAMPLES: &str = "\
Examples:
  peer loopback                 a call with itself: does it work here?
  peer serve                    the server, and a page for browsers at http://localhost:9090
  peer login alice              stay online, be called, and call from a prompt
  peer call alice --as bob      call alice
  peer call alice --video test --audio tone      without camera and microphone
  peer keys                     whose keys are remembered, and your own
  peer devices                  what there is to film, hear and play with
  peer doctor                   could a call work here?";

const NOTES: &str = "\
peer COMMAND -h has the flags of each command, peer COMMAND --help all of them, with examples.
Exit codes: 0 as asked, 1 a check or a fault, 2 usage, 3 server, 4 nobody there, 5 media, 6 connection";

/// Examples come first: they say most in the fewest lines.
const HELP: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

/// Call a browser or another peer: H.264 and Opus over WebRTC
#[derive(Debug, Parser)]
#[command(name = "peer", version, before_help = EXAMPLES, after_long_help = NOTES, max_term_width = 100,
          help_template = HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Subject,
    /// Read settings from FILE [default: peer/config.toml in the user's configuration folder]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PEER_CONFIG",
        help_heading = "Settings"
    )]
    config: Option<PathBuf>,
    /// How much is said.
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Run the signaling server, with a page for browsers on the same port
    #[command(before_long_help = serve::EXAMPLES, help_template = HELP)]
    Serve(serve::ServeCommand),
    /// Log in, stay online, call and be called
    #[command(before_long_help = login::EXAMPLES, after_long_help = login::NOTES, help_template = HELP,
              args_override_self = true)]
    Login(Box<login::LoginCommand>),
    /// Call somebody
    #[command(before_long_help = call::EXAMPLES, after_long_help = call::NOTES, help_template = HELP, args_override_self = true)]
    Call(Box<call::CallCommand>),
    /// Call itself in one process, and measure how good it was
    #[command(before_long_help = loopback::EXAMPLES, after_long_help = loopback::NOTES, help_template = HELP)]
    Loopback(Box<loopback::LoopbackCommand>),
    /// List cameras, screens, microphones and speakers, with the words that ask for them
    #[command(before_long_help = devices::EXAMPLES, after_long_help = devices::NOTES, help_template = HELP)]
    Devices(devices::DevicesCommand),
    /// Find out whether a call could work: codecs, devices, server, STUN, TURN
    #[command(before_long_help = doctor::EXAMPLES, after_long_help = doctor::NOTES, help_template = HELP)]
    Doctor(doctor::DoctorCommand),
    /// Show every setting, its value, and where that came from
    #[command(before_long_help = config::EXAMPLES, after_long_help = config::NOTES, help_template = HELP,
              args_override_self = true)]
    Config(Box<config::ConfigCommand>),
    /// Show whose keys are remembered, and your own; forget one
    #[command(before_long_help = keys::EXAMPLES, after_long_help = keys::NOTES, help_template = HELP)]
    Keys(keys::KeysCommand),
    /// Write what a shell needs to complete commands and flags
    #[command(before_long_help = manual::COMPLETIONS_EXAMPLES, help_template = HELP)]
    Completions(manual::CompletionsCommand),
    /// Write the manual page, as roff
    #[command(before_long_help = manual::MAN_EXAMPLES, help_template = HELP)]
    Man(manual::ManCommand),
}

impl Subject {
    /// Where it keeps what is remembered; `None` for a command that goes without.
    fn settings(&mut self) -> Option<&mut Settings> {
        match self {
            Self::Login(command) => Some(&mut command.settings),
            Self::Call(command) => Some(&mut command.settings),
            Self::Doctor(command) => Some(&mut command.settings),
            Self::Config(command) => Some(&mut command.settings),
            _ => None,
        }
    }
}

/// The definition of the command line.
#[must_use]
pub fn command() -> clap::Command {
    help::in_two_lengths(config::with_flags(Cli::command()))
        .after_long_help(format!("{NOTES}\n\n{}", help::ENVIRONMENT))
}

/// Parses the command line; says what is wrong with it, and ends, if something is.
#[must_use]
pub fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Parses it again, over what is remembered.
fn settled(mut cli: Cli, output: &Output) -> Result<Subject, Failure> {
    if cli.command.settings().is_none() {
        return Ok(cli.command);
    }
    let flags = command();
    let new = matches!(&cli.command, Subject::Login(command) if command.save);
    let layers = Layers::load(cli.config.as_deref(), new, &flags)?.over(setup::recall(output));
    let flags = layers.under(flags);
    // Each value has been tried alone, so this is no fault of the user's.
    let matches = flags.clone().try_get_matches().context("these settings conflict")?;
    let mut cli = Cli::from_arg_matches(&matches).context("these settings conflict")?;
    if let Some((name, matches)) = matches.subcommand()
        && let (Some(of), Some(settings)) = (flags.find_subcommand(name), cli.command.settings())
    {
        *settings = layers.settings(of, matches);
    }
    Ok(cli.command)
}

/// Runs the command and says why it failed, if it did.
#[must_use]
pub fn run(cli: Cli, output: &Output) -> Exit {
    match settled(cli, output).and_then(|command| try_run(command, output)) {
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
            Subject::Loopback(command) => loopback::run(*command, output).await,
            Subject::Devices(command) => devices::run(command, output).await,
            Subject::Doctor(command) => doctor::run(command, output).await,
            Subject::Config(command) => config::run(&command, output),
            Subject::Keys(command) => keys::run(command, output),
            Subject::Completions(command) => manual::completions(&command, output),
            Subject::Man(command) => manual::man(&command, output),
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
