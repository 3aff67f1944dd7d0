//! Money as exact whole numbers: cents of a US dollar for prices, millionths for costs.

/// A price in cents: digits, and at most two places. None when it is no price.
#[must_use]
pub fn cents(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "00"));
    if !digits(whole, 1..=9) || !digits(part, 1..=2) {
        return None;
    }
    Some(whole.parse::<u64>().ok()? * 100 + format!("{part:0<2}").parse::<u64>().ok()?)
}

/// A server's price in cents; one with more places than a cent has is rounded down.
#[must_use]
pub fn round_down(price: &str) -> Option<u64> {
    cents(price).or_else(|| {
        let (whole, part) = price.split_once('.')?;
        cents(&format!("{whole}.{}", part.get(..2)?))
    })
}

/// A cost in millionths: below a million dollars; places after the sixth, as sums of floating numbers have them, are let go.
#[must_use]
pub fn micros(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole, 1..=6) || !digits(part, 1..=40) {
        return None;
    }
    let part: String = part.chars().chain("000000".chars()).take(6).collect();
    Some(whole.parse::<u64>().ok()? * 1_000_000 + part.parse::<u64>().ok()?)
}

/// Cents for display: `4.50`.
#[must_use]
pub fn usd(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Cents as an amount in a text: `$1,234.50`.
#[must_use]
pub fn dollars(cents: u64) -> String {
    format!("${}.{:02}", thousands(cents / 100), cents % 100)
}

/// A number with its thousands apart: `1,234,567`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Millionths for display, with the places they need and two at least: `0.0042`, `1.50`.
#[must_use]
pub fn usd_of_micros(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let least = text.len() - 4;
    let kept = text.trim_end_matches('0').len().max(least);
    text[..kept].to_owned()
}

fn digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_a_sign_and_thousands() {
        for (cents, expected) in [(0, "$0.00"), (450, "$4.50"), (123_456, "$1,234.56"), (100_000_000, "$1,000,000.00")]
        {
            assert_eq!(dollars(cents), expected);
        }
    }

    #[test]
    fn money_is_read_to_its_last_place_and_nothing_else_is_money() {
        for (text, expected) in
            [("5", Some(500)), ("5.0", Some(500)), ("0.01", Some(1)), ("999999999.99", Some(99_999_999_999))]
        {
            assert_eq!(cents(text), expected, "{text}");
        }
        assert_eq!((round_down("1.999"), round_down("1.9x"), round_down("x.99")), (Some(199), None, None));
        assert_eq!(
            (micros("0.0042"), micros("12"), micros("0.060000000000000005")),
            (Some(4_200), Some(12_000_000), Some(60_000))
        );
        for odd in ["", ".", "5.", ".5", "-1", "1e3", "1,5", "5.001", "9999999999", "NaN", " 5", "$5", "٥"] {
            assert_eq!(cents(odd), None, "{odd}");
        }
        for odd in ["", "1.", "-1", "1e-7", "NaN", "1000000"] {
            assert_eq!(micros(odd), None, "{odd}");
        }
    }

    #[test]
    fn money_is_written_with_the_places_it_needs() {
        assert_eq!((usd(450), usd(7)), ("4.50".into(), "0.07".into()));
        let written = [0, 4_200, 1_500_000, 1, 12_345_678].map(usd_of_micros);
        assert_eq!(written, ["0.00", "0.0042", "1.50", "0.000001", "12.345678"]);
    }
}
