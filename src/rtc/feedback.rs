//! What is asked of the other side about its streams: keyframes.
//!
//! Owns the way there, whichever of our senders can carry it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use webrtc::peer_connection::PeerConnection;

/// Streams that keyframes are asked of at a time.
const MOST_WISHES: usize = 16;

/// The way back to whoever sends.
#[derive(Clone, Default)]
pub(super) struct Feedback {
    connection: Arc<OnceLock<Weak<dyn PeerConnection>>>,
    /// Streams of which a keyframe is to be asked for with the next packet that comes or goes.
    wishes: Arc<Mutex<Vec<u32>>>,
}

impl std::fmt::Debug for Feedback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Feedback")
    }
}

impl Feedback {
    /// Asks for a keyframe of the stream `ssrc` (PLI, RFC 4585 section 6.3.1).
    pub(super) async fn request_keyframe(&self, ssrc: u32) {
        let Some(connection) = self.connection.get().and_then(Weak::upgrade) else { return };
        // Whichever sender of ours passes it on, it says itself what it is about. The library's own
        // receivers are there only for streams that were announced.
        for sender in connection.get_senders().await {
            if sender.track().write_rtcp(vec![Box::new(keyframe_wanted(ssrc))]).await.is_ok() {
                return;
            }
        }
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        if !wishes.contains(&ssrc) && wishes.len() < MOST_WISHES {
            wishes.push(ssrc);
        }
    }

    /// Where it goes out.
    pub(super) fn over(&self, connection: Weak<dyn PeerConnection>) {
        let _ = self.connection.set(connection);
    }

    /// What is to be asked for now, where nothing of ours could carry it.
    pub(super) fn wishes(&self) -> Vec<PictureLossIndication> {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *wishes).into_iter().map(keyframe_wanted).collect()
    }
}

fn keyframe_wanted(media_ssrc: u32) -> PictureLossIndication {
    PictureLossIndication { sender_ssrc: 0, media_ssrc }
}
