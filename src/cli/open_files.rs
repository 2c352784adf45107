//! How many files the process may open, sockets included: as many as are needed, if the system lets
//! it.

#[cfg(unix)]
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Other systems count no files.
#[cfg(not(unix))]
#[must_use]
pub fn allow(_: u64) -> Option<u64> {
    None
}

/// Raises the limit to `wanted`; returns what it is when that was not possible.
#[cfg(unix)]
#[must_use]
pub fn allow(wanted: u64) -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft >= wanted {
        return None;
    }
    let within = wanted.min(hard);
    let raised = setrlimit(Resource::RLIMIT_NOFILE, within, hard);
    match raised {
        Ok(()) if within == wanted => None,
        Ok(()) => Some(within),
        Err(_) => Some(soft),
    }
}
