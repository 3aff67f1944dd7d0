//! Downloads of a client's links for the generator: untrusted addresses, which must be public.
//!
//! The key is never sent. The address that is connected to is checked, after name resolution and after every redirect. A link
//! that fails is reported and stops nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, config::Config};

use crate::domain::public_ip::{is_public, plain_ip};
use crate::domain::sanitize::one_line;
use crate::io::dns::Names;

/// More links than this are not followed.
const MOST_LINKS: usize = 10;

/// The largest file taken, in bytes.
const MOST_BYTES: u64 = 25 * 1024 * 1024;

/// One download may take this long, redirects included.
const EACH_WITHIN: Duration = Duration::from_secs(30);

/// All of them together.
const ALL_WITHIN: Duration = Duration::from_secs(90);

/// Redirects followed, each checked again.
const MOST_REDIRECTS: usize = 3;

/// What was downloaded is remembered here, so that another attempt does not ask again.
const MANIFEST: &str = ".fetched.json";

/// What became of one link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The link, as the client gave it.
    pub url: String,
    /// The file's name in the folder, when it was downloaded.
    pub file: Option<String>,
    /// Why not, when it could not.
    pub error: Option<String>,
}

/// Returns what an earlier call of [`fetch`] came to; nothing when there was none.
#[must_use]
pub fn fetched(folder: &Path) -> Vec<Reference> {
    let known = fs::read(folder.join(MANIFEST)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    known.unwrap_or_default()
}

/// Downloads `urls` into `folder`, or returns what an earlier call downloaded. `local` allows addresses of this machine:
/// for a marketplace that runs on it.
pub fn fetch(urls: &[String], folder: &Path, local: bool, stopping: &dyn Fn() -> bool) -> Vec<Reference> {
    let manifest = folder.join(MANIFEST);
    let known = fetched(folder);
    if known.iter().map(|one| &one.url).eq(urls.iter()) {
        return known;
    }
    let agent = agent(local);
    let until = Instant::now() + ALL_WITHIN;
    let mut fetched = Vec::new();
    for (number, url) in urls.iter().enumerate() {
        let outcome = if stopping() {
            return fetched;
        } else if number >= MOST_LINKS {
            Err(format!("only {MOST_LINKS} links are followed"))
        } else if Instant::now() >= until {
            Err("the time for all links is over".to_owned())
        } else {
            one(&agent, url, folder, number + 1)
        };
        if let Err(why) = &outcome {
            log::info!("a reference could not be downloaded: {}", one_line(why, 200));
        }
        fetched.push(match outcome {
            Ok(file) => Reference { url: url.clone(), file: Some(file), error: None },
            Err(why) => Reference { url: url.clone(), file: None, error: Some(one_line(&why, 200)) },
        });
    }
    // Without it the next attempt asks again: no harm.
    let _ = serde_json::to_vec(&fetched).map(|bytes| fs::write(manifest, bytes));
    fetched
}

fn agent(local: bool) -> Agent {
    let config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(10)))
        // A stranger's server may close a connection just as it is used again: each link has its own.
        .max_idle_connections(0)
        // A proxy would connect where it likes.
        .proxy(None)
        .user_agent(concat!("atelier-heartbeat/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::with_parts(config, DefaultConnector::default(), Outward { local, names: Names })
}

/// Looks names up and lets only addresses through that lead outward. What it gives is what is connected to.
#[derive(Debug)]
struct Outward {
    local: bool,
    names: Names,
}

impl Resolver for Outward {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let all = self.names.resolve(uri, config, timeout)?;
        let mut outward = self.empty();
        for address in all.iter().filter(|address| leads_outward(address, self.local)) {
            outward.push(*address);
        }
        if outward.is_empty() {
            return Err(ureq::Error::Io(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it leads to an address that is not public",
            )));
        }
        Ok(outward)
    }
}

fn leads_outward(address: &SocketAddr, local: bool) -> bool {
    let ip = plain_ip(address.ip());
    is_public(ip) && !is_own(ip) || local && ip.is_loopback()
}

/// Whether an address is one of this machine's own: packets to it would come from it.
fn is_own(ip: IpAddr) -> bool {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        // Sends nothing: it only asks for the route.
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

fn one(agent: &Agent, url: &str, folder: &Path, number: usize) -> Result<String, String> {
    let mut next = url.trim().to_owned();
    let until = Instant::now() + EACH_WITHIN;
    for _ in 0..=MOST_REDIRECTS {
        let uri: Uri = next.parse().map_err(|_| "it is not a web address".to_owned())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("only http and https links are followed".to_owned());
        }
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err("it carries a user name".to_owned());
        }
        if uri.authority().is_some_and(|authority| has_odd_port(authority.as_str())) {
            return Err("its port is not a number from 1 to 65535".to_owned());
        }
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let request = ureq::http::Request::get(uri.clone()).body(()).map_err(|error| error.to_string())?;
        let request = agent.configure_request(request).timeout_global(Some(left)).build();
        let mut response = agent.run(request).map_err(|error| error.to_string())?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        match response.status().as_u16() {
            200 => {
                let kind = header("content-type").unwrap_or_default();
                return keep(response.body_mut().as_reader(), &kind, folder, number);
            }
            301 | 302 | 303 | 307 | 308 => {
                let to = header("location").ok_or("it redirects to nowhere")?;
                next = joined(&uri, &to);
            }
            status => return Err(format!("HTTP {status}")),
        }
    }
    Err(format!("more than {MOST_REDIRECTS} redirects"))
}

/// Whether an authority names a port that is none. The library would use the scheme's own in its place.
fn has_odd_port(authority: &str) -> bool {
    let after = authority.rsplit(']').next().unwrap_or(authority);
    let port = after.split_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.is_empty() || !port.parse().is_ok_and(|port: u16| port > 0))
}

/// Returns where a redirect leads, as seen from where it stood.
fn joined(from: &Uri, to: &str) -> String {
    let scheme = to.split([':', '/', '?', '#']).next().unwrap_or_default();
    let names_scheme = to[scheme.len()..].starts_with(':')
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if names_scheme {
        return to.to_owned();
    }
    let scheme = from.scheme_str().unwrap_or("https");
    if let Some(rest) = to.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    let authority = from.authority().map(ToString::to_string).unwrap_or_default();
    if to.starts_with('/') {
        return format!("{scheme}://{authority}{to}");
    }
    if to.starts_with('?') {
        return format!("{scheme}://{authority}{}{to}", from.path());
    }
    let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{scheme}://{authority}{folder}/{to}")
}

/// Keeps what comes under a name of ours, its ending by what it is.
fn keep(mut body: impl Read, content_type: &str, folder: &Path, number: usize) -> Result<String, String> {
    let disk = |error: io::Error| format!("it could not be written: {error}");
    let part = folder.join(format!(".{number:02}.part"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part).map_err(disk)?;
    let kept = (|| {
        let (mut buffer, mut head, mut length) = (vec![0; 64 * 1024], Vec::new(), 0u64);
        loop {
            let read = body.read(&mut buffer).map_err(|error| format!("it was cut off: {error}"))?;
            if read == 0 {
                break;
            }
            length += read as u64;
            if length > MOST_BYTES {
                return Err(format!("it is larger than {} MiB", MOST_BYTES / 1024 / 1024));
            }
            if head.len() < 8192 {
                head.extend_from_slice(&buffer[..read]);
            }
            file.write_all(&buffer[..read]).map_err(disk)?;
        }
        if length == 0 {
            return Err("it is empty".to_owned());
        }
        let name = format!("{number:02}.{}", ending(&head, content_type));
        fs::rename(&part, folder.join(&name)).map_err(disk)?;
        Ok(name)
    })();
    if kept.is_err() {
        let _ = fs::remove_file(&part);
    }
    kept
}

fn ending(head: &[u8], content_type: &str) -> &'static str {
    if let Some(kind) = infer::get(head) {
        return kind.extension();
    }
    match content_type.split(';').next().unwrap_or_default().trim() {
        "text/html" => "html",
        "application/json" => "json",
        "text/markdown" => "md",
        "image/svg+xml" => "svg",
        _ if std::str::from_utf8(head.get(..head.len().min(4096)).unwrap_or(head)).is_ok() => "txt",
        _ => "bin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_seen_from_where_they_stand() {
        let from: Uri = "http://a.example/x/y?z".parse().unwrap();
        for (to, expected) in [
            ("https://b.example/", "https://b.example/"),
            ("//b.example/c", "http://b.example/c"),
            ("/c", "http://a.example/c"),
            ("c", "http://a.example/x/c"),
            ("file:///etc/passwd", "file:///etc/passwd"),
            ("/ok?u=http://b.example/", "http://a.example/ok?u=http://b.example/"),
            ("ok?u=http://b.example/", "http://a.example/x/ok?u=http://b.example/"),
            ("?u=http://b.example/", "http://a.example/x/y?u=http://b.example/"),
            ("javascript:alert(1)", "javascript:alert(1)"),
        ] {
            assert_eq!(joined(&from, to), expected);
        }
    }

    #[test]
    fn this_machine_is_known_by_its_own_addresses() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()) && !is_own("8.8.8.8".parse().unwrap()));
        for (authority, odd) in [
            ("a:80", false),
            ("a", false),
            ("[::1]:99999", true),
            ("a:65536", true),
            ("a:", true),
            ("[::1]", false),
            ("a:0", true),
        ] {
            assert_eq!(has_odd_port(authority), odd, "{authority}");
        }
    }
}
