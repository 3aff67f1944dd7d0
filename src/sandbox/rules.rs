//! Validation of request bodies: the document's rules, and the live server's stricter ones.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::exchange::{Refusal, Request};
use super::server_version::ServerVersion;
use crate::domain::field_rules::reserved_word;

const CAPABILITIES: [&str; 6] = ["image_gen", "video_gen", "ugc", "influencer", "brand_content", "custom"];
const LIVE_CATEGORIES: [&str; 6] = ["coding", "analytics", "seo", "trading", "automation", "consulting"];
const PRICE_TYPES: [&str; 4] = ["fixed", "quote", "weekly", "monthly"];

/// A request's members.
pub(super) type Members = Map<String, Value>;

type Checked<T> = Result<T, Refusal>;

fn bad<T>(sentence: impl Into<String>) -> Checked<T> {
    Err(Refusal::new(400, sentence))
}

/// Parses a JSON body. The live server answers a malformed one with 500.
pub(super) fn members(server_version: ServerVersion, request: &Request) -> Checked<Members> {
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null) | Err(_) if server_version.is_live() => Err(Refusal::new(500, "Internal server error")),
        Ok(_) => bad("The request body must be a JSON object"),
        Err(_) => bad("The request body must be valid JSON"),
    }
}

/// A member's value; null counts as absent.
fn present<'a>(members: &'a Members, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| !value.is_null())
}

/// An optional text, trimmed, with a length within bounds.
pub(super) fn text_within(members: &Members, name: &str, length: RangeInclusive<usize>) -> Checked<Option<String>> {
    match present(members, name) {
        None => Ok(None),
        Some(Value::String(text)) if length.contains(&text.trim().chars().count()) => Ok(Some(text.trim().to_owned())),
        Some(_) => bad(format!("{name} must be {}-{} characters", length.start(), length.end())),
    }
}

/// A required member.
pub(super) fn required<T>(name: &str, value: Option<T>) -> Checked<T> {
    value.ok_or_else(|| Refusal::new(400, format!("{name} is required")))
}

pub(super) fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    host.is_some_and(|host| !host.is_empty()) && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

pub(super) fn url(members: &Members, name: &str) -> Checked<Option<String>> {
    match present(members, name) {
        None => Ok(None),
        Some(Value::String(text)) if is_url(text) => Ok(Some(text.clone())),
        Some(_) => bad(format!("{name} must be a valid URL")),
    }
}

pub(super) fn name(server_version: ServerVersion, members: &Members) -> Checked<Option<String>> {
    let name = text_within(members, "name", server_version.name_length())?;
    let tight = |c: char| c.is_ascii_alphanumeric() || " -_.".contains(c);
    match name {
        Some(name) if server_version.is_live() && !name.chars().all(tight) => {
            bad("name may hold only letters, digits, spaces, dots, dashes and underscores")
        }
        Some(name) if server_version.is_live() && reserved_word(&name).is_some() => {
            bad(format!("name contains a reserved word: {}", reserved_word(&name).unwrap_or_default().to_lowercase()))
        }
        name => Ok(name),
    }
}

pub(super) fn description(members: &Members) -> Checked<Option<String>> {
    text_within(members, "description", 10..=500)
}

/// A wallet. The document's examples are placeholders, so only the length is checked.
pub(super) fn wallet(members: &Members, name: &str) -> Checked<Option<String>> {
    text_within(members, name, 1..=128)
}

/// An address on Base: 0x and 40 hexadecimal digits.
pub(super) fn base_address(members: &Members, name: &str) -> Checked<Option<String>> {
    let address = text_within(members, name, 1..=128)?;
    let hex = |text: &str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match address {
        Some(address) if !address.strip_prefix("0x").is_some_and(hex) => {
            bad(format!("{name} must be a valid Base address"))
        }
        address => Ok(address),
    }
}

pub(super) fn texts(members: &Members, name: &str) -> Checked<Option<Vec<String>>> {
    let Some(value) = present(members, name) else { return Ok(None) };
    let items = value.as_array().and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
    items.map(Some).ok_or_else(|| Refusal::new(400, format!("{name} must be an array of strings")))
}

pub(super) fn capabilities(members: &Members) -> Checked<Option<Vec<String>>> {
    let capabilities = texts(members, "capabilities")?;
    let unknown = capabilities.iter().flatten().find(|one| !CAPABILITIES.contains(&one.as_str()));
    match unknown {
        Some(unknown) => bad(format!("Invalid capability: {unknown}. Valid: {}", CAPABILITIES.join(", "))),
        None => Ok(capabilities),
    }
}

pub(super) fn category(server_version: ServerVersion, members: &Members) -> Checked<Option<String>> {
    let live = if server_version.is_live() { &LIVE_CATEGORIES[..] } else { &[] };
    one_of(members, "category", &[&CAPABILITIES, live].concat())
}

pub(super) fn price_type(members: &Members) -> Checked<Option<String>> {
    one_of(members, "price_type", &PRICE_TYPES)
}

pub(super) fn one_of(members: &Members, name: &str, known: &[&str]) -> Checked<Option<String>> {
    match present(members, name) {
        None => Ok(None),
        Some(Value::String(text)) if known.contains(&text.as_str()) => Ok(Some(text.clone())),
        Some(_) => bad(format!("{name} must be one of: {}", known.join(", "))),
    }
}

/// A price in US dollars, as decimal text.
pub(super) fn price(members: &Members, name: &str) -> Checked<Option<String>> {
    let price = match present(members, name) {
        None => return Ok(None),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => String::new(),
    };
    match micros(&price) {
        Some(1..) => Ok(Some(price)),
        _ => bad(format!("{name} must be a positive number")),
    }
}

/// Parses a price into millionths of a dollar.
pub(super) fn micros(price: &str) -> Option<u64> {
    let (whole, part) = price.split_once('.').unwrap_or((price, "0"));
    let digits = |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole, 9) || !digits(part, 6) {
        return None;
    }
    Some(whole.parse::<u64>().ok()? * 1_000_000 + format!("{part:0<6}").parse::<u64>().ok()?)
}

pub(super) fn deliverables(members: &Members) -> Checked<Option<Vec<String>>> {
    texts(members, "deliverables")
}

/// The questions a service asks with an order: a list of objects that have a label.
pub(super) fn requirement_fields(members: &Members) -> Checked<Option<Value>> {
    match present(members, "requirement_fields") {
        None => Ok(None),
        Some(fields @ Value::Array(items)) if items.iter().all(|item| item["label"].is_string()) => {
            Ok(Some(fields.clone()))
        }
        Some(_) => bad("requirement_fields must be an array of objects with a label"),
    }
}

/// An integer within bounds.
pub(super) fn integer(members: &Members, name: &str, bounds: RangeInclusive<u64>) -> Checked<Option<u64>> {
    match present(members, name) {
        None => Ok(None),
        Some(value) => match value.as_u64().filter(|number| bounds.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => bad(format!("{name} must be a whole number from {} to {}", bounds.start(), bounds.end())),
        },
    }
}

/// The media type of an upload of this exact content type; none when it is not accepted.
pub(super) fn media_type(server_version: ServerVersion, content_type: &str) -> Option<&'static str> {
    Some(match content_type {
        "image/jpeg" | "image/png" | "image/webp" | "image/gif" => "image",
        "video/mp4" | "video/webm" | "video/quicktime" => "video",
        _ if !server_version.is_live() => return None,
        "application/pdf" | "application/zip" => "document",
        "text/plain" | "text/markdown" | "text/csv" => "text",
        "application/json" | "text/x-python" => "code",
        _ => return None,
    })
}

/// The media types a delivery may have.
pub(super) fn media_types(server_version: ServerVersion) -> &'static [&'static str] {
    if server_version.is_live() { &["image", "video", "document", "code", "text"] } else { &["image", "video"] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_decimal_text() {
        assert_eq!(micros("5"), Some(5_000_000));
        assert_eq!(micros("5.00"), Some(5_000_000));
        assert_eq!(micros("0.000001"), Some(1));
        for odd in ["", ".", "5.", ".5", "-1", "1e3", "1,5", "0.0000001", "9999999999", "NaN", " 5"] {
            assert_eq!(micros(odd), None, "{odd}");
        }
    }

    #[test]
    fn urls_have_a_host() {
        for good in ["https://a.example/x.png", "http://127.0.0.1:80/f"] {
            assert!(is_url(good), "{good}");
        }
        for bad in ["", "a.example", "ftp://a.example", "https://", "https:///x", "https://a b", "https://a\n"] {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
