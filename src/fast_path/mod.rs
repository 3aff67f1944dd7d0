//! What a start with nothing to do touches, and nothing else.

pub mod argv;
pub mod state_pointer;
