//! Tests of the printer: what reaches which stream, and in which order.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

/// A stream that the test can read afterwards.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Tape {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A pipe whose reader is gone.
struct Closed(Arc<Mutex<u32>>);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        *self.0.lock().unwrap() += 1;
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn output(volume: Volume, json: bool, live: bool) -> (Output, Tape, Tape) {
    let (stderr, stdout) = (Tape::default(), Tape::default());
    let (to_err, to_out) = (Box::new(stderr.clone()), Box::new(stdout.clone()));
    (Output::with_streams(volume, json, live, to_err, to_out), stderr, stdout)
}

#[test]
fn prose_goes_to_stderr_and_json_to_stdout() {
    let (output, stderr, stdout) = output(Volume::Normal, true, false);
    output.say("calling bob");
    output.json(&serde_json::json!({"event": "calling"}));
    assert_eq!(stderr.text(), "calling bob\n");
    assert_eq!(stdout.text(), "{\"event\":\"calling\"}\n");
}

#[test]
fn without_json_stdout_stays_empty() {
    let (output, _, stdout) = output(Volume::Normal, false, false);
    output.json(&serde_json::json!({}));
    assert_eq!(stdout.text(), "");
}

#[test]
fn quiet_says_errors_only() {
    let (output, stderr, _) = output(Volume::Quiet, false, true);
    output.say("calling bob");
    output.status("connected");
    output.error("no", Some("try again"));
    assert_eq!(stderr.text(), "peer: no\nhint: try again\n");
}

#[test]
fn a_line_does_not_tear_the_status_line() {
    let (output, stderr, _) = output(Volume::Normal, false, true);
    output.status("1 s");
    output.status("2 s");
    output.say("first picture");
    output.clear_status();
    output.say("over");
    assert_eq!(stderr.text(), "1 s\r\x1b[K2 s\r\x1b[Kfirst picture\n2 s\r\x1b[Kover\n");
}

#[test]
fn the_prompt_comes_back_after_a_line() {
    let (output, stderr, _) = output(Volume::Normal, false, true);
    output.prompt();
    output.say("alice is calling");
    output.entered();
    output.say("done");
    output.prompt();
    output.end_prompt();
    assert_eq!(stderr.text(), "> \r\x1b[Kalice is calling\n> done\n> \r\x1b[K");
}

#[test]
fn no_status_line_where_it_cannot_be_overwritten() {
    let (output, stderr, _) = output(Volume::Normal, false, false);
    output.status("1 s");
    output.prompt();
    assert_eq!(stderr.text(), "");
}

#[test]
fn strangers_cannot_steer_the_terminal() {
    let (output, stderr, _) = output(Volume::Normal, false, false);
    output.say("a\u{1b}[2Jb\u{202e}c\td\nnext");
    assert_eq!(stderr.text(), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\nnext\n");
}

#[test]
fn a_closed_stdout_is_tried_once_and_is_no_panic() {
    let tries = Arc::new(Mutex::new(0));
    let closed = Box::new(Closed(tries.clone()));
    let output =
        Output::with_streams(Volume::Normal, true, false, Box::new(Tape::default()), closed);
    output.json(&1);
    output.json(&2);
    assert_eq!(*tries.lock().unwrap(), 1);
}

#[test]
fn what_cannot_be_json_is_left_out() {
    let (output, _, stdout) = output(Volume::Normal, true, false);
    let not_json = std::collections::HashMap::from([((1, 2), 3)]);
    output.json(&not_json);
    assert_eq!(stdout.text(), "");
}

#[test]
fn what_was_drawn_for_an_earlier_turn_is_not_written() {
    let (output, stderr, _) = output(Volume::Normal, false, true);
    let turn = output.turn().expect("the terminal is ours");
    assert!(output.draw(b"one", 0, turn));
    output.step_back();
    assert_eq!(output.turn(), None);
    assert!(output.draw(b"two", 0, turn), "a terminal that is lent is not gone");
    output.step_forward();
    let next = output.turn().expect("ours again");
    assert!(output.draw(b"three", 0, turn) && output.draw(b"four", 0, next));
    assert_eq!(stderr.text(), "onefour");
}

#[test]
fn words_stand_again_on_a_screen_that_was_cleared() {
    let (output, stderr, _) = output(Volume::Normal, false, true);
    output.say("one\ntwo");
    output.status("now");
    let before = stderr.text().len();
    assert!(output.draw(b"[picture]", 1, output.turn().expect("the terminal is ours")));
    assert_eq!(&stderr.text()[before..], "[picture]two\r\nnow");
}

#[test]
fn a_status_that_was_there_comes_back_with_the_terminal() {
    let (output, stderr, _) = output(Volume::Normal, false, true);
    output.status("trying");
    output.step_back();
    let before = stderr.text();
    output.status("trying harder");
    assert_eq!(stderr.text(), before, "nothing of it stands on somebody else's terminal");
    output.step_forward();
    assert!(stderr.text().ends_with("trying harder"), "{:?}", stderr.text());
    output.step_back();
    output.clear_status();
    output.step_forward();
    assert!(stderr.text().ends_with(CLEAR_LINE), "{:?}", stderr.text());
}
