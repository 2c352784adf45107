//! Where no portal is needed: nothing is kept of one.

/// Nothing that could be granted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScreenShare;
