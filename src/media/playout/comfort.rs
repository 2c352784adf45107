//! The noise of a place, for the time in which nothing comes from it. Pure.
//!
//! Where a room was heard, silence sounds like a call that broke off. The
//! quietest moment of the last seconds is that room, if it is noise at all; noise
//! of its colour, no louder than it, stands in where sound is missing for long.

use super::stretch::{LONGEST, SHORTEST, energy, likeness};

/// What is looked at at a time, samples per channel: 30 ms.
const SPAN: usize = 1_440;

/// What of it is compared with itself.
const COMPARED: usize = SPAN - LONGEST;

/// The quietest of each half second (samples) is remembered, for four seconds.
const PART: usize = 24_000;
const PARTS: usize = 8;

/// Before so many parts of sound were heard, the quietest of it may be anything.
const KNOWN_AFTER: usize = 2;

/// What is quieter than this (mean square, -90 dB of full scale) is silence, and stays that; noise
/// louder than this (-30 dB) is no floor that anybody misses.
const LEAST: f32 = 1e-9;
const MOST: f32 = 1e-3;

/// What resembles itself more than this (normalised correlation) is a tone or a voice. Low sounds are
/// held back by a filter before they are compared: a rumble resembles itself for long.
const TONE: f32 = 0.6;
const EMPHASIS: f32 = 0.9;

/// How many samples each one is predicted from: enough for the colour of a room.
const ORDER: usize = 8;

/// Keeps the prediction stable where there is nothing at some frequencies: noise 40 dB under the rest is
/// thought to be there, and no resonance is sharper than some hundred hertz.
const CORRECTION: f64 = 1e-4;
const WIDENS: f32 = 0.98;

/// Noise that is made to hear how loud it is, samples.
const TRIED: usize = 4_800;

/// The quietest of some part of the sound.
#[derive(Debug, Clone, Copy)]
struct Quietest {
    /// Mean square.
    energy: f32,
    /// How its samples are predicted from those before; `None` when it is no noise.
    colour: Option<[f32; ORDER]>,
}

/// Noise of one colour and loudness.
#[derive(Debug)]
struct Noise {
    colour: [f32; ORDER],
    past: [f32; ORDER],
    seed: u32,
    gain: f32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Comfort {
    /// What was heard and not looked at yet, all channels in one.
    heard: Vec<f32>,
    /// Samples of the part that is being heard, and the quietest of it.
    length: usize,
    quietest: Option<Quietest>,
    /// Of the parts before, as a ring.
    parts: [Option<Quietest>; PARTS],
    next_part: usize,
    /// What is being played.
    noise: Option<Noise>,
}

impl Comfort {
    /// Interleaved sound that is real.
    pub(super) fn hear(&mut self, sound: &[f32], channels: usize) {
        for frame in sound.chunks_exact(channels) {
            self.heard.push(frame.iter().sum::<f32>() / channels as f32);
            if self.heard.len() == SPAN {
                self.look();
                self.heard.clear();
            }
        }
    }

    /// What comes next does not follow on what was heard.
    pub(super) fn breaks_off(&mut self) {
        self.heard.clear();
    }

    fn look(&mut self) {
        let energy = energy(&self.heard);
        if self.quietest.is_none_or(|quietest| energy < quietest.energy) {
            let colour = is_noise(&self.heard).then(|| colour(&self.heard));
            self.quietest = Some(Quietest { energy, colour });
        }
        self.length += SPAN;
        if self.length >= PART {
            self.parts[self.next_part] = self.quietest.take();
            self.next_part = (self.next_part + 1) % PARTS;
            self.length = 0;
        }
    }

    /// The quietest of the last seconds, if it is noise that can be heard.
    fn floor(&self) -> Option<([f32; ORDER], f32)> {
        let known = self.parts.iter().flatten();
        if known.clone().count() < KNOWN_AFTER {
            return None;
        }
        let quietest = known.chain(&self.quietest).min_by(|a, b| a.energy.total_cmp(&b.energy))?;
        let energy = quietest.energy.min(MOST);
        quietest.colour.filter(|_| energy > LEAST).map(|colour| (colour, energy))
    }

    /// The next sample of noise; the first after [`Comfort::rest`] decides of which.
    pub(super) fn next(&mut self) -> f32 {
        if self.noise.is_none() {
            self.noise = Some(match self.floor() {
                Some((colour, energy)) => Noise::new(colour, energy),
                None => Noise::silence(),
            });
        }
        self.noise.as_mut().map_or(0.0, Noise::next)
    }

    /// There is none to be played.
    pub(super) fn rest(&mut self) {
        self.noise = None;
    }
}

impl Noise {
    fn silence() -> Self {
        Self { colour: [0.0; ORDER], past: [0.0; ORDER], seed: 1, gain: 0.0 }
    }

    fn new(colour: [f32; ORDER], energy: f32) -> Self {
        let mut noise = Self { colour, gain: 1.0, ..Self::silence() };
        let tried: f32 = (0..TRIED).map(|_| noise.next()).map(|sample| sample * sample).sum();
        noise.gain = (energy / (tried / TRIED as f32).max(f32::MIN_POSITIVE)).sqrt();
        noise
    }

    fn next(&mut self) -> f32 {
        // Xorshift: nobody listens for its period.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 17;
        self.seed ^= self.seed << 5;
        let wild = self.seed as f32 / u32::MAX as f32 * 2.0 - 1.0;
        let follows = self.colour.iter().zip(&self.past).map(|(weight, past)| weight * past);
        let sample = wild + follows.sum::<f32>();
        self.past.rotate_right(1);
        self.past[0] = sample;
        sample * self.gain
    }
}

/// Whether it resembles itself nowhere.
fn is_noise(sound: &[f32]) -> bool {
    let raised: Vec<f32> = sound.windows(2).map(|pair| pair[1] - EMPHASIS * pair[0]).collect();
    // Every fourth lag: what is missed between them resembles itself less.
    let mut lags = (SHORTEST..LONGEST).step_by(4);
    lags.all(|lag| likeness(&raised, lag, COMPARED - 1) < TONE)
}

/// The weights with which each sample is predicted from those before it (Levinson and Durbin), the last
/// one first.
fn colour(sound: &[f32]) -> [f32; ORDER] {
    let product = |lag: usize| {
        let pairs = sound.iter().zip(&sound[lag..]);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    let mut products = [0.0; ORDER + 1];
    products.iter_mut().enumerate().for_each(|(lag, is)| *is = product(lag));
    let mut error = products[0] * (1.0 + CORRECTION) + f64::MIN_POSITIVE;
    let mut weights = [0.0; ORDER];
    for n in 0..ORDER {
        let known: f64 = (0..n).map(|at| weights[at] * products[n - at]).sum();
        let reflection = (products[n + 1] - known) / error;
        let before = weights;
        (0..n).for_each(|at| weights[at] -= reflection * before[n - 1 - at]);
        weights[n] = reflection;
        error *= 1.0 - reflection * reflection;
    }
    let mut widened = [0.0; ORDER];
    let mut factor = 1.0;
    for (to, from) in widened.iter_mut().zip(weights) {
        factor *= WIDENS;
        *to = from as f32 * factor;
    }
    widened
}

#[cfg(test)]
mod tests {
    use super::super::room::room;
    use super::*;

    fn tone(samples: usize, hz: f32, loud: f32) -> Vec<f32> {
        let step = std::f32::consts::TAU * hz / 48_000.0;
        (0..samples).map(|n| loud * (n as f32 * step).sin()).collect()
    }

    fn after(sound: &[f32], channels: usize) -> Vec<f32> {
        let mut comfort = Comfort::default();
        comfort.hear(sound, channels);
        comfort.breaks_off();
        (0..24_000).map(|_| comfort.next()).collect()
    }

    /// How much of it is in what changes from one sample to the next: its pitch.
    fn brightness(sound: &[f32]) -> f32 {
        let steps: Vec<f32> = sound.windows(2).map(|pair| pair[1] - pair[0]).collect();
        energy(&steps) / energy(sound)
    }

    #[test]
    fn a_room_goes_on_as_loud_and_of_the_same_colour() {
        for smooth in [0.0, 0.5, 0.9, 0.97] {
            for loud in [0.001, 0.02] {
                let room: Vec<f32> = room(96_000, smooth).iter().map(|s| s * loud).collect();
                let noise = after(&room, 1);
                let share = energy(&noise) / energy(&room);
                assert!((0.4..1.05).contains(&share), "{smooth} {loud}: {share}");
                let colour = brightness(&noise) / brightness(&room);
                assert!((0.5..2.5).contains(&colour), "{smooth} {loud}: {colour}");
            }
        }
    }

    #[test]
    fn what_is_said_in_the_room_is_not_its_noise() {
        let mut sound: Vec<f32> = room(192_000, 0.5).iter().map(|s| s * 0.004).collect();
        let floor = energy(&sound);
        // Three seconds of four somebody speaks, or whistles.
        let speech = tone(144_000, 440.0, 0.2);
        sound.iter_mut().zip(speech).for_each(|(to, said)| *to += said);
        let share = energy(&after(&sound, 1)) / floor;
        assert!((0.4..1.05).contains(&share), "{share}");
    }

    #[test]
    fn where_there_was_silence_or_no_noise_there_is_none() {
        let hiss: Vec<f32> = room(192_000, 0.0).iter().map(|s| s * 0.01).collect();
        let mut cut = hiss.clone();
        cut[100_000..110_000].fill(0.0);
        let (short, low, high) =
            (&hiss[..20_000], tone(192_000, 80.0, 0.1), tone(192_000, 440.0, 0.1));
        for sound in [&vec![0.0; 192_000], &cut, short, &low, &high, &[]] {
            assert_eq!(energy(&after(sound, 1)), 0.0, "{:?}", &sound[..sound.len().min(4)]);
        }
    }

    #[test]
    fn both_channels_count_and_what_was_long_ago_does_not() {
        let mut sound: Vec<f32> = room(480_000, 0.0).iter().map(|s| s * 0.002).collect();
        sound[200_000..].iter_mut().for_each(|s| *s *= 5.0);
        let both: Vec<f32> = sound.iter().flat_map(|s| [*s, *s]).collect();
        let share = energy(&after(&both, 2)) / energy(&sound[200_000..]);
        assert!((0.4..1.05).contains(&share), "{share}");
        let mut comfort = Comfort::default();
        for _ in 0..100 {
            comfort.hear(&both, 2);
            assert!(comfort.heard.len() < SPAN && comfort.heard.capacity() <= 2 * SPAN);
        }
    }
}
