//! Servers whose TLS cannot be trusted: each has its sentence and its exit code, and none of them sees the key.

use std::io::Write;
use std::time::Duration;

use super::servers::{Home, KEY, OpenSsl, Server, answer, cert, empty_market, side_by_side};

enum Bad {
    Certificate(&'static str),
    Bytes(&'static [u8]),
    /// Waits for the client's first words before it closes.
    Closes {
        after_hello: bool,
    },
    Silent,
    Drips,
    OpenSsl(&'static [&'static str]),
}

/// Name, server, what the sentence holds.
fn bad_servers() -> Vec<(&'static str, Bad, &'static str)> {
    use Bad::*;
    vec![
        ("an unknown authority", Certificate("stranger.pem"), "not trusted here"),
        ("signed by itself", Certificate("self-signed.pem"), "not trusted here"),
        ("expired", Certificate("expired.pem"), "expired at 2021-01-01"),
        ("not yet valid", Certificate("future.pem"), "set the clock"),
        ("another name", Certificate("other-name.pem"), "for another name (elsewhere.example"),
        ("for clients only", Certificate("client-only.pem"), "its certificate cannot be used"),
        ("signed by no authority", Certificate("by-a-leaf-chain.pem"), "its certificate"),
        ("plain HTTP", Bytes(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), "does not speak TLS"),
        ("another protocol", Bytes(b"SSH-2.0-OpenSSH_9.6\r\n"), "does not speak TLS"),
        ("a refusal", Bytes(b"\x15\x03\x01\x00\x02\x02\x28"), "ends the TLS handshake"),
        ("closed at once", Closes { after_hello: false }, "onnection"),
        ("closed in the handshake", Closes { after_hello: true }, "the connection was closed before it was ready"),
        ("silent", Silent, "no connection in time"),
        ("dripping", Drips, "no connection in time"),
        ("TLS 1.0", OpenSsl(&["-tls1", "-cipher", "ALL:@SECLEVEL=0"]), "no TLS newer than 1.1"),
        ("TLS 1.1", OpenSsl(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]), "no TLS newer than 1.1"),
        ("no cipher in common", OpenSsl(&["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"]), "TLS"),
    ]
}

enum Running {
    Ours(Server),
    OpenSsl { _server: OpenSsl },
}

fn start(bad: Bad) -> (u16, Running) {
    let server = match bad {
        Bad::OpenSsl(words) => {
            let server = OpenSsl::start(words);
            return (server.port, Running::OpenSsl { _server: server });
        }
        Bad::Certificate(name) => Server::http(Some(name), empty_market),
        Bad::Bytes(bytes) => Server::raw(move |mut stream, seen| {
            let mut hello = [0; 2048];
            let read = std::io::Read::read(&mut stream, &mut hello).unwrap_or(0);
            seen.lock().unwrap().push(String::from_utf8_lossy(&hello[..read]).into_owned());
            let _ = stream.write_all(bytes);
            std::thread::sleep(Duration::from_millis(300));
        }),
        Bad::Closes { after_hello } => Server::raw(move |mut stream, _| {
            if after_hello {
                let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            }
        }),
        Bad::Silent => Server::raw(|_stream, _| std::thread::sleep(Duration::from_secs(5))),
        Bad::Drips => Server::raw(|mut stream, _| {
            for byte in [0x16, 3, 3, 0x40, 0].into_iter().chain(std::iter::repeat_n(0, 100)) {
                let _ = stream.write_all(&[byte]);
                std::thread::sleep(Duration::from_millis(100));
            }
        }),
    };
    (server.port(), Running::Ours(server))
}

#[test]
fn every_bad_server_has_its_sentence_and_none_sees_the_key() {
    let told = side_by_side(bad_servers(), |(name, bad, sentence)| {
        let (port, server) = start(bad);
        let home = Home::new(&format!("https://127.0.0.1:{port}/api")).registered();
        let ran = home.run(&["orders"]);
        assert_eq!(ran.code, 69, "{name}: {ran:?}");
        assert!(ran.err.contains(sentence) && ran.err.contains("nothing was sent"), "{name}: {ran:?}");
        assert!(!ran.err.contains(KEY), "{name}");
        if let Running::Ours(server) = &server {
            let seen = server.seen();
            assert!(seen.iter().all(|seen| !seen.contains(KEY) && !seen.contains("authorization")), "{name}: {seen:?}");
        }
        format!("{name:<24} 69  {}", ran.err.trim())
    });
    told.iter().for_each(|line| println!("{line}"));
    assert!(told.len() >= 12);
}

#[test]
fn roots_come_from_the_setting_then_from_openssls_variables() {
    let server = Server::http(Some("good.pem"), empty_market);
    let url = format!("base_url = \"https://127.0.0.1:{}/api\"\ntimeout = \"2s\"", server.port());
    let ca = cert("ca.pem").display().to_string();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(cert("ca.pem"), folder.path().join("0a1b2c3d.0")).unwrap();
    std::fs::write(folder.path().join("README"), "no certificate").unwrap();
    let home = |api: String, vars: &[(&str, &str)]| {
        let mut home = Home::new("https://127.0.0.1:1").registered();
        for (name, value) in vars {
            home = home.with(name, value);
        }
        home.settings(&format!("{url}\n{api}"));
        home.run(&["orders"])
    };
    let dir = folder.path().display().to_string();
    for (code, api, vars) in [
        (69, String::new(), vec![]),
        (0, format!("ca_file = \"{ca}\""), vec![]),
        (0, String::new(), vec![("SSL_CERT_FILE", ca.as_str())]),
        (0, String::new(), vec![("SSL_CERT_DIR", dir.as_str())]),
        (0, format!("ca_file = \"{ca}\""), vec![("SSL_CERT_FILE", "/nowhere")]),
        (69, format!("ca_file = \"{}\"", cert("other.pem").display()), vec![("SSL_CERT_FILE", ca.as_str())]),
        (78, String::new(), vec![("SSL_CERT_FILE", "/nowhere")]),
        (78, "ca_file = \"heartbeat.toml\"".to_owned(), vec![]),
        (78, "ca_file = \"/dev/zero\"".to_owned(), vec![]),
    ] {
        let ran = home(api.clone(), &vars);
        assert_eq!(ran.code, code, "{api} {vars:?}: {ran:?}");
    }
    let check = Home::new(&format!("https://127.0.0.1:{}/api", server.port())).registered().run(&["check"]);
    assert!(check.out.contains("1 root(s) of [api] ca_file"), "{check:?}");
    let _ = answer("", "");
}
