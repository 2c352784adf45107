//! What a running call hears, from its phone, its connection and its media, and what of that its
//! machine is told.
//!
//! Owns the translation; decides nothing.

use super::media_event::MediaEvent;
use super::step::Input;
use super::tried::Seen;
use super::{Running, Said, Told};
use crate::rtc::codecs::MediaKind;
use crate::rtc::events::ConnectionEvent;
use crate::signaling::message::{LeaveReason, Message};

impl Running {
    pub(super) async fn told(&mut self, told: Told) -> Option<Input> {
        match told {
            Told::Input(input) => {
                self.note(&input);
                return Some(input);
            }
            Told::Mute(muted) => {
                self.muted = muted;
                self.mute();
            }
            Told::Video(on) => {
                self.dark = !on;
                self.mute();
            }
            Told::Record(on) => self.record(on).await,
            Told::Status => self.say_stats().await,
        }
        None
    }

    /// What they have, should no path be found.
    fn note(&mut self, input: &Input) {
        let Input::Message(message) = input else { return };
        match message {
            Message::Offer { sdp, .. } | Message::Answer { sdp, .. } => {
                self.tried.their_description(sdp);
            }
            Message::Candidate { candidate: Some(candidate), .. } => {
                self.tried.theirs(&candidate.candidate);
            }
            Message::Leave { reason: Some(LeaveReason::Impostor), .. } => {
                self.tried.impostor(Seen::There);
            }
            _ => {}
        }
    }

    pub(super) async fn connection_event(&mut self, event: ConnectionEvent) -> Option<Input> {
        match event {
            ConnectionEvent::LocalCandidate(candidate) => {
                if let Some(candidate) = &candidate {
                    self.tried.ours(&candidate.candidate);
                }
                return Some(Input::LocalCandidate(candidate));
            }
            ConnectionEvent::IceState(state) => return Some(Input::IceState(state)),
            ConnectionEvent::Connected => return Some(Input::DtlsConnected),
            ConnectionEvent::Failed => return Some(Input::DtlsFailed),
            ConnectionEvent::Impostor => {
                self.tried.impostor(Seen::Here);
                return Some(Input::Impostor);
            }
            ConnectionEvent::Track(track) => {
                if let Some(media) = &mut self.media
                    && let Err(error) = media.start_receiving(track)
                {
                    return self.give_up(error.to_string()).await;
                }
            }
            ConnectionEvent::KeyframeWanted => {
                if let Some(video) = self.media.as_ref().and_then(|media| media.outgoing.video()) {
                    video.want_keyframe();
                }
            }
            ConnectionEvent::PicturesDropped => {
                if let Some(video) = self.media.as_ref().and_then(|media| media.outgoing.video()) {
                    video.need_keyframe();
                }
            }
            ConnectionEvent::SenderReport { ssrc, ntp, rtp } => {
                if let Some(media) = &self.media {
                    media.on_sender_report(ssrc, ntp, rtp);
                }
            }
            ConnectionEvent::NoRelay(servers) => {
                for (url, fault) in servers {
                    let code = if fault.is_refusal() { "turn-refused" } else { "turn-unreachable" };
                    let message = format!("the TURN server {url}: {}", fault.with_advice());
                    self.say(Said::Error(code, message)).await;
                }
                // No other path is allowed, so that there is nothing to wait for.
                return self.config.connection.relay_only.then_some(Input::DtlsFailed);
            }
            ConnectionEvent::FractionLost { kind: MediaKind::Video, .. } => {}
            ConnectionEvent::FractionLost { kind: MediaKind::Audio, fraction } => {
                if let Some(audio) = self.media.as_ref().and_then(|media| media.outgoing.audio()) {
                    audio.set_packet_loss(fraction);
                }
            }
        }
        None
    }

    pub(super) async fn media_event(&mut self, event: MediaEvent) -> Option<Input> {
        match event {
            MediaEvent::SourceEnded(Ok(())) => return Some(Input::MediaEnded),
            MediaEvent::SourceEnded(Err(reason)) => return self.give_up(reason).await,
            MediaEvent::FirstVideo { size, at } => {
                let ms = self.ms_since_began(at);
                self.summary.setup_ms.first_video_frame = Some(ms);
                self.say(Said::FirstVideoFrame(ms, size.width, size.height)).await;
            }
            MediaEvent::FirstAudio { at } => {
                let ms = self.ms_since_began(at);
                self.summary.setup_ms.first_audio = Some(ms);
                self.say(Said::FirstAudio(ms)).await;
            }
            MediaEvent::Device(notice) => {
                self.say(Said::Error(notice.news.as_str(), notice.message)).await;
            }
            MediaEvent::Recording(theirs, news) => self.recording_news(theirs, news).await,
        }
        None
    }
}
