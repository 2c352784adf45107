//! Writes EBML elements (RFC 8794): what Matroska files are made of.
//!
//! Pure over bytes. Knows no Matroska beyond the shape of elements.

/// An element id, with its length marker, as the specification prints it.
pub type Id = u32;

/// The size that says "until the end" in eight bytes.
pub const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];

/// Appends an id.
pub fn put_id(out: &mut Vec<u8>, id: Id) {
    let bytes = id.to_be_bytes();
    let skip = (id.leading_zeros() / 8) as usize;
    out.extend_from_slice(&bytes[skip.min(3)..]);
}

/// Appends a size in as few bytes as it needs.
pub fn put_size(out: &mut Vec<u8>, size: usize) {
    let size = size as u64;
    // All ones means unknown, so each length holds one value less.
    let len = (1..8).find(|len| size < (1 << (7 * len)) - 1).unwrap_or(8);
    let marked = size | 1 << (7 * len);
    out.extend_from_slice(&marked.to_be_bytes()[8 - len..]);
}

/// A size that always takes eight bytes, so that it can be written over.
#[must_use]
pub fn wide_size(size: u64) -> [u8; 8] {
    (size & 0x00FF_FFFF_FFFF_FFFF | 1 << 56).to_be_bytes()
}

/// Appends an element of bytes.
pub fn put_bytes(out: &mut Vec<u8>, id: Id, data: &[u8]) {
    put_id(out, id);
    put_size(out, data.len());
    out.extend_from_slice(data);
}

/// Appends an unsigned number.
pub fn put_uint(out: &mut Vec<u8>, id: Id, value: u64) {
    let skip = (value.leading_zeros() / 8).min(7) as usize;
    put_bytes(out, id, &value.to_be_bytes()[skip..]);
}

/// Appends a number of eight bytes, so that it can be written over.
pub fn put_wide_uint(out: &mut Vec<u8>, id: Id, value: u64) {
    put_bytes(out, id, &value.to_be_bytes());
}

/// Appends a floating-point number.
pub fn put_float(out: &mut Vec<u8>, id: Id, value: f64) {
    put_bytes(out, id, &value.to_be_bytes());
}

/// Appends an element made of elements.
pub fn put_master(out: &mut Vec<u8>, id: Id, build: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    build(&mut inner);
    put_bytes(out, id, &inner);
}

/// Appends filler of `total` bytes, 2 at least, header included.
pub fn put_void(out: &mut Vec<u8>, total: usize) {
    if total < 100 {
        return put_bytes(out, 0xEC, &vec![0; total.saturating_sub(2)]);
    }
    let content = total - 9;
    put_id(out, 0xEC);
    out.extend_from_slice(&wide_size(content as u64));
    out.resize(out.len() + content, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_the_shortest_form() {
        let mut out = Vec::new();
        put_uint(&mut out, 0xD7, 1);
        put_uint(&mut out, 0x2AD7B1, 1_000_000);
        put_bytes(&mut out, 0x1A45DFA3, b"");
        assert_eq!(
            out,
            [0xD7, 0x81, 1, 0x2A, 0xD7, 0xB1, 0x83, 0x0F, 0x42, 0x40, 0x1A, 0x45, 0xDF, 0xA3, 0x80]
        );
    }

    #[test]
    fn filler_is_as_long_as_it_shall_be() {
        for total in [2, 11, 99, 100, 5000] {
            let mut out = Vec::new();
            put_void(&mut out, total);
            assert_eq!(out.len(), total);
        }
    }

    #[test]
    fn sizes_step_up_where_all_ones_would_mean_unknown() {
        let size = |value| {
            let mut out = Vec::new();
            put_size(&mut out, value);
            out
        };
        assert_eq!(size(126), [0xFE]);
        assert_eq!(size(127), [0x40, 0x7F]);
        assert_eq!(size(16_383), [0x20, 0x3F, 0xFF]);
        assert_eq!(wide_size(5), [1, 0, 0, 0, 0, 0, 0, 5]);
    }
}
