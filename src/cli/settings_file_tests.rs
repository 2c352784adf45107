//! Tests of the files of settings: what is refused, where, and what writing leaves alone.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;
use crate::cli::command;

fn key(word: &str) -> &'static Key {
    KEYS.iter().find(|key| key.word == word).unwrap()
}

fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let error = read(&path, true, &command()).unwrap_err().to_string();
    error.split_once("config.toml").unwrap().1.to_owned()
}

#[test]
fn what_cannot_be_is_refused_with_its_line_and_a_way_out() {
    for (text, error) in [
        ("# x\n\nvidoe = 'test'", ", line 3: unknown setting 'vidoe'; did you mean 'video'?"),
        ("colour = 'red'", ", line 1: unknown setting 'colour'; 'peer config' lists them all"),
        (
            "audio = 'tone'\nfps = 500",
            ", line 2: fps: '500' is not a frame rate; write a number from 1 to 120",
        ),
        ("fps = true", ", line 1: fps is a number"),
        ("video = 3", ", line 1: video is text; write video = \"...\""),
        ("no-bell = 'yes'", ", line 1: no-bell is true or false"),
        ("stun = []", ", line 1: stun is text, or an array of it: [\"one\", \"other\"]"),
        ("stun = ['stun:a', 'http://b']", ", line 1: stun: "),
        ("server = 'http://h'", ", line 1: server: "),
        ("name = ''", ", line 1: name: the name is empty"),
        ("[video]\nfile = 'x'", ", line 1: video is text"),
        ("a = 1\nb = = 2", ", line 2: is not TOML: "),
        ("video = 'a'\nvideo = 'b'", ", line 2: is not TOML: duplicate key"),
    ] {
        let found = refused(text);
        assert!(found.starts_with(error), "{text}\n{found}");
        assert!(!found.contains('\n'), "{found}");
    }
    let secret = refused("turn-password = 'hush'");
    assert!(secret.contains("secrets.toml") && !secret.contains("hush"), "{secret}");
    assert!(refused(&"#".repeat(70_000)).contains("64 KiB"));
}

#[test]
fn a_file_that_is_not_there_is_an_error_only_where_it_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    assert_eq!(read(&path, false, &command()).unwrap(), []);
    assert!(read(&path, true, &command()).unwrap_err().to_string().contains("no such file"));
    assert!(read(folder.path(), false, &command()).is_err(), "a folder");
}

#[test]
fn secrets_that_others_may_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.toml");
    write(&path, &[(key("turn-password"), vec!["hush".into()])]).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read_secrets(&path, &command()).unwrap()[0].words, ["hush"]);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let error = read_secrets(&path, &command()).unwrap_err().to_string();
    assert!(error.contains("chmod 600") && !error.contains("hush"), "{error}");
}

#[test]
fn writing_keeps_comments_and_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("config.toml");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "# mine\nvideo = 'camera' # the good one\n\naudio = 'mic'\n").unwrap();
    let one = |text: &str| vec![text.to_owned()];
    write(
        &path,
        &[
            (key("video"), one("test")),
            (key("fps"), one("25")),
            (key("turn"), vec!["turn:a".into(), "turn:b".into()]),
            (key("no-bell"), one("true")),
        ],
    )
    .unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "# mine\nvideo = \"test\" # the good one\n\naudio = 'mic'\nfps = 25\n\
         turn = [\"turn:a\", \"turn:b\"]\nno-bell = true\n"
    );
    let read = read(&path, true, &command()).unwrap();
    assert_eq!(read.iter().map(|entry| entry.line).collect::<Vec<_>>(), [2, 4, 5, 6, 7]);
    assert_eq!(read[3].words, ["turn:a", "turn:b"]);
}

#[test]
fn a_link_to_a_file_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real.toml"), folder.path().join("config.toml"));
    std::fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    write(&link, &[(key("name"), vec!["alice".into()])]).unwrap();
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "name = \"alice\"\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_file_makes_it_panic(text in "[a-z=\\[\\]'\" \n#.0-9\u{e9}-]{0,60}") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let _ = read(&path, true, &command());
    }

    #[test]
    fn a_name_that_is_written_is_read(name in "[!-~é]{1,20}") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        write(&path, &[(key("name"), vec![name.clone()])]).unwrap();
        prop_assert_eq!(&read(&path, true, &command()).unwrap()[0].words[0], &name);
    }
}
