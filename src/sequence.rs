//! Numbers of RTP, which wrap: those of packets, in 16 bits, and timestamps, in 32.
//!
//! Pure arithmetic (RFC 1982, RFC 3711 section 3.3.1). Whose numbers they are, and which step is too
//! far to be believed, is the caller's to know.

/// The number of a packet as it would be if it did not wrap: the one nearest to `near`, or, where there
/// was none before it, one far from zero, so that a packet before the first has a number too.
#[must_use]
pub fn unwrap_number(number: u16, near: Option<u64>) -> u64 {
    let near = near.unwrap_or(1 << 32 | u64::from(number));
    near.wrapping_add_signed(i64::from(number.wrapping_sub(near as u16) as i16))
}

/// The same for a timestamp: near `near`, or as it is.
#[must_use]
pub fn unwrap_timestamp(timestamp: u32, near: Option<i64>) -> i64 {
    let near = near.unwrap_or(i64::from(timestamp));
    near + i64::from(ticks_between(near as u32, timestamp))
}

/// Ticks from one timestamp to another, which may be before it.
#[must_use]
pub fn ticks_between(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_where_they_wrap() {
        let first = unwrap_number(65_535, None);
        assert_eq!(unwrap_number(0, Some(first)), first + 1);
        assert_eq!(unwrap_number(65_534, Some(first + 1)), first - 1);
        assert_eq!(unwrap_number(65_530, Some(unwrap_number(3, None))) + 9, unwrap_number(3, None));
    }

    #[test]
    fn timestamps_go_on_where_they_wrap() {
        assert_eq!(unwrap_timestamp(7, None), 7);
        let near = i64::from(u32::MAX);
        assert_eq!(unwrap_timestamp(959, Some(near)), near + 960);
        assert_eq!(unwrap_timestamp(u32::MAX - 1, Some(near + 960)), near - 1);
        assert_eq!((ticks_between(u32::MAX, 1), ticks_between(1, u32::MAX)), (2, -2));
    }

    proptest::proptest! {
        #[test]
        fn the_nearest_number_is_found(near in 1_u64 << 20..1 << 40, step in -32_000_i64..32_000) {
            let meant = near.wrapping_add_signed(step);
            proptest::prop_assert_eq!(unwrap_number(meant as u16, Some(near)), meant);
        }
    }
}
