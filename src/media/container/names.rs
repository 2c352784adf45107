//! What people call the codecs that we do not play, by whatever a container calls them.
//!
//! One table for all containers: codes of four letters, Matroska's identifiers, numbers of WAVE and of
//! MPEG-4, and what a stream in Ogg begins with.

/// A name, and what containers write for it: `#` before a number of WAVE in hexadecimal, `o` before an
/// object type of MPEG-4.
type Row = (&'static str, &'static [&'static str]);

const TABLE: &[Row] = &[
    ("H.264", &["h264", "x264", "avc1", "avc3", "davc", "vssh"]),
    ("HEVC", &["hvc1", "hev1", "hevc", "h265", "V_MPEGH/ISO/HEVC"]),
    ("Dolby Vision", &["dvh1", "dvhe", "dva1", "dvav"]),
    ("VVC", &["vvc1", "vvi1", "V_MPEGI/ISO/VVC"]),
    ("VP6", &["vp60", "vp61", "vp62", "vp6f"]),
    ("VP8", &["vp08", "vp80", "V_VP8"]),
    ("VP9", &["vp09", "vp90", "V_VP9"]),
    ("AV1", &["av01", "V_AV1"]),
    ("MPEG-1", &["mpg1", "mp1v", "V_MPEG1", "o6a"]),
    ("MPEG-2", &["mpg2", "mp2v", "m2v1", "xdv2", "xdvc", "hdv2", "V_MPEG2", "o60", "o61", "o65"]),
    (
        "MPEG-4 part 2",
        &["mp4v", "xvid", "divx", "dx50", "fmp4", "V_MPEG4/ISO/SP", "V_MPEG4/ISO/ASP", "o20"],
    ),
    ("MS MPEG-4", &["mp41", "mp42", "mp43", "div3", "V_MPEG4/MS/V3"]),
    ("H.261", &["h261"]),
    ("H.263", &["s263", "h263", "u263"]),
    ("Sorenson Video", &["svq1", "svq3"]),
    ("Theora", &["theo", "V_THEORA", "\u{80}theora"]),
    ("Dirac", &["drac", "V_DIRAC"]),
    ("Motion JPEG", &["jpeg", "mjpg", "mjpa", "mjpb", "dmb1", "V_MJPEG", "o6c"]),
    ("JPEG 2000", &["mjp2", "o6e"]),
    ("PNG pictures", &["png", "mpng", "o6d"]),
    ("ProRes", &["apch", "apcn", "apcs", "apco", "ap4h", "ap4x", "V_PRORES"]),
    ("DNxHD", &["avdn", "avdh"]),
    ("CineForm", &["cfhd"]),
    ("DV", &["dvc", "dvcp", "dv5p", "dv5n", "dvsd", "dvpp"]),
    ("FFV1", &["ffv1", "V_FFV1"]),
    ("Huffyuv", &["hfyu", "ffvh"]),
    ("Cinepak", &["cvid"]),
    ("Windows Media Video", &["wmv1", "wmv2", "wmv3", "wvc1", "vc-1"]),
    ("RealVideo", &["V_REAL/RV10", "V_REAL/RV20", "V_REAL/RV30", "V_REAL/RV40"]),
    (
        "uncompressed",
        &["raw ", "yuv2", "2vuy", "v210", "v308", "v410", "yv12", "i420", "nv12", "V_UNCOMPRESSED"],
    ),
    ("MP3", &[".mp3", "mp3", "ms\0U", "A_MPEG/L3", "#55", "o69", "o6b"]),
    ("MP2", &[".mp2", "mp2", "ms\0P", "A_MPEG/L2", "#50"]),
    ("MP1", &[".mp1", "A_MPEG/L1"]),
    ("AAC without its description", &["A_AAC", "#ff", "#1600", "#1610"]),
    ("USAC", &["usac"]),
    ("Vorbis", &["A_VORBIS", "\u{1}vorbis", "vorb", "#674f", "#6750", "#6751", "odd"]),
    ("FLAC", &["flac", "A_FLAC", "\u{7f}FLAC", "#f1ac"]),
    ("Speex", &["spex", "Speex   ", "#a109"]),
    ("Opus in an unusual wrapping", &["oad"]),
    ("AC-3", &["ac-3", "sac3", "ms \0", "A_AC3", "#2000", "oa5"]),
    ("E-AC-3", &["ec-3", "A_EAC3", "oa6"]),
    ("AC-4", &["ac-4", "oae"]),
    ("DTS", &["dtsc", "dtsh", "dtsl", "dtse", "dtsx", "A_DTS", "#2001", "oa9", "oaa"]),
    ("TrueHD", &["mlpa", "A_TRUEHD", "A_MLP"]),
    ("ALAC", &["alac", "A_ALAC"]),
    ("AMR", &["samr", "sawb", "A_AMR", "#7a21", "#7a22"]),
    ("QCELP", &["qclp", "sqcp", "oe1"]),
    ("EVRC", &["sevc", "oa0"]),
    ("GSM", &["agsm", "#31", "#32"]),
    ("G.726", &["#45", "#64"]),
    ("G.722", &["#28f", "#65"]),
    ("TrueSpeech", &["#22"]),
    ("A-law", &["alaw", "#6"]),
    ("\u{b5}-law", &["ulaw", "#7"]),
    ("ADPCM", &["ima4", "ms\0\u{2}", "ms\0\u{11}", "#2", "#11", "#17", "#200"]),
    ("Windows Media Audio", &["wma", "wma1", "wma2", "A_WMA", "#160", "#161", "#162", "#163"]),
    ("RealAudio", &["A_REAL/14_4", "A_REAL/28_8", "A_REAL/COOK", "A_REAL/SIPR", "A_REAL/ATRC"]),
    ("ATRAC", &["#270", "A_ATRAC/AT1"]),
    ("WavPack", &["A_WAVPACK4", "wvpk"]),
    ("TTA", &["A_TTA1", "tta1"]),
    ("Musepack", &["A_MPC"]),
    ("QDesign Music", &["qdm2", "qdmc"]),
    (
        "uncompressed (PCM)",
        &[
            "sowt",
            "twos",
            "lpcm",
            "ipcm",
            "fpcm",
            "in24",
            "in32",
            "fl32",
            "fl64",
            "none",
            "ms\0\u{1}",
            "A_PCM/INT/LIT",
            "A_PCM/INT/BIG",
            "A_PCM/FLOAT/IEEE",
            "#1",
            "#3",
        ],
    ),
    ("encrypted", &["encv", "enca", "drmi", "drms"]),
];

fn find(id: &str) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|(_, ids)| ids.iter().any(|known| known.eq_ignore_ascii_case(id)))
        .map(|(name, _)| *name)
}

fn unknown(id: &str) -> String {
    let shown: String = id.chars().filter(char::is_ascii_graphic).take(40).collect();
    format!("of a kind that is not known here ('{shown}')")
}

/// By a code of four letters, as MP4, QuickTime, IVF and AVI have it.
#[must_use]
pub fn of_fourcc(code: &[u8]) -> String {
    let id: String = code.iter().map(|byte| char::from(*byte)).collect();
    let known = find(&id).or_else(|| find(id.trim_end_matches([' ', '\0'])));
    known.map_or_else(|| unknown(&id), str::to_owned)
}

/// By Matroska's identifier and what it keeps for the codec, which says what is in the wrapping of
/// another system.
#[must_use]
pub fn of_matroska(id: &str, private: &[u8]) -> String {
    match (id, private) {
        // BITMAPINFOHEADER and WAVEFORMATEX.
        ("V_MS/VFW/FOURCC", [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, a, b, c, d, ..]) => {
            format!("{} in an old wrapping (VfW)", of_fourcc(&[*a, *b, *c, *d]))
        }
        ("A_MS/ACM", [low, high, ..]) => of_wave(u16::from_le_bytes([*low, *high])),
        // QuickTime keeps its code behind a size, or alone.
        ("V_QUICKTIME" | "A_QUICKTIME", [_, _, _, _, a, b, c, d, ..] | [a, b, c, d]) => {
            of_fourcc(&[*a, *b, *c, *d])
        }
        _ => {
            let whole = find(id);
            // Profiles follow behind further strokes.
            let first = || id.match_indices('/').rev().find_map(|(at, _)| find(id.get(..at)?));
            whole.or_else(first).map_or_else(|| unknown(id), str::to_owned)
        }
    }
}

/// By the number of a format of WAVE (`wFormatTag`).
#[must_use]
pub fn of_wave(tag: u16) -> String {
    find(&format!("#{tag:x}")).map_or_else(|| unknown(&format!("WAVE {tag:#06x}")), str::to_owned)
}

/// By the object type of MPEG-4 (ISO/IEC 14496-1 section 7.2.6.6, and its registration authority).
#[must_use]
pub fn of_object(kind: u8) -> String {
    find(&format!("o{kind:x}"))
        .map_or_else(|| unknown(&format!("MPEG-4 {kind:#04x}")), str::to_owned)
}

/// By what a stream in Ogg begins with; `None` where that is nothing that is known.
#[must_use]
pub fn of_ogg(packet: &[u8]) -> Option<&'static str> {
    let begins = |id: &str| {
        let mut bytes = packet.iter().map(|byte| char::from(*byte));
        id.chars().all(|known| bytes.next() == Some(known))
    };
    TABLE
        .iter()
        .find(|(_, ids)| ids.iter().any(|id| id.len() >= 5 && begins(id)))
        .map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_have_the_names_that_people_know() {
        for (code, name) in [
            (b"samr", "AMR"),
            (b"sowt", "uncompressed (PCM)"),
            (b"twos", "uncompressed (PCM)"),
            (b"lpcm", "uncompressed (PCM)"),
            (b"ulaw", "\u{b5}-law"),
            (b"jpeg", "Motion JPEG"),
            (b"s263", "H.263"),
            (b"VP80", "VP8"),
            (b"ms\0U", "MP3"),
            (b"hev1", "HEVC"),
            (b"apcn", "ProRes"),
            (b"encv", "encrypted"),
            (b"fLaC", "FLAC"),
            (b"raw ", "uncompressed"),
            (b"mp3 ", "MP3"),
            (b"dvc ", "DV"),
        ] {
            assert_eq!(of_fourcc(code), name);
        }
        assert_eq!(of_fourcc(b"x\0!?"), "of a kind that is not known here ('x!?')");
        for (id, name) in [
            ("A_PCM/INT/LIT", "uncompressed (PCM)"),
            ("V_MPEG2", "MPEG-2"),
            ("V_THEORA", "Theora"),
            ("A_DTS/LOSSLESS", "DTS"),
            ("A_MPEG/L3", "MP3"),
            ("A_AC3/BSID9", "AC-3"),
        ] {
            assert_eq!(of_matroska(id, &[]), name);
        }
        let mut header = [0; 40];
        header[16..20].copy_from_slice(b"XVID");
        assert_eq!(
            of_matroska("V_MS/VFW/FOURCC", &header),
            "MPEG-4 part 2 in an old wrapping (VfW)"
        );
        assert_eq!(of_matroska("A_MS/ACM", &[0x55, 0]), "MP3");
        assert_eq!(of_wave(85), "MP3");
        assert_eq!(
            (of_wave(6), of_wave(7), of_wave(17)),
            ("A-law".into(), "\u{b5}-law".into(), "ADPCM".into())
        );
        assert_eq!(of_object(0x6B), "MP3");
        assert_eq!(of_object(0xEE), "of a kind that is not known here ('MPEG-40xee')");
        assert_eq!(of_ogg(b"\x01vorbis\0\0"), Some("Vorbis"));
        assert_eq!(of_ogg(b"\x7FFLAC\x01"), Some("FLAC"));
        assert_eq!(of_ogg(b"\x80theora"), Some("Theora"));
        assert_eq!(of_ogg(b"Speex   1.2"), Some("Speex"));
        assert_eq!(of_ogg(b"OpusHead"), None);
    }

    #[test]
    fn no_code_stands_for_two() {
        let mut all: Vec<String> = TABLE
            .iter()
            .flat_map(|(_, ids)| ids.iter().map(|id| id.to_ascii_lowercase()))
            .collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
