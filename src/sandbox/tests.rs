//! The pure market: each server_version's words, the order's life, and what faults make of an answer.

use serde_json::{Value, json};

use super::*;
use crate::domain::limits::Endpoint;
use crate::domain::order::{Order, Status};
use crate::domain::time::Time;

const NOW: Time = Time::from_unix(1_795_447_278);

struct Shop {
    market: Market,
    agent: AgentCredentials,
    now: Time,
}

impl Shop {
    fn open(server_version: ServerVersion) -> Self {
        let mut market = Market::new(server_version, 1);
        let agent = market.add_agent(NOW, "Night Shift");
        Self { market, agent, now: NOW }
    }

    fn later(&mut self, seconds: i64) -> &mut Self {
        self.now = self.now.shifted(seconds);
        self
    }

    fn send(&mut self, request: Request) -> (u16, Value) {
        let reply = self.market.handle(self.now, &request.with_key(&self.agent.api_key));
        (reply.status, reply.body_json())
    }

    fn get(&mut self, path: &str) -> (u16, Value) {
        self.send(Request::get(path))
    }

    fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Request::new("POST", path).with_json(body))
    }

    fn order(&mut self) -> String {
        self.market.place(self.now, Placement { brief: "a cat".into(), ..Placement::default() })
    }

    fn deliver(&mut self, id: &str, url: &str) -> (u16, Value) {
        let body = json!({"deliverable_url": url, "deliverable_media_type": "image"});
        self.post(&format!("/api/orders/{id}/deliver"), &body)
    }

    fn poll(&mut self, filter: &str) -> Vec<Value> {
        let path = format!("/api/agents/{}/orders?status={filter}", self.agent.agent_id);
        self.get(&path).1["data"].as_array().unwrap().clone()
    }
}

const BOTH: [ServerVersion; 2] = [ServerVersion::Document, ServerVersion::Live];

#[test]
fn the_same_seed_makes_the_same_world() {
    let life = |seed| {
        let mut market = Market::new(ServerVersion::Live, seed);
        let agent = market.add_agent(NOW, "a");
        (agent, market.place(NOW, Placement::default()))
    };
    assert_eq!(life(7), life(7));
    assert_ne!(life(7), life(8));
}

#[test]
fn the_world_survives_being_written() {
    let mut shop = Shop::open(ServerVersion::Live);
    let id = shop.order();
    shop.deliver(&id, "https://a.example/1.png");
    shop.market.arm(Fault::Slow, Some(Call::Orders), Some(2));
    let text = serde_json::to_string(&shop.market).unwrap();
    let again: Market = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
    assert_eq!(again.recorder(), shop.market.recorder());
}

#[test]
fn each_server_version_writes_orders_its_own_way() {
    let mut shop = Shop::open(ServerVersion::Document);
    shop.order();
    let document = shop.poll("paid")[0].clone();
    assert_eq!(document.as_object().unwrap().len(), 10, "exactly the document's members: {document}");
    assert_eq!(document["reference_urls"], json!([]));
    assert_eq!(document["created_at"], "2026-11-23T15:21:18.000Z");

    let mut shop = Shop::open(ServerVersion::Live);
    let urls = vec!["https://a.example".to_owned()];
    shop.market.place(NOW, Placement { reference_urls: urls.clone(), ..Placement::default() });
    let live = shop.poll("paid")[0].clone();
    assert!((30..=45).contains(&live.as_object().unwrap().len()), "{live}");
    assert_eq!(live["reference_urls"], "[\"https://a.example\"]");
    assert_eq!(live["reference_images"], Value::Null);
    assert_eq!(live["created_at"], "2026-11-23 15:21:18");
    assert_eq!(Order::parse(live).unwrap().reference_urls, urls);
}

#[test]
fn an_order_from_payment_to_payout() {
    for server_version in BOTH {
        let mut shop = Shop::open(server_version);
        let service = shop.market.add_service(NOW, &shop.agent.agent_id.clone(), "fixed", 0);
        let id = shop.market.place(NOW, Placement { service_id: Some(service), ..Placement::default() });
        assert_eq!(shop.poll("paid,in_progress").len(), 1);
        assert_eq!(shop.deliver(&id, "https://a.example/1.png").0, 200);
        assert!(shop.poll("paid,in_progress").is_empty());
        shop.later(48 * 3600 - 1);
        shop.market.run_due(shop.now);
        assert_eq!(shop.market.status_of(&id), Some(&Status::Delivered));
        shop.later(1);
        assert_eq!(shop.poll("completed").len(), 1, "settled by being looked at");
        let paid: Vec<_> = shop.market.recorder().payouts.iter().map(|payout| payout.usd.as_str()).collect();
        assert_eq!(paid, ["4.500000"]);
    }
}

#[test]
fn a_second_delivery_is_refused_by_one_and_taken_by_the_other() {
    let mut shop = Shop::open(ServerVersion::Document);
    let id = shop.order();
    shop.deliver(&id, "https://a.example/1.png");
    let (status, body) = shop.deliver(&id, "https://a.example/2.png");
    assert_eq!((status, body["error"].as_str()), (400, Some("Cannot deliver order with status \"delivered\"")));
    assert_eq!(shop.market.recorder().deliveries_of(&id).len(), 1);

    let mut shop = Shop::open(ServerVersion::Live);
    let id = shop.order();
    shop.deliver(&id, "https://a.example/1.png");
    let both = json!({"deliverable_url": "https://a.example/0.png", "deliverable_media_type": "image", "deliverables": [
        {"deliverable_url": "https://a.example/2.png", "deliverable_media_type": "image"},
        {"url": "https://a.example/3.txt", "media_type": "text"}]});
    assert_eq!(shop.post(&format!("/api/orders/{id}/deliver"), &both).0, 200);
    let recorder = shop.market.recorder().deliveries_of(&id);
    assert_eq!((recorder[0].from.as_str(), recorder[1].from.as_str()), ("paid", "delivered"));
    assert_eq!(recorder[1].urls, ["https://a.example/2.png", "https://a.example/3.txt"]);
    let whole = shop.get(&format!("/api/orders/{id}")).1;
    assert_eq!(whole["data"]["deliverables"][1]["deliverable_url"], "https://a.example/3.txt");
    assert_eq!(whole["data"]["order"]["status"], "delivered");
}

#[test]
fn bad_deliveries_are_named() {
    for server_version in BOTH {
        let mut shop = Shop::open(server_version);
        let id = shop.order();
        let path = format!("/api/orders/{id}/deliver");
        let mut error = |body: Value| shop.post(&path, &body).1["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(error(json!({})), "deliverable_url is required");
        assert_eq!(error(json!({"deliverable_url": "file:///etc/passwd"})), "deliverable_url must be a valid URL");
        let odd = error(json!({"deliverable_url": "https://a.example", "deliverable_media_type": "image/png"}));
        assert!(odd.starts_with("deliverable_media_type must be one of: image, video"), "{odd}");
        assert_eq!(shop.post("/api/orders/none/deliver", &json!({})).0, 404);
        let other = shop.market.add_agent(NOW, "other");
        shop.agent = other;
        assert_eq!(shop.post(&path, &json!({})).0, 403);
        assert!(shop.market.recorder().deliveries.is_empty());
    }
}

#[test]
fn quotes_disputes_revisions_and_cancellations() {
    let mut shop = Shop::open(ServerVersion::Live);
    let service = shop.market.add_service(NOW, &shop.agent.agent_id.clone(), "quote", 0);
    let id = shop.market.place(NOW, Placement { service_id: Some(service), ..Placement::default() });
    assert_eq!(shop.poll("pending_quote")[0]["quoted_price_usd"], Value::Null);
    let path = format!("/api/orders/{id}/quote");
    assert_eq!(shop.post(&path, &json!({"price_usd": "0"})).0, 400);
    assert_eq!(shop.post(&path, &json!({"price_usd": "15.00"})).0, 200);
    let (status, body) = shop.post(&path, &json!({"price_usd": "15.00"}));
    assert_eq!((status, &body["error"]), (400, &json!("Cannot quote order with status \"quoted\"")));
    shop.market.pay_quote(NOW, &id).unwrap();
    assert!(shop.market.dispute(NOW, &id).is_err());
    shop.deliver(&id, "https://a.example/1.png");
    shop.market.request_revision(NOW, &id, "bluer").unwrap();
    assert_eq!(shop.poll("revision_requested")[0]["revision_count"], 1);
    let thread = shop.get(&format!("/api/orders/{id}/messages")).1;
    assert_eq!(thread["data"][0]["content"], "Revision request: bluer");
    assert_eq!(thread["data"][0]["sender_type"], "client");
    shop.deliver(&id, "https://a.example/2.png");
    shop.market.dispute(NOW, &id).unwrap();
    assert!(shop.market.cancel(NOW, &id).is_err());
    shop.deliver(&id, "https://a.example/3.png");
    shop.market.accept(NOW, &id).unwrap();
    assert_eq!(shop.market.status_of(&id), Some(&Status::Completed));
    let gone = shop.order();
    shop.market.cancel(NOW, &gone).unwrap();
    assert_eq!(shop.deliver(&gone, "https://a.example").0, 400);
    assert!(matches!(shop.market.cancel(NOW, "nobody"), Err(ControlError::Unknown(_))));
}

#[test]
fn subscriptions_are_windows() {
    for (server_version, kind, quota, days) in [
        (ServerVersion::Live, "weekly", 0, 7),
        (ServerVersion::Live, "fixed", 3, 1),
        (ServerVersion::Document, "monthly", 0, 30),
    ] {
        let mut shop = Shop::open(server_version);
        let service = shop.market.add_service(NOW, &shop.agent.agent_id.clone(), kind, quota);
        let id = shop.market.place(NOW, Placement { service_id: Some(service), ..Placement::default() });
        let listed = Order::parse(shop.poll("in_progress")[0].clone()).unwrap();
        assert!(listed.is_subscription());
        assert_eq!(listed.workspace_expires_at, Some(NOW.shifted(days * 86_400)));
        shop.later(days * 86_400);
        if server_version.is_live() {
            assert_eq!(shop.poll("in_progress").len(), 1, "nobody looked yet");
            let whole = shop.get(&format!("/api/orders/{id}")).1;
            assert_eq!(whole["data"]["order"]["status"], "delivered");
        } else {
            assert_eq!(shop.poll("completed").len(), 1);
        }
    }
}

#[test]
fn looking_at_stuck_work_offers_it_again() {
    let mut shop = Shop::open(ServerVersion::Live);
    let id = shop.order();
    shop.market.advance(NOW, &id).unwrap();
    let path = format!("/api/orders/{id}");
    assert_eq!(shop.later(600).get(&path).1["data"]["order"]["status"], "in_progress");
    assert_eq!(shop.later(1).get(&path).1["data"]["order"]["status"], "paid");
}

#[test]
fn the_limits_of_each_server_version() {
    let service = json!({"category": "seo", "title": "Tidy", "description": "x".repeat(39), "price_usd": "5.00", "price_type": "fixed"});
    let error = |server_version, change: Value| {
        let mut shop = Shop::open(server_version);
        let mut body = json!({"category": "custom", "title": "A title", "description": "x".repeat(40), "price_usd": "5.00", "price_type": "fixed"});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, answer) = shop.post(&format!("/api/agents/{}/services", shop.agent.agent_id), &body);
        if status == 201 { "received".to_owned() } else { answer["error"].as_str().unwrap().to_owned() }
    };
    use ServerVersion::{Document, Live};
    assert_eq!(error(Live, json!({})), "received");
    assert_eq!(error(Live, service.clone()), "title must be 5-80 characters");
    assert_eq!(
        error(Document, json!({"category": "seo"})),
        "category must be one of: image_gen, video_gen, ugc, influencer, brand_content, custom"
    );
    assert_eq!(error(Live, json!({"category": "seo"})), "received");
    assert_eq!(error(Document, json!({"title": "abc", "description": "x".repeat(10)})), "received");
    assert_eq!(error(Live, json!({"description": "x".repeat(39)})), "description must be 40-1000 characters");
    assert_eq!(error(Document, json!({"title": "é".repeat(101)})), "title must be 3-100 characters");
    assert_eq!(error(Document, json!({"title": "é".repeat(100)})), "received");
    assert_eq!(error(Live, json!({"max_revisions": 11})), "max_revisions must be a whole number from 0 to 10");
    assert_eq!(error(Document, json!({"max_revisions": 11})), "received");
    assert_eq!(error(Live, json!({"price_usd": "five"})), "price_usd must be a positive number");
    assert_eq!(
        error(Live, json!({"price_type": "hourly"})),
        "price_type must be one of: fixed, quote, weekly, monthly"
    );
    assert_eq!(error(Live, json!({"price_usd": null})), "price_usd is required");
    assert_eq!(error(Live, json!({"deliverables": [1]})), "deliverables must be an array of strings");
}

#[test]
fn keys_are_refused_as_each_endpoint_does() {
    let status = |server_version, path: &str, key: Option<&str>| {
        let mut shop = Shop::open(server_version);
        let id = shop.order();
        let path = path.replace("AGENT", &shop.agent.agent_id).replace("ORDER", &id);
        let request = Request::get(&path);
        shop.market.handle(NOW, &key.map_or(request.clone(), |key| request.with_key(key))).status
    };
    assert_eq!(status(ServerVersion::Live, "/api/agents/me", Some("atelier_no")), 401);
    assert_eq!(status(ServerVersion::Live, "/api/agents/AGENT/orders", Some("atelier_no")), 403);
    assert_eq!(status(ServerVersion::Live, "/api/agents/AGENT/orders", None), 401);
    assert_eq!(status(ServerVersion::Live, "/api/orders/ORDER", Some("atelier_no")), 403);
    assert_eq!(status(ServerVersion::Document, "/api/agents/AGENT/orders", Some("atelier_no")), 401);
}

#[test]
fn counted_before_the_key_is_looked_at_and_never_when_refused() {
    let mut shop = Shop::open(ServerVersion::Live);
    let poll = Request::get(&format!("/api/agents/{}/orders", shop.agent.agent_id)).with_key("atelier_wrong");
    assert!((0..30).all(|_| shop.market.handle(NOW, &poll).status == 403));
    let reply = shop.market.handle(NOW.shifted(1), &poll);
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("retry-after"), Some("3599"));
    assert_eq!(reply.header("X-RateLimit-Limit"), Some("30"));
    assert_eq!(reply.header("X-RateLimit-Remaining"), Some("0"));
    assert_eq!(reply.header("X-RateLimit-Reset"), Some(NOW.shifted(3600).unix().to_string().as_str()));
    assert_eq!(
        (shop.market.recorder().accepted(Endpoint::Orders), shop.market.recorder().refused(Endpoint::Orders)),
        (30, 1)
    );
    assert_eq!(shop.get("/api/agents/me").0, 200, "never counted");
}

#[test]
fn malformed_bodies_and_strange_paths() {
    let broken = |server_version| {
        let mut shop = Shop::open(server_version);
        let id = shop.order();
        shop.send(
            Request::new("POST", &format!("/api/orders/{id}/deliver")).with_body("application/json", b"{".to_vec()),
        )
        .0
    };
    assert_eq!((broken(ServerVersion::Document), broken(ServerVersion::Live)), (400, 500));
    let mut market = Market::new(ServerVersion::Live, 0);
    let mut reply = |method: &str, path: &str| market.handle(NOW, &Request::new(method, path));
    let unknown = reply("GET", "/api/nothing/here");
    assert_eq!((unknown.status, unknown.header("content-type")), (404, Some("text/html; charset=utf-8")));
    let wrong = reply("DELETE", "/api/upload");
    assert_eq!((wrong.status, wrong.body.len()), (405, 0));
    let moved = reply("POST", "/api/upload/");
    assert_eq!((moved.status, moved.header("location")), (308, Some("/api/upload")));
    for path in [
        "",
        "*",
        "/",
        "//",
        "/api",
        "/api/",
        "/api/orders/%00/deliver",
        "/api/orders/..%2f..",
        "/?",
        "/api/orders/\u{e9}",
    ] {
        assert!((300..500).contains(&reply("POST", path).status), "{path}");
    }
}

#[test]
fn names_are_taken_on_the_live_server() {
    let register = |market: &mut Market, now, name: &str| {
        let body = json!({"name": name, "description": "ten letters or more", "endpoint_url": "https://a.example"});
        let reply = market.handle(now, &Request::new("POST", "/api/agents/register").with_json(&body));
        (reply.status, reply.body_json())
    };
    let mut market = Market::new(ServerVersion::Live, 0);
    let (status, body) = register(&mut market, NOW, "Night Shift");
    assert_eq!(
        (status, &body["data"]["slug"], &body["data"]["marketable"]),
        (201, &json!("night-shift"), &json!(false))
    );
    let (status, body) = register(&mut market, NOW, "night shift");
    assert_eq!((status, &body["error"]), (409, &json!("duplicate_agent")));
    assert!(body["recovery"].is_string());
    assert_eq!(register(&mut market, NOW.shifted(90_000), "Night-Shift").1["error"], "name_taken");
    assert_eq!(register(&mut market, NOW, "Café").0, 400);
    assert_eq!(market.recorder().registrations.len(), 1);
    let mut market = Market::new(ServerVersion::Document, 0);
    assert_eq!(register(&mut market, NOW, "Café").0, 201);
    assert_eq!(register(&mut market, NOW, "Café").0, 201);
}

#[test]
fn every_fault_has_a_name_a_line_and_fires() {
    for fault in Fault::ALL.iter().copied() {
        assert_eq!(fault.to_string().parse(), Ok(fault));
        assert!(!fault.describe().is_empty());
        let mut shop = Shop::open(ServerVersion::Live);
        let id = shop.order();
        shop.market.arm(fault, Some(Call::Orders), Some(1));
        let poll = Request::get(&format!("/api/agents/{}/orders", shop.agent.agent_id)).with_key(&shop.agent.api_key);
        let good = shop.market.handle(NOW, &poll);
        let bad = shop.market.answer(NOW, &poll);
        assert_ne!(bad, Answer::Reply(good.clone()), "{fault} changes nothing");
        assert_eq!(shop.market.recorder().faults, [FiredFault { at: NOW, fault, call: Call::Orders }]);
        assert_eq!(shop.market.answer(NOW, &poll), Answer::Reply(good), "{fault} fires once");
        assert_eq!(shop.market.status_of(&id), Some(&Status::Paid));
    }
}

#[test]
fn what_was_done_is_known_whatever_was_answered() {
    for fault in Fault::ALL.iter().copied() {
        let mut shop = Shop::open(ServerVersion::Live);
        let id = shop.order();
        shop.market.arm(fault, Some(Call::Deliver), None);
        let body = json!({"deliverable_url": "https://a.example/1.png", "deliverable_media_type": "image"});
        let deliver =
            Request::new("POST", &format!("/api/orders/{id}/deliver")).with_key(&shop.agent.api_key).with_json(&body);
        let answer = shop.market.answer(NOW, &deliver);
        let done = shop.market.recorder().deliveries_of(&id).len() == 1;
        assert_eq!(done, fault.commits(), "{fault}");
        if let Answer::NoAnswer { committed } = answer {
            assert_eq!(committed, done, "{fault}");
        }
    }
}

#[test]
fn odd_orders_do_not_hide_their_neighbours() {
    let mut shop = Shop::open(ServerVersion::Live);
    let id = shop.order();
    shop.market.arm_spec("odd-order@orders*1").unwrap();
    shop.market.arm_spec("duplicate-orders@orders*1").unwrap();
    shop.market.arm_spec("huge@orders").unwrap();
    let poll = Request::get(&format!("/api/agents/{}/orders", shop.agent.agent_id)).with_key(&shop.agent.api_key);
    let mut listed = || {
        let Answer::Reply(reply) = shop.market.answer(NOW, &poll) else { panic!("no reply") };
        reply.body_json()["data"].as_array().unwrap().iter().cloned().map(Order::parse).collect::<Vec<_>>()
    };
    let odd = listed();
    assert_eq!((odd.len(), odd.iter().flatten().filter(|order| order.id.as_str() == id).count()), (4, 1));
    assert_eq!(listed().len(), 2);
    assert_eq!(listed().iter().flatten().filter(|order| order.status.is_work()).count(), 1);
    for bad in ["nonsense", "slow@nowhere", "slow*0", "slow*many", ""] {
        assert!(shop.market.arm_spec(bad).is_err(), "{bad}");
    }
}
