//! Host names become addresses: at once where they are addresses already, else within the time a request has.

use std::io;
use std::net::Ipv6Addr;
use std::sync::mpsc;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::unversioned::transport::time::Duration;
use ureq::{Error, Timeout};

/// The system's names.
#[derive(Debug, Default)]
pub struct Names;

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        // Without a deadline the library asks in the thread it is called in. With one it starts a thread itself, and
        // panics where there is no room for one.
        let patient = NextTimeout { after: Duration::NotHappening, ..timeout };
        let within = match timeout.after {
            Duration::Exact(within) if !is_address(uri.host().unwrap_or_default()) => within,
            _ => return DefaultResolver::default().resolve(uri, config, patient),
        };
        let (found, waiting) = mpsc::sync_channel(1);
        let (uri, config) = (uri.clone(), config.clone());
        let ask = move || drop(found.send(DefaultResolver::default().resolve(&uri, &config, patient)));
        std::thread::Builder::new().name("names".into()).spawn(ask).map_err(|error| {
            let why = format!("there is no room for a thread to look its name up: {error}");
            Error::Io(io::Error::new(io::ErrorKind::HostUnreachable, why))
        })?;
        waiting.recv_timeout(within).unwrap_or(Err(Error::Timeout(Timeout::Resolve))).map_err(|error| match error {
            Error::Io(error) => {
                let why = format!("its name could not be looked up (DNS): {error}");
                Error::Io(io::Error::new(io::ErrorKind::NotFound, why))
            }
            error => error,
        })
    }
}

fn is_address(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.map_or(host.parse::<std::net::IpAddr>().is_ok(), |host| host.parse::<Ipv6Addr>().is_ok())
}
