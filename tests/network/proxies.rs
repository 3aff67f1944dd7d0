//! Proxies of the environment and of the settings, beside what the real curl does with the same environment.

use std::process::{Command, Stdio};

use super::servers::{Home, KEY, Server, cert, empty_market, proxy, side_by_side};

/// A host, and the environment in which it is asked for. `P` stands for the proxy's address.
const ENVIRONMENTS: [(&str, &[(&str, &str)]); 32] = [
    ("market.invalid", &[("HTTPS_PROXY", "http://P")]),
    ("market.invalid", &[("https_proxy", "http://P")]),
    ("market.invalid", &[("HTTPS_PROXY", "P")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://P/")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://user:p%40ss@P")]),
    ("market.invalid", &[("ALL_PROXY", "http://P")]),
    ("market.invalid", &[("all_proxy", "http://P")]),
    ("market.invalid", &[("HTTP_PROXY", "http://P")]),
    ("market.invalid", &[("http_proxy", "http://P")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://P"), ("ALL_PROXY", "http://127.0.0.1:1")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://127.0.0.1:1"), ("ALL_PROXY", "http://P")]),
    ("market.invalid", &[("https_proxy", "http://P"), ("HTTPS_PROXY", "http://127.0.0.1:1")]),
    ("market.invalid", &[("HTTPS_PROXY", ""), ("ALL_PROXY", "http://P")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "market.invalid")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "MARKET.invalid.")]),
    ("api.market.invalid", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "market.invalid")]),
    ("api.market.invalid", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", ".market.invalid")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", ".market.invalid")]),
    ("notmarket.invalid", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "market.invalid")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "a.invalid, market.invalid ,b.invalid")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "a.invalid market.invalid")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "*")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "*.invalid")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://P"), ("no_proxy", "market.invalid"), ("NO_PROXY", "other")]),
    ("market.invalid", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "")]),
    ("192.0.2.7", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "192.0.2.0/24")]),
    ("192.0.2.7", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "192.0.2.7")]),
    ("192.0.2.7", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "192.0.2.8/30")]),
    ("192.0.2.7", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "0.2.7")]),
    ("[2001:db8::7]", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "2001:db8::/32")]),
    ("[2001:db8::7]", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "2001:db8::7")]),
    ("[2001:db8::7]", &[("HTTPS_PROXY", "http://P"), ("NO_PROXY", "2001:db9::/32")]),
];

/// A command that is run with these variables.
type Run<'a> = &'a dyn Fn(&[(String, String)]);

#[test]
fn every_environment_is_read_as_curl_reads_it() {
    let lines = side_by_side(ENVIRONMENTS.to_vec(), |(host, vars)| {
        let asked = |run: Run<'_>| {
            let proxy = proxy(None, "502 Bad Gateway");
            let address = proxy.address.to_string();
            let vars: Vec<_> =
                vars.iter().map(|(name, value)| ((*name).to_owned(), value.replace('P', &address))).collect();
            run(&vars);
            let line = |head: &String| head.lines().next().unwrap_or_default().to_owned();
            let credentials = proxy.seen().iter().any(|head| head.to_ascii_lowercase().contains("proxy-authorization"));
            (proxy.seen().first().map(line), credentials)
        };
        let curl = asked(&|vars| {
            let mut curl = Command::new("curl");
            curl.args(["-s", "-m", "6", "--connect-timeout", "3", &format!("https://{host}/")]).env_clear();
            curl.env("PATH", std::env::var_os("PATH").unwrap());
            let _ = curl.envs(vars.iter().cloned()).stdout(Stdio::null()).status().unwrap();
        });
        let ours = asked(&|vars| {
            let mut home = Home::new(&format!("https://{host}/api")).registered();
            for (name, value) in vars {
                home = home.with(name, value);
            }
            let ran = home.run(&["orders"]);
            assert!(ran.code == 69 && ran.err.contains("nothing was sent"), "{host} {vars:?}: {ran:?}");
        });
        // curl forgets that the host is an IPv6 address before it looks for its network.
        if host.starts_with('[') && vars.iter().any(|(_, value)| value.ends_with("db8::/32")) {
            assert_eq!(ours.0, None, "{host} {vars:?}");
        } else {
            assert_eq!(ours, curl, "{host} {vars:?}");
        }
        format!("{host:<20} {}  {vars:?}", if ours.0.is_some() { "proxy " } else { "direct" })
    });
    lines.iter().for_each(|line| println!("{line}"));
    assert!(lines.len() >= 20);
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_and_never_a_direct_connection() {
    for (name, value) in [
        ("ALL_PROXY", "socks5://127.0.0.1:9050"),
        ("HTTPS_PROXY", "socks5h://tor:9050"),
        ("https_proxy", "ftp://127.0.0.1:1"),
        ("HTTPS_PROXY", "http://bad host:1"),
        ("HTTPS_PROXY", "http://user:secret@127.0.0.1:99999"),
    ] {
        let home = Home::new("https://market.invalid/api").registered().with(name, value);
        for words in [&["orders"][..], &["beat"], &["check"]] {
            let ran = home.run(words);
            let said = format!("{}{}", ran.out, ran.err);
            assert!(ran.code == 78 && said.contains(name) && !said.contains("secret"), "{value} {words:?}: {ran:?}");
            assert!(!said.contains("DNS"), "{value}: it was asked for directly: {ran:?}");
        }
    }
}

#[test]
fn a_market_behind_a_proxy_works_and_what_fails_names_the_proxy() {
    let market = Server::http(Some("good.pem"), empty_market);
    let through = proxy(Some(market.address), "200 OK");
    let home = |address: String| Home::new("https://market.test/api").registered().with("HTTPS_PROXY", &address);
    let fine = home(format!("http://user:secret@{}", through.address));
    assert_eq!(fine.run(&["orders"]).code, 0, "{:?}", fine.run(&["orders"]));
    let seen = through.seen().concat();
    assert!(seen.starts_with("CONNECT market.test:443 ") && seen.contains("Basic dXNlcjpzZWNyZXQ="), "{seen}");
    assert!(!seen.contains(KEY), "the proxy is not shown the key");
    let check = fine.run(&["check"]);
    assert!(check.out.contains("through the proxy http://127.0.0.1:") && !check.out.contains("secret"), "{check:?}");
    for (status, sentence) in [("407 Who", "wants a user name"), ("502 Bad", "HTTP 502"), ("403 No", "HTTP 403")] {
        let refusing = proxy(None, status);
        let ran = home(format!("http://{}", refusing.address)).run(&["orders"]);
        let named = format!("through the proxy http://{} (HTTPS_PROXY)", refusing.address);
        assert!(ran.code == 69 && ran.err.contains(sentence) && ran.err.contains(&named), "{status}: {ran:?}");
    }
    // A setting wins over the environment, and loopback over both.
    let ca = cert("ca.pem");
    let ask = |base_url: &str, proxy: &str| {
        let setting = Home::new("").registered().with("HTTPS_PROXY", "http://127.0.0.1:1");
        let ca = ca.display();
        setting
            .settings(&format!("base_url = \"{base_url}\"\ntimeout = \"2s\"\nca_file = \"{ca}\"\nproxy = \"{proxy}\""));
        setting.run(&["orders"])
    };
    assert_eq!(ask("https://market.test/api", &format!("http://{}", through.address)).code, 0);
    let loopback = ask(&format!("https://127.0.0.1:{}/api", market.port()), "http://127.0.0.1:1");
    assert_eq!(loopback.code, 0, "loopback is reached directly: {loopback:?}");
    assert!(ask("https://market.invalid/api", "none").err.contains("DNS"), "none goes directly");
}
