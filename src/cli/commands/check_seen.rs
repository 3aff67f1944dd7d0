//! What `check` leaves in the worker's record for `status` and `report`: what the marketplace holds back, what clients say.

use crate::config::Config;
use crate::domain::moderation;
use crate::domain::notice::Subject;
use crate::domain::rating::Rating;
use crate::domain::worker_state::Event;
use crate::io::clock;
use crate::io::marketplace::Client;
use crate::io::store::{Store, StoreError};

/// Keeps what was seen. While a run is at work nothing is kept: the next look does it.
pub(super) fn keep(config: &Config, client: &mut Client, held_back: &[String]) {
    match try_to_keep(config, client, held_back) {
        Ok(()) | Err(StoreError::Busy) => {}
        Err(error) => log::warn!("what was seen is not kept: {error}"),
    }
}

fn try_to_keep(config: &Config, client: &mut Client, held_back: &[String]) -> Result<(), StoreError> {
    let known = Store::open_read_only(&config.state_dir).worker()?.unwrap_or_default();
    let now = clock::now();
    // What cannot be read now stays as it was.
    let rating = client.public_page().map_or_else(|_| known.rating.clone(), |page| Rating::of(&page, now));
    let is_standing = known.notices.get(&Subject::Moderation).is_some();
    if held_back.is_empty() && !is_standing && rating == known.rating {
        return Ok(());
    }
    let store = Store::lock(&config.state_dir, config.budget.file.clone())?;
    // Not on the present clock: this is no run.
    let Some(mut worker) = store.worker()? else { return Ok(()) };
    worker.apply(now, moderation::event(held_back));
    worker.apply(now, Event::RatingSeen(rating));
    store.save_worker(&worker)
}
