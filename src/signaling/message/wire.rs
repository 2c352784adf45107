//! The table of the protocol as it is written. Pure.
//!
//! Owns the fields' names and their order; what is read is not its business.

use serde::Serialize;

use super::{LeaveReason, LoginReply, Message};
use crate::ice::Candidate;
use crate::secret::Secret;

/// The table of the protocol as serde writes it: `type` first.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Wire<'a> {
    Known(Known<'a>),
    Unknown {
        #[serde(rename = "type")]
        kind: &'a str,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Known<'a> {
    Login {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        resume: Option<&'a str>,
    },
    #[serde(rename = "login")]
    LoginReply(&'a LoginReply),
    Offer {
        offer: Description<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
    },
    Answer {
        answer: Description<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
    },
    Candidate {
        candidate: Option<&'a Candidate>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
    },
    #[serde(rename = "candidate")]
    Reveal {
        candidate: Reveal<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
    },
    Leave {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<LeaveReason>,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        message: &'a str,
    },
}

/// An empty RTCIceCandidateInit, which is the end of candidates, and what is revealed with it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reveal<'a> {
    candidate: &'static str,
    sdp_mid: &'static str,
    #[serde(rename = "sdpMLineIndex")]
    sdp_mline_index: u16,
    peer_reveal: &'a str,
}

/// RTCSessionDescriptionInit.
#[derive(Serialize)]
pub(super) struct Description<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sdp: &'a str,
}

impl<'a> Wire<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        Self::Known(match message {
            Message::Login { name, token, resume } => Known::Login {
                name,
                token: token.as_ref().map(Secret::expose),
                resume: resume.as_ref().map(Secret::expose),
            },
            Message::LoginReply(reply) => Known::LoginReply(reply),
            Message::Offer { sdp, name } => {
                Known::Offer { offer: Description { kind: "offer", sdp }, name: name.as_deref() }
            }
            Message::Answer { sdp, name } => {
                Known::Answer { answer: Description { kind: "answer", sdp }, name: name.as_deref() }
            }
            Message::Candidate { candidate, name } => {
                Known::Candidate { candidate: candidate.as_ref(), name: name.as_deref() }
            }
            Message::Reveal { nonce, name } => {
                let candidate =
                    Reveal { candidate: "", sdp_mid: "0", sdp_mline_index: 0, peer_reveal: nonce };
                Known::Reveal { candidate, name: name.as_deref() }
            }
            Message::Leave { name, reason } => {
                Known::Leave { name: name.as_deref(), reason: *reason }
            }
            Message::Error { code, name, message } => {
                Known::Error { code: code.as_deref(), name: name.as_deref(), message }
            }
            Message::Unknown { kind } => return Self::Unknown { kind },
        })
    }
}
