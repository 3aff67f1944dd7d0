//! The ledger as CSV (RFC 4180), safe to open in a spreadsheet.

use super::Period;
use super::day;
use crate::domain::money::usd_of_micros;
use crate::domain::sanitize::one_line;
use crate::io::store::LedgerEntry;

/// Writes the entries of a period, one a line, under a header line.
#[must_use]
pub fn write(entries: impl Iterator<Item = LedgerEntry>, period: &Period) -> String {
    let mut text = String::from("at,order,round,ending,service,price_usd,attempts,cost_usd\r\n");
    for entry in entries.filter(|entry| period.has(&day(entry.at))) {
        let ending = serde_json::to_value(entry.ending).unwrap_or_default();
        let fields = [
            entry.at.to_string(),
            field(entry.order.as_str()),
            entry.round.to_string(),
            ending.as_str().unwrap_or_default().to_owned(),
            field(entry.service.as_deref().unwrap_or_default()),
            field(entry.price_usd.as_deref().unwrap_or_default()),
            entry.attempts.to_string(),
            usd_of_micros(entry.cost_micros),
        ];
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    text
}

/// A foreign text as a field. One that a spreadsheet would run as a formula gets an apostrophe before it.
fn field(text: &str) -> String {
    let text = one_line(text, 200);
    let formula = text.starts_with(['=', '+', '-', '@']);
    let text = if formula { format!("'{text}") } else { text };
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_formulas_disarmed() {
        for (text, expected) in [
            ("Posters", "Posters"),
            ("Posters, large", "\"Posters, large\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("two\r\nlines", "two  lines"),
        ] {
            assert_eq!(field(text), expected, "{text}");
        }
        assert_eq!(write(std::iter::empty(), &Period::default()).lines().count(), 1);
    }
}
