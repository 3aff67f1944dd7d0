//! Tests of how an order is read.

use super::*;
use serde_json::json;

#[test]
fn every_known_status_is_known() {
    for word in Status::KNOWN {
        let status = Status::from(word.to_owned());
        assert!(status.as_str() == word && !matches!(status, Status::Unknown(_)), "{word}");
    }
}

#[test]
fn the_documents_order() {
    let order = Order::parse(json!({
        "id": "ord_1708123456789_abc", "service_id": "svc_123", "service_title": "Custom Avatar Generation",
        "client_wallet": "ABC...XYZ", "brief": "Create a cyberpunk-style avatar with neon accents",
        "reference_urls": [], "reference_images": ["https://a.example/1.png"], "status": "paid",
        "quoted_price_usd": "5.00", "created_at": "2025-02-17T12:00:00.000Z"
    }))
    .unwrap();
    assert_eq!(order.status, Status::Paid);
    assert_eq!(order.reference_images, ["https://a.example/1.png"]);
    assert_eq!(order.created_at, Time::parse("2025-02-17T12:00:00Z"));
    assert_eq!(order.price_usd.as_deref(), Some("5.00"));
    assert!(!order.is_subscription());
}

#[test]
fn the_live_servers_order() {
    let order = Order::parse(json!({
        "id": "ord_1795447278_k3j9", "service_id": null, "service_title": null, "brief": null,
        "reference_urls": "[\"https://a.example/style\"]", "reference_images": null, "status": "in_progress",
        "quoted_price_usd": 7.5, "created_at": "2026-11-23 15:21:18", "client_agent_id": null, "quota_total": 10,
        "quota_used": 0, "workspace_expires_at": "2026-11-30 15:21:18", "revision_count": 0, "bounty_id": "b_1"
    }))
    .unwrap();
    assert_eq!(order.status, Status::InProgress);
    assert_eq!(order.service_id, None);
    assert_eq!(order.brief, "");
    assert_eq!(order.reference_urls, ["https://a.example/style"]);
    assert_eq!(order.price_usd.as_deref(), Some("7.5"));
    assert!(order.is_subscription());
    assert_eq!(order.members()["bounty_id"], "b_1");
    let again: Order = serde_json::from_str(&serde_json::to_string(&order).unwrap()).unwrap();
    assert_eq!(again, order);
}

#[test]
fn it_is_kept_as_it_was_sent_and_on_one_line() {
    let read = |text: &str| Order::read(&RawValue::from_string(text.to_owned()).unwrap());
    let text = r#"{ "z": 1.50, "id":"o", "brief": "\u00e9\n", "id": 7, "status":"paid" }"#;
    let order = read(text).unwrap();
    assert_eq!((order.id.as_str(), order.brief.as_str()), ("7", "é\n"), "of two with one name the later counts");
    assert_eq!(serde_json::to_string(&order).unwrap(), text);
    let pretty = read(&text.replace(", ", ",\r\n")).unwrap();
    assert!(!serde_json::to_string(&pretty).unwrap().contains(['\r', '\n']));
    assert_eq!((pretty.members(), pretty.id), (order.members(), order.id));
    let nested = |depth: usize| {
        format!("{{\"id\":\"o\",\"status\":\"paid\",\"x\":{}1{}}}", "[".repeat(depth), "]".repeat(depth))
    };
    assert!(read(&nested(100)).unwrap().members().contains_key("x"));
    assert!(read(&nested(5000)).is_err(), "what could not be handed on is odd");
}

#[test]
fn what_a_later_answer_leaves_out_stays() {
    let mut order = Order::parse(json!({"id": "o", "status": "paid", "brief": "a", "x": 1})).unwrap();
    order.absorb(&Order::parse(json!({"id": "o", "status": "cancelled", "brief": null, "y": 2})).unwrap());
    assert_eq!((order.brief.as_str(), &order.status), ("a", &Status::Cancelled));
    assert_eq!(order.members()["x"], json!(1));
    assert_eq!(order.members()["y"], json!(2));
}

#[test]
fn odd_ones_are_named_and_unknown_statuses_kept() {
    assert!(Order::parse(json!(7)).is_err());
    assert!(Order::parse(json!({"status": "paid"})).is_err());
    assert!(Order::parse(json!({"id": "a\u{0}b", "status": "paid"})).is_err());
    assert!(Order::parse(json!({"id": "..", "status": "paid"})).is_err());
    let order = Order::parse(json!({"id": "o", "status": "on_the_moon"})).unwrap();
    assert_eq!(order.status, Status::Unknown("on_the_moon".into()));
}

#[test]
fn file_stems_never_collide_and_never_leave_the_folder() {
    let ids = ["ord_1", "Ord_1", "ORD_1", "a/b", "../a", "x-1", "é", "con", &"9".repeat(81)];
    let stems: std::collections::BTreeSet<_> =
        ids.iter().map(|id| OrderId::new(id).unwrap().file_stem().to_lowercase()).collect();
    assert_eq!(stems.len(), ids.len());
    assert!(stems.iter().all(|stem| !stem.contains(['/', '.', '\\'])));
    assert_eq!(OrderId::new("ord_1").unwrap().file_stem(), "ord_1");
}
