//! The sandbox over HTTP: sessions that touch every endpoint in both dialects, faults as bytes, and the control API.
//!
//! The client is raw on purpose: what a real one would tidy up is what is looked at here.

// Outside a `#[test]` function, but inside a test all the same.
#![allow(clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use atelier_heartbeat::internals::domain::limits::Endpoint;
use atelier_heartbeat::internals::domain::time::Time;
use atelier_heartbeat::internals::sandbox::{Call, Fault, Options, Placement, Server, ServerVersion};
use serde_json::{Value, json};

const START: i64 = 1_795_447_278;

/// A served sandbox whose clock the test turns, and one agent's way of talking to it.
struct Trial {
    server: Server,
    clock: Arc<AtomicI64>,
    agent: String,
    key: String,
}

/// What came back, byte for byte.
struct Heard {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

fn options(server_version: ServerVersion) -> (Options, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(START));
    let hand = Arc::clone(&clock);
    let clock_of = Box::new(move || Time::from_unix(hand.load(Ordering::SeqCst)));
    (Options { server_version, clock: clock_of, slowness: Duration::from_millis(20), ..Options::default() }, clock)
}

/// Everything the server says to `bytes` on a connection of its own; an error where the connection broke.
fn exchange(server: &Server, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard)?;
    Ok(heard)
}

fn heard(bytes: &[u8]) -> Heard {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in UTF-8");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Heard { status, head, body: bytes[end..].to_vec() }
}

fn form(content_type: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"result.png\"\r\nContent-Type: {content_type}\r\n\r\n"
    );
    [head.as_bytes(), content, b"\r\n--xyz--\r\n"].concat()
}

impl Trial {
    /// Serves an empty world and registers over HTTP.
    fn open(server_version: ServerVersion) -> Self {
        let (options, clock) = options(server_version);
        let server = Server::start(options).expect("a server");
        let mut trial = Self { server, clock, agent: String::new(), key: String::new() };
        let body = json!({"name": "Night Shift", "description": "ten letters or more", "endpoint_url": "https://a.example",
            "capabilities": ["image_gen"], "avatar_url": "https://a.example/face.png"});
        let registered = trial.post("/api/agents/register", &body);
        assert_eq!(registered.status, 201, "{}", registered.head);
        let data = &registered.json()["data"];
        trial.agent = data["agent_id"].as_str().expect("an id").to_owned();
        trial.key = data["api_key"].as_str().expect("a key").to_owned();
        trial
    }

    fn request(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
        let host = self.server.address();
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        if !self.key.is_empty() {
            text.push_str(&format!("Authorization: Bearer {}\r\n", self.key));
        }
        text.push_str(&format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len()));
        [text.as_bytes(), body].concat()
    }

    fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Heard {
        let path = path.replace("AGENT", &self.agent);
        heard(&exchange(&self.server, &self.request(method, &path, content_type, body)).expect("an answer"))
    }

    fn get(&self, path: &str) -> Heard {
        self.send("GET", path, "text/plain", b"")
    }

    fn post(&self, path: &str, body: &Value) -> Heard {
        self.send("POST", path, "application/json", body.to_string().as_bytes())
    }

    fn upload(&self, content_type: &str, content: &[u8]) -> Heard {
        self.send("POST", "/api/upload", "multipart/form-data; boundary=xyz", &form(content_type, content))
    }

    fn later(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The path of one of the server's own addresses.
    fn path_of<'a>(&self, url: &'a str) -> &'a str {
        url.strip_prefix(&format!("http://{}", self.server.address())).expect("an address of the sandbox")
    }

    fn raw_poll(&self) -> Vec<u8> {
        self.request("GET", &format!("/api/agents/{}/orders", self.agent), "text/plain", b"")
    }
}

const SERVICE: &str = "A service whose description is long enough for the live server too.";

/// The life of a seller, by every endpoint of the document.
fn a_sellers_life(server_version: ServerVersion) {
    let trial = Trial::open(server_version);

    let me = trial.get("/api/agents/me");
    assert_eq!((me.status, &me.json()["data"]["id"]), (200, &json!(trial.agent)));
    assert!(!String::from_utf8_lossy(&me.body).contains(&trial.key), "the key is masked");
    let wallet = |value: Value| {
        trial.send(
            "PATCH",
            "/api/agents/me",
            "application/json",
            json!({"payout_wallet": value}).to_string().as_bytes(),
        )
    };
    assert_eq!(wallet(json!("Wa11et")).json()["data"]["payout_wallet"], "Wa11et");
    assert_eq!(wallet(Value::Null).json()["data"]["payout_wallet"], Value::Null);
    assert_eq!(wallet(json!("Wa11et")).status, 200);

    let service = json!({"category": "image_gen", "title": "A title", "description": SERVICE, "price_usd": "5.00", "price_type": "fixed"});
    let created = trial.post("/api/agents/AGENT/services", &service);
    assert_eq!(created.status, 201);
    let service_id = created.json()["data"]["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/services/{service_id}");
    let changed = trial.send("PATCH", &path, "application/json", br#"{"price_usd": "7.50"}"#);
    assert_eq!(changed.json()["data"]["price_usd"], "7.50");
    let quoting = json!({"category": "custom", "title": "By quote", "description": SERVICE, "price_usd": "1", "price_type": "quote"});
    let quoting =
        trial.post("/api/agents/AGENT/services", &quoting).json()["data"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(trial.get("/api/agents/AGENT/services").json()["data"].as_array().map(Vec::len), Some(2));

    let placed = trial.post("/sandbox/orders", &json!({"brief": "a lighthouse", "service_id": service_id}));
    assert_eq!((placed.status, &placed.json()["status"]), (201, &json!("paid")));
    let order = placed.json()["order_id"].as_str().expect("an id").to_owned();
    let poll = trial.get("/api/agents/AGENT/orders?status=paid,in_progress");
    assert_eq!(poll.json()["data"][0]["id"], json!(order));

    let uploaded = trial.upload("image/png", b"not really a picture");
    assert_eq!((uploaded.status, &uploaded.json()["data"]["media_type"]), (200, &json!("image")));
    let url = uploaded.json()["data"]["url"].as_str().expect("an address").to_owned();
    let served = trial.get(trial.path_of(&url));
    assert_eq!(
        (served.header("content-type"), served.body.as_slice()),
        (Some("image/png"), &b"not really a picture"[..])
    );

    let deliver = json!({"deliverable_url": url, "deliverable_media_type": "image"});
    assert_eq!(trial.post(&format!("/api/orders/{order}/deliver"), &deliver).status, 200);
    let one = trial.get(&format!("/api/orders/{order}"));
    match server_version {
        ServerVersion::Live => assert_eq!(one.json()["data"]["deliverables"][0]["deliverable_url"], json!(url)),
        ServerVersion::Document => {
            assert_eq!((one.status, one.header("content-type")), (404, Some("text/html; charset=utf-8")));
        }
    }

    let thread = format!("/api/orders/{order}/messages");
    assert_eq!(trial.post(&thread, &json!({"content": "  "})).status, 400);
    assert_eq!(trial.post(&thread, &json!({"content": "x".repeat(2001)})).status, 400);
    assert_eq!(trial.post(&thread, &json!({"content": " done "})).json()["data"]["content"], "done");
    assert_eq!(trial.post(&format!("/sandbox/orders/{order}/message"), &json!({"message": "thanks"})).status, 200);
    let said = trial.get(&thread).json();
    let said: Vec<_> =
        said["data"].as_array().expect("messages").iter().map(|m| (&m["sender_type"], &m["content"])).collect();
    assert_eq!(said, [(&json!("agent"), &json!("done")), (&json!("client"), &json!("thanks"))]);

    let asked = trial.post("/sandbox/orders", &json!({"brief": "how much?", "service_id": quoting})).json();
    assert_eq!(asked["status"], "pending_quote");
    let asked = asked["order_id"].as_str().expect("an id").to_owned();
    assert_eq!(
        trial.post(&format!("/api/orders/{asked}/quote"), &json!({"price_usd": "15.00"})).json()["data"]["status"],
        "quoted"
    );
    assert_eq!(trial.post(&format!("/sandbox/orders/{asked}/pay"), &json!({})).json()["status"], "paid");
    assert_eq!(trial.post(&format!("/sandbox/orders/{asked}/cancel"), &json!({})).json()["status"], "cancelled");

    // Ten requests have gone out by now, and the live server's one count lets no token through after ten.
    trial.later(3601);
    let launched = trial.post("/api/agents/AGENT/token/launch", &json!({"symbol": "CAT"}));
    assert!(launched.json()["data"]["mint"].is_string());
    assert_eq!(trial.post("/api/agents/AGENT/token/launch", &json!({"symbol": "CAT"})).status, 409);
    assert_eq!(trial.send("DELETE", &path, "text/plain", b"").status, 200);
    assert_eq!(trial.send("DELETE", &path, "text/plain", b"").status, 404);

    trial.later(48 * 3600);
    assert_eq!(trial.get("/api/agents/AGENT/orders?status=completed").json()["data"][0]["id"], json!(order));
    let market = trial.server.market();
    let recorder = market.recorder();
    assert_eq!(recorder.deliveries_of(&order).len(), 1);
    assert_eq!(
        (recorder.uploads.len(), recorder.registrations.len(), recorder.services.len(), recorder.tokens.len()),
        (1, 1, 2, 1)
    );
    assert_eq!(recorder.payouts[0].usd, "6.750000");
}

#[test]
fn a_sellers_life_by_the_document() {
    a_sellers_life(ServerVersion::Document);
}

#[test]
fn a_sellers_life_on_the_live_server() {
    a_sellers_life(ServerVersion::Live);
}

#[test]
fn thirty_polls_and_the_live_server_takes_no_upload_for_an_hour() {
    let trial = Trial::open(ServerVersion::Live);
    trial.later(3601);
    for _ in 0..30 {
        assert_eq!(trial.get("/api/agents/AGENT/orders?status=paid").status, 200);
    }
    trial.later(1);
    let refused = trial.upload("image/png", b"x");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("3599")));
    assert_eq!(refused.header("x-ratelimit-reset"), Some((START + 3601 + 3600).to_string().as_str()));
    assert_eq!(refused.json()["success"], false);
    trial.later(3599);
    assert_eq!(trial.upload("image/png", b"x").status, 429, "the reset itself is too early");
    trial.later(1);
    assert_eq!(trial.upload("image/png", b"x").status, 200);
    assert_eq!(trial.server.market().recorder().refused(Endpoint::Upload), 2);
}

#[test]
fn the_document_counts_each_endpoint_by_itself() {
    let trial = Trial::open(ServerVersion::Document);
    for _ in 0..30 {
        assert_eq!(trial.get("/api/agents/AGENT/orders").status, 200);
    }
    assert_eq!(trial.get("/api/agents/AGENT/orders").status, 429);
    for _ in 0..30 {
        assert_eq!(trial.upload("image/png", b"x").status, 200);
    }
    assert_eq!(trial.upload("image/png", b"x").status, 429);
    for _ in 0..70 {
        assert_eq!(trial.post("/api/orders/none/messages", &json!({})).status, 404, "messages have no limit");
    }
}

#[test]
fn what_an_upload_must_be() {
    let trial = Trial::open(ServerVersion::Live);
    let error = |heard: Heard| (heard.status, heard.json()["error"].as_str().unwrap_or_default().to_owned());
    assert_eq!(
        error(trial.upload("image/png; charset=utf-8", b"x")),
        (400, "Unsupported file type: image/png; charset=utf-8".into())
    );
    assert_eq!(trial.upload("image/png", b"").status, 200, "nobody looks at the bytes");
    assert_eq!(trial.upload("text/markdown", b"# hi").json()["data"]["media_type"], "text");
    let nameless = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--xyz--\r\n";
    let nameless = trial.send("POST", "/api/upload", "multipart/form-data; boundary=xyz", nameless);
    assert_eq!(error(nameless), (400, "No file provided".into()));
    let document = Trial::open(ServerVersion::Document);
    assert_eq!(document.upload("text/markdown", b"# hi").status, 400);
    assert_eq!(document.get("/files/../lock").status, 404);
}

#[test]
fn a_file_too_large_for_the_platform_goes_by_the_blob_store() {
    let trial = Trial::open(ServerVersion::Live);
    trial.server.market().limit_bodies(1000);
    let counted = trial.server.market().recorder().requests.len();
    let file = vec![7; 2000];
    let refused = trial.upload("video/mp4", &file);
    assert_eq!((refused.status, refused.header("content-type")), (413, Some("text/plain; charset=utf-8")));
    assert_eq!(trial.server.market().recorder().requests.len(), counted, "the program never saw it");

    let granted = trial.post("/api/upload/token", &json!({"content_type": "video/mp4", "filename": "a.mp4"})).json();
    let (token, pathname) = (&granted["data"]["upload_token"], &granted["data"]["pathname"]);
    let put = |token: &str, extra: &str| {
        let text = format!(
            "PUT /blob/?pathname={} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{extra}\
             Content-Type: video/mp4\r\nContent-Length: {}\r\n\r\n",
            pathname.as_str().expect("a name").replace('/', "%2F"),
            file.len()
        );
        heard(&exchange(&trial.server, &[text.as_bytes(), &file].concat()).expect("an answer"))
    };
    let token = token.as_str().expect("a token");
    assert_eq!(put(&trial.key, "x-api-version: 12\r\n").status, 403, "our key is not the store's");
    assert_eq!(put(token, "").status, 400);
    let stored = put(token, "x-api-version: 12\r\n");
    let url = stored.json()["url"].as_str().expect("an address").to_owned();
    assert_eq!(trial.get(trial.path_of(&url)).body, file);
    assert_eq!(put(token, "x-api-version: 12\r\n").status, 403, "a token is for one file");
    assert_eq!(Trial::open(ServerVersion::Document).post("/api/upload/token", &json!({})).status, 404);
}

#[test]
fn one_connection_serves_many_requests_in_every_framing() {
    let trial = Trial::open(ServerVersion::Live);
    let before = trial.server.connections();
    let get = "GET /api/agents/me HTTP/1.1\r\nHost: x\r\n\r\n";
    let chunked =
        "POST /api/agents/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let last = "POST /api/agents/register HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}";
    let said = exchange(&trial.server, [get, chunked, get, last].concat().as_bytes()).expect("answers");
    let said = String::from_utf8(said).expect("text");
    let statuses: Vec<&str> = said.match_indices("HTTP/1.1 ").map(|(at, _)| &said[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["401", "400", "401", "400"]);
    assert!(said.contains("name is required"));
    assert_eq!(trial.server.connections(), before + 1);
    assert_eq!(heard(&exchange(&trial.server, b"\x16\x03\x01 hello\r\n\r\n").expect("an answer")).status, 400);
}

#[test]
fn faults_as_bytes() {
    let trial = Trial::open(ServerVersion::Live);
    trial.server.market().place(Time::from_unix(START), Placement { brief: "a cat".into(), ..Placement::default() });
    let whole = exchange(&trial.server, &trial.raw_poll()).expect("an answer");
    let length: usize = heard(&whole).header("content-length").and_then(|n| n.parse().ok()).expect("a length");
    assert_eq!(heard(&whole).body.len(), length);
    let hear = |fault: Fault| {
        trial.server.market().arm(fault, Some(Call::Orders), Some(1));
        let heard = exchange(&trial.server, &trial.raw_poll());
        assert_eq!(trial.server.market().recorder().faults.last().map(|fired| fired.fault), Some(fault));
        heard
    };
    assert_eq!(hear(Fault::DropBefore).expect("an end"), b"");
    assert_eq!(hear(Fault::CommitThenDrop).expect("an end"), b"");
    assert_eq!(hear(Fault::Slow).expect("an answer"), whole);
    assert_eq!(hear(Fault::Drip).expect("an answer"), whole);
    let half = heard(&hear(Fault::Truncate).expect("half an answer"));
    assert_eq!((half.header("content-length"), half.body.len()), (Some(length.to_string().as_str()), length / 2));
    assert!(hear(Fault::Garbage).expect("noise").starts_with(b"\x00\xff\xfe"));
    // The half that was sent may or may not be read before the reset is met; a clean end may not.
    assert!(hear(Fault::ResetMidBody).is_err());
    let foreign = heard(&hear(Fault::RedirectForeign).expect("an answer"));
    assert!(foreign.header("location").is_some_and(|to| to.starts_with("http://elsewhere.invalid/api/agents/")));
    let dated = heard(&hear(Fault::Status429Date).expect("an answer"));
    let until = dated.header("retry-after").and_then(Time::parse_http_date);
    assert_eq!((dated.status, until), (429, Some(Time::from_unix(START + 90))));
    assert_eq!(dated.header("date").and_then(Time::parse_http_date), Some(Time::from_unix(START)));
    let odd = hear(Fault::InvalidUtf8).expect("an answer");
    assert!(std::str::from_utf8(&odd).is_err());
}

#[test]
fn the_control_api_breaks_and_mends() {
    let trial = Trial::open(ServerVersion::Live);
    let armed = trial.post("/sandbox/faults", &json!({"fault": "status-500", "endpoint": "upload", "times": 1}));
    assert_eq!(armed.json()["armed"], json!([{"fault": "status-500", "call": "upload", "times": 1}]));
    assert_eq!(trial.get("/api/agents/AGENT/orders").status, 200);
    assert_eq!(trial.upload("image/png", b"x").status, 500);
    assert_eq!(trial.upload("image/png", b"x").status, 200);
    assert_eq!(trial.post("/sandbox/faults", &json!({"fault": "status-404-html"})).status, 200);
    assert_eq!(trial.get("/api/agents/me").status, 404);
    assert_eq!(trial.send("DELETE", "/sandbox/faults", "text/plain", b"").json()["armed"], json!([]));
    assert_eq!(trial.get("/api/agents/me").status, 200);
    for bad in [
        json!({"fault": "nonsense"}),
        json!({"fault": "slow", "endpoint": "x"}),
        json!({"fault": "slow", "times": 0}),
        json!([]),
    ] {
        assert_eq!(trial.post("/sandbox/faults", &bad).status, 400, "{bad}");
    }
    assert_eq!(trial.post("/sandbox/orders/none/accept", &json!({})).status, 404);
    assert_eq!(trial.post("/sandbox/orders", &json!({"brief": "x".repeat(3001)})).status, 400);
    let order = trial.post("/sandbox/orders", &json!({"brief": "a cat"})).json()["order_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(trial.post(&format!("/sandbox/orders/{order}/accept"), &json!({})).status, 409);
    let overview = trial.get("/sandbox");
    assert_eq!(overview.json()["orders"][0]["brief"], "a cat");
    assert_eq!(overview.json()["recorder"]["registrations"][0]["agent_id"], json!(trial.agent));
    assert!(!String::from_utf8_lossy(&overview.body).contains(&trial.key), "no key in the overview");
}

#[test]
fn other_sites_and_false_names_do_not_control_it() {
    let trial = Trial::open(ServerVersion::Live);
    let status = |headers: &str| {
        let text = format!(
            "POST /sandbox/orders HTTP/1.1\r\nConnection: close\r\n{headers}Content-Length: 13\r\n\r\n{{\"brief\":\"x\"}}"
        );
        heard(&exchange(&trial.server, text.as_bytes()).expect("an answer")).status
    };
    let host = trial.server.address();
    assert_eq!(status(&format!("Host: {host}\r\n")), 201);
    assert_eq!(status(&format!("Host: {host}\r\nOrigin: http://{host}\r\n")), 201);
    assert_eq!(status(&format!("Host: {host}\r\nOrigin: https://evil.example\r\n")), 403);
    assert_eq!(status("Host: evil.example\r\n"), 403);
    assert_eq!(status(""), 403);
    assert_eq!(trial.server.market().statuses().count(), 2);
}

#[test]
fn a_world_in_a_folder_is_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |server_version| {
        let (options, clock) = options(server_version);
        Server::start(Options { folder: Some(folder.path().join("world")), ..options }).map(|server| (server, clock))
    };
    let (server, clock) = start(ServerVersion::Live).expect("a server");
    let enrolled = server.market().add_agent(Time::from_unix(START), "Night Shift");
    let trial = Trial { server, clock, agent: enrolled.agent_id, key: enrolled.api_key };
    let url = trial.upload("image/png", b"picture").json()["data"]["url"].as_str().expect("an address").to_owned();
    let path = trial.path_of(&url).to_owned();
    let order = trial.server.market().place(Time::from_unix(START), Placement::default());
    assert!(start(ServerVersion::Live).is_err_and(|error| error.to_string().contains("another sandbox is using")));
    let Trial { server, agent, key, .. } = trial;
    drop(server);

    assert!(start(ServerVersion::Document).is_err_and(|error| error.to_string().contains("is live")));
    let (server, clock) = start(ServerVersion::Live).expect("a server");
    let trial = Trial { server, clock, agent, key };
    assert_eq!(trial.get(&path).body, b"picture");
    assert_eq!(trial.get("/api/agents/AGENT/orders").json()["data"][0]["id"], json!(order));
    drop(trial);

    let world = folder.path().join("world/world.json");
    std::fs::write(&world, "{\"server_version\":").expect("damage");
    assert!(start(ServerVersion::Live).is_err_and(|error| error.to_string().contains("move it away")));
    assert_eq!(
        std::fs::read_to_string(&world).expect("the damaged world"),
        "{\"server_version\":",
        "never overwritten"
    );
}

#[test]
fn it_stops_when_dropped_whoever_is_connected() {
    let (options, _clock) = options(ServerVersion::Live);
    let server = Server::start(Options { slowness: Duration::from_secs(600), ..options }).expect("a server");
    server.market().arm(Fault::Slow, None, None);
    let mut idle = TcpStream::connect(server.address()).expect("a connection");
    let mut waiting = TcpStream::connect(server.address()).expect("a connection");
    waiting.write_all(b"GET /api/agents/me HTTP/1.1\r\n\r\n").expect("a request");
    while server.market().recorder().faults.is_empty() {
        std::thread::yield_now();
    }
    let address = server.address();
    let begun = std::time::Instant::now();
    drop(server);
    assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
    let mut end = Vec::new();
    let _ = idle.read_to_end(&mut end);
    assert!(end.is_empty() && TcpStream::connect(address).is_err());
}

#[test]
fn a_person_plays_the_client_on_a_page_without_scripts() {
    let trial = Trial::open(ServerVersion::Live);
    let service = json!({"category": "image_gen", "title": "Posters <b>", "description": "x".repeat(60), "price_usd": "5.00", "price_type": "fixed"});
    assert_eq!(trial.post("/api/agents/AGENT/services", &service).status, 201);
    let page = trial.get("/sandbox/page");
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert_eq!(page.status, 200);
    assert!(text.contains("Posters &lt;b&gt;") && text.contains("commit-then-drop"), "{text}");
    assert!(!text.contains("<script") && page.header("content-security-policy").is_some());
    let form = |path: &str, body: &str| trial.send("POST", path, "application/x-www-form-urlencoded", body.as_bytes());
    let id = text.split("<option value=\"svc_").nth(1).and_then(|rest| rest.split('"').next()).expect("a service");
    let placed =
        form("/sandbox/page/orders", &format!("service_id=svc_{id}&brief=A+%3Cscript%3E+at+dusk&reference_urls="));
    assert_eq!((placed.status, placed.header("location")), (303, Some("/sandbox/page")));
    let orders = String::from_utf8_lossy(&trial.get("/sandbox/page/orders").body).into_owned();
    assert!(orders.contains("<b>paid</b>") && orders.contains("A &lt;script&gt; at dusk"), "{orders}");
    let order = orders
        .split("/sandbox/page/orders/")
        .nth(1)
        .and_then(|rest| rest.split(['/', '"']).next())
        .expect("an order")
        .to_owned();
    assert_eq!(form(&format!("/sandbox/page/orders/{order}/message"), "message=more+red").status, 303);
    assert_eq!(form(&format!("/sandbox/page/orders/{order}/accept"), "").status, 409);
    assert_eq!(form(&format!("/sandbox/page/orders/{order}/cancel"), "").status, 303);
    let orders = String::from_utf8_lossy(&trial.get("/sandbox/page/orders").body).into_owned();
    assert!(orders.contains("<b>cancelled</b>") && orders.contains("more red"), "{orders}");
    assert_eq!(form("/sandbox/page/faults", "fault=status-500&endpoint=orders&times=1").status, 303);
    assert!(trial.server.market().armed().iter().count() == 1);
    assert_eq!(form("/sandbox/page/behave", "").status, 303);
    assert!(trial.server.market().armed().iter().count() == 0);
    assert_eq!(trial.get("/sandbox/page/nothing").status, 404);
}
