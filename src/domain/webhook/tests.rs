//! Tests against signatures of the real server.

use super::event::file_name;
use super::request::path;
use super::signature::{HEADER, TOLERANCE, sign, verify};
use super::*;
use crate::domain::order::OrderId;
use crate::domain::secret::Secret;
use crate::domain::time::Time;

/// Deliveries of the real server: secret, signature and body.
const SAMPLES: &str = include_str!("samples.jsonl");

struct Sample {
    event: String,
    signature: String,
    body: String,
    secret: Secret,
    at: Time,
}

fn samples() -> Vec<Sample> {
    let read = |sample: serde_json::Value| {
        let text = |name: &str| sample[name].as_str().unwrap().to_owned();
        let signature = text("signature");
        let at = signature[2..signature.find(',').unwrap()].parse().unwrap();
        Sample {
            event: text("event"),
            signature,
            body: text("body"),
            secret: Secret::new(text("secret")),
            at: Time::from_unix(at),
        }
    };
    sent().filter(|sample| sample["signature"].is_string()).map(read).collect()
}

fn sent() -> impl Iterator<Item = serde_json::Value> {
    SAMPLES.lines().map(|line| serde_json::from_str(line).unwrap())
}

/// The server of March signs nothing.
#[test]
fn unsigned_deliveries_are_refused() {
    let secret = Secret::new("whsec_0123456789abcdef");
    let unsigned: Vec<_> = sent().filter(|sample| sample["signature"].is_null()).collect();
    assert!(unsigned.len() >= 4);
    for sample in unsigned {
        let body = sample["body"].as_str().unwrap().as_bytes();
        assert_eq!(judge_post(&secret, &[], body, Time::from_unix(1_795_572_000)), Err(Answer::Unverified));
    }
}

fn after(at: Time, seconds: i64) -> Time {
    Time::from_unix(at.unix() + seconds)
}

#[test]
fn real_deliveries_are_verified_and_read() {
    let samples = samples();
    assert!(samples.len() >= 8);
    for sample in &samples {
        let body = sample.body.as_bytes();
        let judged = judge_post(&sample.secret, &[&sample.signature], body, sample.at);
        let event = judged.unwrap_or_else(|answer| panic!("{}: {answer:?}", sample.event));
        assert!(sample.body.contains(event.as_ref().map_or("", |event| event.order.as_str())), "{}", sample.event);
        assert_eq!(sign(&sample.secret, sample.at, body), sample.signature);
        let text = event.as_ref().and_then(|event| event.text.as_deref());
        match event.as_ref().map(|event| event.kind) {
            Some(Kind::Revision) => assert_eq!(text, Some("Revision: please make it darker")),
            Some(Kind::Dispute) => assert!(text.is_some_and(|text| sample.body.contains(text)), "{text:?}"),
            kind => assert_eq!(text, None, "{kind:?}"),
        }
    }
    let kinds = |wanted: Kind| {
        let parsed = samples.iter().filter_map(|sample| Event::parse(sample.body.as_bytes()).unwrap());
        parsed.filter(|event| event.kind == wanted).count()
    };
    for kind in [Kind::Order, Kind::Revision, Kind::Dispute, Kind::Message, Kind::Payout] {
        assert!(kinds(kind) > 0, "{kind:?}");
    }
}

#[test]
fn what_is_changed_by_one_bit_or_comes_at_another_time_is_refused() {
    for Sample { signature, body, secret, at, .. } in samples() {
        let verified = |signature: &str, body: &[u8], now| verify(&secret, &[signature], body, now).is_ok();
        let bytes = body.as_bytes();
        assert!(
            verified(&signature, bytes, after(at, TOLERANCE)) && verified(&signature, bytes, after(at, -TOLERANCE))
        );
        assert!(!verified(&signature, bytes, after(at, TOLERANCE + 1)));
        assert!(!verified(&signature, bytes, after(at, -TOLERANCE - 1)));
        for byte in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[byte] ^= 1;
            assert!(!verified(&signature, &changed, at), "byte {byte}");
        }
        for byte in 0..signature.len() {
            let mut changed = signature.clone().into_bytes();
            changed[byte] ^= 1;
            assert!(!verified(&String::from_utf8(changed).unwrap(), bytes, at), "byte {byte} of the signature");
        }
        assert!(verify(&Secret::new("whsec_another"), &[&signature], bytes, at).is_err());
    }
}

#[test]
fn every_v1_is_tried_and_a_doubled_header_is_refused() {
    let Sample { signature, body, secret, at, .. } = samples().remove(0);
    let (time, right) = signature.split_once(',').unwrap();
    let wrong = format!("v1={}", "0".repeat(64));
    let verified = |headers: &[&str]| verify(&secret, headers, body.as_bytes(), at).is_ok();
    for good in [
        format!("{time},{wrong},{right}"),
        format!("{time},{right},{wrong}"),
        format!("{right},{time}"),
        format!("{time}, {right} , v2=x"),
        signature.to_uppercase().replace("T=", "t=").replace("V1=", "v1="),
    ] {
        assert!(verified(&[&good]), "{good}");
    }
    for bad in [
        String::new(),
        time.to_owned(),
        right.to_owned(),
        format!("{time},{wrong}"),
        format!("{time},{}", right.replace("v1", "v0")),
        format!("{signature},{signature}"),
        format!("{signature}, {time}"),
        format!("t=,{right}"),
        format!("t=-5,{right}"),
        format!("{},{right}", time.replace("t=", "t=+")),
        format!("t={},{right}", "9".repeat(40)),
        format!("{time},{}", &right[..right.len() - 2]),
        format!("{signature}00"),
    ] {
        assert!(!verified(&[&bad]), "{bad}");
    }
    assert!(verified(&[&signature]) && !verified(&[]) && !verified(&[&signature, &signature]));
}

#[test]
fn bodies_that_are_no_events_are_malformed_and_unknown_ones_are_ignored() {
    for malformed in [
        "",
        "[]",
        "7",
        "null",
        "{",
        "{}",
        r#"{"event": 5, "order_id": "ord_1"}"#,
        r#"{"event": "order.paid"}"#,
        r#"{"event": "order.paid", "order_id": 7}"#,
        r#"{"event": "order.paid", "order_id": ""}"#,
        "{\"event\": \"order.paid\", \"order_id\": \"ord_1\"} x",
    ] {
        assert!(Event::parse(malformed.as_bytes()).is_err(), "{malformed}");
    }
    assert!(Event::parse(b"{\"event\": \"order.paid\", \"order_id\": \"\xff\"}").is_err());
    for ignored in ["order.on_the_moon", "bounty.claim_rejected"] {
        assert_eq!(Event::parse(format!(r#"{{"event": "{ignored}"}}"#).as_bytes()), Ok(None), "{ignored}");
    }
    let odd = br#"{"event": "order.disputed", "order_id": "ord_1", "data": {"reason": 7}}"#;
    assert_eq!(Event::parse(odd).unwrap().unwrap().text, None);
    let long =
        format!(r#"{{"event":"order.disputed","order_id":"ord_1","data":{{"reason":"{}"}}}}"#, "é".repeat(20_000));
    assert_eq!(Event::parse(long.as_bytes()).unwrap().unwrap().text.unwrap().chars().count(), 10_000);
    let (hint, body) = Event::about(OrderId::new("ord_\"1").unwrap());
    assert_eq!(Event::parse(body.as_bytes()), Ok(Some(hint)));
    assert_eq!(file_name(b""), "e3b0c44298fc1c149afbf4c8996fb924.json");
}

fn headers(text: &str) -> RequestHeaders {
    match RequestHeaders::parse(text.as_bytes()) {
        Parsed::Whole(headers, end) => {
            assert_eq!(end, text.len());
            headers
        }
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn the_headers_alone_decide_most_answers() {
    let judged = |text: &str| judge_headers(&headers(text), "/atelier");
    let post = |more: &str| judged(&format!("POST /atelier HTTP/1.1\r\nHost: any\r\n{more}\r\n"));
    assert_eq!(post("Content-Length: 12\r\n"), Ok(12));
    assert_eq!(post("content-length: 262144\r\n"), Ok(262_144));
    assert_eq!(judged("POST /atelier?x=1 HTTP/1.0\r\nContent-Length: 0\r\n\r\n"), Ok(0));
    assert_eq!(judged("POST https://me.example/atelier HTTP/1.1\r\nContent-Length: 0\r\n\r\n"), Ok(0));
    for (more, answer) in [
        ("", Answer::NoLength),
        ("Transfer-Encoding: chunked\r\n", Answer::NoLength),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Answer::NoLength),
        ("Content-Length: 262145\r\n", Answer::TooLong),
        ("Content-Length: 99999999999999999999999999\r\n", Answer::TooLong),
        ("Content-Length: -1\r\n", Answer::Malformed),
        ("Content-Length: 0x10\r\n", Answer::Malformed),
        ("Content-Length: \r\n", Answer::Malformed),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Answer::Malformed),
    ] {
        assert_eq!(post(more), Err(answer), "{more:?}");
    }
    for other in ["/", "/atelier/", "/Atelier", "/atelier/x", "//atelier"] {
        assert_eq!(judged(&format!("POST {other} HTTP/1.1\r\n\r\n")), Err(Answer::WrongPath), "{other}");
    }
    assert_eq!(judged("GET /atelier HTTP/1.1\r\n\r\n"), Err(Answer::WrongMethod));
    assert_eq!(RequestHeaders::parse(b"POST /atelier HTTP/1.1\r\nHost: a\r\n"), Parsed::Partial);
    assert_eq!(RequestHeaders::parse(b"\x16\x03\x01\x02\x00\x01\x00"), Parsed::Invalid);
    let many = format!("POST / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
    assert_eq!(RequestHeaders::parse(many.as_bytes()), Parsed::TooMany);
    let signed = headers(&format!("POST / HTTP/1.1\r\n{HEADER}: t=1\r\nx-atelier-signature:  v1=2 \r\n\r\n"));
    assert_eq!(signed.signatures, ["t=1", "v1=2"]);
    for (address, expected) in [
        ("https://me.example/atelier", "/atelier"),
        ("https://me.example", "/"),
        ("http://a/b?c", "/b"),
        ("/x#y", "/x"),
    ] {
        assert_eq!(path(address), expected);
    }
}

#[test]
fn answers_are_whole() {
    assert!(Answer::WrongMethod.rest().starts_with("Allow: POST\r\n"));
    assert!(Answer::Recorded.rest().ends_with("Content-Length: 3\r\nConnection: close\r\n\r\nOK\n"));
}
