//! The connection that the settings describe.

use super::{Api, Config};
use crate::io::marketplace::{Connection, Route};

/// Returns how the marketplace is reached under these settings.
#[must_use]
pub fn connection(config: &Config) -> Connection {
    Connection {
        base_url: config.api.base_url.clone(),
        timeout: config.api.timeout,
        deliver_timeout: config.api.deliver_timeout,
        upload_timeout: config.api.upload_timeout,
        blob_url: blob_url(config),
        route: Route { proxy: config.api.proxy.clone(), ca_file: config.api.ca_file.clone() },
    }
}

/// A marketplace on this machine has its blob store beside it, unless the settings name another.
fn blob_url(config: &Config) -> String {
    let api = &config.api;
    let origin = api.base_url.match_indices('/').nth(2).map_or(api.base_url.as_str(), |(at, _)| &api.base_url[..at]);
    if api.is_local() && api.blob_url == Api::default().blob_url {
        format!("{origin}/blob")
    } else {
        api.blob_url.clone()
    }
}
