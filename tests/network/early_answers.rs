//! Servers that answer an upload before it is sent whole, and close: the answer is heard.

use std::io::Read;
use std::time::Duration;

use atelier_heartbeat::internals::domain::api_error::ApiErrorKind;
use atelier_heartbeat::internals::domain::secret::Secret;
use atelier_heartbeat::internals::io::marketplace::{Client, Connection, Route};

use super::servers::{KEY, Server, Stream, answer, cert, side_by_side};

/// When the server answers and closes.
#[derive(Clone, Copy, Debug)]
enum When {
    /// After the request's head.
    AtOnce,
    /// After it has agreed to take the body, and has read a little of it.
    Midway,
}

fn client(server: &Server, tls: bool) -> Client {
    let scheme = if tls { "https" } else { "http" };
    let connection = Connection {
        base_url: format!("{scheme}://127.0.0.1:{}/api", server.port()),
        timeout: Duration::from_secs(20),
        deliver_timeout: Duration::from_secs(20),
        upload_timeout: Duration::from_secs(20),
        blob_url: String::new(),
        route: Route { proxy: None, ca_file: Some(cert("ca.pem")) },
    };
    Client::new(connection, Some("ext_1".into()), Some(Secret::new(KEY)))
}

fn midway(stream: &mut dyn Stream) {
    let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
    let _ = stream.flush();
    let _ = stream.read_exact(&mut vec![0; 64 * 1024]);
}

fn upload(server: &Server, tls: bool, megabytes: u64) -> ApiErrorKind {
    let bytes = megabytes * 1024 * 1024;
    let error = client(server, tls).upload(std::io::repeat(7).take(bytes), bytes, "image/png").unwrap_err();
    println!("{megabytes} MB, TLS {tls}: {error}");
    error.kind
}

#[test]
fn the_status_is_heard_every_time() {
    let mut cases = Vec::new();
    for tls in [false, true] {
        for megabytes in [1, 5, 45] {
            for status in [413, 429, 401] {
                for when in [When::AtOnce, When::Midway] {
                    cases.push((tls, megabytes, status, when));
                }
            }
        }
    }
    let count = cases.len();
    for some in cases.chunks(6) {
        side_by_side(some.to_vec(), |(tls, megabytes, status, when)| {
            let server = Server::http(tls.then_some("good.pem"), move |_, stream| {
                if matches!(when, When::Midway) {
                    midway(stream);
                }
                let text = match status {
                    413 => answer("413 Too Large", "Request Entity Too Large"),
                    429 => answer("429 Too Many\r\nRetry-After: 60", "{\"success\":false,\"error\":\"wait\"}"),
                    _ => answer("401 No", "{\"success\":false,\"error\":\"Invalid API key\"}"),
                };
                let _ = stream.write_all(text.as_bytes());
            });
            let expected = match status {
                413 if megabytes > 4 => ApiErrorKind::TooLarge,
                413 => ApiErrorKind::Retryable { after: None },
                429 => ApiErrorKind::Limited { wait: Duration::from_secs(61) },
                _ => ApiErrorKind::Unauthorized,
            };
            let told = upload(&server, tls, megabytes);
            assert_eq!(told, expected, "{megabytes} MB, {status}, {when:?}, TLS {tls}");
        });
    }
    println!("{count} early answers heard");
}

#[test]
fn a_large_upload_that_is_cut_off_goes_the_other_way_and_a_small_one_is_in_doubt() {
    for tls in [false, true] {
        let server = Server::http(tls.then_some("good.pem"), |_, stream| midway(stream));
        assert_eq!(upload(&server, tls, 5), ApiErrorKind::TooLarge);
        let server = Server::http(tls.then_some("good.pem"), |_, stream| {
            let _ = stream.read_exact(&mut [0; 1024]);
        });
        assert_eq!(upload(&server, tls, 1), ApiErrorKind::Unanswered);
    }
}

#[test]
fn a_server_that_expects_nothing_is_sent_the_whole_file() {
    for refuses in [true, false] {
        let server = Server::http(None, move |head, stream| {
            let asked = head.to_ascii_lowercase().contains("expect: 100-continue");
            if asked && refuses {
                let _ = stream.write_all(answer("417 Expectation Failed", "").as_bytes());
                return;
            }
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<u64>().unwrap())
            });
            let read = std::io::copy(&mut stream.take(length.unwrap()), &mut std::io::sink()).unwrap();
            assert_eq!(Some(read), length);
            let body = "{\"success\":true,\"data\":{\"url\":\"https://cdn.market.test/1\",\"media_type\":\"image\"}}";
            let _ = stream.write_all(answer("200 OK", body).as_bytes());
        });
        let bytes = 3 * 1024 * 1024;
        let hosted = client(&server, false).upload(std::io::repeat(7).take(bytes), bytes, "image/png").unwrap();
        assert_eq!(hosted.url, "https://cdn.market.test/1");
    }
}
