//! Which proxy a request goes through: the setting, else the environment as curl reads it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::url::Address;

/// A proxy that is spoken to with CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its address, user name and password included.
    pub url: String,
    /// Its address as it may be shown.
    pub shown: String,
    /// The setting or variable that names it.
    pub source: String,
}

impl Proxy {
    /// Reads an address as curl does: `http` where it names no scheme, port 1080 (443 for `https`) where it names none.
    ///
    /// # Errors
    ///
    /// A sentence without the address, which may hold a password, when it cannot be used.
    pub fn parse(text: &str, source: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = scheme.to_ascii_lowercase();
        let port = match scheme.as_str() {
            "http" => 1080,
            "https" => 443,
            "socks" | "socks4" | "socks4a" | "socks5" | "socks5h" => {
                return Err(format!(
                    "{source} names a {scheme} proxy, and only http:// and https:// proxies can be used"
                ));
            }
            _ => return Err(unusable(source)),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (format!("{user}@"), host),
            None => (String::new(), authority),
        };
        let address = format!("{scheme}://{host}");
        let has_port = Address::parse(&address).ok_or_else(|| unusable(source))?.port.is_some();
        let host = if has_port { host.to_owned() } else { format!("{host}:{port}") };
        if !user.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
            return Err(unusable(source));
        }
        Ok(Self {
            url: format!("{scheme}://{user}{host}"),
            shown: format!("{scheme}://{host}"),
            source: source.to_owned(),
        })
    }
}

fn unusable(source: &str) -> String {
    format!("{source} is not the address of a proxy, like http://proxy.local:3128")
}

/// Returns the proxy for `url`, or none to reach it directly. Loopback is always reached directly; the setting `none` goes
/// directly whatever the environment names.
///
/// # Errors
///
/// A sentence when the proxy that is named cannot be used.
pub fn choose(url: &str, setting: Option<&str>, env: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, String> {
    let Some(address) = Address::parse(url).filter(|address| !address.is_local()) else { return Ok(None) };
    match setting {
        Some("none") => return Ok(None),
        Some(text) => return Proxy::parse(text, "[api] proxy").map(Some),
        None => {}
    }
    let env = |name: &&str| env(name).filter(|text| !text.is_empty());
    // HTTP_PROXY in capitals can be set from outside in a CGI program, so curl ignores it.
    let names: &[&str] = if address.secure {
        &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    } else {
        &["http_proxy", "all_proxy", "ALL_PROXY"]
    };
    let Some((name, text)) = names.iter().find_map(|name| Some((name, env(name)?))) else { return Ok(None) };
    let exempt = ["no_proxy", "NO_PROXY"].iter().find_map(env).unwrap_or_default();
    if is_exempt(address.host, &exempt) { Ok(None) } else { Proxy::parse(&text, name).map(Some) }
}

/// Whether `NO_PROXY` exempts a host: `*` alone, names with all below them, addresses and networks.
fn is_exempt(host: &str, list: &str) -> bool {
    if list == "*" {
        return true;
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let ip = host.parse::<IpAddr>().ok();
    list.split([',', ' ', '\t']).filter(|token| !token.is_empty()).any(|token| match ip {
        Some(ip) => in_network(ip, token),
        None => {
            let token = token.trim_end_matches('.').to_ascii_lowercase();
            let token = token.strip_prefix('.').unwrap_or(&token);
            let before = host.strip_suffix(token);
            !token.is_empty() && before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        }
    })
}

fn in_network(ip: IpAddr, token: &str) -> bool {
    let (network, bits) = match token.split_once('/') {
        Some((network, bits)) => (network, bits.parse::<u32>().ok()),
        None => (token, Some(0)),
    };
    let Some(bits) = bits else { return false };
    let (ip, network, width) = match (ip, network.parse::<Ipv4Addr>(), network.parse::<Ipv6Addr>()) {
        (IpAddr::V4(ip), Ok(network), _) => (u128::from(ip.to_bits()), u128::from(network.to_bits()), 32),
        (IpAddr::V6(ip), _, Ok(network)) => (ip.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    match bits {
        0 => ip == network,
        _ if bits > width => false,
        _ => (ip ^ network) >> (width - bits) == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str, setting: Option<&str>, vars: &[(&str, &str)]) -> Result<Option<String>, String> {
        let env = |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        choose(url, setting, env).map(|proxy| proxy.map(|proxy| proxy.shown))
    }

    #[test]
    fn the_setting_wins_and_loopback_is_always_direct() {
        let url = "https://api.useatelier.ai/api";
        let vars = [("HTTPS_PROXY", "http://env:1")];
        assert_eq!(shown(url, Some("http://user:pass@own:2"), &vars).unwrap().as_deref(), Some("http://own:2"));
        assert_eq!(shown(url, Some("none"), &vars), Ok(None));
        assert_eq!(shown(url, None, &vars).unwrap().as_deref(), Some("http://env:1"));
        for local in ["http://127.0.0.1:9/api", "http://localhost/api", "http://[::1]:8/api"] {
            assert_eq!(shown(local, Some("http://own:2"), &[("ALL_PROXY", "garbage in here")]), Ok(None), "{local}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_an_error_without_the_password() {
        for text in ["socks5://h:1", "ftp://h", "http://", "http://a b", "http://u:secret@h:99999", "::::", "h:x"] {
            let error = shown("https://market.example", None, &[("ALL_PROXY", text)]).unwrap_err();
            assert!(error.starts_with("ALL_PROXY") && !error.contains("secret"), "{text}: {error}");
        }
        assert_eq!(Proxy::parse("proxy", "x").unwrap().url, "http://proxy:1080");
        assert_eq!(Proxy::parse("https://u:p@proxy/", "x").unwrap().url, "https://u:p@proxy:443");
        assert_eq!(Proxy::parse("HTTP://[::1]:8", "x").unwrap().shown, "http://[::1]:8");
    }
}
