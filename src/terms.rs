//! What the marketplace takes in each field of a profile, a service, a quote, a message and a token.
//!
//! The document's limits alone: what only the live server wants is left to the live server, whose sentence is shown.
//! This file refuses to know where a value comes from; whoever asks names the place.

use serde_json::Value;

/// The document's capabilities.
const CAPABILITIES: &[&str] = &["image_gen", "video_gen", "ugc", "influencer", "brand_content", "custom"];

/// The document's categories, and those that only the live server has.
const CATEGORIES: &[&str] = &[
    "image_gen",
    "video_gen",
    "ugc",
    "influencer",
    "brand_content",
    "custom",
    "coding",
    "analytics",
    "seo",
    "trading",
    "automation",
    "consulting",
];

const PRICE_TYPES: &[&str] = &["fixed", "quote", "weekly", "monthly"];

/// One field: its name, what it takes, and whether it can be emptied.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As the API names it.
    pub name: &'static str,
    takes: Takes,
    /// Whether `null` is a value of it.
    nullable: bool,
}

#[derive(Clone, Copy, Debug)]
enum Takes {
    /// This many characters.
    Text(usize, usize),
    OneOf(&'static [&'static str]),
    ListOf(&'static [&'static str]),
    Texts,
    Url,
    Wallet,
    Money,
    Whole(u64, u64),
}

const fn field(name: &'static str, takes: Takes) -> Field {
    Field { name, takes, nullable: false }
}

const fn nullable(name: &'static str, takes: Takes) -> Field {
    Field { name, takes, nullable: true }
}

/// The fields of `PATCH /agents/me`, in the document's order. An `endpoint_url` cannot be unset.
pub const PROFILE: &[Field] = &[
    field("name", Takes::Text(2, 50)),
    field("description", Takes::Text(10, 500)),
    nullable("avatar_url", Takes::Url),
    field("endpoint_url", Takes::Url),
    field("capabilities", Takes::ListOf(CAPABILITIES)),
    nullable("owner_wallet", Takes::Wallet),
    nullable("payout_wallet", Takes::Wallet),
];

/// The fields of a service, in the document's order; `max_revisions` is the live server's.
pub const SERVICE: &[Field] = &[
    field("category", Takes::OneOf(CATEGORIES)),
    field("title", Takes::Text(3, 100)),
    field("description", Takes::Text(10, 1000)),
    field("price_usd", Takes::Money),
    field("price_type", Takes::OneOf(PRICE_TYPES)),
    field("turnaround_hours", Takes::Whole(1, 8760)),
    field("deliverables", Takes::Texts),
    nullable("demo_url", Takes::Url),
    field("quota_limit", Takes::Whole(0, u64::MAX)),
    field("max_revisions", Takes::Whole(0, u64::MAX)),
];

/// What a new service must have.
pub const SERVICE_NEEDS: [&str; 5] = ["category", "title", "description", "price_usd", "price_type"];

/// A message to a client.
pub const MESSAGE: Field = field("message", Takes::Text(1, crate::limits::MAX_MESSAGE_CHARS));

/// A token's symbol.
pub const SYMBOL: Field = field("symbol", Takes::Text(1, 10));

/// A quoted price.
pub const QUOTE: Field = field("price_usd", Takes::Money);

/// The field of this name; the error names the nearest one there is.
pub fn named(fields: &'static [Field], name: &str) -> Result<Field, String> {
    fields.iter().find(|field| field.name == name).copied().ok_or_else(|| {
        let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
        match nearest(name, &known) {
            Some(near) => format!("there is no field {name:?}; did you mean {near:?}?"),
            None => format!("there is no field {name:?}; there are {}", known.join(", ")),
        }
    })
}

impl Field {
    /// Whether the marketplace takes this text in this field. `shown` names the place it stands at.
    pub fn check(&self, shown: &str, text: &str) -> Result<(), String> {
        match self.takes {
            Takes::Text(least, most) => length(shown, text, least, most),
            Takes::OneOf(known) | Takes::ListOf(known) => one_of(shown, text, known),
            Takes::Texts if text.trim().is_empty() => Err(format!("{shown} holds an empty text")),
            Takes::Texts => Ok(()),
            Takes::Url => address(shown, text),
            Takes::Wallet => wallet(shown, text),
            Takes::Money => money(shown, text),
            Takes::Whole(least, most) => whole(shown, text, least, most).map(drop),
        }
    }

    /// Reads a value as a person types it: `null`, a list with commas or as a JSON array, a number, a text.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        if text == "null" {
            return if self.nullable {
                Ok(Value::Null)
            } else {
                Err(format!("{} cannot be emptied: the marketplace keeps the one it has", self.name))
            };
        }
        match self.takes {
            Takes::ListOf(_) | Takes::Texts => {
                let items = match serde_json::from_str::<Vec<String>>(text) {
                    Ok(items) => items,
                    Err(_) if text.starts_with('[') => {
                        return Err(format!(
                            "{} is not a JSON list of texts: write it like a,b or [\"a\",\"b\"]",
                            self.name
                        ));
                    }
                    Err(_) => text.split(',').map(|item| item.trim().to_owned()).collect(),
                };
                items.iter().try_for_each(|item| self.check(self.name, item))?;
                Ok(items.into())
            }
            Takes::Whole(least, most) => whole(self.name, text, least, most).map(Value::from),
            _ => self.check(self.name, text).map(|()| text.into()),
        }
    }
}

/// Reads `FIELD=VALUE` words into an object.
pub fn read_all(fields: &'static [Field], words: &[String]) -> Result<serde_json::Map<String, Value>, String> {
    let mut object = serde_json::Map::new();
    for word in words {
        let (name, value) = word.split_once('=').ok_or_else(|| {
            format!("{:?} is not FIELD=VALUE, like title=\"AI Image Generation\"", crate::text::plain(word, 60))
        })?;
        let field = named(fields, name)?;
        if object.insert(name.to_owned(), field.read(value)?).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(object)
}

fn length(shown: &str, text: &str, least: usize, most: usize) -> Result<(), String> {
    let characters = text.chars().count();
    if (least..=most).contains(&characters) {
        return Ok(());
    }
    let are = if characters == 1 { "character" } else { "characters" };
    Err(format!("{shown} has {characters} {are}, the marketplace takes {least} to {most}"))
}

fn one_of(shown: &str, text: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&text) {
        return Ok(());
    }
    let near = nearest(text, known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    Err(format!("{shown} = {text:?} is not one of {}{near}", known.join(", ")))
}

/// A price as decimal text: dollars, and cents if any.
pub fn money(shown: &str, text: &str) -> Result<(), String> {
    if cents(text).is_some() {
        Ok(())
    } else {
        Err(format!("{shown} = {text:?} is not a price: write dollars and cents, like \"5.00\""))
    }
}

/// A price in cents; none when it is none.
#[must_use]
pub fn cents(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, most| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole, 9) || !digits(part, 2) {
        return None;
    }
    Some(whole.parse::<u64>().ok()? * 100 + format!("{part:0<2}").parse::<u64>().ok()?)
}

fn whole(shown: &str, text: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = text.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| match most {
        u64::MAX => format!("{shown} = {text:?} is not a whole number from {least} on"),
        _ => format!("{shown} = {text:?} is not a whole number from {least} to {most}"),
    })
}

fn wallet(shown: &str, text: &str) -> Result<(), String> {
    let characters = text.chars().count();
    let strange = text.chars().find(|c| !c.is_ascii_alphanumeric() || matches!(c, '0' | 'O' | 'I' | 'l'));
    let what = match strange {
        None if (32..=44).contains(&characters) => return Ok(()),
        Some(strange) => format!("{strange:?} is no character of base58"),
        None => format!("it has {characters} characters"),
    };
    Err(format!("{shown} is not a Solana address of 32 to 44 base58 characters: {what}"))
}

/// An http(s) address with a host.
pub fn address(shown: &str, text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if host.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("{shown} = {text:?} is not a web address: write it like \"https://example.com/path\""));
    }
    Ok(())
}

/// The known name most like `unknown`, if one is like it at all.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |name: &&'a str| (strsim::jaro_winkler(unknown, name), *name);
    let best = known.iter().map(likeness).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.75).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_a_person_types_them() {
        let read = |fields, words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            read_all(fields, &words).map(|object| Value::Object(object).to_string())
        };
        assert_eq!(
            read(SERVICE, &["price_usd=7.50", "quota_limit=50", "deliverables=3 avatars, sources"]).unwrap(),
            r#"{"deliverables":["3 avatars","sources"],"price_usd":"7.50","quota_limit":50}"#
        );
        assert_eq!(read(SERVICE, &[r#"deliverables=["a, b","c"]"#]).unwrap(), r#"{"deliverables":["a, b","c"]}"#);
        assert_eq!(read(PROFILE, &["payout_wallet=null"]).unwrap(), r#"{"payout_wallet":null}"#);
        assert!(read(PROFILE, &["endpoint_url=null"]).unwrap_err().contains("cannot be emptied"));
        assert!(read(PROFILE, &["payout_walet=x"]).unwrap_err().contains("did you mean \"payout_wallet\"?"));
        assert!(read(PROFILE, &["name"]).unwrap_err().contains("FIELD=VALUE"));
        assert!(read(PROFILE, &["name=ab", "name=cd"]).unwrap_err().contains("twice"));
    }

    #[test]
    fn prices_in_cents() {
        for (text, expected) in
            [("5", Some(500)), ("5.0", Some(500)), ("0.01", Some(1)), ("999999999.99", Some(99_999_999_999))]
        {
            assert_eq!(cents(text), expected, "{text}");
        }
        for odd in ["", ".", "5.", ".5", "-1", "1e3", "1,5", "5.001", "9999999999", "NaN", " 5", "$5", "٥"] {
            assert_eq!(cents(odd), None, "{odd}");
        }
    }
}
