//! The one table that turns the words of `--speaker` and `--record` into sinks; a window or a
//! terminal belongs to a whole command, which puts it among them itself.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::recorder::{self, Recorder, RecorderTracks};
use super::speaker::Speaker;
use super::{OpenRecorder, SinkError, SinkOptions, Sinks, SpeakerSpec, names};
use crate::clock;
use crate::media::audio::device::{self, Kind};
use crate::media::identity::{Identity, STANDARD_INPUT};
use crate::system;

/// Opens what one call needs; recordings are created at once, so that a path that cannot be written
/// fails before the call.
///
/// # Errors
/// When a recording cannot be created, or a speaker is named that is not there.
pub fn open(options: &SinkOptions) -> Result<Sinks, SinkError> {
    let mut sinks = Sinks {
        record: options.record.as_deref().map(recorder).transpose()?,
        record_local: options.record_local.as_deref().map(recorder).transpose()?,
        max_picture: options.max_picture,
        open_local_recorder: local_recorder_for(options.record_local.clone()),
        record_split: options.record_split,
        ..Sinks::default()
    };
    open_speaker(options, &mut sinks)?;
    Ok(sinks)
}

fn open_speaker(options: &SinkOptions, sinks: &mut Sinks) -> Result<(), SinkError> {
    let open = |name: Option<String>| Speaker::open(name, options.echo.clone());
    sinks.audio = match &options.speaker {
        SpeakerSpec::None => None,
        SpeakerSpec::Default => Some(Box::new(open(None)?)),
        SpeakerSpec::Named(name) => Some(Box::new(open(Some(name.clone()))?)),
        SpeakerSpec::Auto => match open(None) {
            Ok(speaker) => Some(Box::new(speaker)),
            Err(error) => {
                sinks.missing.push(error.missing("nothing is heard"));
                None
            }
        },
    };
    Ok(())
}

/// Finds out whether `open` will work, leaving everything as it was; `inputs` are the files that are
/// read meanwhile, `-` among them for standard input, and `notes` a file that is appended to.
///
/// # Errors
/// As [`open`]; and when what is written would destroy what is read, or another file that is written,
/// by whatever name.
pub fn check(
    options: &SinkOptions,
    inputs: &[PathBuf],
    notes: Option<&Path>,
) -> Result<(), SinkError> {
    let outputs = [options.record.as_deref(), options.record_local.as_deref(), notes];
    let outputs: Vec<&Path> = outputs.into_iter().flatten().collect();
    let refused =
        |path: &Path, reason: String| SinkError::Unwritable { path: path.to_owned(), reason };
    for (at, path) in outputs.iter().enumerate() {
        let own = Identity::of(path);
        if let Some(input) = inputs.iter().find(|input| Identity::of_input(input) == own) {
            let name = match input == Path::new(STANDARD_INPUT) {
                true => "standard input".to_owned(),
                false => input.display().to_string(),
            };
            return Err(refused(path, format!("that file is being sent, as {name}")));
        }
        if Identity::of_standard_input() == Some(own.clone()) {
            return Err(refused(path, "that is what is read as standard input".to_owned()));
        }
        let others = outputs.iter().take(at);
        if others.into_iter().any(|other| Identity::of(other) == own) {
            let what = match notes == Some(*path) {
                true => "that file is recorded to; --stats needs one of its own",
                false => "--record and --record-local need different files",
            };
            return Err(refused(path, what.to_owned()));
        }
    }
    for path in [&options.record, &options.record_local].into_iter().flatten() {
        writable(path)?;
    }
    match &options.speaker {
        SpeakerSpec::None | SpeakerSpec::Auto => {}
        SpeakerSpec::Default => device::check(Kind::Speaker, None)?,
        SpeakerSpec::Named(name) => device::check(Kind::Speaker, Some(name))?,
    }
    Ok(())
}

/// A file that is there is not touched, one that is not is gone again afterwards.
fn writable(path: &Path) -> Result<(), SinkError> {
    let unwritable = |reason: String| SinkError::Unwritable { path: path.to_owned(), reason };
    recorder::check_place(path).map_err(|reason| unwritable(reason.to_owned()))?;
    let was_there = path.exists();
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| unwritable(system::words(&error)))?;
    if !was_there && let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(%error, "an empty recording stays behind");
    }
    Ok(())
}

/// What the other side will send is not known yet; a track that stays empty is left out.
const TRACKS: RecorderTracks = RecorderTracks { video: true, audio: Some(2) };

fn recorder(path: &Path) -> Result<Recorder, SinkError> {
    Recorder::create(path, TRACKS)
}

/// Makes the files of recordings that begin in the middle of a call: beside `record`, with the numbers
/// that `next` gives, else named after the time. No file that is there is written over.
#[must_use]
pub fn recorder_for(
    record: Option<PathBuf>,
    next: impl Fn() -> u32 + Send + Sync + 'static,
) -> OpenRecorder {
    Arc::new(move || {
        let by_time = names::after_time(clock::wall(), "mkv");
        for number in 1..names::TRIES {
            let path = match &record {
                Some(record) => names::nth(record, next()),
                None => names::nth(&by_time, number),
            };
            if let Some(recorder) = Recorder::create_new(&path, TRACKS)? {
                return Ok(recorder);
            }
        }
        let path = record.clone().unwrap_or(by_time);
        let reason = "there are too many files of this name; move them away".to_owned();
        Err(SinkError::Unwritable { path, reason })
    })
}

/// Makes the files in which a recording of ours goes on: beside it, with the next free numbers.
#[must_use]
pub fn local_recorder_for(record: Option<PathBuf>) -> OpenRecorder {
    let numbers = AtomicU32::new(2);
    recorder_for(record, move || numbers.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_cannot_be_written_fails_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("no/such/folder.mkv")] {
            let options = SinkOptions { record: Some(path), ..SinkOptions::default() };
            assert!(matches!(check(&options, &[], None), Err(SinkError::Unwritable { .. })));
            assert!(matches!(open(&options), Err(SinkError::Unwritable { .. })));
        }
    }

    #[test]
    fn a_pipe_is_no_place_for_a_recording() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("p.mkv");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let options = SinkOptions { record: Some(pipe), ..SinkOptions::default() };
        for refused in [check(&options, &[], None).unwrap_err(), open(&options).unwrap_err()] {
            assert!(refused.to_string().contains("it is a pipe"), "{refused}");
        }
    }

    #[test]
    fn checking_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old.mkv"), folder.path().join("new.mkv"));
        std::fs::write(&old, "precious").unwrap();
        let options = SinkOptions {
            record: Some(old.clone()),
            record_local: Some(new.clone()),
            ..SinkOptions::default()
        };
        check(&options, &[], None).unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "precious");
        assert!(!new.exists());
        let same = SinkOptions { record_local: Some(old), ..options };
        assert!(check(&same, &[], None).is_err(), "one file for two recordings");
    }

    #[test]
    fn nothing_is_written_over_what_is_read_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let name = |name: &str| folder.path().join(name);
        std::fs::write(name("clip.mp4"), "precious").unwrap();
        std::fs::create_dir(name("sub")).unwrap();
        std::fs::hard_link(name("clip.mp4"), name("hard.mp4")).unwrap();
        std::os::unix::fs::symlink(name("clip.mp4"), name("soft.mp4")).unwrap();
        std::os::unix::fs::symlink("later.mkv", name("dangling.mkv")).unwrap();
        let checked = |record: &str, local: &str| {
            let options = SinkOptions {
                record: Some(name(record)),
                record_local: Some(name(local)),
                ..SinkOptions::default()
            };
            check(&options, &[name("clip.mp4")], None)
        };
        for path in ["clip.mp4", "hard.mp4", "soft.mp4", "sub/../clip.mp4"] {
            let error = checked(path, "other.mkv").unwrap_err().to_string();
            assert!(error.contains("is being sent"), "{path}: {error}");
            assert!(checked("other.mkv", path).is_err(), "{path}");
        }
        for (one, other) in [("a.mkv", "sub/../a.mkv"), ("dangling.mkv", "later.mkv")] {
            let error = checked(one, other).unwrap_err().to_string();
            assert!(error.contains("need different files"), "{one} {other}: {error}");
        }
        checked("a.mkv", "b.mkv").unwrap();
        let options = SinkOptions { record: Some(name("a.mkv")), ..SinkOptions::default() };
        for notes in ["clip.mp4", "soft.mp4", "a.mkv", "sub/../a.mkv"] {
            let inputs = [name("clip.mp4")];
            let refused = check(&options, &inputs, Some(&name(notes)));
            assert!(matches!(refused, Err(SinkError::Unwritable { .. })), "{notes}");
            check(&options, &inputs, Some(&name("stats.jsonl"))).unwrap();
        }
        assert_eq!(std::fs::read_to_string(name("clip.mp4")).unwrap(), "precious");
    }

    #[test]
    fn recordings_in_the_middle_of_a_call_write_over_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let name = |name: &str| folder.path().join(name);
        std::fs::write(name("call-2.mkv"), "precious").unwrap();
        let count = AtomicU32::new(2);
        let next = move || count.fetch_add(1, Ordering::Relaxed);
        let open = recorder_for(Some(name("call.mkv")), next);
        assert_eq!(open().unwrap().path(), name("call-3.mkv"));
        assert_eq!(open().unwrap().path(), name("call-4.mkv"));
        assert_eq!(std::fs::read_to_string(name("call-2.mkv")).unwrap(), "precious");
        let nowhere = recorder_for(Some(name("no/such/call.mkv")), || 2);
        assert!(matches!(nowhere(), Err(SinkError::Unwritable { .. })));
    }

    #[test]
    fn each_call_has_a_file_of_its_own() {
        let options = SinkOptions { record: Some("a/call.mkv".into()), ..SinkOptions::default() };
        assert_eq!(options.for_call(1), options);
        assert_eq!(options.for_call(3).record, Some("a/call-3.mkv".into()));
        assert_eq!(options.for_call(3).record_local, None);
    }
}
