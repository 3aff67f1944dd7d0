//! Hostile links: none of them reaches a listener on this machine, whatever it is dressed up as.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use atelier_heartbeat::internals::io::downloads::{Reference, fetch};

/// A listener on every address of this machine that answers each request with `answer`.
fn listener(answer: impl Fn(u16, &str) -> String + Send + Sync + 'static) -> (u16, Arc<AtomicUsize>) {
    let v4 = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = v4.local_addr().unwrap().port();
    let listeners = [Some(v4), TcpListener::bind(format!("[::1]:{port}")).ok()];
    let (reached, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
    for listener in listeners.into_iter().flatten() {
        let (reached, answer) = (Arc::clone(&reached), Arc::clone(&answer));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                reached.fetch_add(1, Ordering::SeqCst);
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or("/").to_owned();
                let _ = stream.write_all(answer(port, &path).as_bytes());
            }
        });
    }
    (port, reached)
}

fn one(url: &str, local: bool) -> Reference {
    let folder = tempfile::tempdir().unwrap();
    let fetched = fetch(&[url.to_owned()], folder.path(), local, &|| false);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{left:?}");
    fetched.into_iter().next().unwrap()
}

/// Names of this machine and of addresses inside a network, in every disguise.
const INNER_HOSTS: [&str; 47] = [
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7F.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "00000177.00.00.01",
    "0",
    "0.0.0.0",
    "0x0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "LocalHost.",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[::ffff:0:127.0.0.1]",
    "[::1%25lo]",
    "user@127.0.0.1",
    "user:secret@localhost",
    "example.com@127.0.0.1",
    "127.0.0.1.",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "127.0.0.1%00.example.com",
    "localhost%2eexample",
    "127.0.0.1#@example.com",
    "ip6-localhost",
    "ip6-loopback",
    "10.0.0.1",
    "169.254.169.254",
    "192.168.0.1",
    "[fe80::1]",
    "[fd00::1]",
];

/// What is no address of the web.
const NO_ADDRESSES: [&str; 17] = [
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "gopher://127.0.0.1:70/",
    "data:text/plain,hello",
    "javascript:alert(1)",
    "//127.0.0.1/",
    "http:///127.0.0.1/",
    "http:127.0.0.1",
    "",
    " ",
    "http://",
    "https://",
    "http://[",
    "http://exa mple.com/",
    "http://127.0.0.1:99999/",
    "unix:///var/run/docker.sock",
    "http://\u{202e}1.0.0.721/",
];

#[test]
fn no_disguise_of_this_machine_is_connected_to() {
    let (port, reached) = listener(|_, _| "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret".to_owned());
    let mut tried = 0;
    for host in INNER_HOSTS {
        for url in [format!("http://{host}:{port}/"), format!("HTTP://{host}:{port}/x")] {
            // What would wait for an answer that never comes is not tried twice.
            let inner = host.starts_with("10.")
                || host.starts_with("192.")
                || host.starts_with("169.")
                || host.starts_with("[f");
            if inner && url.starts_with("HTTP") {
                continue;
            }
            let told = one(&url, false);
            assert!(told.file.is_none() && told.error.is_some(), "{url}: {told:?}");
            tried += 1;
        }
    }
    for url in NO_ADDRESSES {
        let told = one(url, false);
        assert!(told.file.is_none() && told.error.is_some(), "{url}: {told:?}");
        tried += 1;
    }
    println!("{tried} hostile links");
    assert!(tried >= 40);
    assert_eq!(reached.load(Ordering::SeqCst), 0, "a link reached this machine");
}

#[test]
fn every_redirect_is_checked_again_and_they_come_to_an_end() {
    // A marketplace on this machine may link to this machine; nowhere else inside, and not without end.
    let (port, reached) = listener(|port, path| {
        let to = match path {
            "/file" => "file:///etc/passwd".to_owned(),
            "/inner" => "http://10.0.0.1/".to_owned(),
            "/metadata" => "http://169.254.169.254/latest/meta-data/".to_owned(),
            "/mapped" => "http://[::ffff:10.0.0.1]/".to_owned(),
            "/user" => format!("http://user@127.0.0.1:{port}/good"),
            "/loop" => "/loop".to_owned(),
            "/hop" => "good".to_owned(),
            "/relative" => "/good?u=http://10.0.0.1/".to_owned(),
            "/nowhere" => return "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            _ => return "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>".to_owned(),
        };
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
    });
    for path in ["file", "inner", "metadata", "mapped", "user", "loop", "nowhere"] {
        let told = one(&format!("http://127.0.0.1:{port}/{path}"), true);
        assert!(told.file.is_none(), "{path}: {told:?}");
    }
    for path in ["hop", "relative"] {
        assert_eq!(one(&format!("http://127.0.0.1:{port}/{path}"), true).file.as_deref(), Some("01.html"));
    }
    let reached = reached.load(Ordering::SeqCst);
    assert!((10..=14).contains(&reached), "six first looks, a loop of three more, two for each hop: {reached}");
}

#[test]
fn size_and_number_have_their_limits_and_a_second_attempt_asks_nobody() {
    let (port, reached) = listener(|_, path| match path {
        "/big" => {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 26 * 1024 * 1024, "x".repeat(26 * 1024 * 1024))
        }
        "/empty" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "/cut" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nshort".to_owned(),
        "/gone" => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine".to_owned(),
    });
    let error = |path: &str| one(&format!("http://127.0.0.1:{port}/{path}"), true).error.unwrap_or_default();
    assert!(error("big").contains("larger than 25 MiB"));
    assert!(error("empty").contains("empty"));
    assert!(!error("cut").is_empty());
    assert!(error("gone").contains("404"));
    let folder = tempfile::tempdir().unwrap();
    let urls: Vec<String> = (0..12).map(|n| format!("http://127.0.0.1:{port}/{n}")).collect();
    let before = reached.load(Ordering::SeqCst);
    let fetched = fetch(&urls, folder.path(), true, &|| false);
    assert_eq!(fetched.iter().filter(|one| one.file.is_some()).count(), 10);
    assert_eq!(fetch(&urls, folder.path(), true, &|| false), fetched);
    assert!(reached.load(Ordering::SeqCst) <= before + 10, "each was asked for once");
}
