//! The marketplace's rules for each field of a profile, a service, a quote, a message and a token.
//!
//! Only the document's limits: further ones are left to the live server, whose message is shown.

use serde_json::Value;

use crate::domain::money::cents;
use crate::domain::sanitize::quotable;
use crate::domain::suggest::{quoted, suggest};
use crate::domain::url::Address;

/// The document's categories and capabilities, then those that only the live server has.
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
    /// This many characters, on one line.
    Line(usize, usize),
    /// This many characters.
    Text(usize, usize),
    OneOf(&'static [&'static str]),
    ListOf(&'static [&'static str]),
    Texts,
    Url,
    Wallet,
    BaseAddress,
    Money,
    Whole(u64, u64),
}

const fn field(name: &'static str, takes: Takes) -> Field {
    Field { name, takes, nullable: false }
}

const fn nullable(name: &'static str, takes: Takes) -> Field {
    Field { name, takes, nullable: true }
}

/// The fields of `PATCH /agents/me`, in the document's order, then those of the live server. An `endpoint_url` cannot be unset.
pub const PROFILE: &[Field] = &[
    field("name", Takes::Line(2, 50)),
    field("description", Takes::Text(10, 500)),
    nullable("avatar_url", Takes::Url),
    field("endpoint_url", Takes::Url),
    field("capabilities", Takes::ListOf(CATEGORIES)),
    nullable("owner_wallet", Takes::Wallet),
    nullable("payout_wallet", Takes::Wallet),
    nullable("payout_chain", Takes::OneOf(&["solana", "base"])),
    nullable("payout_address_base", Takes::BaseAddress),
    field("ai_models", Takes::Texts),
];

/// The fields of a service, in the document's order; `max_revisions` is the live server's.
pub const SERVICE: &[Field] = &[
    field("category", Takes::OneOf(CATEGORIES)),
    field("title", Takes::Line(3, 100)),
    field("description", Takes::Text(10, 1000)),
    field("price_usd", Takes::Money),
    field("price_type", Takes::OneOf(PRICE_TYPES)),
    field("turnaround_hours", Takes::Whole(1, 8760)),
    field("deliverables", Takes::Texts),
    nullable("demo_url", Takes::Url),
    field("quota_limit", Takes::Whole(0, 1_000_000)),
    field("max_revisions", Takes::Whole(0, 1000)),
];

/// What a new service must have.
pub const SERVICE_NEEDS: [&str; 5] = ["category", "title", "description", "price_usd", "price_type"];

/// A message to a client.
pub const MESSAGE: Field = field("message", Takes::Text(1, crate::domain::limits::MAX_MESSAGE_CHARS));

/// A token's symbol.
pub const SYMBOL: Field = field("symbol", Takes::Text(1, 10));

/// A quoted price.
pub const QUOTE: Field = field("price_usd", Takes::Money);

/// The field of this name.
///
/// # Errors
///
/// No field has this name; the text names the nearest one.
pub fn named(fields: &'static [Field], name: &str) -> Result<Field, String> {
    fields.iter().find(|field| field.name == name).copied().ok_or_else(|| {
        let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
        format!("there is no field {:?}; {}", quotable(name), suggest(name, &known, quoted))
    })
}

/// Words that the live marketplace takes in no agent's name.
const RESERVED_WORDS: [&str; 10] =
    ["claw", "team", "said", "protocol", "peng", "squire", "atelier", "test", "official", "support"];

/// Returns the word of an agent's name that the live marketplace reserves.
#[must_use]
pub fn reserved_word(name: &str) -> Option<&str> {
    let is_reserved = |word: &&str| RESERVED_WORDS.iter().any(|reserved| reserved.eq_ignore_ascii_case(word));
    name.split(|c: char| !c.is_ascii_alphanumeric()).find(is_reserved)
}

/// What a value must do, and whether it helps to see the value that does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// As in "the name must …".
    pub what: String,
    /// Whether the value is to be shown.
    pub telling: bool,
}

fn telling(holds: bool, what: &str) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { what: what.to_owned(), telling: true }) }
}

fn silent(holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { what: what(), telling: false }) }
}

impl Field {
    /// Whether the marketplace takes this text in this field.
    ///
    /// # Errors
    ///
    /// It does not; the violation says what the text must do.
    pub fn takes(&self, text: &str) -> Result<(), Violation> {
        match self.takes {
            Takes::Line(least, most) => {
                length(text, least, most)?;
                telling(!text.chars().any(char::is_control), "be one line of plain text")
            }
            Takes::Text(least, most) => length(text, least, most),
            Takes::OneOf(known) => {
                silent(known.contains(&text), || none_of("be one that the marketplace has", text, known))
            }
            Takes::ListOf(known) => {
                silent(known.contains(&text), || none_of("hold only ones that the marketplace has", text, known))
            }
            Takes::Texts => silent(!text.trim().is_empty(), || "hold no empty text".to_owned()),
            Takes::Url => address(text),
            Takes::Wallet => telling(is_solana_address(text), "be a Solana address (base58 of exactly 32 bytes)"),
            Takes::BaseAddress => {
                let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40);
                let is_hex = digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                telling(is_hex, "be an address of the Base chain (0x and 40 hexadecimal digits)")
            }
            Takes::Money => telling(cents(text).is_some(), "be an amount of US dollars such as \"5.00\""),
            Takes::Whole(least, most) => {
                let number = text.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
                telling(number.is_some(), &format!("be from {least} to {most}"))
            }
        }
    }

    /// As [`Field::takes`], for the text that stands at `shown`.
    ///
    /// # Errors
    ///
    /// A whole sentence that names `shown`.
    pub fn check(&self, shown: &str, text: &str) -> Result<(), String> {
        self.takes(text).map_err(|must| match must.telling {
            true => format!("{shown} must {}, not {:?}", must.what, quotable(text)),
            false => format!("{shown} must {}", must.what),
        })
    }

    /// Reads a value as it is typed: `null`, a list with commas or as a JSON array, a number, a text.
    ///
    /// # Errors
    ///
    /// The field does not take this value.
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
                        let name = self.name;
                        return Err(format!("{name} is not a JSON list of texts: write it like a,b or [\"a\",\"b\"]"));
                    }
                    Err(_) => text.split(',').map(|item| item.trim().to_owned()).collect(),
                };
                items.iter().try_for_each(|item| self.check(self.name, item))?;
                Ok(items.into())
            }
            Takes::Whole(..) => {
                self.check(self.name, text)?;
                Ok(text.parse::<u64>().unwrap_or_default().into())
            }
            _ => self.check(self.name, text).map(|()| text.into()),
        }
    }
}

/// Reads `FIELD=VALUE` words into an object.
///
/// # Errors
///
/// A word has another form, its field is unknown or given twice, or does not take its value.
pub fn read_all(fields: &'static [Field], words: &[String]) -> Result<serde_json::Map<String, Value>, String> {
    let mut object = serde_json::Map::new();
    for word in words {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| format!("{:?} is not FIELD=VALUE, like title=\"AI Image Generation\"", quotable(word)))?;
        let field = named(fields, name)?;
        if object.insert(name.to_owned(), field.read(value)?).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(object)
}

fn length(text: &str, least: usize, most: usize) -> Result<(), Violation> {
    let count = text.trim().chars().count();
    silent((least..=most).contains(&count), || format!("have {least} to {most} characters, and has {count}"))
}

fn none_of(must: &str, odd: &str, known: &[&str]) -> String {
    format!("{must}: {:?} is none; {}", quotable(odd), suggest(odd, known, quoted))
}

/// Whether the text is base58 of exactly 32 bytes: a Solana public key, and no address of Bitcoin, Tron or Litecoin.
fn is_solana_address(text: &str) -> bool {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    if !(32..=44).contains(&text.len()) {
        return false;
    }
    let mut number = [0_u8; 32];
    for letter in text.bytes() {
        let Some(digit) = ALPHABET.iter().position(|known| *known == letter) else { return false };
        let mut carry = digit;
        for byte in number.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = (carry % 256) as u8;
            carry /= 256;
        }
        if carry > 0 {
            return false;
        }
    }
    // Each leading zero byte is written as one leading 1, and nothing else is.
    let ones = text.bytes().take_while(|letter| *letter == b'1').count();
    ones == number.iter().take_while(|byte| **byte == 0).count()
}

/// An http(s) address with a host, and without a name or a password in it.
///
/// # Errors
///
/// The text is something else.
pub fn address(text: &str) -> Result<(), Violation> {
    let authority = text.split_once("://").map_or(text, |(_, after)| after).split('/').next().unwrap_or_default();
    silent(!authority.contains('@'), || "carry no user name and no password".to_owned())?;
    telling(Address::parse(text).is_some(), "be a plain web address such as \"https://some.host/path\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_they_are_typed() {
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
    fn wallets_are_base58_of_exactly_32_bytes() {
        let wallet = |text: &str| field("payout_wallet", Takes::Wallet).check("payout_wallet", text);
        for good in [
            "11111111111111111111111111111111",
            "So11111111111111111111111111111111111111112",
            "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
            "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
            "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB",
            "Vote111111111111111111111111111111111111111",
            "SysvarRent111111111111111111111111111111111",
            "JEKNVnkbo3jma5nREBBJCDoXFVeKkD56V3xKrvRmWxFG",
        ] {
            assert_eq!(wallet(good), Ok(()), "{good}");
        }
        for bad in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
            "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
            "LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1",
            "DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L",
            "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045",
            "111111111111111111111111111111111",
            "1111111111111111111111111111111",
            "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "1So11111111111111111111111111111111111111112",
            "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt10",
            "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v ",
            "",
        ] {
            let error = wallet(bad).unwrap_err();
            assert!(error.contains("base58 of exactly 32 bytes"), "{bad}: {error}");
        }
    }
}
