//! `peer login`: stay online, call and be called, at a prompt or fed by a script.

use clap::Args;
use tokio::sync::mpsc;

use super::call_args::{AnswerArgs, CallArgs};
use super::exit::Failure;
use super::media_args::MediaArgs;
use super::network_args::NetworkArgs;
use super::output::Output;
use super::output_args::StatsArgs;
use super::prompt::{self, Line};
use super::reporter::{Ending, Reporter};
use super::setup::{self, Identity};
use super::signals::Interrupts;
use super::stage::Stage;
use super::{error_event, stdin, token, values};
use crate::phone::command::Command;
use crate::phone::config::AnswerPolicy;
use crate::phone::{Events, Phone};

/// Examples of `peer login --help`.
pub const EXAMPLES: &str = "\
Examples:
  peer login alice
  peer login bot --auto-answer --video clip.mp4 --audio speech.wav
  printf 'call bob\\n' | peer login alice --json

At the prompt, or line by line from a script:
  call NAME, answer, reject, hangup, mute, unmute, video, novideo, record, norecord, status,
  help, quit
The end of a script's input does not end the login; quit, Ctrl-C and SIGTERM do.";

/// Flags of `peer login`.
#[derive(Debug, Args)]
pub struct LoginCommand {
    /// Our name on the server
    #[arg(value_name = "NAME", value_parser = values::name)]
    name: String,
    #[command(flatten)]
    pub(super) media: MediaArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    answer: AnswerArgs,
    #[command(flatten)]
    call: CallArgs,
    #[command(flatten)]
    stats: StatsArgs,
}

/// Logs in and stays until told to quit.
///
/// # Errors
/// When the login fails, or the phone stops by itself.
pub async fn run(command: LoginCommand, stage: Stage, output: &Output) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let input = stdin::kind();
    let last = setup::recall(output);
    let name = Some(command.name.clone());
    let identity = Identity::choose(command.network.server.clone(), name, last, || None)?;
    let server = identity.server.clone();
    let policy = command.answer.policy(input != stdin::Kind::Nobody);
    let allow = command.answer.allow.clone();
    let options = command.call.call_options(command.media.max_bitrate, policy, allow);
    let prompted = input == stdin::Kind::Terminal;
    let reporter =
        Reporter::new(output.clone(), command.stats.open()?, prompted, policy == AnswerPolicy::Ask);
    let config = setup::phone_config(identity, &command.media, &command.network, options, &stage)?;
    let (phone, events) = tokio::select! {
        phone = token::log_in(config, output) => phone?,
        () = interrupts.first() => return Ok(()),
    };
    setup::remember(&server, &command.name, output);
    if policy == AnswerPolicy::Refuse {
        output.say("nobody can be asked here: calls are refused; --auto-answer answers them");
    }
    let lines = (input != stdin::Kind::Nobody).then(stdin::lines);
    let mut desk =
        Desk { phone, output: output.clone(), reporter, stage, prompted, leaving: false };
    desk.run(events, lines, &mut interrupts).await;
    output.end_prompt();
    desk.phone.close().await;
    if desk.leaving { Ok(()) } else { Err(anyhow::anyhow!("the phone stopped by itself").into()) }
}

/// One person's (or script's) place at the phone.
struct Desk {
    phone: Phone,
    output: Output,
    reporter: Reporter,
    stage: Stage,
    prompted: bool,
    /// We said `Quit`: that the events end is as asked.
    leaving: bool,
}

impl Desk {
    /// Until the phone has no more events.
    async fn run(
        &mut self,
        mut events: Events,
        mut lines: Option<mpsc::Receiver<String>>,
        interrupts: &mut Interrupts,
    ) {
        self.prompt();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => {
                        self.stage.follow(&event);
                        self.reporter.show(&event, Ending::Told);
                    }
                    None => return,
                },
                line = next(&mut lines) => match line {
                    Some(line) => self.line(&line),
                    None => self.end_of_input(&mut lines),
                },
                command = self.stage.next_command() => self.tell(command),
                () = interrupts.first() => {
                    self.phone.tell(Command::Interrupt);
                    self.quit();
                }
            }
        }
    }

    fn line(&mut self, line: &str) {
        if self.prompted {
            self.output.entered();
        }
        match prompt::parse(line) {
            Ok(Line::Nothing) => {}
            Ok(Line::Help) => self.output.say(prompt::HELP),
            Ok(Line::Command(Command::Quit)) => self.quit(),
            Ok(Line::Command(command)) => {
                if command == Command::Status {
                    self.reporter.ask_status();
                }
                self.tell(command);
            }
            Err(advice) => {
                self.output.error(&advice, None);
                self.output.json(&error_event("bad-command", advice));
            }
        }
        self.prompt();
    }

    /// Tells the phone, and those who show what is switched on and off.
    fn tell(&mut self, command: Command) {
        self.stage.told(&command);
        self.reporter.told(&command);
        self.phone.tell(command);
    }

    /// Ctrl-D at the prompt is `quit`; a script that has said all it had to say is not.
    fn end_of_input(&mut self, lines: &mut Option<mpsc::Receiver<String>>) {
        *lines = None;
        if self.prompted {
            self.output.end_prompt();
            self.quit();
        }
    }

    fn quit(&mut self) {
        self.leaving = true;
        self.output.end_prompt();
        self.phone.tell(Command::Quit);
    }

    fn prompt(&self) {
        if self.prompted && !self.leaving {
            self.output.prompt();
        }
    }
}

/// The next line; never, when nobody feeds any.
async fn next(lines: &mut Option<mpsc::Receiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}
