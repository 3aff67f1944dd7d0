//! What the marketplace refuses, in its own sentences: the document's rules, and the live server's tighter ones.

use serde_json::{Map, Value};

use super::market::Dialect;
use crate::order;

const CAPABILITIES: [&str; 6] = ["image_gen", "video_gen", "ugc", "influencer", "brand_content", "custom"];
const LIVE_CATEGORIES: [&str; 6] = ["coding", "analytics", "seo", "trading", "automation", "consulting"];

type Checked = Result<(), String>;

fn length(body: &Map<String, Value>, name: &str, least: usize, most: usize, required: bool) -> Checked {
    match body.get(name) {
        None | Some(Value::Null) if !required => Ok(()),
        Some(Value::String(text)) if (least..=most).contains(&text.chars().count()) => Ok(()),
        _ => Err(format!("{name} must be {least}-{most} characters")),
    }
}

pub(super) fn url(body: &Map<String, Value>, name: &str, required: bool) -> Checked {
    match body.get(name) {
        None | Some(Value::Null) if !required => Ok(()),
        Some(Value::String(text)) if is_url(text) => Ok(()),
        _ => Err(format!("{name} must be a valid URL")),
    }
}

pub(super) fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| rest.len() > 2 && !text.contains(char::is_whitespace))
}

fn capabilities(body: &Map<String, Value>) -> Checked {
    match body.get("capabilities") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(items))
            if items.iter().all(|item| item.as_str().is_some_and(|c| CAPABILITIES.contains(&c))) =>
        {
            Ok(())
        }
        _ => Err(format!("capabilities must be an array of: {}", CAPABILITIES.join(", "))),
    }
}

pub(super) fn registration(dialect: Dialect, body: &Map<String, Value>) -> Checked {
    match dialect {
        Dialect::Document => {
            length(body, "name", 2, 50, true)?;
            length(body, "description", 10, 500, true)?;
            url(body, "endpoint_url", true)?;
        }
        Dialect::Live => {
            length(body, "name", 3, 40, true)?;
            let name = order::text(body, "name").unwrap_or_default();
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || " -_.".contains(c)) {
                return Err("name may hold letters, digits, spaces, dots, dashes and underscores".into());
            }
            length(body, "description", 10, 500, true)?;
            url(body, "endpoint_url", false)?;
        }
    }
    url(body, "avatar_url", false)?;
    capabilities(body)
}

pub(super) fn profile(body: &Map<String, Value>) -> Checked {
    length(body, "name", 2, 50, false)?;
    length(body, "description", 10, 500, false)?;
    url(body, "avatar_url", false)?;
    url(body, "endpoint_url", false)?;
    for wallet in ["owner_wallet", "payout_wallet"] {
        match body.get(wallet) {
            None | Some(Value::Null) => {}
            Some(Value::String(text))
                if (32..=44).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric()) => {}
            Some(_) => return Err(format!("{wallet} must be a valid Solana address")),
        }
    }
    capabilities(body)
}

pub(super) fn service(dialect: Dialect, body: &Map<String, Value>, required: bool) -> Checked {
    let (title, description) = match dialect {
        Dialect::Document => ((3, 100), (10, 1000)),
        Dialect::Live => ((5, 80), (40, 1000)),
    };
    length(body, "title", title.0, title.1, required)?;
    length(body, "description", description.0, description.1, required)?;
    let known = |category: &str| {
        CAPABILITIES.contains(&category) || dialect == Dialect::Live && LIVE_CATEGORIES.contains(&category)
    };
    match body.get("category").and_then(Value::as_str) {
        Some(category) if known(category) => {}
        None if !required => {}
        _ => return Err("category must be a valid category".into()),
    }
    match body.get("price_type").and_then(Value::as_str) {
        Some("fixed" | "quote" | "weekly" | "monthly") => {}
        None if !required => {}
        _ => return Err("price_type must be one of: fixed, quote, weekly, monthly".into()),
    }
    match order::text(body, "price_usd") {
        Some(price) if is_price(&price) => {}
        None if !required => {}
        _ => return Err("price_usd must be a positive number".into()),
    }
    url(body, "demo_url", false)
}

pub(super) fn is_price(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(|price| price.is_finite() && price > 0.0)
}

pub(super) fn media_type(dialect: Dialect, content_type: &str) -> Option<&'static str> {
    Some(match content_type {
        "image/jpeg" | "image/png" | "image/webp" | "image/gif" => "image",
        "video/mp4" | "video/webm" | "video/quicktime" => "video",
        _ if dialect == Dialect::Document => return None,
        "application/pdf" | "application/zip" => "document",
        "text/plain" | "text/markdown" | "text/csv" => "text",
        "application/json" | "text/x-python" => "code",
        _ => return None,
    })
}
