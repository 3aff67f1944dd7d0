//! Web addresses as people write them into settings and commands.
//!
//! Not a general parser of URLs: it accepts the plain addresses that people configure and nothing odd.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::public_ip;

/// The parts of an `http` or `https` address that rules ask about.
pub struct Address<'a> {
    /// Whether it is `https`.
    pub secure: bool,
    /// Without the brackets of an IPv6 address.
    pub host: &'a str,
    /// The port it names.
    pub port: Option<u16>,
    /// From the first slash after the host on, query and fragment included.
    pub rest: &'a str,
}

impl<'a> Address<'a> {
    /// None when it is not a plain address, and also when it carries a user name or password.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, after) = text.split_once("://")?;
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => {
                let (host, port) = inner.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                (host, port)
            }
            None => {
                let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
                is_host_name(host).then_some((host, port))?
            }
        };
        let port = match port {
            "" => None,
            port => {
                let digits = port.strip_prefix(':')?;
                let number: u16 = digits.parse().ok()?;
                Some((number > 0 && !digits.starts_with('+')).then_some(number)?)
            }
        };
        let printable = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
        printable.then_some(Self { secure, host, port, rest })
    }

    /// Whether it is on this machine and can be nowhere else.
    pub fn is_local(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            || self.host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether its host is one of the names set aside for examples, which nobody meant to call.
    pub fn is_placeholder(&self) -> bool {
        let host = self.host.to_ascii_lowercase();
        let host = host.trim_end_matches('.');
        ["example.com", "example.org", "example.net", "example", "invalid"]
            .iter()
            .any(|name| host.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.')))
    }
}

/// Whether an address is on this machine and can be nowhere else.
#[must_use]
pub fn is_local(text: &str) -> bool {
    Address::parse(text).is_some_and(|address| address.is_local())
}

/// The live marketplace's base URL.
pub const LIVE: &str = "https://api.useatelier.ai/api";

/// The base URL that the marketplace's document names, which answers with a permanent redirect to the live one.
pub const MOVED: &str = "https://atelierai.xyz/api";

/// Whether two base URLs are of one marketplace, however they are written.
#[must_use]
pub fn is_same_server(one: &str, other: &str) -> bool {
    let (one, other) = (plain(one), plain(other));
    one == other || [&one, &other].iter().all(|url| [LIVE, MOVED].contains(&url.as_str()))
}

/// Returns the host and the port of a base URL as part of a file's name.
#[must_use]
pub fn file_name(base_url: &str) -> String {
    let plain = plain(base_url);
    let host = plain.split_once("://").map_or(plain.as_str(), |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

/// Returns a base URL with its host in lower case, without a port that goes without saying and without a slash at its end.
fn plain(base_url: &str) -> String {
    let Some(Address { secure, host, port, rest }) = Address::parse(base_url) else { return base_url.to_owned() };
    let (scheme, usual) = if secure { ("https", 443) } else { ("http", 80) };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let host = match host.as_str() {
        "localhost" => "127.0.0.1".to_owned(),
        _ if host.contains(':') => format!("[{host}]"),
        _ => host,
    };
    let port = port.filter(|port| *port != usual).map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{host}{port}{}", rest.trim_end_matches('/'))
}

/// Returns whether this is an `https` address that the marketplace and a client can reach: of neither this machine nor a
/// private network, and without a user name.
#[must_use]
pub fn is_public(text: &str) -> bool {
    let is_inside = |host: &str| {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        host.parse::<IpAddr>().map_or_else(
            |_| {
                let ends = [".local", ".localhost", ".internal", ".lan", ".home.arpa"];
                !host.contains('.') || ends.iter().any(|end| host.ends_with(end))
            },
            |ip| !public_ip::is_public(ip),
        )
    };
    text.len() <= MAX_LENGTH && Address::parse(text).is_some_and(|address| address.secure && !is_inside(address.host))
}

/// The longest address that is passed on.
const MAX_LENGTH: usize = 2048;

fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_is_of_no_private_network() {
        for text in
            ["https://a.example/b.png?X-Sig=1%2F", "https://8.8.8.8/a", "https://[2606:4700::1]/a", "https://a.b:8443/"]
        {
            assert!(is_public(text), "{text}");
        }
        let long = format!("https://a.example/{}", "a".repeat(2048));
        for text in [
            "http://a.example/b.png",
            "https://localhost/a",
            "https://bucket/a",
            "https://nas.local/a",
            "https://10.0.0.1/a",
            "https://127.0.0.1/a",
            "https://169.254.169.254/a",
            "https://[::1]/a",
            "https://[fd00::1]/a",
            "https://me:secret@a.example/a",
            "https://a.example/a b",
            "ftp://a.example/a",
            "",
            &long,
        ] {
            assert!(!is_public(text), "{text}");
        }
    }

    #[test]
    fn one_marketplace_has_several_spellings_and_another_port_is_another_one() {
        for (one, other) in [
            ("https://api.useatelier.ai/api", "https://API.useatelier.ai:443/api/"),
            ("https://atelierai.xyz/api", "https://api.useatelier.ai/api"),
            ("http://localhost:8420/api", "http://127.0.0.1:8420/api"),
            ("http://[::1]:80/api", "http://[::1]/api"),
        ] {
            assert!(is_same_server(one, other) && is_same_server(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("http://127.0.0.1:8420/api", "http://127.0.0.1:8421/api"),
            ("https://api.useatelier.ai/api", "http://api.useatelier.ai/api"),
            ("https://api.useatelier.ai/api", "https://api.useatelier.ai/v2"),
            ("https://atelierai.xyz/api", "https://atelierai.example/api"),
        ] {
            assert!(!is_same_server(one, other) && !is_same_server(other, one), "{one} {other}");
        }
        assert_eq!(file_name("http://localhost:8420/api"), "127.0.0.1-8420");
        assert_eq!(file_name("https://a.example/../x"), "a.example");
        assert_eq!(file_name("http://[::1]:9/api"), "---1--9");
    }

    #[test]
    fn plain_addresses_are_taken_apart() {
        for (text, secure, local, rest) in [
            ("https://api.useatelier.ai/api", true, false, "/api"),
            ("http://127.0.0.1:8080/api", false, true, "/api"),
            ("http://127.9.9.9", false, true, ""),
            ("http://[::1]:9/api", false, true, "/api"),
            ("http://LOCALHOST", false, true, ""),
            ("https://a.example?x=1", true, false, "?x=1"),
            ("https://localhost.evil.example/", true, false, "/"),
            ("http://127.0.0.1.evil.example/", false, false, "/"),
            ("https://127.1/", true, false, "/"),
        ] {
            let address = Address::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((address.secure, address.is_local(), address.rest), (secure, local, rest), "{text}");
        }
    }

    #[test]
    fn odd_ones_are_not() {
        for text in [
            "",
            "api.useatelier.ai",
            "ftp://a.example",
            "HTTPS://a.example",
            "https://",
            "https:///api",
            "https://user@a.example",
            "https://user:secret@a.example/",
            "https://a..b/",
            "https://a b/",
            "https://a/ b",
            "https://a/\r\nX: y",
            "https://a:0/",
            "https://a:65536/",
            "https://a:+1/",
            "https://a:/",
            "https://[::1/",
            "https://[::1]x/",
            "https://bücher.example/",
            "https://a\\b/",
        ] {
            assert!(Address::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn example_hosts_are_placeholders() {
        let is_placeholder = |text| Address::parse(text).unwrap().is_placeholder();
        assert!(is_placeholder("https://my-agent.example.com"));
        assert!(is_placeholder("https://EXAMPLE.org./x"));
        assert!(is_placeholder("https://hc.example/uuid"));
        assert!(!is_placeholder("https://notexample.com"));
        assert!(!is_placeholder("https://my-agent.dev"));
    }
}
