//! The pictures of a file, decoded one step at a time.
//!
//! Owns the choice between uncompressed and encoded files and checks at opening
//! that the first picture can be decoded. Paces nothing.

use std::path::Path;

use super::packets::{self, Packets, PictureTrack};
use super::{Input, Opened, SourceError, in_file, open_file};
use crate::media::codec::table::{stored_decoder, stream_head};
use crate::media::codec::{StoredVideoDecoder, StreamError, StreamHead};
use crate::media::container::y4m::Y4mReader;
use crate::media::container::{ContainerError, Kind, MAX_PACKET};
use crate::media::encoded::Codec;
use crate::media::frame::{MaxPicture, Size, TooLarge, VideoFrame};
use crate::media::scale::Planes;
use crate::media::showing::Showing;
use crate::media::upright::{bounded, usual};

/// A file of pictures.
pub(super) struct Pictures {
    stream: Stream,
    /// The size of its pictures as they are shown, made even.
    pub(super) size: Size,
    /// Pictures a second, nominal.
    pub(super) fps: f64,
    /// How they are shown.
    pub(super) showing: Showing,
    /// When the first is shown, nanoseconds.
    pub(super) begins: i64,
}

enum Stream {
    Y4m { reader: Y4mReader<Input>, buffer: Vec<u8>, next: u64 },
    Encoded { packets: Packets, decoder: Box<dyn StoredVideoDecoder>, ended: bool },
}

/// So many packets may pass before the first picture: a file that starts in the middle of a sequence.
const MAX_LEAD_IN: usize = 600;

impl Pictures {
    /// Opens a file and decodes its first picture to be sure, then goes back to the start.
    pub(super) fn open(path: &Path, most: MaxPicture) -> Result<Self, SourceError> {
        Self::of(open_file(path)?, most).and_then(Self::checked).map_err(in_file(path))
    }

    /// The pictures of what was opened, of at most this size.
    pub(super) fn of(opened: Opened, most: MaxPicture) -> Result<Self, ContainerError> {
        if opened.kind == Kind::Y4m {
            return Y4mReader::open(opened.reader).and_then(|y4m| Self::y4m(y4m, most));
        }
        packets::open_pictures(opened).and_then(|track| Self::encoded(track, most))
    }

    fn y4m(reader: Y4mReader<Input>, most: MaxPicture) -> Result<Self, ContainerError> {
        let (width, height) = (reader.width, reader.height);
        if !most.admits(width, height) {
            let refused = TooLarge { size: Size { width, height }, limit: most.size() };
            return Err(ContainerError::unsupported(refused.to_string()));
        }
        let (fps, showing) = (reader.fps, reader.showing);
        let (width, height) = showing.shown(width as usize, height as usize);
        let stream = Stream::Y4m { reader, buffer: Vec::new(), next: 0 };
        Ok(Self { stream, size: bounded(width, height), fps, showing, begins: 0 })
    }

    fn encoded(track: PictureTrack, most: MaxPicture) -> Result<Self, ContainerError> {
        let PictureTrack { mut packets, codec, config, fps, mut showing, begins } = track;
        let before = config.map(|config| config.before()).unwrap_or_default();
        let head = match stream_head(codec, &before, most)? {
            Some(head) => head,
            None => first_head(&mut packets, codec, most)?,
        };
        // The container knows best how wide samples are, the stream what they mean.
        showing.aspect = showing.aspect.or(head.aspect);
        showing.colour = head.colour.or(showing.colour);
        let fps = fps.or(head.fps).unwrap_or(packets::DEFAULT_FPS).clamp(0.1, 240.0);
        packets.set_fps(fps);
        let decoder = stored_decoder(codec, before, most)?;
        let (width, height) = showing.shown(head.size.0 as usize, head.size.1 as usize);
        let stream = Stream::Encoded { packets, decoder, ended: false };
        Ok(Self { stream, size: bounded(width, height), fps, showing, begins })
    }

    /// Whether the file turned out to end in the middle of something.
    pub(super) fn was_cut(&self) -> bool {
        match &self.stream {
            Stream::Y4m { reader, .. } => reader.was_cut(),
            Stream::Encoded { packets, .. } => packets.was_cut(),
        }
    }

    /// From when to when it plays, nanoseconds, if that can be known; ends at the first picture.
    pub(super) fn span(&mut self) -> Result<Option<(i64, i64)>, ContainerError> {
        match &mut self.stream {
            Stream::Y4m { reader, next, .. } => {
                *next = 0;
                Ok(Some((0, (reader.count()? as f64 * 1e9 / reader.fps) as i64)))
            }
            Stream::Encoded { packets, .. } => packets.span(),
        }
    }

    /// Decodes up to the first picture.
    fn checked(mut self) -> Result<Self, ContainerError> {
        if self.size.width < 16 || self.size.height < 16 {
            return Err(ContainerError::unsupported("its pictures are smaller than 16x16"));
        }
        let mut found = false;
        for _ in 0..MAX_LEAD_IN {
            if !self.step(&mut |_, _| found = true)? || found {
                break;
            }
        }
        if !found {
            return Err(ContainerError::corrupt("no picture in it can be decoded"));
        }
        self.rewind()?;
        Ok(self)
    }

    /// Reads and decodes one packet; `show` gets each picture that came out with its time from the
    /// start of the file in nanoseconds. `false` when there are no more.
    pub(super) fn step(
        &mut self,
        show: &mut dyn FnMut(i64, Planes<'_>),
    ) -> Result<bool, ContainerError> {
        match &mut self.stream {
            Stream::Y4m { reader, buffer, next } => {
                buffer.resize(reader.frame_len(), 0);
                if !reader.read_frame(buffer)? {
                    return Ok(false);
                }
                let (width, height) = (reader.width as usize, reader.height as usize);
                if let Some(planes) = Planes::packed(width, height, buffer) {
                    show((*next as f64 * 1e9 / reader.fps) as i64, planes);
                }
                *next += 1;
                Ok(true)
            }
            Stream::Encoded { ended: true, .. } => Ok(false),
            Stream::Encoded { packets, decoder, ended } => {
                match packets.next()? {
                    Some(packet) => decoder.decode(&packet, show)?,
                    None => {
                        *ended = true;
                        decoder.finish(show)?;
                    }
                }
                Ok(true)
            }
        }
    }

    /// Reads a picture that is stored as it is sent straight into `frame`, with its time from the
    /// start of the file in nanoseconds; `None` when the file is not of that kind, or has no more.
    pub(super) fn read_into(
        &mut self,
        frame: &mut VideoFrame,
    ) -> Result<Option<i64>, ContainerError> {
        let Stream::Y4m { reader, next, .. } = &mut self.stream else { return Ok(None) };
        if !self.showing.is_plain() || self.showing.colour.full_range == Some(true) {
            return Ok(None);
        }
        let stored = Size { width: reader.width, height: reader.height };
        if stored != frame.size() || !reader.read_frame(frame.i420_mut())? {
            return Ok(None);
        }
        frame.set_colour(self.showing.colour.resolve(stored.height));
        usual(frame);
        let at = (*next as f64 * 1e9 / reader.fps) as i64;
        *next += 1;
        Ok(Some(at))
    }

    /// Goes back to the start.
    pub(super) fn rewind(&mut self) -> Result<(), ContainerError> {
        match &mut self.stream {
            Stream::Y4m { reader, next, .. } => {
                *next = 0;
                reader.rewind()
            }
            Stream::Encoded { packets, decoder, ended } => {
                decoder.renew()?;
                *ended = false;
                packets.rewind()
            }
        }
    }
}

/// What a stream says of itself that carries it inside.
fn first_head(
    packets: &mut Packets,
    codec: Codec,
    most: MaxPicture,
) -> Result<StreamHead, ContainerError> {
    let (mut seen, mut found) = (0, None);
    while found.is_none()
        && seen <= MAX_PACKET
        && let Some(packet) = packets.next()?
    {
        seen += packet.data.len();
        found = match stream_head(codec, &packet.data, most) {
            // Another one follows, perhaps.
            Err(StreamError::Corrupt(_)) => None,
            head => head?,
        };
    }
    packets.rewind()?;
    found.ok_or_else(|| {
        let name = codec.title();
        ContainerError::corrupt(format!("it holds no {name} parameter set; is it {name}?"))
    })
}
