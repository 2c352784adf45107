//! What a round of offer and answer means for our own media: in which direction each section goes, and
//! as what it carries them.
//!
//! Owns no decision about calls: what both want is in the descriptions.

use rtc::rtp_transceiver::{RTCRtpSenderId, RTCRtpTransceiverDirection};

use super::agreed::Section;
use super::connection::Connection;
use super::sdp::{Direction, Section as OfferedSection, sections};
use super::sender::{AudioWriter, VideoWriter};

impl Connection {
    /// A section that they have stopped carries nothing any more: where they offer another of its kind,
    /// what we send goes there.
    pub(super) async fn move_senders(&self, offer: &str) -> webrtc::error::Result<()> {
        let offered = sections(offer);
        if let Some(video) = self.video()
            && self.is_to_move(video.id(), "video", &offered).await?
        {
            self.set_video(video.moved(&**self.inner()).await?);
        }
        if let Some(audio) = self.audio()
            && self.is_to_move(audio.id(), "audio", &offered).await?
        {
            self.set_audio(audio.moved(&**self.inner()).await?);
        }
        Ok(())
    }

    async fn is_to_move(
        &self,
        sender: RTCRtpSenderId,
        kind: &str,
        offered: &[OfferedSection],
    ) -> webrtc::error::Result<bool> {
        let mid = self.mid_of(sender).await?;
        let stands = offered.iter().find(|section| Some(&section.mid) == mid.as_ref());
        let is_free = |section: &OfferedSection| section.kind == kind && section.takes();
        Ok(mid.is_some() && stands.is_none_or(|it| it.rejected) && offered.iter().any(is_free))
    }

    /// W2: the library does not turn round the direction of an offer.
    pub(super) async fn set_answer_directions(&self, offer: &str) -> webrtc::error::Result<()> {
        let offered = sections(offer);
        let (video, audio) = (self.video().map(|v| v.id()), self.audio().map(|a| a.id()));
        for transceiver in self.inner().get_transceivers().await {
            let Some(mid) = transceiver.mid().await? else { continue };
            let Some(section) = offered.iter().find(|section| section.mid == mid) else { continue };
            // One of theirs that is none of ours has nothing of ours to carry.
            let sender = transceiver.sender().await?.map(|sender| sender.id());
            let send = sender.is_some() && (sender == video || sender == audio);
            let direction = match section.direction.answer(send, true) {
                Direction::SendRecv => RTCRtpTransceiverDirection::Sendrecv,
                Direction::SendOnly => RTCRtpTransceiverDirection::Sendonly,
                Direction::RecvOnly => RTCRtpTransceiverDirection::Recvonly,
                Direction::Inactive => RTCRtpTransceiverDirection::Inactive,
            };
            transceiver.set_direction(direction).await?;
        }
        Ok(())
    }

    /// The way out for pictures as it was agreed on in the last round; `None` where the other side takes
    /// none of ours.
    pub async fn video_writer(&self) -> Option<VideoWriter> {
        let sender = self.video()?;
        sender.open(&self.section_of(sender.id()).await?)
    }

    /// The same for sound.
    pub async fn audio_writer(&self) -> Option<AudioWriter> {
        let sender = self.audio()?;
        sender.open(&self.section_of(sender.id()).await?)
    }

    /// The section that a sender of ours stands in.
    async fn section_of(&self, sender: RTCRtpSenderId) -> Option<Section> {
        let mid = self.mid_of(sender).await.ok()??;
        self.tracks().sections().into_iter().find(|section| section.mid == mid)
    }

    async fn mid_of(&self, sender: RTCRtpSenderId) -> webrtc::error::Result<Option<String>> {
        for transceiver in self.inner().get_transceivers().await {
            if transceiver.sender().await?.is_some_and(|found| found.id() == sender) {
                return transceiver.mid().await;
            }
        }
        Ok(None)
    }
}
