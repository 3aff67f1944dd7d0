//! The seller's worker for the Atelier marketplace: the house, room by room, from the ground up.
//!
//! * ground: [`time`], [`limits`], [`money`], [`fault`], [`order`], [`deliverable`], [`secret`], [`text`], [`terms`], [`suggest`], [`web`], [`crash`]
//! * head, pure: [`budget`], [`state`], [`policy`], [`setup`]
//! * hands: [`store`], [`api`], [`generator`], [`artifact`], [`references`], [`signals`], [`names`], [`clocks`], [`credentials`],
//!   [`config`]
//! * the loop: [`beat`]; [`hands`], which ties the hands together for it; [`dispatch`], what they have on its way
//! * the door: [`cli`], [`commands`], [`speech`], [`journal`], [`progress`]
//! * the annex: [`sandbox`], [`poster`], [`report`]
//!
//! Imports point down only; a test reads them.

pub mod api;
pub mod artifact;
pub mod beat;
pub mod budget;
pub mod cli;
pub mod clocks;
pub mod commands;
pub mod config;
pub mod crash;
pub mod credentials;
pub mod deliverable;
pub mod dispatch;
pub mod fault;
pub mod generator;
pub mod hands;
pub mod journal;
pub mod limits;
pub mod money;
pub mod names;
pub mod order;
pub mod policy;
pub mod poster;
pub mod progress;
pub mod references;
pub mod report;
pub mod sandbox;
pub mod secret;
pub mod setup;
pub mod signals;
pub mod speech;
pub mod state;
pub mod store;
pub mod suggest;
pub mod terms;
pub mod text;
pub mod time;
pub mod web;
