//! The sandbox over HTTP: every endpoint in both server versions, faults as bytes, the control API and its page.
//!
//! The client is a raw socket, so that nothing a real client would tidy up is hidden.

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

/// A served sandbox whose clock the test sets, and an agent that sends requests to it.
struct Client {
    server: Server,
    clock: Arc<AtomicI64>,
    agent: String,
    key: String,
}

/// A response, byte for byte.
struct Response {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Response {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
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

/// Everything the server sends back to `bytes` on a new connection; an error where the connection broke.
fn exchange(server: &Server, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    Ok(response)
}

fn parse_response(bytes: &[u8]) -> Response {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("headers") + 4;
    let headers = String::from_utf8(bytes[..end].to_vec()).expect("headers in UTF-8");
    let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Response { status, headers, body: bytes[end..].to_vec() }
}

fn form(content_type: &str, content: &[u8]) -> Vec<u8> {
    let start = format!(
        "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"result.png\"\r\nContent-Type: {content_type}\r\n\r\n"
    );
    [start.as_bytes(), content, b"\r\n--xyz--\r\n"].concat()
}

impl Client {
    /// Serves an empty market and registers over HTTP.
    fn open(server_version: ServerVersion) -> Self {
        let (options, clock) = options(server_version);
        let server = Server::start(options).expect("a server");
        let mut client = Self { server, clock, agent: String::new(), key: String::new() };
        let body = json!({"name": "Night Shift", "description": "ten letters or more", "endpoint_url": "https://a.example",
            "capabilities": ["image_gen"], "avatar_url": "https://a.example/face.png"});
        let registered = client.post("/api/agents/register", &body);
        assert_eq!(registered.status, 201, "{}", registered.headers);
        let data = &registered.json()["data"];
        client.agent = data["agent_id"].as_str().expect("an id").to_owned();
        client.key = data["api_key"].as_str().expect("a key").to_owned();
        client
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

    fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Response {
        let path = path.replace("AGENT", &self.agent);
        parse_response(&exchange(&self.server, &self.request(method, &path, content_type, body)).expect("an answer"))
    }

    fn get(&self, path: &str) -> Response {
        self.send("GET", path, "text/plain", b"")
    }

    fn post(&self, path: &str, body: &Value) -> Response {
        self.send("POST", path, "application/json", body.to_string().as_bytes())
    }

    fn upload(&self, content_type: &str, content: &[u8]) -> Response {
        self.send("POST", "/api/upload", "multipart/form-data; boundary=xyz", &form(content_type, content))
    }

    fn later(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The path of one of the server's URLs.
    fn path_of<'a>(&self, url: &'a str) -> &'a str {
        url.strip_prefix(&format!("http://{}", self.server.address())).expect("an address of the sandbox")
    }

    fn raw_poll(&self) -> Vec<u8> {
        self.request("GET", &format!("/api/agents/{}/orders", self.agent), "text/plain", b"")
    }
}

const SERVICE: &str = "A service whose description is long enough for the live server too.";

/// A seller's session through every endpoint of the document.
fn a_sellers_session(server_version: ServerVersion) {
    let client = Client::open(server_version);
    a_profile_is_changed(&client);
    let (service, quoting) = services_are_listed(&client);
    let order = an_order_is_delivered(&client, &service, server_version);
    messages_are_exchanged(&client, &order);
    a_quote_is_paid_and_cancelled(&client, &quoting);

    // Ten requests have gone out by now, and the live server's one count lets no token through after ten.
    client.later(3601);
    let launched = client.post("/api/agents/AGENT/token/launch", &json!({"symbol": "CAT"}));
    assert!(launched.json()["data"]["mint"].is_string());
    assert_eq!(client.post("/api/agents/AGENT/token/launch", &json!({"symbol": "CAT"})).status, 409);
    let path = format!("/api/services/{service}");
    assert_eq!(client.send("DELETE", &path, "text/plain", b"").status, 200);
    assert_eq!(client.send("DELETE", &path, "text/plain", b"").status, 404);

    client.later(48 * 3600);
    assert_eq!(client.get("/api/agents/AGENT/orders?status=completed").json()["data"][0]["id"], json!(order));
    let market = client.server.market();
    let recorder = market.recorder();
    assert_eq!(recorder.deliveries_of(&order).len(), 1);
    assert_eq!(
        (recorder.uploads.len(), recorder.registrations.len(), recorder.services.len(), recorder.tokens.len()),
        (1, 1, 2, 1)
    );
    assert_eq!(recorder.payouts[0].usd, "6.750000");
}

fn a_profile_is_changed(client: &Client) {
    let me = client.get("/api/agents/me");
    assert_eq!((me.status, &me.json()["data"]["id"]), (200, &json!(client.agent)));
    assert!(!String::from_utf8_lossy(&me.body).contains(&client.key), "the key is masked");
    let wallet = |value: Value| {
        client.send(
            "PATCH",
            "/api/agents/me",
            "application/json",
            json!({"payout_wallet": value}).to_string().as_bytes(),
        )
    };
    assert_eq!(wallet(json!("Wa11et")).json()["data"]["payout_wallet"], "Wa11et");
    assert_eq!(wallet(Value::Null).json()["data"]["payout_wallet"], Value::Null);
    assert_eq!(wallet(json!("Wa11et")).status, 200);
}

/// Returns the ids of a service with a fixed price and of one by quote.
fn services_are_listed(client: &Client) -> (String, String) {
    let service = json!({"category": "image_gen", "title": "A title", "description": SERVICE, "price_usd": "5.00", "price_type": "fixed"});
    let created = client.post("/api/agents/AGENT/services", &service);
    assert_eq!(created.status, 201);
    let service_id = created.json()["data"]["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/services/{service_id}");
    let changed = client.send("PATCH", &path, "application/json", br#"{"price_usd": "7.50"}"#);
    assert_eq!(changed.json()["data"]["price_usd"], "7.50");
    let quoting = json!({"category": "custom", "title": "By quote", "description": SERVICE, "price_usd": "1", "price_type": "quote"});
    let quoting =
        client.post("/api/agents/AGENT/services", &quoting).json()["data"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(client.get("/api/agents/AGENT/services").json()["data"].as_array().map(Vec::len), Some(2));
    (service_id, quoting)
}

/// Returns the order's id.
fn an_order_is_delivered(client: &Client, service_id: &str, server_version: ServerVersion) -> String {
    let placed = client.post("/sandbox/orders", &json!({"brief": "a lighthouse", "service_id": service_id}));
    assert_eq!((placed.status, &placed.json()["status"]), (201, &json!("paid")));
    let order = placed.json()["order_id"].as_str().expect("an id").to_owned();
    let poll = client.get("/api/agents/AGENT/orders?status=paid,in_progress");
    assert_eq!(poll.json()["data"][0]["id"], json!(order));

    let uploaded = client.upload("image/png", b"not really a picture");
    assert_eq!((uploaded.status, &uploaded.json()["data"]["media_type"]), (200, &json!("image")));
    let url = uploaded.json()["data"]["url"].as_str().expect("an address").to_owned();
    let served = client.get(client.path_of(&url));
    assert_eq!(
        (served.header("content-type"), served.body.as_slice()),
        (Some("image/png"), &b"not really a picture"[..])
    );

    let deliver = json!({"deliverable_url": url, "deliverable_media_type": "image"});
    assert_eq!(client.post(&format!("/api/orders/{order}/deliver"), &deliver).status, 200);
    let one = client.get(&format!("/api/orders/{order}"));
    match server_version {
        ServerVersion::Live => assert_eq!(one.json()["data"]["deliverables"][0]["deliverable_url"], json!(url)),
        ServerVersion::Document => {
            assert_eq!((one.status, one.header("content-type")), (404, Some("text/html; charset=utf-8")));
        }
    }
    order
}

fn messages_are_exchanged(client: &Client, order: &str) {
    let thread = format!("/api/orders/{order}/messages");
    assert_eq!(client.post(&thread, &json!({"content": "  "})).status, 400);
    assert_eq!(client.post(&thread, &json!({"content": "x".repeat(2001)})).status, 400);
    assert_eq!(client.post(&thread, &json!({"content": " done "})).json()["data"]["content"], "done");
    assert_eq!(client.post(&format!("/sandbox/orders/{order}/message"), &json!({"message": "thanks"})).status, 200);
    let said = client.get(&thread).json();
    let said: Vec<_> =
        said["data"].as_array().expect("messages").iter().map(|m| (&m["sender_type"], &m["content"])).collect();
    assert_eq!(said, [(&json!("agent"), &json!("done")), (&json!("client"), &json!("thanks"))]);
}

fn a_quote_is_paid_and_cancelled(client: &Client, quoting: &str) {
    let asked = client.post("/sandbox/orders", &json!({"brief": "how much?", "service_id": quoting})).json();
    assert_eq!(asked["status"], "pending_quote");
    let asked = asked["order_id"].as_str().expect("an id").to_owned();
    assert_eq!(
        client.post(&format!("/api/orders/{asked}/quote"), &json!({"price_usd": "15.00"})).json()["data"]["status"],
        "quoted"
    );
    assert_eq!(client.post(&format!("/sandbox/orders/{asked}/pay"), &json!({})).json()["status"], "paid");
    assert_eq!(client.post(&format!("/sandbox/orders/{asked}/cancel"), &json!({})).json()["status"], "cancelled");
}

#[test]
fn a_sellers_session_by_the_document() {
    a_sellers_session(ServerVersion::Document);
}

#[test]
fn a_sellers_session_on_the_live_server() {
    a_sellers_session(ServerVersion::Live);
}

#[test]
fn thirty_polls_and_the_live_server_takes_no_upload_for_an_hour() {
    let client = Client::open(ServerVersion::Live);
    client.later(3601);
    for _ in 0..30 {
        assert_eq!(client.get("/api/agents/AGENT/orders?status=paid").status, 200);
    }
    client.later(1);
    let refused = client.upload("image/png", b"x");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("3599")));
    assert_eq!(refused.header("x-ratelimit-reset"), Some((START + 3601 + 3600).to_string().as_str()));
    assert_eq!(refused.json()["success"], false);
    client.later(3599);
    assert_eq!(client.upload("image/png", b"x").status, 429, "the reset itself is too early");
    client.later(1);
    assert_eq!(client.upload("image/png", b"x").status, 200);
    assert_eq!(client.server.market().recorder().refused(Endpoint::Upload), 2);
}

#[test]
fn the_document_counts_each_endpoint_by_itself() {
    let client = Client::open(ServerVersion::Document);
    for _ in 0..30 {
        assert_eq!(client.get("/api/agents/AGENT/orders").status, 200);
    }
    assert_eq!(client.get("/api/agents/AGENT/orders").status, 429);
    for _ in 0..30 {
        assert_eq!(client.upload("image/png", b"x").status, 200);
    }
    assert_eq!(client.upload("image/png", b"x").status, 429);
    for _ in 0..70 {
        assert_eq!(client.post("/api/orders/none/messages", &json!({})).status, 404, "messages have no limit");
    }
}

#[test]
fn what_an_upload_must_be() {
    let client = Client::open(ServerVersion::Live);
    let error =
        |response: Response| (response.status, response.json()["error"].as_str().unwrap_or_default().to_owned());
    assert_eq!(
        error(client.upload("image/png; charset=utf-8", b"x")),
        (400, "Unsupported file type: image/png; charset=utf-8".into())
    );
    assert_eq!(client.upload("image/png", b"").status, 200, "nobody looks at the bytes");
    assert_eq!(client.upload("text/markdown", b"# hi").json()["data"]["media_type"], "text");
    let nameless = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--xyz--\r\n";
    let nameless = client.send("POST", "/api/upload", "multipart/form-data; boundary=xyz", nameless);
    assert_eq!(error(nameless), (400, "No file provided".into()));
    let document = Client::open(ServerVersion::Document);
    assert_eq!(document.upload("text/markdown", b"# hi").status, 400);
    assert_eq!(document.get("/files/../lock").status, 404);
}

#[test]
fn a_file_too_large_for_the_platform_goes_by_the_blob_store() {
    let client = Client::open(ServerVersion::Live);
    client.server.market().limit_bodies(1000);
    let counted = client.server.market().recorder().requests.len();
    let file = vec![7; 2000];
    let refused = client.upload("video/mp4", &file);
    assert_eq!((refused.status, refused.header("content-type")), (413, Some("text/plain; charset=utf-8")));
    assert_eq!(client.server.market().recorder().requests.len(), counted, "the program never saw it");

    let granted = client.post("/api/upload/token", &json!({"content_type": "video/mp4", "filename": "a.mp4"})).json();
    let (token, pathname) = (&granted["data"]["upload_token"], &granted["data"]["pathname"]);
    let put = |token: &str, extra: &str| {
        let text = format!(
            "PUT /blob/?pathname={} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{extra}\
             Content-Type: video/mp4\r\nContent-Length: {}\r\n\r\n",
            pathname.as_str().expect("a name").replace('/', "%2F"),
            file.len()
        );
        parse_response(&exchange(&client.server, &[text.as_bytes(), &file].concat()).expect("an answer"))
    };
    let token = token.as_str().expect("a token");
    assert_eq!(put(&client.key, "x-api-version: 12\r\n").status, 403, "our key is not the store's");
    assert_eq!(put(token, "").status, 400);
    let stored = put(token, "x-api-version: 12\r\n");
    let url = stored.json()["url"].as_str().expect("an address").to_owned();
    assert_eq!(client.get(client.path_of(&url)).body, file);
    assert_eq!(put(token, "x-api-version: 12\r\n").status, 403, "a token is for one file");
    assert_eq!(Client::open(ServerVersion::Document).post("/api/upload/token", &json!({})).status, 404);
}

#[test]
fn one_connection_serves_many_requests_in_every_framing() {
    let client = Client::open(ServerVersion::Live);
    let before = client.server.connections();
    let get = "GET /api/agents/me HTTP/1.1\r\nHost: x\r\n\r\n";
    let chunked =
        "POST /api/agents/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let last = "POST /api/agents/register HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}";
    let said = exchange(&client.server, [get, chunked, get, last].concat().as_bytes()).expect("answers");
    let said = String::from_utf8(said).expect("text");
    let statuses: Vec<&str> = said.match_indices("HTTP/1.1 ").map(|(at, _)| &said[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["401", "400", "401", "400"]);
    assert!(said.contains("name is required"));
    assert_eq!(client.server.connections(), before + 1);
    assert_eq!(
        parse_response(&exchange(&client.server, b"\x16\x03\x01 hello\r\n\r\n").expect("an answer")).status,
        400
    );
}

#[test]
fn faults_as_bytes() {
    let client = Client::open(ServerVersion::Live);
    client.server.market().place(Time::from_unix(START), Placement { brief: "a cat".into(), ..Placement::default() });
    let whole = exchange(&client.server, &client.raw_poll()).expect("an answer");
    let length: usize = parse_response(&whole).header("content-length").and_then(|n| n.parse().ok()).expect("a length");
    assert_eq!(parse_response(&whole).body.len(), length);
    let fetch = |fault: Fault| {
        client.server.market().arm(fault, Some(Call::Orders), Some(1));
        let response = exchange(&client.server, &client.raw_poll());
        assert_eq!(client.server.market().recorder().faults.last().map(|fired| fired.fault), Some(fault));
        response
    };
    assert_eq!(fetch(Fault::DropBefore).expect("an end"), b"");
    assert_eq!(fetch(Fault::CommitThenDrop).expect("an end"), b"");
    assert_eq!(fetch(Fault::Slow).expect("an answer"), whole);
    assert_eq!(fetch(Fault::Drip).expect("an answer"), whole);
    let half = parse_response(&fetch(Fault::Truncate).expect("half an answer"));
    assert_eq!((half.header("content-length"), half.body.len()), (Some(length.to_string().as_str()), length / 2));
    assert!(fetch(Fault::Garbage).expect("noise").starts_with(b"\x00\xff\xfe"));
    // The half that was sent may or may not be read before the reset is met; a clean end may not.
    assert!(fetch(Fault::ResetMidBody).is_err());
    let foreign = parse_response(&fetch(Fault::RedirectForeign).expect("an answer"));
    assert!(foreign.header("location").is_some_and(|to| to.starts_with("http://elsewhere.invalid/api/agents/")));
    let dated = parse_response(&fetch(Fault::Status429Date).expect("an answer"));
    let until = dated.header("retry-after").and_then(Time::parse_http_date);
    assert_eq!((dated.status, until), (429, Some(Time::from_unix(START + 90))));
    assert_eq!(dated.header("date").and_then(Time::parse_http_date), Some(Time::from_unix(START)));
    let odd = fetch(Fault::InvalidUtf8).expect("an answer");
    assert!(std::str::from_utf8(&odd).is_err());
}

#[test]
fn the_control_api_arms_and_disarms_faults() {
    let client = Client::open(ServerVersion::Live);
    let armed = client.post("/sandbox/faults", &json!({"fault": "status-500", "endpoint": "upload", "times": 1}));
    assert_eq!(armed.json()["armed"], json!([{"fault": "status-500", "call": "upload", "times": 1}]));
    assert_eq!(client.get("/api/agents/AGENT/orders").status, 200);
    assert_eq!(client.upload("image/png", b"x").status, 500);
    assert_eq!(client.upload("image/png", b"x").status, 200);
    assert_eq!(client.post("/sandbox/faults", &json!({"fault": "status-404-html"})).status, 200);
    assert_eq!(client.get("/api/agents/me").status, 404);
    assert_eq!(client.send("DELETE", "/sandbox/faults", "text/plain", b"").json()["armed"], json!([]));
    assert_eq!(client.get("/api/agents/me").status, 200);
    for bad in [
        json!({"fault": "nonsense"}),
        json!({"fault": "slow", "endpoint": "x"}),
        json!({"fault": "slow", "times": 0}),
        json!([]),
    ] {
        assert_eq!(client.post("/sandbox/faults", &bad).status, 400, "{bad}");
    }
    assert_eq!(client.post("/sandbox/orders/none/accept", &json!({})).status, 404);
    assert_eq!(client.post("/sandbox/orders", &json!({"brief": "x".repeat(3001)})).status, 400);
    let order = client.post("/sandbox/orders", &json!({"brief": "a cat"})).json()["order_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(client.post(&format!("/sandbox/orders/{order}/accept"), &json!({})).status, 409);
    let overview = client.get("/sandbox");
    assert_eq!(overview.json()["orders"][0]["brief"], "a cat");
    assert_eq!(overview.json()["recorder"]["registrations"][0]["agent_id"], json!(client.agent));
    assert!(!String::from_utf8_lossy(&overview.body).contains(&client.key), "no key in the overview");
}

#[test]
fn other_sites_and_false_names_do_not_control_it() {
    let client = Client::open(ServerVersion::Live);
    let status = |headers: &str| {
        let text = format!(
            "POST /sandbox/orders HTTP/1.1\r\nConnection: close\r\n{headers}Content-Length: 13\r\n\r\n{{\"brief\":\"x\"}}"
        );
        parse_response(&exchange(&client.server, text.as_bytes()).expect("an answer")).status
    };
    let host = client.server.address();
    assert_eq!(status(&format!("Host: {host}\r\n")), 201);
    assert_eq!(status(&format!("Host: {host}\r\nOrigin: http://{host}\r\n")), 201);
    assert_eq!(status(&format!("Host: {host}\r\nOrigin: https://evil.example\r\n")), 403);
    assert_eq!(status("Host: evil.example\r\n"), 403);
    assert_eq!(status(""), 403);
    assert_eq!(client.server.market().statuses().count(), 2);
}

#[test]
fn state_in_a_folder_is_loaded_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |server_version| {
        let (options, clock) = options(server_version);
        Server::start(Options { folder: Some(folder.path().join("world")), ..options }).map(|server| (server, clock))
    };
    let (server, clock) = start(ServerVersion::Live).expect("a server");
    let enrolled = server.market().add_agent(Time::from_unix(START), "Night Shift");
    let client = Client { server, clock, agent: enrolled.agent_id, key: enrolled.api_key };
    let url = client.upload("image/png", b"picture").json()["data"]["url"].as_str().expect("an address").to_owned();
    let path = client.path_of(&url).to_owned();
    let order = client.server.market().place(Time::from_unix(START), Placement::default());
    assert!(start(ServerVersion::Live).is_err_and(|error| error.to_string().contains("another sandbox is using")));
    let Client { server, agent, key, .. } = client;
    drop(server);

    assert!(start(ServerVersion::Document).is_err_and(|error| error.to_string().contains("is for the live server")));
    let (server, clock) = start(ServerVersion::Live).expect("a server");
    let client = Client { server, clock, agent, key };
    assert_eq!(client.get(&path).body, b"picture");
    assert_eq!(client.get("/api/agents/AGENT/orders").json()["data"][0]["id"], json!(order));
    drop(client);

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
fn the_page_plays_the_client_without_scripts() {
    let client = Client::open(ServerVersion::Live);
    let service = json!({"category": "image_gen", "title": "Posters <b>", "description": "x".repeat(60), "price_usd": "5.00", "price_type": "fixed"});
    assert_eq!(client.post("/api/agents/AGENT/services", &service).status, 201);
    let page = |path: &str| {
        let page = client.get(&format!("/sandbox/page{path}"));
        assert_eq!((page.status, page.header("content-security-policy").is_some()), (200, true), "{path}");
        String::from_utf8_lossy(&page.body).into_owned()
    };
    assert!(page("").contains("No orders yet"), "an empty state says what to do");
    assert!(page("/market").contains("sandbox --webhooks") && page("/faults").contains("Arm a fault to see"));
    let new = page("/new");
    assert!(new.contains("Posters &lt;b&gt;") && !new.contains("<script") && !new.contains("<iframe"), "{new}");
    let form = |path: &str, body: &str| client.send("POST", path, "application/x-www-form-urlencoded", body.as_bytes());
    let id = new.split("<option value=\"svc_").nth(1).and_then(|rest| rest.split('"').next()).expect("a service");
    let placed =
        form("/sandbox/page/orders", &format!("service_id=svc_{id}&brief=A+%3Cscript%3E+at+dusk&reference_urls="));
    assert_eq!((placed.status, placed.header("location")), (303, Some("/sandbox/page")));
    let orders = page("");
    assert!(
        orders.contains(">paid</span>")
            && orders.contains("a run of the worker begins it")
            && orders.contains("A &lt;script&gt; at dusk"),
        "{orders}"
    );
    assert!(orders.contains("Posters &lt;b&gt; · $5.00 · "), "{orders}");
    let order = orders.split("/sandbox/page/orders/").nth(1).and_then(|rest| rest.split(['/', '"']).next());
    let order = order.expect("an order").to_owned();
    assert_eq!(form(&format!("/sandbox/page/orders/{order}/message"), "message=more+red").status, 303);
    assert_eq!(form(&format!("/sandbox/page/orders/{order}/accept"), "").status, 409);
    assert_eq!(form(&format!("/sandbox/page/orders/{order}/cancel"), "").status, 303);
    let cancelled = page(&format!("/orders/{order}"));
    assert!(cancelled.contains(">cancelled</span>") && cancelled.contains("more red"), "{cancelled}");
    assert_eq!(form("/sandbox/page/faults", "fault=status-500&endpoint=orders&times=1").status, 303);
    assert!(page("/faults").contains("Armed at a request to poll for orders, once: 500 as the marketplace writes it"));
    assert_eq!(form("/sandbox/page/disarm", "").status, 303);
    assert!(client.server.market().armed().is_empty());
    let agent = client.agent.clone();
    assert_eq!(form(&format!("/sandbox/page/agents/{agent}/review"), "").status, 303);
    assert_eq!(form(&format!("/sandbox/page/agents/{agent}/own"), "").status, 303);
    assert!(page("/market").contains("Under review: flagged for a manual review"));
    assert_eq!(form("/sandbox/page/bounties", "brief=A+mural&price_usd=40").status, 303);
    assert!(page("/market").contains("Bounty, $40"));
    assert_eq!(client.get("/sandbox/page/nothing").status, 404);
}

#[test]
fn the_page_says_when_the_hours_budget_is_what_one_waits_for() {
    let client = Client::open(ServerVersion::Live);
    let page = || String::from_utf8_lossy(&client.get("/sandbox/page").body).into_owned();
    assert!(page().contains("1 counted requests in the last hour, limit 30"));
    for _ in 0..29 {
        client.get("/api/agents/AGENT/orders");
    }
    assert!(
        page().contains("request budget is used up until 2026-11-23 16:21 UTC")
            && page().contains("sandbox --no-limits")
    );
    client.later(3601);
    assert!(!page().contains("used up"));
}

const BOTH: [ServerVersion; 2] = [ServerVersion::Document, ServerVersion::Live];

/// A PNG as far as its first bytes say.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and more";

impl Client {
    fn patch(&self, path: &str, body: &Value) -> Response {
        self.send("PATCH", path, "application/json", body.to_string().as_bytes())
    }

    /// Lists a service of this price type and returns its id.
    fn service(&self, price_type: &str) -> String {
        let body = json!({"category": "image_gen", "title": "A title", "description": SERVICE, "price_usd": "5.00",
            "price_type": price_type});
        text(&self.post("/api/agents/AGENT/services", &body).json()["data"]["id"])
    }

    /// Places an order through the control API and returns its id.
    fn place(&self, body: Value) -> String {
        let placed = self.post("/sandbox/orders", &body);
        assert_eq!(placed.status, 201, "{}", String::from_utf8_lossy(&placed.body));
        text(&placed.json()["order_id"])
    }

    fn act(&self, order: &str, verb: &str, body: Value) -> Response {
        self.post(&format!("/sandbox/orders/{order}/{verb}"), &body)
    }

    fn deliver(&self, order: &str, urls: &[&str]) -> Response {
        let files: Vec<Value> =
            urls.iter().map(|url| json!({"deliverable_url": url, "deliverable_media_type": "image"})).collect();
        let mut body = files[0].clone();
        body["deliverables"] = files.into();
        self.post(&format!("/api/orders/{order}/deliver"), &body)
    }

    fn detail(&self, order: &str) -> Value {
        self.get(&format!("/api/orders/{order}")).json()["data"].clone()
    }

    /// The order as a poll lists it.
    fn listed(&self, order: &str) -> Value {
        let listed = self.get("/api/agents/AGENT/orders").json();
        listed["data"].as_array().expect("orders").iter().find(|one| one["id"] == order).expect("the order").clone()
    }

    fn error(response: &Response) -> String {
        text(&response.json()["error"])
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_workspace_is_filled_by_the_sellers_delivery_alone() {
    for version in BOTH {
        let client = Client::open(version);
        client.patch("/api/agents/me", &json!({"payout_wallet": "Wa11et"}));
        let service = client.service("weekly");
        let (ours, empty) =
            (client.place(json!({"brief": "a", "service_id": service})), client.place(json!({"brief": "b"})));
        assert_eq!(client.listed(&ours)["status"], "in_progress");
        assert!(client.listed(&ours)["workspace_expires_at"].is_string());
        let generated = client.act(&ours, "generate", json!({}));
        assert_eq!(generated.status, 409);
        assert!(Client::error(&generated).contains("500 Service provider not configured"));
        assert_eq!(client.deliver(&ours, &["https://a.example/1.png"]).status, 200);
        assert_eq!(client.act(&ours, "accept", json!({})).json()["status"], "completed");
        client.later(7 * 86_400);
        if version == ServerVersion::Live {
            assert_eq!(client.detail(&empty)["order"]["status"], "delivered", "the window ended with nothing in it");
            client.later(48 * 3600);
            client.get("/api/agents/me");
            assert_eq!(client.detail(&empty)["order"]["payout_tx_hash"], Value::Null, "and is never paid");
            assert_eq!(client.server.market().recorder().payouts.len(), 1);
        } else {
            assert_eq!(client.listed(&empty)["status"], "completed");
        }
    }
}

#[test]
fn a_revision_leaves_a_message_or_nothing_at_all() {
    let client = Client::open(ServerVersion::Live);
    let order = client.place(json!({"brief": "a cat"}));
    let thread = format!("/api/orders/{order}/messages");
    for (round, feedback) in [(1, "bluer"), (2, ""), (3, "greener")] {
        client.deliver(&order, &[&format!("https://a.example/{round}.png")]);
        assert_eq!(client.act(&order, "revise", json!({"message": feedback})).status, 200);
        let listed = client.listed(&order);
        assert_eq!((&listed["status"], &listed["revision_count"]), (&json!("revision_requested"), &json!(round)));
        assert_eq!(listed["max_revisions"], 3);
    }
    let said: Vec<String> = client.get(&thread).json()["data"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|one| text(&one["content"]))
        .collect();
    assert_eq!(said, ["Revision request: bluer", "Revision request: greener"], "the second came by webhook only");
    client.deliver(&order, &["https://a.example/4.png"]);
    assert!(Client::error(&client.act(&order, "revise", json!({}))).contains("all 3 revisions"));
    let document = Client::open(ServerVersion::Document);
    let order = document.place(json!({"brief": "a cat"}));
    document.deliver(&order, &["https://a.example/1.png"]);
    assert_eq!(document.act(&order, "revise", json!({})).status, 409);
}

#[test]
fn a_second_delivery_supersedes_the_first_and_previews_are_told() {
    let client = Client::open(ServerVersion::Live);
    let order = client.place(json!({"brief": "a cat"}));
    let upload = |content: &[u8]| text(&client.upload("image/png", content).json()["data"]["url"]);
    let (broken, good) = (upload(b"not a picture"), upload(PNG));
    for unseen in ["https://elsewhere.example/a.png", broken.as_str()] {
        let answer = client.deliver(&order, &[unseen]).json();
        assert_eq!(answer["data"].get("deliverable_preview_url"), Some(&Value::Null), "{unseen}");
    }
    let answer = client.deliver(&order, &[&good]).json();
    assert_eq!(answer["data"]["deliverable_preview_url"], json!(format!("{good}?preview=1")));
    assert_eq!(client.get(client.path_of(&format!("{good}?preview=1"))).body, PNG);
    let detail = client.detail(&order);
    let rows: Vec<&str> =
        detail["deliverables"].as_array().expect("rows").iter().filter_map(|row| row["status"].as_str()).collect();
    assert_eq!(rows, ["active", "superseded", "superseded"]);
    assert_eq!(detail["deliverables"][0]["deliverable_url"], json!(good));

    let document = Client::open(ServerVersion::Document);
    let order = document.place(json!({"brief": "a cat"}));
    let first = document.deliver(&order, &["https://a.example/1.png", "https://a.example/2.png"]);
    assert_eq!(first.status, 200);
    assert!(first.json()["data"].get("deliverable_preview_url").is_none(), "an absent member says nothing");
    assert_eq!(document.server.market().recorder().deliveries_of(&order)[0].urls, ["https://a.example/1.png"]);
    let second = document.deliver(&order, &["https://a.example/2.png"]);
    assert_eq!(
        (second.status, Client::error(&second).as_str()),
        (400, "Cannot deliver order with status \"delivered\"")
    );
    // A list alone: the first of it is kept, the rest is dropped without an error.
    let order = document.place(json!({"brief": "a dog"}));
    let list = json!({"deliverables": [{"url": "https://a.example/3.png", "media_type": "image"},
        {"url": "https://a.example/4.png", "media_type": "image"}]});
    assert_eq!(document.post(&format!("/api/orders/{order}/deliver"), &list).status, 200);
    assert_eq!(document.server.market().recorder().deliveries_of(&order)[0].urls, ["https://a.example/3.png"]);
}

#[test]
fn what_is_under_review_cannot_be_hired() {
    let client = Client::open(ServerVersion::Live);
    let service = client.service("fixed");
    let moderation = |path: &str| client.get(path).json()["data"].clone();
    assert_eq!(moderation("/api/agents/me")["moderation"], json!({"status": "approved", "reason": null}));
    let agent = format!("/sandbox/agents/{}", client.agent);
    client.post(&format!("{agent}/review"), &json!({"message": "looks like spam"}));
    assert_eq!(moderation("/api/agents/me")["moderation"], json!({"status": "review", "reason": "looks like spam"}));
    let refused = client.post("/sandbox/orders", &json!({"brief": "a cat"}));
    assert!(Client::error(&refused).contains("under review and cannot be hired"));
    client.post(&format!("{agent}/approve"), &json!({}));
    client.post(&format!("/sandbox/services/{service}/review"), &json!({"message": "misleading"}));
    assert_eq!(moderation("/api/agents/AGENT/services")[0]["moderation"]["reason"], "misleading");
    assert_eq!(client.post("/sandbox/orders", &json!({"brief": "a cat", "service_id": service})).status, 400);
    client.post(&format!("/sandbox/services/{service}/approve"), &json!({}));
    assert_eq!(client.post("/sandbox/orders", &json!({"brief": "a cat", "service_id": service})).status, 201);
    let document = Client::open(ServerVersion::Document);
    assert!(document.get("/api/agents/me").json()["data"].get("moderation").is_none());
}

#[test]
fn an_unpaid_order_is_paid_once_there_is_an_address_on_either_chain() {
    let client = Client::open(ServerVersion::Live);
    let order = client.place(json!({"brief": "a cat", "price_usd": "5.00"}));
    let retry = format!("/api/orders/{order}/request-payout-retry");
    assert!(Client::error(&client.post(&retry, &json!({}))).contains("with status \"paid\""));
    client.deliver(&order, &["https://a.example/1.png"]);
    client.act(&order, "accept", json!({}));
    assert_eq!(client.detail(&order)["order"]["payout_tx_hash"], Value::Null);
    assert!(Client::error(&client.post(&retry, &json!({}))).contains("No payout address"));
    assert_eq!(client.patch("/api/agents/me", &json!({"payout_address_base": "0x12"})).status, 400);
    let base = json!({"payout_chain": "base", "payout_address_base": format!("0x{}", "a1".repeat(20)), "ai_models": ["a model"]});
    let profile = client.patch("/api/agents/me", &base).json()["data"].clone();
    assert_eq!((&profile["payout_chain"], &profile["marketable"]), (&json!("base"), &json!(true)));
    assert_eq!(profile["ai_models"], "[\"a model\"]");
    let paid = client.post(&retry, &json!({}));
    assert_eq!(paid.status, 200);
    assert!(paid.json()["data"]["payout_tx_hash"].is_string());
    assert_eq!(Client::error(&client.post(&retry, &json!({}))), "Payout already completed");
    assert_eq!(client.server.market().recorder().payouts[0].usd, "4.500000");

    let document = Client::open(ServerVersion::Document);
    let order = document.place(json!({"brief": "a cat"}));
    assert_eq!(document.post(&format!("/api/orders/{order}/request-payout-retry"), &json!({})).status, 404);
    assert!(document.listed(&order).get("payout_tx_hash").is_none(), "cannot be seen there");
    assert!(document.patch("/api/agents/me", &base).json()["data"].get("payout_chain").is_none());
}

#[test]
fn an_instant_order_is_paid_in_full_at_once() {
    let client = Client::open(ServerVersion::Live);
    client.patch("/api/agents/me", &json!({"payout_wallet": "Wa11et"}));
    let order = client.place(json!({"brief": "a cat", "price_usd": "5.00", "instant": true}));
    let listed = client.listed(&order);
    assert_eq!((&listed["payment_method"], &listed["platform_fee_bps"]), (&json!("x402"), &json!(0)));
    assert!(listed["payout_tx_hash"].is_string());
    client.deliver(&order, &["https://a.example/1.png"]);
    client.act(&order, "accept", json!({}));
    let market = client.server.market();
    let paid: Vec<&str> = market.recorder().payouts.iter().map(|payout| payout.usd.as_str()).collect();
    assert_eq!(paid, ["5.000000"], "once, and without the fee");
}

#[test]
fn a_paused_agents_key_is_refused_everywhere_else() {
    let client = Client::open(ServerVersion::Live);
    let active = |on: u8| client.patch("/api/agents/AGENT/active", &json!({"active": on})).status;
    assert_eq!(active(0), 200);
    assert_eq!(client.get("/api/agents/me").status, 401);
    assert_eq!(client.get("/api/agents/AGENT/orders").status, 403);
    assert_eq!(active(1), 200);
    assert_eq!(client.get("/api/agents/me").status, 200);
    assert_eq!(active(2), 400);
    assert_eq!(
        Client::open(ServerVersion::Document).patch("/api/agents/AGENT/active", &json!({"active": 0})).status,
        404
    );
}

#[test]
fn requirements_reviews_and_figures() {
    let client = Client::open(ServerVersion::Live);
    let service = client.service("fixed");
    let fields = json!([{"label": "Which colours?", "required": true}]);
    let changed = client.patch(&format!("/api/services/{service}"), &json!({"requirement_fields": fields}));
    assert_eq!(changed.json()["data"]["requirement_fields"], json!(fields.to_string()));
    assert_eq!(client.patch(&format!("/api/services/{service}"), &json!({"requirement_fields": ["x"]})).status, 400);
    let answers = json!({"Which colours?": "red"});
    let order = client.place(json!({"brief": "un chat", "service_id": service, "requirement_answers": answers,
        "brief_english": "a cat"}));
    let listed = client.listed(&order);
    assert_eq!(
        (&listed["requirement_answers"], &listed["brief_english"]),
        (&json!(answers.to_string()), &json!("a cat"))
    );
    assert_eq!(client.act(&order, "review", json!({"rating": 5})).status, 409, "not before it is completed");
    client.deliver(&order, &["https://a.example/1.png"]);
    client.act(&order, "accept", json!({}));
    assert_eq!(client.act(&order, "review", json!({"rating": 9})).status, 409);
    assert_eq!(client.act(&order, "review", json!({"rating": 4, "message": "lovely"})).status, 200);
    assert_eq!(client.detail(&order)["review"]["comment"], "lovely");
    let public = client.get("/api/agents/AGENT").json()["data"].clone();
    assert_eq!((&public["reviews"][0]["rating"], &public["stats"]["avg_rating"]), (&json!(4), &json!(4.0)));
    assert_eq!((&public["stats"]["completed_orders"], &public["agent"]["name"]), (&json!(1), &json!("Night Shift")));
    // The document knows none of it: the member is taken without an error and without effect.
    let document = Client::open(ServerVersion::Document);
    let service = document.service("fixed");
    let changed =
        document.patch(&format!("/api/services/{service}"), &json!({"max_revisions": 1, "requirement_fields": fields}));
    assert_eq!(changed.status, 200);
    assert!(
        changed.json()["data"].get("max_revisions").is_none()
            && changed.json()["data"].get("requirement_fields").is_none()
    );
    assert_eq!(document.get("/api/agents/AGENT").status, 404);
}

#[test]
fn a_bounty_is_claimed_and_becomes_an_order() {
    let client = Client::open(ServerVersion::Live);
    let bounty =
        text(&client.post("/sandbox/bounties", &json!({"brief": "a mural", "price_usd": "40.00"})).json()["bounty_id"]);
    assert_eq!(client.get("/api/bounties").json()["data"][0]["budget_usd"], "40.00");
    let claim = format!("/api/bounties/{bounty}/claim");
    let refused = client.post(&claim, &json!({}));
    assert_eq!((refused.status, Client::error(&refused).contains("must have an owner")), (403, true));
    client.post(&format!("/sandbox/agents/{}/own", client.agent), &json!({}));
    assert_eq!(client.post(&claim, &json!({})).status, 201);
    assert_eq!(client.post(&claim, &json!({})).status, 409);
    assert_eq!(client.send("DELETE", &claim, "text/plain", b"").status, 200);
    assert_eq!(client.send("DELETE", &claim, "text/plain", b"").status, 404);
    assert_eq!(client.post(&format!("/sandbox/bounties/{bounty}/accept"), &json!({})).status, 409, "nobody claims it");
    assert_eq!(client.post(&claim, &json!({})).status, 201);
    let order = text(&client.post(&format!("/sandbox/bounties/{bounty}/accept"), &json!({})).json()["order_id"]);
    let listed = client.listed(&order);
    assert_eq!(
        (&listed["status"], &listed["service_id"], &listed["brief"]),
        (&json!("paid"), &Value::Null, &json!("a mural"))
    );
    assert_eq!(client.get("/api/bounties").json()["data"], json!([]));
    assert_eq!(Client::open(ServerVersion::Document).get("/api/bounties").status, 404);
}

#[test]
fn names_of_the_live_server_have_reserved_words_and_a_duplicate_has_a_hint() {
    let register = |client: &Client, name: &str| {
        client.post(
            "/api/agents/register",
            &json!({"name": name, "description": "ten letters or more", "endpoint_url": "https://a.example"}),
        )
    };
    let client = Client::open(ServerVersion::Live);
    let counted = client.server.market().recorder().accepted(Endpoint::Register);
    let refused = register(&client, "Official Posters");
    assert_eq!((refused.status, Client::error(&refused).as_str()), (400, "name contains a reserved word: official"));
    assert_eq!(client.server.market().recorder().accepted(Endpoint::Register), counted + 1, "it costs a registration");
    assert_eq!(register(&client, "Contested").status, 201, "a word, not a part of one");
    let duplicate = register(&client, "Night Shift").json();
    assert_eq!(
        (text(&duplicate["error"]).as_str(), text(&duplicate["api_key_hint"]).starts_with("atelier_****")),
        ("duplicate_agent", true)
    );
    assert_eq!(register(&Client::open(ServerVersion::Document), "Official Posters").status, 201);
}

#[test]
fn a_token_launch_that_fails_launches_nothing() {
    for version in BOTH {
        let client = Client::open(version);
        let launch = || {
            client.post(
                "/api/agents/AGENT/token/launch",
                &json!({"symbol": "CAT", "image_url": "https://a.example/c.png", "description": "a cat"}),
            )
        };
        for (fault, status, says) in [
            ("token-wallet", 503, "Agent wallet is unavailable"),
            ("token-avatar", 502, "Failed to download agent avatar"),
            ("token-account", 400, "Link an X account"),
        ] {
            client.post("/sandbox/faults", &json!({"fault": fault, "endpoint": "token", "times": 1}));
            let failed = launch();
            assert_eq!((failed.status, Client::error(&failed).contains(says)), (status, true), "{fault}");
        }
        assert!(client.server.market().recorder().tokens.is_empty());
        assert_eq!(launch().status, 200);
    }
}

#[test]
fn messages_wait_for_the_quote() {
    for version in BOTH {
        let client = Client::open(version);
        let order = client.place(json!({"brief": "how much?", "service_id": client.service("quote")}));
        let refused = client.post(&format!("/api/orders/{order}/messages"), &json!({"content": "hello"}));
        assert_eq!(
            (refused.status, Client::error(&refused).as_str()),
            (400, "Cannot send messages on order with status \"pending_quote\"")
        );
    }
}

#[test]
fn the_platforms_own_pages_stand_in_for_any_answer() {
    let client = Client::open(ServerVersion::Live);
    for (fault, status, says) in [
        ("checkpoint-403", 403, "Security Checkpoint"),
        ("checkpoint-429", 429, "Security Checkpoint"),
        ("deployment-disabled", 402, "DEPLOYMENT_DISABLED"),
        ("deployment-not-found", 404, "DEPLOYMENT_NOT_FOUND"),
        ("status-522", 522, "Connection timed out"),
    ] {
        client.post("/sandbox/faults", &json!({"fault": fault, "times": 1}));
        let response = client.get("/api/agents/me");
        assert_eq!((response.status, response.json()), (status, Value::Null), "{fault} is not JSON");
        assert!(String::from_utf8_lossy(&response.body).contains(says), "{fault}");
        assert!(response.header("retry-after").is_none(), "{fault}");
    }
}

#[test]
fn without_limits_everything_is_counted_and_nothing_refused() {
    for version in BOTH {
        let (options, _clock) = options(version);
        let server = Server::start(Options { no_limits: true, ..options }).expect("a server");
        let agent = server.market().add_agent(Time::from_unix(START), "Night Shift");
        let client = Client { server, clock: Arc::default(), agent: agent.agent_id, key: agent.api_key };
        assert!((0..100).all(|_| client.get("/api/agents/AGENT/orders").status == 200));
        assert_eq!(client.server.market().recorder().accepted(Endpoint::Orders), 100);
    }
}
