//! What the worker decides, and what it decides about. Pure: no files, network, processes, environment, clock or log.

pub mod api_error;
pub mod clock;
pub mod deliverable;
pub mod exit_code;
pub mod field_rules;
pub mod generation_outcome;
pub mod lifecycle;
pub mod limits;
pub mod moderation;
pub mod money;
pub mod notice;
pub mod order;
pub mod power_cut;
pub mod proxy;
pub mod rate_budget;
pub mod reconcile;
pub mod rules;
pub mod sanitize;
pub mod scheduler;
pub mod secret;
pub mod state;
pub mod suggest;
pub mod time;
pub mod url;
pub mod wake_hint;
pub mod worker_state;
