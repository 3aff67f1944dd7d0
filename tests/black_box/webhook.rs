//! `webhook` from outside: every way of being spoken to, every answer, and what follows an event.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::domain::secret::Secret;
use atelier_heartbeat::internals::domain::time::Time;
use atelier_heartbeat::internals::domain::webhook::event::file_name;
use atelier_heartbeat::internals::domain::webhook::signature::sign;
use atelier_heartbeat::internals::sandbox::{Options, WebhookFaults};

use super::events::{AGENT, PATH, SECRET, body, opened, post, request, signed, status};
use super::fixture::{BIN, Fixture, Ran, eventually, now};

impl Fixture {
    /// Starts `webhook --listen` and returns it with its port.
    fn listening(&self, words: &[&str]) -> Listening {
        let words = [&["webhook", "--listen", "127.0.0.1:0"], words].concat();
        let mut command = self.command(&words);
        command.env("ATELIER_WEBHOOK_SECRET", SECRET).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let port =
            line.split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
        Listening { child, port }
    }
}

struct Listening {
    child: Child,
    port: u16,
}

impl Listening {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn ask(&self, sent: &[u8]) -> String {
        let mut stream = self.connect();
        // An answer before the end of the request may close the connection.
        let _ = stream.write_all(sent);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn an_event_is_on_the_disk_before_the_answer_and_the_same_process_becomes_the_run() {
    let fixture = opened("");
    let order = fixture.order("A lighthouse");
    let event = body("order.created", &order, r#"{"status":"paid","brief":"A lighthouse"}"#);
    let (answer, output) = fixture.inetd(&["--no-kick"], &post(&event));
    assert_eq!((status(&answer), output.status.code()), (200, Some(0)), "{answer} {output:?}");
    assert_eq!(fixture.inbox(), [fixture.path("state/inbox").join(file_name(event.as_bytes()))]);
    let (answer, _) = fixture.inetd(&["--no-kick"], &post(&event));
    assert_eq!((status(&answer), fixture.inbox().len()), (200, 1), "the same content is written once");
    let (answer, output) = fixture.inetd(&[], &post(&body("order.paid", &order, r#"{"status":"paid"}"#)));
    assert_eq!((status(&answer), output.status.code()), (200, Some(0)), "{answer} {output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    assert_eq!((fixture.deliveries(&order), fixture.inbox().len()), (1, 0), "{}", fixture.log());
    let log = fixture.log();
    assert!(!log.contains(SECRET) && !log.contains("lighthouse"), "{log}");
}

#[test]
fn every_answer_of_the_table() {
    let fixture = opened("");
    let server = fixture.listening(&["--no-kick"]);
    let event = body("order.paid", "ord_1", "{}");
    let signature = signed(&event);
    let other = sign(&Secret::new("whsec_another_secret"), now(), event.as_bytes());
    let past = sign(&Secret::new(SECRET), Time::from_unix(now().unix() - 301), event.as_bytes());
    let with = |signature: &str| request(&event, &format!("X-Atelier-Signature: {signature}\r\n"));
    let doubled = request(&event, &format!("X-Atelier-Signature: {signature}\r\nX-Atelier-Signature: {signature}\r\n"));
    let no_event = "{\"order_id\":\"ord_1\"}";
    let long = "x".repeat(17_000);
    let table: Vec<(&str, u16, Vec<u8>)> = vec![
        ("no http", 400, b"\x16\x03\x01 hello\r\n\r\n".to_vec()),
        ("no event", 400, post(no_event)),
        ("no signature", 401, request(&event, "")),
        ("empty signature", 401, with("")),
        ("another secret", 401, with(&other)),
        ("another time", 401, with(&past)),
        ("doubled", 401, doubled),
        ("joined", 401, with(&format!("{signature}, {signature}"))),
        ("path", 404, b"POST /other HTTP/1.1\r\n\r\n".to_vec()),
        ("method", 405, format!("GET {PATH} HTTP/1.1\r\n\r\n").into_bytes()),
        ("length", 411, format!("POST {PATH} HTTP/1.1\r\n\r\n").into_bytes()),
        ("body", 413, format!("POST {PATH} HTTP/1.1\r\nContent-Length: 262145\r\n\r\n").into_bytes()),
        ("headers", 431, format!("POST {PATH} HTTP/1.1\r\nX-Long: {long}\r\n\r\n").into_bytes()),
        ("unknown event", 200, post(&body("order.on_the_moon", "ord_1", "{}"))),
        ("another agent's", 200, post(&body("bounty.claim_rejected", "ord_1", "{}"))),
    ];
    let mut refusals = std::collections::BTreeSet::new();
    for (name, expected, sent) in table {
        let answer = server.ask(&sent);
        assert_eq!(status(&answer), expected, "{name}: {answer}");
        if expected == 401 {
            refusals.insert(answer);
        }
        assert!(!fixture.path("state/inbox").exists(), "{name} touched the disk");
    }
    assert_eq!(refusals.len(), 1, "the same words for all: {refusals:?}");
    assert_eq!(status(&server.ask(&with(&signature))), 200);
    assert_eq!(fixture.inbox().len(), 1);
    let mut slow = server.connect();
    let begun = Instant::now();
    slow.write_all(b"POST /atelier HTTP/1.1\r\n").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 408);
    assert!((4..6).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    drop(server);
    assert!(!fixture.log().contains(SECRET));
}

#[test]
fn without_a_secret_or_an_address_or_room_it_is_to_be_sent_again() {
    let fixture = opened("");
    let event = body("order.paid", "ord_1", "{}");
    std::fs::create_dir_all(fixture.path("state/inbox")).unwrap();
    for number in 0..1000 {
        std::fs::write(fixture.path(&format!("state/inbox/{number:032x}.json")), "").unwrap();
    }
    let (answer, output) = fixture.inetd(&["--no-kick"], &post(&event));
    assert_eq!((status(&answer), output.status.code()), (503, Some(0)), "{output:?}");
    std::fs::remove_dir_all(fixture.path("state/inbox")).unwrap();
    std::fs::write(fixture.path("state/inbox"), "in the way").unwrap();
    let (answer, output) = fixture.inetd(&["--no-kick"], &post(&event));
    assert_eq!((status(&answer), output.status.code()), (503, Some(74)), "{output:?}");
    fixture.settings("");
    let (answer, output) = fixture.inetd(&[], &post(&event));
    assert_eq!((status(&answer), output.status.code()), (503, Some(78)), "{output:?}");
    assert!(Ran::of(&output).err.contains("endpoint_url"), "{output:?}");
    fixture.settings(AGENT);
    let ran = fixture.run(&["webhook", "--listen", "127.0.0.1:0"]);
    assert!(ran.code == 78 && ran.err.contains("webhook secret"), "{ran:?}");
    let ran = fixture.run(&["webhook"]);
    assert!(ran.code == 64 && ran.err.contains("--listen"), "{ran:?}");
    let ran = fixture.run(&["webhook", "--show-secret"]);
    assert!(ran.code == 64 && ran.out.is_empty(), "{ran:?}");
}

/// Trial 4: a flood of strangers, and a hundred who never finish.
#[test]
fn a_flood_of_forged_and_slow_requests_writes_nothing_and_keeps_nobody_out() {
    let fixture = opened("");
    let server = fixture.listening(&["--no-kick"]);
    let many = std::env::var("FORGED").ok().and_then(|many| many.parse().ok()).unwrap_or(1000);
    let refused = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (server, refused) = (&server, &refused);
            scope.spawn(move || {
                for number in 0..many / 8 {
                    let event = body("order.paid", &format!("ord_{thread}_{number}"), "{}");
                    let headers = format!("X-Atelier-Signature: t={},v1={:064x}\r\n", now().unix(), number);
                    let answer = server.ask(&request(&event, &headers));
                    assert!(matches!(status(&answer), 401 | 503), "{answer}");
                    refused.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(refused.into_inner(), many / 8 * 8);
    assert!(!fixture.path("state/inbox").exists() && !fixture.path("state/log").exists());
    let begun = Instant::now();
    assert_eq!(status(&server.ask(&post(&body("order.paid", "ord_1", "{}")))), 200);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let begun = Instant::now();
    let slow: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = server.connect();
            let _ = stream.write_all(b"POST /atelier HTTP/1.1\r\nHost: a\r\n");
            stream
        })
        .collect();
    for mut stream in slow {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(status(&server.ask(&post(&body("order.paid", "ord_2", "{}")))), 200);
    assert_eq!(fixture.inbox().len(), 2);
}

/// Trial 2: whoever answers while another run leaves, nothing is left behind.
#[test]
fn three_writers_at_once_leave_nothing_in_the_inbox() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(12);
    let fixture = opened("");
    fixture.order("x");
    for round in 0..rounds {
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let fixture = &fixture;
                let pause = Duration::from_micros((round * 7919 + writer * 104_729) % 40_000);
                scope.spawn(move || {
                    std::thread::sleep(pause);
                    let (answer, _) =
                        fixture.inetd(&[], &post(&body("order.paid", &format!("ord_{round}_{writer}"), "{}")));
                    assert_eq!(status(&answer), 200);
                });
            }
        });
        assert_eq!(fixture.inbox(), Vec::<PathBuf>::new(), "round {round}: {}", fixture.log());
    }
}

#[test]
fn a_kicked_child_takes_the_event_up_and_another_follows_while_it_is_at_work() {
    let fixture = opened("");
    let server = fixture.listening(&[]);
    let orders: Vec<String> = (0..3).map(|number| fixture.order(&format!("wish {number}"))).collect();
    for order in &orders {
        assert_eq!(status(&server.ask(&post(&body("order.paid", order, "{}")))), 200);
    }
    eventually("all are delivered", || orders.iter().all(|order| fixture.deliveries(order) == 1));
    eventually("nothing waits", || fixture.inbox().is_empty());
}

#[test]
fn cgi_answers_on_stdout_and_the_run_outlives_it() {
    let fixture = opened("");
    let order = fixture.order("A lighthouse");
    let event = body("order.paid", &order, "{}");
    let cgi = |method: &str, path: &str, length: &str, sent: &str| {
        let mut command = fixture.command(&["webhook"]);
        command.env("ATELIER_WEBHOOK_SECRET", SECRET).env("GATEWAY_INTERFACE", "CGI/1.1");
        command.env("REQUEST_METHOD", method).env("REQUEST_URI", path).env("CONTENT_LENGTH", length);
        command.env("HTTP_X_ATELIER_SIGNATURE", signed(sent)).env("HTTP_PROXY", "http://127.0.0.1:1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(sent.as_bytes()).unwrap();
        Ran::of(&child.wait_with_output().unwrap())
    };
    let ran = cgi("POST", "/atelier?x=1", &event.len().to_string(), &event);
    assert!(ran.code == 0 && ran.out.starts_with("Status: 200 OK\r\n") && !ran.out.contains("Connection"), "{ran:?}");
    eventually("the run delivers", || fixture.deliveries(&order) == 1);
    for (method, path, length, expected) in [
        ("GET", "/atelier", "", "405"),
        ("POST", "/", "2", "404"),
        ("POST", "/atelier", "", "411"),
        ("POST", "/atelier", "999999", "413"),
    ] {
        let ran = cgi(method, path, length, "");
        assert!(ran.code == 0 && ran.out.starts_with(&format!("Status: {expected} ")), "{ran:?}");
    }
}

#[test]
fn an_event_is_imported_by_hand_and_an_order_named() {
    let fixture = opened("");
    fixture.script("setup.sh", "");
    let order = fixture.order("A lighthouse");
    let ran = fixture.run(&["webhook", "--import", &order]);
    assert!(ran.code == 0 && ran.out == "recorded\n", "{ran:?}");
    assert_eq!(fixture.deliveries(&order), 1);
    let event = body("order.message", &order, "{}");
    std::fs::write(fixture.path("event.json"), &event).unwrap();
    let import = |signature: &str| {
        let mut command =
            fixture.command(&["webhook", "--no-kick", "--import", "event.json", "--signature", signature]);
        Ran::of(&command.env("ATELIER_WEBHOOK_SECRET", SECRET).output().unwrap())
    };
    assert_eq!(import("t=1,v1=00").code, 1);
    assert!(fixture.inbox().is_empty());
    assert_eq!((import(&signed(&event)).code, fixture.inbox().len()), (0, 1));
    assert_eq!(fixture.run(&["webhook", "--import", "event.json"]).code, 64);
}

/// The reason of a dispute exists nowhere else: it reaches the generator once confirmed, and nobody else.
#[test]
fn the_reason_of_a_dispute_reaches_the_generator_and_no_log() {
    let fixture = opened("[revisions]\nauto = 2\n");
    let order = fixture.order("A lighthouse");
    fixture.beat_until_delivered(&order);
    let reason = "The colour is wrong, said the stranger";
    let event = body("order.disputed", &order, &format!(r#"{{"reason":"{reason}"}}"#));
    // Told before it is so: the marketplace decides.
    fixture.inetd(&[], &post(&event));
    assert_eq!(fixture.deliveries(&order), 1);
    let stdin = |round: u32| {
        let path = fixture.path(&format!("state/work/{order}/round-{round}-attempt-1/stdin.json"));
        std::fs::read_to_string(path).unwrap_or_default()
    };
    for round in 2..=3 {
        fixture.server.market().dispute(now(), &order).unwrap();
        fixture.inetd(&[], &post(&event));
        eventually("it is delivered again", || {
            fixture.deliveries(&order) == round as usize || !fixture.beat().is_object()
        });
        let made = super::fixture::files(&fixture.path("state/work"));
        assert!(stdin(round).contains(&format!("\"dispute_reason\":\"{reason}\"")), "{round}: {made:#?}");
    }
    let log = fixture.log();
    assert!(!log.contains("stranger"), "{log}");
    let bundle = fixture.path("bundle.json");
    assert_eq!(fixture.run(&["check", "--bundle", bundle.to_str().unwrap()]).code, 0);
    assert!(!std::fs::read_to_string(bundle).unwrap().contains("stranger"));
}

/// Trial 9: the answer does not wait for the run, and a cancelled order stops its generator.
#[test]
fn a_cancel_stops_a_generator_at_work_and_the_answer_comes_at_once() {
    let fixture = opened("");
    fixture.generator("sleep 600", "");
    let toml = std::fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
    std::fs::write(fixture.path("heartbeat.toml"), format!("{toml}{AGENT}")).unwrap();
    let order = fixture.order("A lighthouse");
    let mut beat = fixture.spawn(&["beat", "--force"]);
    let record = fixture.path(&format!("state/orders/{order}.json"));
    eventually("it is being made", || std::fs::read_to_string(&record).unwrap_or_default().contains("\"generating\""));
    fixture.server.market().cancel(now(), &order).unwrap();
    let begun = Instant::now();
    let (mut client, mut receiver) = fixture.inetd_with(&[]);
    client.write_all(&post(&body("order.cancelled", &order, r#"{"previous_status":"paid"}"#))).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 200);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    eventually("the run is over", || beat.try_wait().unwrap().is_some());
    receiver.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(!record.exists() && fixture.inbox().is_empty(), "{}", fixture.log());
}

/// A hint that comes within fifteen seconds of the last question waits in the inbox, and the run with it.
#[test]
fn an_order_is_asked_about_at_most_once_in_fifteen_seconds() {
    let fixture = opened("");
    fixture.inetd(&[], &post(&body("order.paid", "ord_nowhere", "{}")));
    let begun = Instant::now();
    let (answer, _) = fixture.inetd(&[], &post(&body("order.created", "ord_nowhere", "{}")));
    assert_eq!(status(&answer), 200);
    assert!(begun.elapsed() > Duration::from_secs(12), "{:?}", begun.elapsed());
    assert!(fixture.inbox().is_empty());
    assert!(fixture.log().contains("an event told of it"), "{}", fixture.log());
}

/// The sandbox posts what the real server posts; lost, late, doubled, reordered and forged, each order is delivered once.
#[test]
fn the_sandboxs_own_events_find_orders_and_a_self_test_passes() {
    let folder = tempfile::tempdir().unwrap();
    let faults = WebhookFaults { twice: true, reorder: true, forge: true, ..WebhookFaults::default() };
    let fixture = Fixture::open_in(folder, Options { webhooks: Some(faults), ..Options::default() }, "fixed");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/atelier");
    let poster = format!("{BIN} poster --brief \"$$ $(date +%N)\" --output $ATELIER_OUTPUT");
    fixture.script("make.sh", &poster);
    fixture.settings(&format!("[agent]\nendpoint_url = \"{url}\"\n[generator]\ncommand = [\"./make.sh\"]\n"));
    let setup = fixture.run(&["setup", "--without-payout"]);
    assert!(setup.code == 0 && setup.out.contains("kept the webhook secret"), "{setup:?}");
    assert!(!setup.out.contains("whsec_") && fixture.run(&["setup"]).out.contains("nothing to do"));
    let address = format!("127.0.0.1:{port}");
    let mut command = fixture.command(&["webhook", "--listen", &address]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _server = Listening { child, port };
    let check = fixture.json(&["check"]);
    let findings = check["findings"].as_array().unwrap();
    let webhooks = findings.iter().find(|finding| finding["about"] == "webhooks").unwrap();
    assert_eq!(webhooks["verdict"], "good", "{webhooks}");
    let orders: Vec<String> = (0..3).map(|number| fixture.order(&format!("wish {number}"))).collect();
    eventually("all are delivered", || orders.iter().all(|order| fixture.deliveries(order) == 1));
    let market = fixture.server.market();
    let outcomes: Vec<&str> = market.recorder().webhooks.iter().map(|sent| sent.outcome.as_str()).collect();
    assert!(outcomes.contains(&"200") && outcomes.contains(&"forged: 401"), "{outcomes:?}");
}
