//! The output flags: how much is said, and in which form.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};

use super::exit::Failure;
use super::stats_file::{self, StatsFile};

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volume {
    /// Errors.
    Quiet,
    /// What a person wants to know.
    Normal,
    /// And what the library does.
    Verbose,
    /// And why.
    Debug,
}

/// Taken by every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Write events to stdout, one JSON object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on stderr; -vv says still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Say only errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

impl OutputArgs {
    /// How much is said.
    #[must_use]
    pub fn volume(&self) -> Volume {
        match (self.quiet, self.verbose) {
            (true, _) => Volume::Quiet,
            (false, 0) => Volume::Normal,
            (false, 1) => Volume::Verbose,
            (false, _) => Volume::Debug,
        }
    }
}

/// Taken by the commands that hold calls.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct StatsArgs {
    /// Append one stats snapshot a second to FILE, as JSON lines
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
}

impl StatsArgs {
    /// The file, where one is wanted.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.stats.as_deref()
    }

    /// Opens the file, where one is wanted.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(&self) -> Result<Option<StatsFile>, Failure> {
        let Some(path) = &self.stats else { return Ok(None) };
        StatsFile::append(path).map(Some).map_err(|error| Failure::StatsFile {
            path: path.clone(),
            reason: stats_file::refusal(&error),
        })
    }
}
