//! The one table that turns the words of `--speaker` and `--record` into sinks; a window or a
//! terminal belongs to a whole command, which puts it among them itself.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recorder::{Recorder, RecorderTracks};
use super::speaker::Speaker;
use super::{OpenRecorder, SinkError, SinkOptions, Sinks, SpeakerSpec, names};
use crate::clock;
use crate::media::audio::device::{self, Kind};

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

/// Finds out whether `open` will work, leaving everything as it was.
///
/// # Errors
/// As [`open`].
pub fn check(options: &SinkOptions) -> Result<(), SinkError> {
    if options.record.is_some() && options.record == options.record_local {
        let path = options.record.clone().unwrap_or_default();
        let reason = "--record and --record-local need two files".to_owned();
        return Err(SinkError::Unwritable { path, reason });
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
    if path.is_dir() {
        return Err(unwritable("it is a directory; name a file in it".to_owned()));
    }
    let was_there = path.exists();
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| unwritable(error.to_string()))?;
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
        let reason = "there are many of this name; move them away".to_owned();
        Err(SinkError::Unwritable { path, reason })
    })
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
            assert!(matches!(check(&options), Err(SinkError::Unwritable { .. })));
            assert!(matches!(open(&options), Err(SinkError::Unwritable { .. })));
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
        check(&options).unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "precious");
        assert!(!new.exists());
        let same = SinkOptions { record_local: Some(old), ..options };
        assert!(check(&same).is_err(), "one file for two recordings");
    }

    #[test]
    fn recordings_in_the_middle_of_a_call_write_over_nothing() {
        use std::sync::atomic::{AtomicU32, Ordering};
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
