//! How media share a path that is narrow, lossy or unsteady.
//!
//! Pure decisions: how much may be sent (`estimator.rs` with what it stands
//! on), what leaves when (`pacer.rs`), what is sent again (`repeats.rs`) and
//! what is asked for again (`missing.rs`). Two interceptors carry them out:
//! `transmit.rs` on the way out, and `receive.rs` with `reports.rs` on the way in.

mod breaker;
mod delay;
mod estimator;
mod fallback;
mod history;
mod loss;
mod missing;
mod overdue;
mod pacer;
mod probe;
mod publish;
mod receive;
mod repair_rate;
mod repeats;
mod reports;
mod rival;
mod round_trip;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod simulation_tcp;
mod transmit;
mod way_back;

use self::estimator::PathView;
pub(super) use self::receive::Receive;
pub(super) use self::transmit::Transmit;

/// How much faster than the target packets leave, so that a picture larger than most does not hold up
/// those behind it; more where the path has shown that it takes it.
const PACE: f64 = 1.25;
const PACE_UNHINDERED: f64 = 2.5;

/// The rate at which packets leave, bits a second; `cluster` is that of a probe under way.
fn transmit_rate(view: &PathView, cluster: Option<f64>) -> f64 {
    let pace = if view.unhindered { PACE_UNHINDERED } else { PACE };
    cluster.unwrap_or_default().max(view.target * pace)
}
