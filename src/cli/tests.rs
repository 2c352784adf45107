//! Tests of the command line as a whole: that it stands, what it refuses, what its help says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(words(line))?;
    Cli::from_arg_matches(&matches)
}

/// The words of a line, as a shell makes them of blanks and single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    for (n, part) in line.split('\'').enumerate() {
        match n % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn every_command_parses_with_its_least_words() {
    for line in [
        "peer serve",
        "peer login",
        "peer call bob",
        "peer loopback",
        "peer config",
        "peer keys",
        "peer man",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn the_output_flags_stand_before_or_after_the_command() {
    for line in ["peer --json -vv call bob", "peer call bob -vv --json"] {
        let output = parse(line).unwrap().output;
        assert!(output.json);
        assert_eq!(output.volume(), output_args::Volume::Debug);
    }
    assert_eq!(parse("peer -q serve").unwrap().output.volume(), output_args::Volume::Quiet);
    assert_eq!(parse("peer serve").unwrap().output.volume(), output_args::Volume::Normal);
}

#[test]
fn usage_errors_exit_with_2() {
    for line in [
        "peer",
        "peer dance",
        "peer call",
        "peer completions",
        "peer completions tcsh",
        "peer config --save",
        "peer call bob extra",
        "peer call bob --fps 0",
        "peer call bob --timeout 30",
        "peer call bob --auto-answer",
        "peer login a -q -v",
        "peer serve --listen 9090",
        "peer loopback --bitrate fast",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn help_and_version_exit_with_0() {
    let help = parse("peer --help").unwrap_err();
    assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
    assert_eq!(parse("peer --version").unwrap_err().exit_code(), 0);
}

#[test]
fn every_help_has_headings_and_examples_that_parse() {
    for (words, headings) in [
        ("peer -h", ["Commands:", "Output:"].as_slice()),
        ("peer call --help", &["Media:", "Network:", "Call:", "Output:"]),
        ("peer login --help", &["Media:", "Network:", "Call:", "Output:"]),
        ("peer loopback --help", &["Media:", "Call:", "Output:"]),
        ("peer serve --help", &["Output:"]),
        ("peer devices --help", &["Output:"]),
        ("peer keys --help", &["Output:"]),
        ("peer doctor --help", &["Network:", "Output:"]),
        ("peer config --help", &["Media:", "Network:", "Output:"]),
        ("peer completions --help", &["Output:"]),
        ("peer man --help", &["Output:"]),
    ] {
        let help = parse(words).unwrap_err().to_string();
        let first = help.find("Examples:").unwrap();
        assert!(first < help.find("Usage:").unwrap(), "{words}: examples come first");
        for heading in headings {
            assert_eq!(help.matches(&format!("\n{heading}\n")).count(), 1, "{words}: {heading}");
        }
        let examples: Vec<_> =
            help.lines().filter_map(|line| Some(&line[line.find("  peer ")?..])).collect();
        assert!(!examples.is_empty(), "{words}");
        for example in examples {
            // What a shell does with it, and what it is for, is not ours.
            let line = example.split(['|', '>']).next().unwrap().trim();
            let line = line.split("      ").next().unwrap();
            assert!(parse(line).is_ok(), "{words}: {example}");
        }
    }
}

#[test]
fn no_help_shows_what_the_environment_holds_as_password() {
    let call = command();
    let call = call.find_subcommand("call").unwrap();
    let password = call.get_arguments().find(|a| a.get_id() == "turn_password").unwrap();
    assert!(password.is_hide_env_values_set());
}
