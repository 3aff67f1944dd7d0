//! The marketplace's client against servers that no marketplace would be: what it makes of every kind of answer, how long
//! it takes over it, and that the key goes nowhere else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::domain::api_error::ApiErrorKind;
use atelier_heartbeat::internals::domain::order::OrderId;
use atelier_heartbeat::internals::domain::secret::Secret;
use atelier_heartbeat::internals::io::marketplace::{Client, Connection, Lookup, Route};

const GARBLED: ApiErrorKind = ApiErrorKind::Retryable { after: None };
const KEY: &str = "atelier_0123456789abcdef";

/// A server that answers every connection its own way. It ends with the test.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn start(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, answer) = (Arc::clone(&connections), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || {
                    let head = head_of(&mut stream);
                    answer(&head, &mut stream);
                    // Closed with something unread, a connection is reset and takes the answer along.
                    let _ = stream.shutdown(Shutdown::Write);
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                    while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
                });
            }
        });
        Self { address, connections }
    }

    fn client(&self) -> Client {
        let second = Duration::from_secs(1);
        let connection = Connection {
            base_url: format!("http://{}/api", self.address),
            timeout: second,
            deliver_timeout: second,
            upload_timeout: second,
            blob_url: String::new(),
            route: Route::default(),
        };
        Client::new(connection, Some("ext_1".into()), Some(Secret::new(KEY)))
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// Polls once, and holds the client to its second, with another for a slow machine.
fn poll(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Result<usize, ApiErrorKind> {
    let server = Server::start(answer);
    let started = Instant::now();
    let polled = server.client().orders(&["paid"]);
    assert!(started.elapsed() < Duration::from_secs(3), "it took {:?}", started.elapsed());
    polled.map(|listing| listing.orders.len()).map_err(|fault| {
        assert!(!fault.message.contains(KEY), "{}", fault.message);
        assert!(fault.message.chars().count() <= 400 && !fault.message.chars().any(char::is_control), "{fault}");
        fault.kind
    })
}

fn bytes(answer: impl Into<Vec<u8>>) -> Result<usize, ApiErrorKind> {
    let answer = answer.into();
    poll(move |_, stream| {
        let _ = stream.write_all(&answer);
    })
}

#[test]
fn no_redirect_is_followed_and_the_key_stays_at_home() {
    let elsewhere = Server::start(|_, stream| {
        let _ = stream.write_all(&ok(r#"{"success":true,"data":[]}"#));
    });
    for status in [300, 301, 302, 303, 304, 305, 307, 308] {
        let to = format!("http://{}/api/agents/ext_1/orders", elsewhere.address);
        let told =
            bytes(format!("HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")).unwrap_err();
        let ApiErrorKind::Moved { to: named, permanent } = told else { panic!("{status}: {told:?}") };
        assert_eq!((named, permanent), (to, matches!(status, 301 | 308)));
    }
    // Also where bytes are sent along.
    let home = {
        let to = elsewhere.address;
        Server::start(move |_, stream| {
            let _ = write!(
                stream,
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{to}/\r\nContent-Length: 0\r\n\r\n"
            );
        })
    };
    let id = OrderId::new("ord_1").unwrap();
    assert!(matches!(home.client().deliver(&id, &[]).unwrap_err().kind, ApiErrorKind::Moved { .. }));
    assert_eq!(elsewhere.connections(), 0, "something went where the redirect pointed");
}

#[test]
fn the_key_travels_in_one_header_of_one_origin() {
    let server = Server::start(|head, stream| {
        let keys = head.matches(KEY).count();
        let right = head.to_ascii_lowercase().contains(&format!("authorization: bearer {KEY}"));
        let first = head.lines().next().unwrap_or_default().contains(KEY);
        let body = format!(r#"{{"success":{},"data":[]}}"#, keys == 1 && right && !first);
        let _ = stream.write_all(&ok(&body));
    });
    assert!(server.client().orders(&["paid"]).is_ok());
}

#[test]
fn answers_that_come_too_slowly_or_not_at_all_end_in_time() {
    let unanswered =
        |told: Result<usize, ApiErrorKind>, case: &str| assert_eq!(told, Err(ApiErrorKind::Unanswered), "{case}");
    unanswered(poll(|_, stream| drop(stream.read(&mut [0]))), "silence");
    unanswered(
        poll(|_, stream| {
            // A byte every now and then: a limit on each read alone would never fire.
            for byte in ok(&format!(r#"{{"success":true,"data":[]{}}}"#, " ".repeat(2000))) {
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }),
        "a drip",
    );
    unanswered(bytes(""), "a connection that is closed at once");
    unanswered(bytes("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"success\":"), "an answer cut off");
    unanswered(bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"suc"), "a chunk cut off");
    unanswered(bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"), "a chunk without a size");
}

#[test]
fn what_is_not_http_is_no_answer() {
    for (case, answer) in [
        ("ssh", "SSH-2.0-OpenSSH_9.6\r\n".to_owned()),
        ("zeros", "\0".repeat(4096)),
        ("a page without a head", "<html>Please log in</html>".to_owned()),
        ("a status line alone", "HTTP/1.1\r\n\r\n".to_owned()),
        ("a status of letters", "HTTP/1.1 abc OK\r\n\r\n".to_owned()),
        ("5,000 headers", format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Many: yes\r\n".repeat(5000))),
        ("one header of 10 MB", format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(10_000_000))),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}".to_owned()),
    ] {
        let told = bytes(answer);
        assert!(matches!(told, Err(ApiErrorKind::Unanswered | ApiErrorKind::Retryable { .. })), "{case}: {told:?}");
    }
}

#[test]
fn only_the_marketplaces_own_envelope_refuses() {
    for (case, body) in [
        ("a page", "<html>Sign in to the hotel's network</html>"),
        ("nothing", ""),
        ("no envelope", "[]"),
        ("no list", r#"{"success":true,"data":{"orders":[]}}"#),
        ("nonsense", r#"{"success":"yes","data":[]}"#),
        ("null", r#"{"success":true,"data":null}"#),
    ] {
        let told = bytes(ok(body));
        assert_eq!(told, Err(GARBLED), "{case}");
    }
    let cut = r#"{"success":true,"data":[{"id":"a","status":"paid","brief":"\ud83d"},{"id":"b","status":"paid"}]}"#;
    assert_eq!(bytes(ok(cut)), Ok(2), "a brief that was cut in the middle of a character hides no order");
    let deep = format!(r#"{{"success":true,"data":{}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(bytes(ok(&deep)), Err(GARBLED), "200,000 brackets deep");
    assert_eq!(bytes(ok(r#"{"success":false,"error":"no"}"#)), Err(ApiErrorKind::Permanent));
    use ApiErrorKind::{Conflict, NoSuchRoute, NotFound, Permanent, TooLarge, Unauthorized};
    for (status, page, refusal) in [
        (400, GARBLED, Permanent),
        (401, GARBLED, Unauthorized),
        (402, GARBLED, Permanent),
        (403, GARBLED, Unauthorized),
        (404, NoSuchRoute, NotFound),
        (405, NoSuchRoute, Permanent),
        (408, GARBLED, GARBLED),
        (409, GARBLED, Conflict),
        (413, TooLarge, TooLarge),
        (422, GARBLED, Permanent),
        (425, GARBLED, GARBLED),
        (451, GARBLED, Permanent),
    ] {
        let answer = |body: &str| format!("HTTP/1.1 {status} No\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(bytes(answer("<html>no</html>")), Err(page), "a page with {status}");
        assert_eq!(bytes(answer(r#"{"success":false,"error":"no"}"#)), Err(refusal), "{status}");
    }
    for status in [500, 502, 503, 504, 521, 599] {
        let told = bytes(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n"));
        assert_eq!(told, Err(ApiErrorKind::Retryable { after: Some(Duration::from_secs(7)) }));
    }
    let limited = |seconds| Err(ApiErrorKind::Limited { wait: Duration::from_secs(seconds) });
    assert_eq!(bytes("HTTP/1.1 429 No\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"), limited(61));
    assert_eq!(bytes("HTTP/1.1 429 No\r\nContent-Length: 500\r\n\r\ncut off"), limited(601), "the status says it all");
}

#[test]
fn an_answer_without_end_or_packed_without_measure_is_cut_at_its_limit() {
    let flood = poll(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [b"10000\r\n".as_slice(), &vec![b'['; 0x10000], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
    });
    assert!(matches!(flood, Err(ApiErrorKind::Retryable { .. } | ApiErrorKind::Unanswered)), "{flood:?}");
    // 64 MiB of spaces in a few kilobytes of gzip, as `gzip -9` packs them.
    let packed = packed_spaces();
    let bomb = [
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len()).into_bytes(),
        packed,
    ]
    .concat();
    let told = bytes(bomb);
    assert!(matches!(told, Err(ApiErrorKind::Retryable { .. } | ApiErrorKind::Unanswered)), "{told:?}");
}

/// 64 MiB of spaces as gzip: made by the real tool, so that it is not our own idea of the format.
fn packed_spaces() -> Vec<u8> {
    let script = "head -c 67108864 /dev/zero | tr '\\0' ' ' | gzip -9";
    let made = std::process::Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(made.status.success() && made.stdout.len() < 100_000, "{}", made.stdout.len());
    made.stdout
}

#[test]
fn a_provisional_answer_and_a_lower_case_header_are_nothing_special() {
    let answer =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 26\r\n\r\n{\"success\":true,\"data\":[]}";
    assert_eq!(bytes(answer.as_slice()), Ok(0));
}

#[test]
fn nobody_there_is_known_to_be_without_effect() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = |base_url: String| {
        let second = Duration::from_secs(1);
        let connection = Connection {
            base_url,
            timeout: second,
            deliver_timeout: second,
            upload_timeout: second,
            blob_url: String::new(),
            route: Route::default(),
        };
        Client::new(connection, Some("ext_1".into()), Some(Secret::new(KEY)))
    };
    let id = OrderId::new("ord_1").unwrap();
    let refused = client(format!("http://{address}/api")).deliver(&id, &[]).unwrap_err();
    assert!(refused.kind == ApiErrorKind::NotSent && refused.certainly_without_effect(), "{refused:?}");
    let in_clear = client("http://marketplace.example/api".into()).deliver(&id, &[]).unwrap_err();
    assert!(in_clear.message.contains("not https"), "{in_clear}");
}

#[test]
fn an_odd_id_stays_in_its_segment() {
    let server = Server::start(|head, stream| {
        let first = head.lines().next().unwrap_or_default();
        let right = first == "GET /api/orders/..%2F..%2Fagents%2Fme%3Fa%23b%20c HTTP/1.1";
        let body = if right { r#"{"success":false,"error":"Order not found"}"# } else { "[]" };
        let _ = write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    });
    let id = OrderId::new("../../agents/me?a#b c").unwrap();
    assert_eq!(server.client().order(&id).unwrap(), Lookup::Missing);
}
