//! `peer login`: stay online, call and be called, at a prompt or fed by a script.

use clap::Args;

use super::call_args::{AnswerArgs, CallArgs};
use super::exit::Failure;
use super::media_args::MediaArgs;
use super::network_args::NetworkArgs;
use super::output::Output;
use super::output_args::StatsArgs;
use super::people::People;
use super::prompt::{self, Line};
use super::remembered::{self, Remembered};
use super::reporter::{Ending, Reporter};
use super::settings::Settings;
use super::setup::{self, Identity, Recalled};
use super::signals::Interrupts;
use super::stage::Stage;
use super::stdin::Lines;
use super::{anybody, editor, error_event, job, stdin, token, values};
use crate::phone::command::Command;
use crate::phone::config::AnswerPolicy;
use crate::phone::event::{Event, EventKind};
use crate::phone::{Events, Phone};

/// Examples of `peer login --help`.
pub const EXAMPLES: &str = "\
Examples:
  peer login alice
  peer login alice --server ws://example.org:9090 --save
  peer login bot --auto-answer --video clip.mp4 --audio speech.wav
  printf 'call bob\\n' | peer login alice --json";

/// What comes after the flags.
pub const NOTES: &str = "\
At the prompt, or line by line from a script:
  call NAME, answer, reject, trust, hangup, mute, unmute, video, novideo, record, norecord, status,
  missed, help, quit
On a terminal Tab completes commands and names, and the arrow keys and Ctrl-R find earlier lines.
Ctrl-C clears the line, and ends the login when there is none; Ctrl-Z and fg work as everywhere.
The end of a script's input does not end the login; quit, Ctrl-C and SIGTERM do.
PEER_TOKEN has the token of the name, where the server wants one; peer --help has all variables.";

/// Flags of `peer login`.
#[derive(Debug, Args)]
pub struct LoginCommand {
    /// Our name on the server [default: that of the settings, or of the last login]
    #[arg(value_name = "NAME", env = "PEER_NAME", value_parser = values::name)]
    me: Option<String>,
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
    /// Do not ring the terminal's bell when somebody calls
    #[arg(long, help_heading = "Output")]
    no_bell: bool,
    /// Remember what this command line says, for later ones; passwords in a file of their own
    #[arg(long, help_heading = "Settings")]
    pub(super) save: bool,
    /// What is remembered.
    #[arg(skip)]
    pub(super) settings: Settings,
}

/// Logs in and stays until told to quit.
///
/// # Errors
/// When the login fails, or the phone stops by itself.
pub async fn run(command: LoginCommand, stage: Stage, output: &Output) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    job::watch(output)?;
    // What comes in is the picture or the sound, and no commands.
    let sent = command.media.reads_standard_input();
    let input = if sent { stdin::Kind::Nobody } else { stdin::kind() };
    let (server, name) = (command.network.server.clone(), command.me.clone());
    let identity = Identity::choose(server, name, || None)?;
    let mut last = Remembered::of(&identity.server, &identity.name);
    last.people = command.settings.last.clone().map_or_else(Vec::new, |last| last.people);
    let people = People::new(last.people.clone());
    let policy = command.answer.policy(input != stdin::Kind::Nobody);
    let allow = command.answer.allow.clone();
    let options = command.call.call_options(command.media.rate_options(), policy, allow);
    let prompted = input == stdin::Kind::Terminal;
    let asks = policy == AnswerPolicy::Ask;
    let (media, token) = (&command.media, command.settings.token());
    let recalled = Recalled::of(&command.settings, &identity);
    let told = (token, command.stats.path());
    let config = setup::phone_config(identity, media, &command.network, options, &stage, told)?;
    let mut reporter = Reporter::new(output.clone(), command.stats.open()?, prompted, asks);
    if !command.no_bell {
        reporter.ring_bell();
    }
    let (phone, events) = tokio::select! {
        phone = token::log_in(config, output) => {
            phone.map_err(|error| recalled.failed(error))?
        }
        () = interrupts.first() => return Ok(()),
    };
    if let Some(words) = recalled.words("peer login NAME") {
        output.say(&words);
    }
    // What a robot does is not what its owner wants the next time.
    let last = prompted.then_some(last);
    last.iter().for_each(|last| setup::remember(last, output));
    if command.save {
        output.say(&command.settings.save()?);
    }
    say_who_is_asked(sent, policy, output);
    let lines = lines_of(input, output, &people);
    if lines.as_ref().is_some_and(|(_, edited)| *edited) {
        reporter.show_bar();
    }
    let lines = lines.map(|(lines, _)| lines);
    let mut desk = Desk {
        phone,
        output: output.clone(),
        reporter,
        stage,
        people,
        last,
        prompted,
        leaving: false,
        cut_short: None,
        open_door: anybody::warnings(&command.answer, &command.media.video),
    };
    desk.run(events, lines, &mut interrupts).await;
    output.end_prompt();
    desk.phone.close().await;
    match (desk.leaving, desk.cut_short) {
        (true, Some(why)) => Err(Failure::Recording(why)),
        (true, None) => Ok(()),
        (false, _) => {
            Err(anyhow::anyhow!("internal error: the phone stopped by itself; please report it")
                .into())
        }
    }
}

/// Says why nobody can be asked or told anything, where that is so.
fn say_who_is_asked(sent: bool, policy: AnswerPolicy, output: &Output) {
    if sent {
        output
            .say("standard input is what is sent, so there are no commands; Ctrl-C ends the login");
    }
    if policy == AnswerPolicy::Refuse {
        output
            .say("calls are refused because nobody can be asked here; --auto-answer accepts them");
    }
}

/// What is typed or fed, and whether it is edited at a prompt of ours; `None`: nobody feeds any.
fn lines_of(input: stdin::Kind, output: &Output, people: &People) -> Option<(Lines, bool)> {
    match input {
        stdin::Kind::Nobody => None,
        stdin::Kind::Script => Some((stdin::lines(), false)),
        stdin::Kind::Terminal => {
            let start = || editor::start(output, people.clone(), remembered::history());
            let edited = output.is_live().then(start).flatten();
            Some(edited.map_or_else(|| (stdin::lines(), false), |lines| (lines, true)))
        }
    }
}

/// One person's (or script's) place at the phone.
struct Desk {
    phone: Phone,
    output: Output,
    reporter: Reporter,
    stage: Stage,
    people: People,
    /// What later commands find; nothing of a login without a terminal.
    last: Option<Remembered>,
    prompted: bool,
    /// We said `Quit`: that the events end is as asked.
    leaving: bool,
    /// Why the last recording that ended before its time did so.
    cut_short: Option<String>,
    /// What to say, once, of a server on which anybody can take any name.
    open_door: Vec<String>,
}

impl Desk {
    /// Until the phone has no more events.
    async fn run(
        &mut self,
        mut events: Events,
        mut lines: Option<Lines>,
        interrupts: &mut Interrupts,
    ) {
        self.prompt(lines.as_ref());
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => {
                        self.stage.follow(&event);
                        self.meet(&event);
                        if let EventKind::RecordingStopped { reason: Some(why), .. } = &event.kind {
                            self.cut_short = Some(why.clone());
                        }
                        self.reporter.show(&event, Ending::Told);
                        self.warn_of_strangers(&event);
                    }
                    None => return,
                },
                line = next(&mut lines) => match line {
                    Some(line) => {
                        self.line(&line);
                        self.prompt(lines.as_ref());
                    }
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
    }

    /// Tells the phone, and those who show what is switched on and off.
    fn tell(&mut self, command: Command) {
        self.stage.told(&command);
        self.reporter.told(&command);
        self.phone.tell(command);
    }

    /// Ctrl-D at the prompt is `quit`; a script that has said all it had to say is not.
    fn end_of_input(&mut self, lines: &mut Option<Lines>) {
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

    fn prompt(&self, lines: Option<&Lines>) {
        if self.prompted && !self.leaving {
            self.output.prompt();
            lines.into_iter().for_each(Lines::ready);
        }
    }

    fn warn_of_strangers(&mut self, event: &Event) {
        if let EventKind::LoggedIn { tokens, .. } = event.kind {
            let said = std::mem::take(&mut self.open_door);
            said.iter().filter(|_| !tokens).for_each(|warning| self.output.warn(warning));
        }
    }

    /// Whom a call is with is completed, now and in later logins.
    fn meet(&mut self, event: &Event) {
        if self.people.meet(event)
            && let Some(last) = &mut self.last
        {
            last.people = self.people.names();
            setup::remember(last, &self.output);
        }
    }
}

/// The next line; never, when nobody feeds any.
async fn next(lines: &mut Option<Lines>) -> Option<String> {
    match lines {
        Some(lines) => lines.next().await,
        None => std::future::pending().await,
    }
}
