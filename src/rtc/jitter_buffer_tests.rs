//! Scripts of packets, then a seeded network that reorders, doubles and loses them.

use super::*;
use crate::clock;
use crate::media::codec::table;
use proptest::prelude::*;

/// The packets of a picture: an IDR or a slice, in `parts` fragments.
fn picture(first_sequence: u16, timestamp: u32, keyframe: bool, parts: usize) -> Vec<VideoPacket> {
    let kind = if keyframe { 5 } else { 1 };
    (0..parts)
        .map(|part| {
            let (start, end) = (part == 0, part + 1 == parts);
            let payload = match parts {
                1 => vec![0x60 | kind, timestamp as u8 | 1],
                _ => vec![
                    0x7c,
                    kind | if start { 0x80 } else { 0 } | if end { 0x40 } else { 0 },
                    part as u8 | 1,
                ],
            };
            VideoPacket {
                sequence_number: first_sequence.wrapping_add(part as u16),
                timestamp,
                marker: end,
                codec: table::PICTURES[0],
                payload: Bytes::from(payload),
                orientation: None,
            }
        })
        .collect()
}

fn rtp_timestamp(frame: &EncodedFrame) -> u32 {
    match frame.time {
        FrameTime::Received { rtp_timestamp, .. } => rtp_timestamp,
        other => panic!("{other:?}"),
    }
}

fn drain(buffer: &mut JitterBuffer) -> (Vec<u32>, usize) {
    let (mut timestamps, mut keyframes_asked) = (vec![], 0);
    while let Some(output) = buffer.poll() {
        match output {
            Output::Frame(frame) => timestamps.push(rtp_timestamp(&frame)),
            Output::KeyframeNeeded => keyframes_asked += 1,
        }
    }
    (timestamps, keyframes_asked)
}

fn feed(buffer: &mut JitterBuffer, packets: impl IntoIterator<Item = VideoPacket>) {
    let now = clock::now();
    packets.into_iter().for_each(|packet| buffer.insert(now, packet));
}

#[test]
fn a_picture_comes_out_with_its_last_packet() {
    let mut buffer = JitterBuffer::new();
    let packets = picture(65_534, 90, true, 4);
    feed(&mut buffer, packets[..3].iter().cloned());
    assert_eq!(drain(&mut buffer), (vec![], 0));
    feed(&mut buffer, packets[3..].iter().cloned());
    assert_eq!(drain(&mut buffer), (vec![90], 0));
    feed(&mut buffer, picture(2, 180, false, 1));
    assert_eq!(drain(&mut buffer), (vec![180], 0), "sequence numbers wrap");
}

/// Parameter sets, as an encoder puts them before a keyframe, and the keyframe.
fn whole_keyframe(first_sequence: u16, timestamp: u32) -> Vec<VideoPacket> {
    let sets = Bytes::from_static(&[0x78, 0, 2, 0x67, 9, 0, 2, 0x68, 9]);
    let sets = VideoPacket {
        sequence_number: first_sequence,
        timestamp,
        marker: false,
        codec: table::PICTURES[0],
        payload: sets,
        orientation: None,
    };
    let slices = picture(first_sequence.wrapping_add(1), timestamp, true, 3);
    std::iter::once(sets).chain(slices).collect()
}

#[test]
fn a_keyframe_that_arrives_is_known() {
    let mut buffer = JitterBuffer::new();
    let mut keyframe = whole_keyframe(10, 90);
    let last = keyframe.pop();
    feed(&mut buffer, keyframe);
    assert!(buffer.is_part_of_keyframe(90));
    feed(&mut buffer, last);
    assert!(!buffer.is_part_of_keyframe(90), "it is whole, and not waited for any more");
    feed(&mut buffer, picture(20, 180, false, 2));
    assert!(!buffer.is_part_of_keyframe(180));
}

#[test]
fn with_a_whole_keyframe_nothing_before_it_is_waited_for() {
    let mut buffer = JitterBuffer::new();
    feed(&mut buffer, whole_keyframe(0, 90));
    assert_eq!(drain(&mut buffer), (vec![90], 0));
    feed(&mut buffer, picture(6, 180, false, 2));
    let mut keyframe = whole_keyframe(900, 270);
    let late = keyframe.remove(1);
    feed(&mut buffer, keyframe);
    assert_eq!(drain(&mut buffer), (vec![], 0), "one of its packets is missing");
    feed(&mut buffer, [late]);
    assert_eq!(drain(&mut buffer), (vec![270], 0));
    let counters = buffer.counters();
    assert_eq!((counters.packets_lost, counters.frames_dropped), (894, 1));
    feed(&mut buffer, picture(904, 360, false, 1));
    assert_eq!(drain(&mut buffer), (vec![360], 0));
}

#[test]
fn a_picture_that_has_begun_is_not_waited_for_either() {
    let mut buffer = JitterBuffer::new();
    feed(&mut buffer, whole_keyframe(0, 90));
    let mut torn = picture(4, 180, false, 4);
    torn.remove(2);
    feed(&mut buffer, torn);
    assert_eq!(drain(&mut buffer), (vec![90], 0));
    feed(&mut buffer, whole_keyframe(8, 270));
    assert_eq!(drain(&mut buffer), (vec![270], 0));
    assert_eq!(buffer.counters().packets_lost, 1);
}

#[test]
fn a_picture_whose_end_was_never_sent_is_none() {
    let mut buffer = JitterBuffer::new();
    feed(&mut buffer, whole_keyframe(0, 90));
    let cut = picture(4, 180, false, 4).into_iter().take(2);
    feed(&mut buffer, cut.chain(whole_keyframe(6, 270)));
    assert_eq!(drain(&mut buffer), (vec![90, 270], 1));
    assert_eq!(buffer.counters().frames_dropped, 1);
}

#[test]
fn a_large_picture_may_take_its_time_over_a_slow_path() {
    let mut buffer = JitterBuffer::new();
    let start = clock::now();
    for (at, packet) in picture(10, 90, true, 40).into_iter().enumerate() {
        // Forty packets over a second and more, none missing.
        let now = start + Duration::from_millis(at as u64 * 30);
        buffer.handle_timeout(now);
        buffer.insert(now, packet);
    }
    assert_eq!(drain(&mut buffer), (vec![90], 0));
}

#[test]
fn a_late_packet_is_waited_for_and_a_double_one_is_dropped() {
    let mut buffer = JitterBuffer::new();
    feed(&mut buffer, picture(0, 0, true, 2));
    let late = picture(2, 1, false, 1);
    feed(&mut buffer, picture(3, 2, false, 2));
    assert_eq!(drain(&mut buffer).0, [0]);
    feed(&mut buffer, late.clone());
    feed(&mut buffer, late);
    assert_eq!(drain(&mut buffer), (vec![1, 2], 0));
    let counters = buffer.counters();
    assert_eq!((counters.packets_received, counters.duplicates, counters.packets_lost), (5, 1, 0));
}

#[test]
fn what_never_comes_costs_the_pictures_until_a_keyframe() {
    let mut buffer = JitterBuffer::new();
    let now = clock::now();
    feed(&mut buffer, picture(0, 0, true, 1));
    feed(&mut buffer, picture(2, 2, false, 1));
    assert_eq!(drain(&mut buffer), (vec![0], 0));
    assert!(buffer.deadline().is_some());
    buffer.handle_timeout(now + 2 * PATIENCE);
    let (pictures, asked) = drain(&mut buffer);
    assert!(pictures.is_empty() && asked > 0);
    assert_eq!(buffer.deadline(), None);
    feed(&mut buffer, picture(3, 3, false, 2));
    assert_eq!(drain(&mut buffer).0, [0_u32; 0]);
    feed(&mut buffer, picture(5, 5, true, 2));
    assert_eq!(drain(&mut buffer), (vec![5], 0));
    assert_eq!(buffer.counters().packets_lost, 1);
}

#[test]
fn pictures_stand_as_was_said_last() {
    let mut buffer = JitterBuffer::new();
    let mut turned = picture(0, 7, true, 3);
    turned[2].orientation = Some(Orientation::quarters(1));
    feed(&mut buffer, turned);
    feed(&mut buffer, picture(3, 8, false, 1));
    let mut upright = picture(4, 9, false, 1);
    upright[0].orientation = Some(Orientation::UPRIGHT);
    feed(&mut buffer, upright);
    let mut seen = Vec::new();
    while let Some(output) = buffer.poll() {
        let Output::Frame(frame) = output else { panic!("{output:?}") };
        seen.push(frame.orientation);
    }
    let turned = Orientation::quarters(1);
    assert_eq!(seen, [turned, turned, Orientation::UPRIGHT]);
}

#[test]
fn padding_is_no_picture() {
    let mut buffer = JitterBuffer::new();
    feed(&mut buffer, picture(0, 7, true, 1));
    let padding = |sequence_number| VideoPacket {
        sequence_number,
        timestamp: 7,
        marker: false,
        codec: table::PICTURES[0],
        payload: Bytes::new(),
        orientation: None,
    };
    feed(&mut buffer, [padding(1), padding(2)]);
    feed(&mut buffer, picture(3, 8, false, 1));
    assert_eq!(drain(&mut buffer), (vec![7, 8], 0));
}

#[test]
fn starts_anew_when_the_sender_does() {
    let mut buffer = JitterBuffer::new();
    feed(&mut buffer, picture(0, 0, true, 1));
    feed(&mut buffer, picture(30_000, 5, true, 1));
    assert_eq!(drain(&mut buffer), (vec![0, 5], 1));
}

#[test]
fn begins_in_the_middle_of_a_stream_at_the_next_keyframe() {
    let mut buffer = JitterBuffer::new();
    let packets = picture(10, 1, false, 3);
    feed(&mut buffer, packets[1..].iter().cloned());
    feed(&mut buffer, picture(13, 2, true, 2));
    buffer.handle_timeout(clock::now() + 2 * PATIENCE);
    assert_eq!(drain(&mut buffer).0, [2]);
}

/// Shuffles within a window, doubles some and leaves some out, the same for the same seed.
fn travel(packets: &[VideoPacket], seed: u64, window: u64, loss_percent: u64) -> Vec<VideoPacket> {
    let mut state = seed | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut arriving: Vec<(u64, VideoPacket)> = Vec::new();
    for (index, packet) in packets.iter().enumerate() {
        let at = index as u64 * 2;
        if random() % 100 >= loss_percent {
            arriving.push((at + random() % (2 * window), packet.clone()));
        }
        if random() % 10 == 0 {
            arriving.push((at + random() % (2 * window), packet.clone()));
        }
    }
    arriving.sort_by_key(|(at, _)| *at);
    arriving.into_iter().map(|(_, packet)| packet).collect()
}

proptest! {
    #[test]
    fn without_loss_every_picture_comes_once_and_in_order(
        seed: u64,
        start: u16,
        shapes in prop::collection::vec((any::<bool>(), 1_usize..5), 1..60),
    ) {
        let mut packets = picture(start, 0, true, 1);
        let mut sequence = start.wrapping_add(1);
        for (index, (keyframe, parts)) in shapes.iter().enumerate() {
            packets.extend(picture(sequence, index as u32 + 1, *keyframe, *parts));
            sequence = sequence.wrapping_add(*parts as u16);
        }
        let mut buffer = JitterBuffer::new();
        feed(&mut buffer, packets[..1].iter().cloned());
        feed(&mut buffer, travel(&packets[1..], seed, 12, 0));
        let expected: Vec<u32> = (0..=shapes.len() as u32).collect();
        prop_assert_eq!(drain(&mut buffer), (expected, 0));
    }

    #[test]
    fn with_loss_it_recovers_at_a_keyframe_and_never_goes_back(
        seed: u64,
        start: u16,
        shapes in prop::collection::vec((0_u8..8, 1_usize..5), 1..80),
    ) {
        let mut packets = vec![];
        let mut sequence = start;
        for (index, (kind, parts)) in shapes.iter().enumerate() {
            packets.extend(picture(sequence, index as u32, *kind == 0, *parts));
            sequence = sequence.wrapping_add(*parts as u16);
        }
        let mut buffer = JitterBuffer::new();
        let now = clock::now();
        for (tick, packet) in travel(&packets, seed, 6, 15).into_iter().enumerate() {
            let now = now + Duration::from_millis(tick as u64 * 10);
            buffer.handle_timeout(now);
            buffer.insert(now, packet);
            prop_assert!(buffer.packets.len() <= MAX_PACKETS);
        }
        buffer.handle_timeout(now + Duration::from_secs(100));
        feed(&mut buffer, picture(sequence, 1_000, true, 3));
        buffer.handle_timeout(now + Duration::from_secs(100));
        let pictures = drain(&mut buffer).0;
        prop_assert!(pictures.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", pictures);
        prop_assert_eq!(pictures.last(), Some(&1_000));
    }

    #[test]
    fn whatever_comes_nothing_panics_or_grows(
        input in prop::collection::vec((any::<u16>(), any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..6)), 0..300),
    ) {
        let mut buffer = JitterBuffer::new();
        let now = clock::now();
        for (sequence_number, timestamp, marker, payload) in input {
            let payload = Bytes::from(payload);
            let orientation = None;
            buffer
                .insert(
                    now,
                    VideoPacket {
                        sequence_number,
                        timestamp,
                        marker,
                        codec: table::PICTURES[0],
                        payload,
                        orientation,
                    },
                );
            buffer.handle_timeout(now + PATIENCE);
            while buffer.poll().is_some() {}
            prop_assert!(buffer.packets.len() <= MAX_PACKETS);
        }
    }
}
