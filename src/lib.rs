//! The seller's worker for the Atelier marketplace.

pub mod api;
pub mod artifact;
pub mod beat;
pub mod budget;
pub mod config;
pub mod credentials;
pub mod deliverable;
pub mod fault;
pub mod generator;
pub mod limits;
pub mod order;
pub mod policy;
pub mod secret;
pub mod signals;
pub mod speech;
pub mod state;
pub mod store;
pub mod text;
pub mod time;
