//! The noise of a place, for tests: the same each time, and not made as ours is.

/// Noise, -1 to 1: each sample is `smooth` parts of the one before.
pub(super) fn room(samples: usize, smooth: f32) -> Vec<f32> {
    let (mut seed, mut last) = (77_u32, 0.0);
    let made = (0..samples).map(|_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        last = last * smooth + ((seed >> 8) as f32 / 8_388_608.0 - 1.0) * (1.0 - smooth);
        last
    });
    made.collect()
}
