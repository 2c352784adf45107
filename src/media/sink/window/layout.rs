//! Where things stand in the window. Pure.

/// A part of the window, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// All parts of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Their picture, as large as it can be.
    pub(super) remote: Option<Area>,
    /// Ours, small in the lower right corner.
    pub(super) own: Option<Area>,
    /// The line of words at the bottom.
    pub(super) bar: Area,
}

/// Our own picture takes a quarter of the width.
const OWN_SHARE: usize = 4;
/// Between it and the edge.
const GAP: usize = 8;

/// Places pictures of these sizes in a window of `width` x `height` with a bar of `bar` rows.
pub(super) fn place(
    (width, height): (usize, usize),
    bar: usize,
    remote: Option<(usize, usize)>,
    own: Option<(usize, usize)>,
) -> Layout {
    let bar = bar.min(height);
    let room = Area { left: 0, top: 0, width, height: height - bar };
    let remote = remote.and_then(|picture| fit(picture, room));
    let corner = Area {
        left: width.saturating_sub(width / OWN_SHARE + GAP),
        top: room.height.saturating_sub(room.height / OWN_SHARE + GAP),
        width: width / OWN_SHARE,
        height: room.height / OWN_SHARE,
    };
    let own = own.and_then(|picture| fit(picture, corner)).map(|area| Area {
        // In the corner itself, not in the middle of its room.
        left: corner.left + corner.width - area.width,
        top: corner.top + corner.height - area.height,
        ..area
    });
    Layout { remote, own, bar: Area { left: 0, top: height - bar, width, height: bar } }
}

/// The largest area with the picture's aspect in the middle of `room`; even, as I420 needs.
fn fit((width, height): (usize, usize), room: Area) -> Option<Area> {
    if width == 0 || height == 0 || room.width < 16 || room.height < 16 {
        return None;
    }
    let wide = (room.width, room.width * height / width);
    let high = (room.height * width / height, room.height);
    let (width, height) = if wide.1 <= room.height { wide } else { high };
    let (width, height) = ((width & !1).max(2), (height & !1).max(2));
    Some(Area {
        left: room.left + room.width.saturating_sub(width) / 2,
        top: room.top + room.height.saturating_sub(height) / 2,
        width,
        height,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_aspect_is_kept_and_the_rest_is_black() {
        let layout = place((800, 624), 24, Some((640, 360)), Some((640, 480)));
        assert_eq!(layout.remote, Some(Area { left: 0, top: 75, width: 800, height: 450 }));
        assert_eq!(layout.own, Some(Area { left: 592, top: 442, width: 200, height: 150 }));
        assert_eq!(layout.bar, Area { left: 0, top: 600, width: 800, height: 24 });
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_window(
            width in 0_usize..4000, height in 0_usize..3000,
            picture in (1_usize..4096, 1_usize..4096), bar in 0_usize..80,
        ) {
            let layout = place((width, height), bar, Some(picture), Some(picture));
            for area in [layout.remote, layout.own, Some(layout.bar)].into_iter().flatten() {
                prop_assert!(area.left + area.width <= width.max(2), "{area:?}");
                prop_assert!(area.top + area.height <= height.max(2), "{area:?}");
            }
        }
    }
}
