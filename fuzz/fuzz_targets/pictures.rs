//! Fuzzes what stands before a decoder: an access unit is let through or not, and what is let through
//! is no larger than allowed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use peer::media::codec::h264::limits;
use peer::media::codec::h264::nal::{contains_idr, nal_units};
use peer::media::codec::h264::sps::Sps;
use peer::media::frame::MaxPicture;

fuzz_target!(|annex_b: &[u8]| {
    let most = MaxPicture::default();
    let _ = contains_idr(annex_b);
    if limits::check(annex_b, most).is_ok() {
        for sps in nal_units(annex_b).filter_map(Sps::parse) {
            assert!(most.admits(sps.width, sps.height) && most.admits(sps.coded.0, sps.coded.1));
        }
    }
});
