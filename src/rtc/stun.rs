//! What every STUN message has: a header, and attributes (RFC 8489 sections 5 and 14). Pure.

/// The type of a binding request.
pub(super) const REQUEST: [u8; 2] = [0x00, 0x01];
pub(super) const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
pub(super) const STUN_HEADER: usize = 20;

/// Whether it is a binding message of this type.
pub(super) fn is_binding(message: &[u8], kind: [u8; 2]) -> bool {
    message.starts_with(&kind) && message.get(4..8) == Some(&COOKIE)
}

/// An attribute (RFC 8489 section 14: each is padded to four bytes).
pub(super) fn attribute(attributes: &[u8], wanted: [u8; 2]) -> Option<&[u8]> {
    attribute_at(attributes, wanted).map(|(_, value)| value)
}

/// The same, and where its type and length begin.
pub(super) fn attribute_at(attributes: &[u8], wanted: [u8; 2]) -> Option<(usize, &[u8])> {
    let mut at = 0;
    while let [t0, t1, l0, l1, rest @ ..] = attributes.get(at..)? {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if [*t0, *t1] == wanted {
            return Some((at, rest.get(..length)?));
        }
        at += 4 + length.next_multiple_of(4);
    }
    None
}
