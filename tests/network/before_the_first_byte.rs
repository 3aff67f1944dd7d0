//! Whatever fails before the first byte of a request leaves nothing behind: no server sees a request, the user is told
//! that nothing was sent, and nothing is in doubt.

use std::fs;
use std::time::Duration;

use super::servers::{Home, KEY, Server, cert, empty_market, proxy, side_by_side};

/// A failure: its name, and how a home is brought into it. What is returned lives as long as the test.
fn failures() -> Vec<(&'static str, String, Option<String>, Option<Server>)> {
    let at = |server: &Server| format!("https://127.0.0.1:{}/api", server.port());
    let tls = |name: &'static str, certificate: &'static str| {
        let server = Server::http(Some(certificate), empty_market);
        (name, at(&server), None, Some(server))
    };
    let proxied = |name: &'static str, status: &'static str| {
        let server = proxy(None, status);
        (name, "https://market.test/api".to_owned(), Some(format!("http://{}", server.address)), Some(server))
    };
    let raw = |name: &'static str, server: Server| (name, at(&server), None, Some(server));
    let unbound = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    vec![
        ("no such name", "https://market.invalid/api".to_owned(), None, None),
        ("refused", format!("https://127.0.0.1:{unbound}/api"), None, None),
        tls("unknown authority", "stranger.pem"),
        tls("expired", "expired.pem"),
        tls("not yet valid", "future.pem"),
        tls("another name", "other-name.pem"),
        raw(
            "plain HTTP on the port",
            Server::raw(|mut stream, _| {
                let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
                std::thread::sleep(Duration::from_millis(200));
            }),
        ),
        raw("handshake closed", Server::raw(|mut stream, _| drop(std::io::Read::read(&mut stream, &mut [0; 4096])))),
        raw("handshake silent", Server::raw(|_stream, _| std::thread::sleep(Duration::from_secs(4)))),
        raw(
            "TLS refused",
            Server::raw(|mut stream, _| {
                let _ = std::io::Write::write_all(&mut stream, b"\x15\x03\x01\x00\x02\x02\x46");
                std::thread::sleep(Duration::from_millis(200));
            }),
        ),
        proxied("proxy 407", "407 Proxy Authentication Required"),
        proxied("proxy 502", "502 Bad Gateway"),
        ("proxy refused", "https://market.test/api".into(), Some(format!("http://127.0.0.1:{unbound}")), None),
        ("no such proxy", "https://market.test/api".into(), Some("http://proxy.invalid:1".into()), None),
        ("proxy of another kind", "https://market.test/api".into(), Some("socks5://127.0.0.1:1".into()), None),
    ]
}

const COMMANDS: [&[&str]; 7] = [
    &["setup", "--without-payout"],
    &["quote", "ord_1", "15.00"],
    &["messages", "ord_1", "--send", "Hello"],
    &["profile", "set", "description=Posters from a brief, made by night"],
    &["deliver", "ord_1", "https://cdn.example.org/a.png"],
    &["upload", "picture.png"],
    &["beat"],
];

/// A picture that is no flat colour.
fn picture() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 16, 16);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&(0..=255).collect::<Vec<u8>>()).unwrap();
    bytes
}

#[test]
fn nothing_was_sent_is_what_every_command_says() {
    let mut table = Vec::new();
    for (name, base_url, through, server) in failures() {
        let rows = side_by_side(COMMANDS.to_vec(), |words| {
            let mut home = Home::new(&base_url);
            home.settings(&format!(
                "base_url = \"{base_url}\"\ntimeout = \"1s\"\nca_file = \"{}\"",
                cert("ca.pem").display()
            ));
            fs::write(home.path("picture.png"), picture()).unwrap();
            if words[0] != "setup" {
                home = home.registered();
            }
            if let Some(through) = &through {
                home = home.with("HTTPS_PROXY", through);
            }
            let ran = home.run(words);
            let case = format!("{name} x {}: {ran:?}", words[0]);
            let said = format!("{}{}", ran.out, ran.err);
            assert!(!said.contains("is not known") && !said.contains("may exist") && !said.contains(KEY), "{case}");
            if words == ["beat"] {
                // Quiet for an hour, but for what the settings get wrong.
                assert_eq!(ran.code, if name == "proxy of another kind" { 78 } else { 0 }, "{case}");
            } else {
                assert_eq!(ran.code, if name == "proxy of another kind" { 78 } else { 69 }, "{case}");
                assert!(said.contains("nothing was sent"), "{case}");
            }
            // Nothing in doubt is left: no registration, no counted request.
            for (path, text) in home.files() {
                let file = path.file_name().unwrap().to_string_lossy().into_owned();
                assert!(!file.contains("regist"), "{case}: {file}");
                assert!(!text.contains(KEY), "{case}: {file}");
            }
            let status = home.run(&["status", "--json"]);
            let status: serde_json::Value = serde_json::from_str(&status.out).unwrap_or_default();
            (words[0].to_owned(), status["budget"].clone())
        });
        if let Some(server) = &server {
            let requests = server.seen().iter().filter(|head| !head.starts_with("CONNECT")).count();
            assert_eq!(requests, 0, "{name}: {:?}", server.seen());
        }
        table.push(format!("{name:<24} {}", rows.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ")));
        if let Some((_, budget)) = rows.last() {
            println!("budget after a beat: {budget}");
        }
    }
    table.iter().for_each(|line| println!("{line}: 0 requests, nothing was sent"));
    assert!(table.len() * COMMANDS.len() >= 100);
}
