//! The `peer` command: parse, log, run, exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;
use peer::cli::output::Output;
use peer::cli::{Cli, logging, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.output);
    logging::start(&output);
    run(cli, &output).into()
}
