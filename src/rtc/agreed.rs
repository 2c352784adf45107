//! What a round of offer and answer has settled, section by section. Pure and tolerant, over both
//! descriptions.
//!
//! Owns reading it. Whose a packet is follows from it in `streams.rs`; what is started and stopped is
//! decided above.

use std::collections::HashMap;

use super::codecs::{Format, MediaKind, ORIENTATION, TRANSPORT_WIDE, format};
use super::sdp::{Direction, sections, split_sections};
use crate::media::codec::table;
use crate::media::encoded::Codec;

/// The header extension that names the section a packet is of (RFC 9143 section 15).
const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// Streams of one section that are looked at.
const MOST_STREAMS: usize = 32;

/// Sections of a session that are looked at.
const MOST_SECTIONS: usize = 64;

/// What a payload type that they take is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    /// The number that packets bear.
    pub(super) payload_type: u8,
    /// What is in them.
    pub(super) format: Format,
    /// Their parameters for it (`a=fmtp`).
    pub(super) parameters: String,
}

/// The numbers of the header extensions that we read (RFC 8285).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) mid: Option<u8>,
    pub(super) orientation: Option<u8>,
    pub(super) transport_wide: Option<u8>,
}

/// One section that both sides have, and neither has rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) mid: String,
    pub(super) kind: MediaKind,
    /// Whether our media may flow.
    pub(super) we_send: bool,
    /// Whether theirs may.
    pub(super) they_send: bool,
    /// What they take, as they prefer it.
    pub(super) takes: Vec<Taken>,
    /// What the numbers in their packets mean.
    pub(super) formats: HashMap<u8, Format>,
    /// Their streams, as far as they have told, and of which other one each is the repair.
    pub(super) streams: HashMap<u32, Option<u32>>,
    /// Whether they send again what is asked for (generic NACK, RFC 4585 section 6.2.1).
    pub(super) repeats: bool,
    pub(super) extensions: Extensions,
}

impl Section {
    /// The first that they take of what we can send, and its codec, if our media may flow at all.
    pub(super) fn taken_media(&self) -> Option<(Codec, &Taken)> {
        let sendable =
            |taken: &&Taken| matches!(taken.format, Format::Media { sendable: true, .. });
        let taken = self.takes.iter().find(sendable).filter(|_| self.we_send)?;
        Some((taken.format.codec()?, taken))
    }

    /// What a packet of copies carries whose blocks are of this payload type. Who says nothing of that
    /// number means the sound that they take first, or what everybody has.
    pub(super) fn copied(&self, payload_type: u8) -> Option<Codec> {
        let named = self.formats.get(&payload_type).and_then(|format| format.codec());
        let first = || self.takes.iter().find_map(|taken| taken.format.codec());
        named.or_else(first).or_else(|| table::SOUND.first().copied())
    }

    /// The first that they take of the formats that are wanted, if our media may flow at all.
    pub(super) fn taken(&self, wanted: impl Fn(Format) -> bool) -> Option<&Taken> {
        self.takes.iter().find(|taken| self.we_send && wanted(taken.format))
    }
}

/// The sections that are of use after a round, in order. `we_answered` says whose description was the
/// answer: what an answer does not have was not agreed on (RFC 3264 section 6).
pub(super) fn agreed(ours: &str, theirs: &str, we_answered: bool) -> Vec<Section> {
    let directions = sections(ours).into_iter().zip(sections(theirs));
    let ours = split_sections(ours);
    let theirs = split_sections(theirs);
    let texts = ours.iter().skip(1).zip(theirs.iter().skip(1));
    let both = texts.zip(directions).take(MOST_SECTIONS);
    both.filter_map(|((ours, theirs), (our, their))| {
        let (ours, theirs) = (Told::read(ours), Told::read(theirs));
        let answer = if we_answered { &ours } else { &theirs };
        let kind = answer.kind?;
        let (may_send, may_receive) = flows(our.direction);
        let (they_send, they_receive) = flows(their.direction);
        let in_answer = |payload_type: &u8| answer.formats.contains_key(payload_type);
        let listed = theirs.order.iter().copied().filter(in_answer);
        let takes = listed.filter_map(|payload_type| {
            let format = *theirs.formats.get(&payload_type)?;
            let parameters = theirs.parameters.get(&payload_type).cloned().unwrap_or_default();
            Some(Taken { payload_type, format, parameters })
        });
        Some(Section {
            mid: if answer.mid.is_empty() { their.mid } else { answer.mid.clone() },
            kind,
            we_send: may_send && they_receive,
            they_send: they_send && may_receive,
            takes: takes.collect(),
            formats: meanings(&ours, &theirs),
            streams: theirs.streams.clone(),
            repeats: ours.repeats && theirs.repeats,
            extensions: answer.extensions,
        })
    })
    .collect()
}

/// Whether a description with this direction sends, and receives.
fn flows(direction: Direction) -> (bool, bool) {
    match direction {
        Direction::SendRecv => (true, true),
        Direction::SendOnly => (true, false),
        Direction::RecvOnly => (false, true),
        Direction::Inactive => (false, false),
    }
}

/// Packets bear the numbers of who receives them (RFC 3264 section 5.1); where only the sender's
/// description has one, it is taken as he means it.
fn meanings(ours: &Told<'_>, theirs: &Told<'_>) -> HashMap<u8, Format> {
    let mut meanings = theirs.formats.clone();
    meanings.extend(&ours.formats);
    meanings
}

/// What one section says of itself.
#[derive(Default)]
struct Told<'a> {
    /// `None`: rejected, or of a kind that we do not have.
    kind: Option<MediaKind>,
    mid: String,
    order: Vec<u8>,
    formats: HashMap<u8, Format>,
    parameters: HashMap<u8, String>,
    encodings: Vec<(u8, &'a str)>,
    streams: HashMap<u32, Option<u32>>,
    repeats: bool,
    extensions: Extensions,
}

impl<'a> Told<'a> {
    fn read(section: &'a str) -> Self {
        let mut told = Self::default();
        for line in section.lines().map(str::trim_end) {
            if let Some(media) = line.strip_prefix("m=") {
                told.media(media);
            } else if let Some(attribute) = line.strip_prefix("a=") {
                let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
                told.attribute(name, value.trim());
            }
        }
        let Some(kind) = told.kind else { return told };
        for (payload_type, encoding) in std::mem::take(&mut told.encodings) {
            let parameters = told.parameters.get(&payload_type).map_or("", String::as_str);
            if let Some(format) = format(kind, encoding, parameters) {
                told.formats.insert(payload_type, format);
            }
        }
        told
    }

    /// Kind, port, profile and numbers (RFC 8866 section 5.14).
    fn media(&mut self, media: &str) {
        let mut words = media.split(' ').filter(|word| !word.is_empty());
        let kind = match words.next() {
            Some("audio") => Some(MediaKind::Audio),
            Some("video") => Some(MediaKind::Video),
            _ => None,
        };
        // Port zero rejects a section (RFC 3264 section 6); `a=bundle-only` is for offers, which are
        // read together with an answer.
        let port = words.next().and_then(|port| port.split('/').next());
        self.kind = kind.filter(|_| port != Some("0"));
        self.order = words.skip(1).filter_map(number).collect();
    }

    fn attribute(&mut self, name: &str, value: &'a str) {
        let (first, rest) = value.split_once(' ').unwrap_or((value, ""));
        match name {
            "mid" => value.clone_into(&mut self.mid),
            "rtpmap" => self.encodings.extend(number(first).map(|number| (number, rest.trim()))),
            "fmtp" => {
                let known = number(first).map(|number| (number, rest.trim().to_owned()));
                self.parameters.extend(known);
            }
            "rtcp-fb" => self.repeats |= rest.trim().eq_ignore_ascii_case("nack"),
            "extmap" => self.extension(first, rest),
            "ssrc" => self.stream(first.parse().ok(), None),
            "ssrc-group" if first.eq_ignore_ascii_case("FID") => {
                // The repairs of the first travel in the second (RFC 4588 section 8.1).
                let mut of = rest.split(' ').filter_map(|ssrc| ssrc.parse().ok());
                let first = of.next();
                self.stream(of.next(), first);
            }
            _ => {}
        }
    }

    fn stream(&mut self, ssrc: Option<u32>, of: Option<u32>) {
        let Some(ssrc) = ssrc else { return };
        if self.streams.len() < MOST_STREAMS || self.streams.contains_key(&ssrc) {
            let known = self.streams.entry(ssrc).or_default();
            *known = of.or(*known);
        }
    }

    fn extension(&mut self, number: &str, rest: &str) {
        let number = number.split('/').next().and_then(|number| number.parse().ok());
        let uri = rest.split(' ').next().unwrap_or_default();
        let Some(number) = number.filter(|number: &u8| *number != 0) else { return };
        match uri {
            MID => self.extensions.mid = Some(number),
            ORIENTATION => self.extensions.orientation = Some(number),
            TRANSPORT_WIDE => self.extensions.transport_wide = Some(number),
            _ => {}
        }
    }
}

/// A payload type: seven bits (RFC 3550 section 5.1).
fn number(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| *number < 128)
}
