//! Whose a packet of theirs is (RFC 9143 section 9.2). Pure.
//!
//! By the section that it names, else by its stream where that is known, else by its payload type
//! where only one section has it. Whether descriptions announce streams or not makes no difference:
//! what was learned from a packet counts for those that follow.

use std::collections::HashMap;

use super::agreed::{Extensions, Section};
use super::codecs::{Format, MediaKind};

/// Streams that are remembered; those of one call are few.
const MOST_KNOWN: usize = 64;

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Media of this section.
    Media { section: usize, format: Format },
    /// It repeats a packet of another stream (RTX, RFC 4588), or probes the path when it is empty.
    Repair { of: u32, payload_type: u8 },
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Streams {
    sections: Vec<Section>,
    known: HashMap<u32, usize>,
    /// The stream of each section whose media came last.
    latest: HashMap<usize, u32>,
}

impl Streams {
    /// A round is over. What is known of sections that are still there stays known.
    pub(super) fn settle(&mut self, sections: Vec<Section>) {
        let now_at = |before: usize| {
            let mid = &self.sections.get(before)?.mid;
            sections.iter().position(|section| section.mid == *mid)
        };
        let known = self.known.iter().filter_map(|(&ssrc, &at)| Some((ssrc, now_at(at)?)));
        let known: HashMap<u32, usize> = known.collect();
        let latest = self.latest.iter().filter_map(|(&at, &last)| Some((now_at(at)?, last)));
        (self.latest, self.known) = (latest.collect(), known);
        self.sections = sections;
    }

    /// The sections of the last round.
    pub(super) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The numbers of header extensions: all sections share one transport, so that they are the same
    /// in each that has them.
    pub(super) fn extensions(&self) -> Extensions {
        self.sections.iter().fold(Extensions::default(), |known, section| Extensions {
            mid: known.mid.or(section.extensions.mid),
            orientation: known.orientation.or(section.extensions.orientation),
            transport_wide: known.transport_wide.or(section.extensions.transport_wide),
        })
    }

    /// The section whose media are played: the first of the kind in which they send.
    pub(super) fn played(&self, kind: MediaKind) -> Option<usize> {
        self.sections.iter().position(|section| section.kind == kind && section.they_send)
    }

    /// What a packet with these marks is; `None` when it belongs to nothing that was agreed on.
    pub(super) fn whose(
        &mut self,
        ssrc: u32,
        payload_type: u8,
        mid: Option<&[u8]>,
    ) -> Option<Whose> {
        let at = self.section_of(ssrc, payload_type, mid)?;
        let section = self.sections.get(at)?;
        let format = *section.formats.get(&payload_type)?;
        if !section.they_send {
            return None;
        }
        if let Format::Repair { of } = format {
            // Where nobody told which stream it repairs, it is the one that there is.
            let told = section.streams.get(&ssrc).copied().flatten();
            let repaired = told.or_else(|| self.latest.get(&at).copied())?;
            let known = section.formats.contains_key(&of);
            return known.then_some(Whose::Repair { of: repaired, payload_type: of });
        }
        self.latest.insert(at, ssrc);
        Some(Whose::Media { section: at, format })
    }

    fn section_of(&mut self, ssrc: u32, payload_type: u8, mid: Option<&[u8]>) -> Option<usize> {
        let mut sections = self.sections.iter();
        let found = match mid {
            // One that names a section that there is not is nobody's.
            Some(mid) => Some(sections.position(|section| section.mid.as_bytes() == mid)?),
            None => None,
        };
        let found = found.or_else(|| self.known.get(&ssrc).copied()).or_else(|| {
            self.sections.iter().position(|section| section.streams.contains_key(&ssrc))
        });
        let found = found.or_else(|| self.only_with(payload_type))?;
        if self.known.len() < MOST_KNOWN || self.known.contains_key(&ssrc) {
            self.known.insert(ssrc, found);
        }
        Some(found)
    }

    /// The section that alone may send this payload type.
    fn only_with(&self, payload_type: u8) -> Option<usize> {
        let has = |(_, section): &(usize, &Section)| {
            section.they_send && section.formats.contains_key(&payload_type)
        };
        let mut having = self.sections.iter().enumerate().filter(has);
        let (only, _) = having.next()?;
        having.next().is_none().then_some(only)
    }
}
