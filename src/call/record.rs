//! Recordings in a running call: begun, ended, and told.
//!
//! Owns their order among what the call says. What goes into a file, and its
//! thread, are those of `recording.rs`.

use super::media::Media;
use super::media_event::MediaEvent;
use super::recording::{RecordingEnd, RecordingNews};
use super::{Running, Said, text};

impl Running {
    /// Begins or ends the recording of what they send, unless it is so already.
    pub(super) async fn record(&mut self, on: bool) {
        let Some(media) = &mut self.media else {
            let message = "nothing has been received yet that could be recorded".to_owned();
            return self.say(Said::Error("recording", message)).await;
        };
        match (on, media.recorded_to().is_some()) {
            (true, false) => {}
            (false, true) => return media.stop_recording(),
            _ => return,
        }
        let opened = tokio::task::spawn_blocking(media.recorder()).await;
        let started = match opened {
            Ok(Ok(recorder)) => media.record(recorder).map_err(text),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("internal error while opening the recording".to_owned()),
        };
        match started {
            Ok(()) => self.say_recording().await,
            Err(message) => self.say(Said::Error("recording", message)).await,
        }
    }

    /// Says where what they send is recorded to, if it is.
    pub(super) async fn say_recording(&mut self) {
        if let Some(path) = self.media.as_ref().and_then(Media::recorded_to) {
            self.say(Said::RecordingStarted(path)).await;
        }
    }

    /// A recording, of theirs or ours, has something to tell.
    pub(super) async fn recording_news(&mut self, theirs: bool, news: RecordingNews) {
        match news {
            RecordingNews::Ended(end) => self.recording_ended(theirs, end).await,
            RecordingNews::Continues(path) if theirs => {
                self.say(Said::RecordingStarted(path)).await;
            }
            RecordingNews::Continues(_) => {}
        }
    }

    /// A file, of theirs or ours, is as it stays.
    async fn recording_ended(&mut self, theirs: bool, (path, end): RecordingEnd) {
        let empty = matches!(end, Ok(false));
        let reason = end.err().map(|error| error.to_string());
        if let Some(reason) = &reason {
            self.say(Said::Error("recording", reason.clone())).await;
        }
        // One that failed is still fed.
        if theirs
            && let Some(media) = &self.media
            && media.recorded_to().as_ref() == Some(&path)
        {
            media.stop_recording();
        }
        if theirs || reason.is_some() {
            self.say(Said::RecordingStopped { path, empty, reason }).await;
        }
    }

    /// Stops the media. Their threads may wait for room to tell us something, and we for them.
    pub(super) async fn stop(&mut self, media: Media) {
        let mut ended = Vec::new();
        let mut hear = |event| {
            if let MediaEvent::Recording(theirs, news) = event {
                ended.push((theirs, news));
            }
        };
        let mut stopped = std::pin::pin!(media.stop());
        loop {
            tokio::select! {
                () = &mut stopped => break,
                Some(event) = self.media_events.1.recv() => hear(event),
            }
        }
        while let Ok(event) = self.media_events.1.try_recv() {
            hear(event);
        }
        for (theirs, news) in ended {
            self.recording_news(theirs, news).await;
        }
    }
}
