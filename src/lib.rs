//! The seller's worker for the Atelier marketplace.

pub mod deliverable;
pub mod fault;
pub mod limits;
pub mod order;
pub mod secret;
pub mod time;
