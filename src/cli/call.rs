//! `peer call`: call somebody, show how it goes, end with the call.

use clap::Args;

use super::call_args::CallArgs;
use super::exit::{Exit, Failure, reason_exit};
use super::media_args::MediaArgs;
use super::network_args::NetworkArgs;
use super::output::Output;
use super::output_args::StatsArgs;
use super::reporter::{Ending, Reporter};
use super::settings::Settings;
use super::setup::{self, Identity, Recalled};
use super::signals::Interrupts;
use super::stage::Stage;
use super::{job, remembered, terminal, token, values};
use crate::phone::command::Command;
use crate::phone::config::AnswerPolicy;
use crate::phone::event::{Because, EndReason, EventKind};
use crate::phone::{Events, Phone, PhoneError};

/// Examples of `peer call --help`.
pub const EXAMPLES: &str = "\
Examples:
  peer call bob
  peer call bob --video clip.mp4 --audio clip.mp4 --record bob.mkv
  peer call bob --as alice --server ws://example.org:9090 --duration 10s --json";

/// What comes after the flags.
pub const NOTES: &str = "\
On a terminal: m mute, v video off, r record, d numbers, h or q hang up, ? the keys. Ctrl-Z and fg work
as everywhere, and a call in the background (bg) goes on.
PEER_TOKEN has the token of our name, where the server wants one; peer --help has all variables.";

/// Flags of `peer call`.
#[derive(Debug, Args)]
pub struct CallCommand {
    /// Whom to call: their name on the server
    #[arg(value_name = "NAME", value_parser = values::name)]
    name: String,
    #[command(flatten)]
    pub(super) media: MediaArgs,
    /// Our own name [default: that of the settings, of the last login, or the user name]
    #[arg(long = "as", value_name = "ME", env = "PEER_NAME", value_parser = values::name,
          help_heading = "Network")]
    me: Option<String>,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    call: CallArgs,
    #[command(flatten)]
    stats: StatsArgs,
    /// What is remembered.
    #[arg(skip)]
    pub(super) settings: Settings,
}

/// Calls, and ends with the call.
///
/// # Errors
/// When the login fails or the call ends otherwise than asked.
pub async fn run(command: CallCommand, mut stage: Stage, output: &Output) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    job::watch(output)?;
    let identity =
        Identity::choose(command.network.server.clone(), command.me.clone(), remembered::os_user)?;
    if command.name == identity.name {
        let reason = "that is your own name; you cannot call yourself".to_owned();
        return Err(PhoneError::BadName { name: command.name, reason }.into());
    }
    // Whoever calls us meanwhile is refused: this login is for one call.
    let options =
        command.call.call_options(command.media.rate_options(), AnswerPolicy::Refuse, Vec::new());
    let (media, token) = (&command.media, command.settings.token());
    let recalled = Recalled::of(&command.settings, &identity);
    let told = (token, command.stats.path());
    let config = setup::phone_config(identity, media, &command.network, options, &stage, told)?;
    let mut reporter = Reporter::new(output.clone(), command.stats.open()?, false, false);
    let (phone, mut events) = tokio::select! {
        phone = token::log_in(config, output) => {
            phone.map_err(|error| recalled.failed(error))?
        }
        () = interrupts.first() => return Ok(()),
    };
    if let Some(words) = recalled.words("--as") {
        output.say(&words);
    }
    // What comes in is the picture or the sound, and no keys.
    let asks = !media.reads_standard_input() && stage.take_keys(output);
    if asks {
        output.say(terminal::KEYS);
    }
    phone.tell(Command::Call { name: command.name.clone() });
    let mut desk = Desk {
        phone: &phone,
        interrupts: &mut interrupts,
        reporter: &mut reporter,
        stage: &mut stage,
        asks: asks.then(|| output.clone()),
        cut_short: None,
    };
    let ended = desk.until_ended(&command.name, &mut events).await;
    let cut_short = desk.cut_short.take();
    output.clear_status();
    // What still comes is of no interest, and must not keep the phone waiting.
    drop(events);
    phone.close().await;
    match ended {
        Some((reason, _)) if reason_exit(reason) == Exit::Done => match cut_short {
            Some(why) => Err(Failure::Recording(why)),
            None => Ok(()),
        },
        Some((reason, because)) => Err(Failure::Call { reason, name: command.name, because }),
        None => Err(anyhow::anyhow!(
            "internal error: the phone stopped before the call had ended; please report it"
        )
        .into()),
    }
}

/// How a call ended, and what more is known of it.
type End = (EndReason, Option<Because>);

/// What a call is watched and steered with.
struct Desk<'a> {
    phone: &'a Phone,
    interrupts: &'a mut Interrupts,
    reporter: &'a mut Reporter,
    stage: &'a mut Stage,
    /// Somebody types there, and can be asked.
    asks: Option<Output>,
    /// Why a recording ended before its time, if one did.
    cut_short: Option<String>,
}

impl Desk<'_> {
    /// Shows events until the call with `name` has ended; `None` when the phone stopped before it.
    async fn until_ended(&mut self, name: &str, events: &mut Events) -> Option<End> {
        let mut interrupted = None;
        loop {
            let event = tokio::select! {
                event = events.recv() => match event {
                    Some(event) => event,
                    None => return interrupted.map(|reason| (reason, None)),
                },
                () = self.interrupts.first() => {
                    interrupted = Some(EndReason::Interrupted);
                    self.phone.tell(Command::Interrupt);
                    self.phone.tell(Command::Quit);
                    continue;
                }
                command = self.stage.next_command() => {
                    self.reporter.told(&command);
                    self.phone.tell(command);
                    continue;
                }
            };
            self.stage.follow(&event);
            if let EventKind::RecordingStopped { reason: Some(reason), .. } = &event.kind {
                self.cut_short = Some(reason.clone());
            }
            let ours = event.peer.as_deref().is_none_or(|peer| peer == name);
            let (reason, because) = match &event.kind {
                EventKind::Ended { reason, because, .. } if ours => (*reason, because.clone()),
                _ => {
                    self.reporter.show(&event, Ending::Told);
                    continue;
                }
            };
            let told = if reason_exit(reason) == Exit::Done {
                Ending::Told
            } else {
                Ending::LeftToTheError
            };
            self.reporter.show(&event, told);
            if reason == EndReason::KeyChanged && self.goes_on(name).await {
                continue;
            }
            return Some((reason, because));
        }
    }

    /// Asks, where there is somebody to ask, whether to call again in spite of another key.
    async fn goes_on(&mut self, name: &str) -> bool {
        let Some(output) = &self.asks else { return false };
        output.say(&format!("type t to accept the new key and call '{name}' again, or q to stop"));
        loop {
            let command = tokio::select! {
                command = self.stage.next_command() => command,
                () = self.interrupts.first() => return false,
            };
            match command {
                Command::Trust => {
                    self.phone.tell(command);
                    return true;
                }
                Command::Hangup => return false,
                _ => {}
            }
        }
    }
}
