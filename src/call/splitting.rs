//! When a recording goes on in another file.
//!
//! Pure. A file begins with a picture that needs no other, which is asked for when it is due, so that
//! files are as long as they shall be; without pictures it begins with sound.

use std::time::Duration;

/// Pictures that have not come for so long are not waited for.
const NO_PICTURES: Duration = Duration::from_secs(2);

/// What is to be done before a picture or a packet of sound is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// It belongs into the file.
    No,
    /// The same, and a picture with which another file can begin is to be asked for.
    AskForKeyframe,
    /// Another file begins with it.
    GoOn,
    /// Another file begins with this sound. Pictures that come later do so in the middle of their
    /// stream: one that needs no other is to be asked for.
    GoOnWithoutPictures,
}

/// Decides about one recording.
#[derive(Debug)]
pub(super) struct Splitting {
    after: Option<Duration>,
    /// When the last picture was.
    picture_at: Option<Duration>,
    /// A picture was asked for; who is asked asks again himself.
    asked: bool,
}

impl Splitting {
    /// Files of this length, or one for all.
    pub(super) fn new(after: Option<Duration>) -> Self {
        Self { after, picture_at: None, asked: false }
    }

    /// A picture at `at`, for a file that began at `began`, on the same clock. `turned`: it stands
    /// another way up than those in the file.
    pub(super) fn on_picture(
        &mut self,
        at: Duration,
        began: Option<Duration>,
        keyframe: bool,
        turned: bool,
    ) -> Split {
        self.picture_at = Some(at);
        match (keyframe, self.is_due(at, began)) {
            (true, due) if due || turned => self.go_on(Split::GoOn),
            (false, true) if !std::mem::replace(&mut self.asked, true) => Split::AskForKeyframe,
            _ => Split::No,
        }
    }

    /// Sound at `at`. `has_pictures`: there are some in the file.
    pub(super) fn on_sound(
        &mut self,
        at: Duration,
        began: Option<Duration>,
        has_pictures: bool,
    ) -> Split {
        let recent = self.picture_at.is_some_and(|seen| at.saturating_sub(seen) < NO_PICTURES);
        if !self.is_due(at, began) || has_pictures && recent {
            return Split::No;
        }
        self.go_on(if has_pictures { Split::GoOnWithoutPictures } else { Split::GoOn })
    }

    fn is_due(&self, at: Duration, began: Option<Duration>) -> bool {
        let lasted = began.map(|began| at.saturating_sub(began));
        self.after.zip(lasted).is_some_and(|(after, lasted)| lasted >= after)
    }

    fn go_on(&mut self, how: Split) -> Split {
        self.asked = false;
        how
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(10);

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Plays a recording of so many seconds, in which a sender makes a keyframe when he is asked, and
    /// pictures come while `sees` says so; the lengths of its files.
    fn files(length: f64, sees: impl Fn(f64) -> bool) -> Vec<f64> {
        let mut splitting = Splitting::new(Some(AFTER));
        let (mut began, mut pictures) = (None::<f64>, false);
        let (mut keyframe_at, mut files) = (Some(0.0), Vec::new());
        let steps = (length * 50.0) as u32;
        for step in 0..steps {
            let at = f64::from(step) / 50.0;
            let known = began.map(seconds);
            let mut split = splitting.on_sound(seconds(at), known, pictures);
            if split == Split::No && sees(at) {
                // A quarter of a second until what was asked for is there.
                let keyframe = keyframe_at.take_if(|due| at >= *due).is_some();
                split = splitting.on_picture(seconds(at), known, keyframe, false);
                pictures |= keyframe;
            }
            match split {
                Split::No => {}
                Split::AskForKeyframe => keyframe_at = Some(at + 0.25),
                Split::GoOn | Split::GoOnWithoutPictures => {
                    files.push(at - began.unwrap_or(0.0));
                    began = Some(at);
                    if split == Split::GoOnWithoutPictures {
                        (pictures, keyframe_at) = (false, Some(at));
                    }
                }
            }
            began = began.or(Some(at));
        }
        files
    }

    #[test]
    fn files_are_as_long_as_they_shall_be_though_keyframes_are_rare() {
        let files = files(65.0, |_| true);
        assert_eq!(files.len(), 6, "{files:?}");
        assert!(files.iter().all(|length| (10.0..10.5).contains(length)), "{files:?}");
    }

    #[test]
    fn without_pictures_and_where_they_stop_it_goes_on_all_the_same() {
        let never = files(65.0, |_| false);
        assert!(never.len() == 6 && never.iter().all(|length| *length < 10.1), "{never:?}");
        // None between 5 and 37 s: the first of these files waits for them.
        let gap = files(65.0, |at| !(5.0..37.0).contains(&at));
        assert!(gap.len() >= 5 && gap.iter().all(|length| *length < 12.5), "{gap:?}");
    }

    #[test]
    fn turned_pictures_have_a_file_of_their_own_at_once() {
        let mut splitting = Splitting::new(None);
        let (at, began) = (seconds(3.0), Some(seconds(1.0)));
        assert_eq!(splitting.on_picture(at, began, false, true), Split::No);
        assert_eq!(splitting.on_picture(at, began, true, true), Split::GoOn);
        assert_eq!(splitting.on_picture(seconds(9_999.0), began, true, false), Split::No);
        assert_eq!(splitting.on_sound(seconds(9_999.0), began, true), Split::No);
    }

    #[test]
    fn a_keyframe_is_asked_for_once_a_file() {
        let mut splitting = Splitting::new(Some(AFTER));
        let mut asked =
            |at, keyframe| splitting.on_picture(seconds(at), Some(seconds(0.0)), keyframe, false);
        assert_eq!(asked(9.9, false), Split::No);
        assert_eq!(asked(10.0, false), Split::AskForKeyframe);
        assert_eq!(asked(10.1, false), Split::No);
        assert_eq!(asked(10.2, true), Split::GoOn);
    }
}
