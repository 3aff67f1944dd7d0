//! The market held to the document and to what is known of the live server.

use serde_json::{Value, json};

use super::*;
use crate::order::Status;
use crate::time::Time;

fn at(seconds: i64) -> Time {
    Time::from_unix(1_795_000_000 + seconds)
}

struct Shop {
    market: Market,
    id: String,
    key: String,
    service: String,
}

impl Shop {
    fn open(dialect: Dialect) -> Self {
        let mut shop =
            Self { market: Market::new(dialect, 7), id: String::new(), key: String::new(), service: String::new() };
        let agent =
            json!({"name": "Demo Studio", "description": "Posters from a brief", "endpoint_url": "https://a.example"});
        let (status, body) = shop.send(0, "POST", "/api/agents/register", &agent);
        assert_eq!(status, 201, "{body}");
        shop.id = body["data"]["agent_id"].as_str().unwrap().to_owned();
        shop.key = body["data"]["api_key"].as_str().unwrap().to_owned();
        let service = json!({
            "category": "image_gen", "title": "AI Images", "price_usd": "5.00", "price_type": "fixed",
            "description": "Professional AI-generated images from text prompts.",
        });
        let (status, body) = shop.send(0, "POST", &format!("/api/agents/{}/services", shop.id), &service);
        assert_eq!(status, 201, "{body}");
        shop.service = body["data"]["id"].as_str().unwrap().to_owned();
        shop
    }

    fn request(&self, method: &str, path: &str, body: Vec<u8>, content_type: &str) -> Request {
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: vec![
                ("authorization".into(), format!("Bearer {}", self.key)),
                ("content-type".into(), content_type.to_owned()),
            ],
            body,
            address: "10.0.0.1".into(),
        }
    }

    fn send(&mut self, when: i64, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = self.request(method, path, bytes, "application/json");
        let reply = self.market.handle(at(when), &request);
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    fn place(&mut self, when: i64) -> String {
        let placement =
            Placement { service_id: Some(self.service.clone()), brief: "A fox".into(), ..Placement::default() };
        self.market.place(at(when), placement)
    }

    fn upload(&mut self, when: i64, content_type: &str) -> (u16, Value) {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r.png\"\r\nContent-Type: {content_type}\r\n\r\nBYTES\r\n--b--\r\n"
        );
        let request = self.request("POST", "/api/upload", body.into_bytes(), "multipart/form-data; boundary=b");
        let reply = self.market.handle(at(when), &request);
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    fn polls(&mut self, when: i64, times: usize) -> u16 {
        let path = format!("/api/agents/{}/orders?status=paid,in_progress", self.id);
        (0..times).map(|_| self.send(when, "GET", &path, &Value::Null).0).last().unwrap()
    }
}

#[test]
fn an_order_from_payment_to_completion_in_both_dialects() {
    for dialect in [Dialect::Document, Dialect::Live] {
        let mut shop = Shop::open(dialect);
        let order = shop.place(10);
        let (status, body) = shop.send(20, "GET", &format!("/api/agents/{}/orders?status=paid", shop.id), &Value::Null);
        assert_eq!((status, &body["data"][0]["id"]), (200, &json!(order)));
        let references = if dialect == Dialect::Live { Value::Null } else { json!([]) };
        assert_eq!(body["data"][0]["reference_urls"], references);
        let (status, body) = shop.upload(30, "image/png");
        assert_eq!((status, &body["data"]["media_type"]), (200, &json!("image")));
        let deliver = json!({"deliverable_url": body["data"]["url"], "deliverable_media_type": "image"});
        let path = format!("/api/orders/{order}/deliver");
        assert_eq!(shop.send(40, "POST", &path, &deliver).0, 200);
        let (again, body) = shop.send(50, "POST", &path, &deliver);
        match dialect {
            Dialect::Document => {
                assert_eq!((again, &body["error"]), (400, &json!("Cannot deliver order with status \"delivered\"")));
            }
            Dialect::Live => assert_eq!(again, 200, "the live server takes it once more"),
        }
        assert_eq!(
            shop.send(60, "POST", &format!("/api/orders/{order}/messages"), &json!({"content": " Here. "})).0,
            201
        );
        assert_eq!(
            shop.send(61, "GET", &format!("/api/orders/{order}/messages"), &Value::Null).1["data"][0]["content"],
            "Here."
        );
        shop.market.settle(at(50 + 48 * 3600));
        assert_eq!(shop.market.status_of(&order), Some(&Status::Completed));
    }
}

#[test]
fn polling_spends_the_uploads_only_on_the_live_server() {
    let mut live = Shop::open(Dialect::Live);
    assert_eq!(live.polls(100, 28), 200, "registration and service were two of the thirty");
    let (status, body) = live.upload(101, "image/png");
    assert_eq!((status, &body["retry_after"]), (429, &json!(3600 - 101)));
    assert_eq!(live.polls(3599, 1), 429);
    assert_eq!(live.polls(3600, 1), 200, "a fixed window from the first request");
    let mut document = Shop::open(Dialect::Document);
    assert_eq!(document.polls(100, 30), 200);
    assert_eq!(document.polls(100, 1), 429);
    assert_eq!(document.upload(101, "image/png").0, 200);
    assert_eq!(document.market.books().refused.len(), 1);
}

#[test]
fn refusals_are_the_servers_own() {
    let mut shop = Shop::open(Dialect::Live);
    let order = shop.place(0);
    assert_eq!(shop.send(1, "GET", "/api/nowhere", &Value::Null).0, 404);
    assert_eq!(shop.send(1, "DELETE", "/api/upload", &Value::Null).0, 405);
    assert_eq!(shop.send(1, "GET", "/api/agents/me/", &Value::Null).0, 308);
    assert_eq!(shop.upload(1, "image/svg+xml").0, 400);
    assert_eq!(shop.upload(1, "image/png; charset=binary").0, 400);
    assert_eq!(
        shop.send(1, "POST", &format!("/api/orders/{order}/quote"), &json!({"price_usd": "5.00"})).1["error"],
        "Cannot quote order with status \"paid\""
    );
    let (status, body) = shop.send(
        3601,
        "POST",
        "/api/agents/register",
        &json!({"name": "Demo Studio", "description": "Posters from a brief"}),
    );
    assert_eq!((status, &body["error"]), (409, &json!("name_taken")));
    let bad = shop.request("POST", &format!("/api/orders/{order}/deliver"), b"{".to_vec(), "application/json");
    assert_eq!(shop.market.handle(at(2), &bad).status, 500);
    assert_eq!(shop.send(3, "GET", &format!("/api/orders/{order}"), &Value::Null).0, 200);
    let mut document = Shop::open(Dialect::Document);
    let order = document.place(0);
    assert_eq!(document.send(3, "GET", &format!("/api/orders/{order}"), &Value::Null), (404, Value::Null));
    shop.key = "atelier_wrong".into();
    assert_eq!(shop.send(4, "GET", "/api/agents/me", &Value::Null).0, 401);
    assert_eq!(shop.polls(4, 1), 403);
}

#[test]
fn faults_come_when_they_are_planned_and_go() {
    let mut shop = Shop::open(Dialect::Live);
    for fault in Fault::ALL {
        assert_eq!(fault.to_string().parse::<Fault>(), Ok(*fault));
        assert!(!fault.describe().is_empty());
    }
    assert!(shop.market.misbehave("no-such-fault").is_err());
    assert!(shop.market.misbehave("status-500@nowhere").is_err());
    shop.market.misbehave("commit-then-drop@deliver*1").unwrap();
    let order = shop.place(0);
    let deliver = json!({"deliverable_url": "https://cdn.example/1.png", "deliverable_media_type": "image"});
    let request = shop.request(
        "POST",
        &format!("/api/orders/{order}/deliver"),
        deliver.to_string().into_bytes(),
        "application/json",
    );
    assert_eq!(shop.market.answer(at(1), &request), Answer::Silence);
    assert_eq!(shop.market.status_of(&order), Some(&Status::Delivered));
    assert!(matches!(shop.market.answer(at(2), &request), Answer::Reply(reply) if reply.status == 200));
}
