//! All that a start with nothing to do touches, and nothing else.

pub mod state_pointer;
