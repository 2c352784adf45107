//! The `peer` command: parse, log, run, exit code; nothing else.

use std::process::ExitCode;

use peer::cli::output::Output;
use peer::cli::{logging, parse, run};

fn main() -> ExitCode {
    let cli = parse();
    let output = Output::new(&cli.output);
    logging::start(&output);
    run(cli, &output).into()
}
