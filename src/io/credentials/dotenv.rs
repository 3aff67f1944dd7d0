//! Reads our two variables from a `.env` file. Nothing is executed or expanded.
//!
//! The file may belong to another program: what does not name our variables is passed over, whatever it is. A line that
//! names them in a form not understood is an error, so that a key is never overlooked.

use super::{ID, KEY};

/// What a `.env` file gives our two variables; none where it gives nothing.
pub(super) type Pair = (Option<String>, Option<String>);

/// A line that names one of our variables and cannot be used: its number, from 1, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) line: usize,
    pub(super) why: &'static str,
}

/// Returns the last value that is given to each variable.
///
/// # Errors
///
/// Returns the first line that names one of them in a form that is not understood.
pub(super) fn read(bytes: &[u8]) -> Result<Pair, BadLine> {
    let text = decode(bytes);
    let mut pair = (None, None);
    let mut exported = None;
    for (line, text) in (1..).zip(text.lines()) {
        let bad = |why| BadLine { line, why };
        let text = text.trim();
        if text.starts_with('#') || !names_ours(text, |_, _| true) {
            continue;
        }
        let body = without_export(text);
        match assignment(body) {
            Some((name, value)) if name == ID || name == KEY => {
                let place = if name == ID { &mut pair.0 } else { &mut pair.1 };
                let value = plain_value(value).map_err(bad)?;
                if !value.is_empty() {
                    *place = Some(value.to_owned());
                }
            }
            // Another variable may refer to ours, but not hold an assignment to it.
            Some((name, value)) if !is_ours(name) => {
                let defines = |before: &str, after: &str| {
                    !before.ends_with(['$', '{']) && after.trim_start().starts_with(['=', ':'])
                };
                if names_ours(value, defines) {
                    return Err(bad("sets it inside another variable"));
                }
            }
            Some(_) => return Err(bad("has its name in lower case")),
            None if body.len() < text.len() && body.split_whitespace().all(is_name) => {
                exported.get_or_insert(line);
            }
            None => return Err(bad("names it in a form that is not NAME=value")),
        }
    }
    match exported {
        // Exported here and set nowhere: it is set by a shell that we are not.
        Some(line) if pair == (None, None) => Err(BadLine { line, why: "exports it and no line sets it" }),
        _ => Ok(pair),
    }
}

/// UTF-8 with or without a byte order mark, or UTF-16 as Windows writes it; other bytes become marks of replacement.
fn decode(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [_, 0, _, 0, ..] => wide(bytes, u16::from_le_bytes),
        [0, _, 0, _, ..] => wide(bytes, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn without_export(text: &str) -> &str {
    match text.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => text,
    }
}

/// `NAME=value`, with blanks around the sign or without.
fn assignment(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim_end();
    is_name(name).then(|| (name, value.trim()))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(is_of_a_name)
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_ours(name: &str) -> bool {
    name.eq_ignore_ascii_case(ID) || name.eq_ignore_ascii_case(KEY)
}

/// Whether one of our names stands in the text, as a word, where `counts` says so of what is before and after it.
fn names_ours(text: &str, counts: impl Fn(&str, &str) -> bool) -> bool {
    let upper = text.to_ascii_uppercase();
    [ID, KEY].iter().any(|name| {
        upper.match_indices(name).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + name.len()..]);
            !before.ends_with(is_of_a_name) && !after.starts_with(is_of_a_name) && counts(before, after)
        })
    })
}

/// A value as it stands, or in quotes; a comment may follow after a blank.
fn plain_value(value: &str) -> Result<&str, &'static str> {
    let first = value.chars().next().filter(|first| matches!(first, '"' | '\''));
    let value = match first {
        Some(quote) => {
            let (inside, after) = value[1..].split_once(quote).ok_or("opens a quote and does not close it")?;
            if !after.trim_start().is_empty() && !after.trim_start().starts_with('#') {
                return Err("holds more than one value");
            }
            inside.trim()
        }
        None => value.find([' ', '\t']).map_or(value, |blank| {
            let rest = value[blank..].trim_start();
            if rest.starts_with('#') { &value[..blank] } else { value }
        }),
    };
    match value {
        value if value.contains(char::is_whitespace) => Err("holds more than one value"),
        value if value.contains(['"', '\'', '`', ';']) => Err("holds a quote or a semicolon within its value"),
        value if value.contains('$') => Err("refers to another variable, which is not expanded"),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        let units = std::iter::once(0xfeff).chain(text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn forms_of_env_files() {
        let good = (Some("a1".to_owned()), Some("k1234567".to_owned()));
        let nothing = (None, None);
        let plain = "ATELIER_AGENT_ID=a1\nATELIER_API_KEY=k1234567\n";
        let read = |text: &str| read(text.as_bytes());
        for text in [
            plain,
            "export ATELIER_AGENT_ID=a1\nexport ATELIER_API_KEY=k1234567",
            "export\tATELIER_AGENT_ID=a1\nexport \t ATELIER_API_KEY=k1234567",
            "ATELIER_AGENT_ID=\"a1\"\nATELIER_API_KEY='k1234567'",
            "ATELIER_AGENT_ID = a1\r\nATELIER_API_KEY\t=\tk1234567\r\n",
            "ATELIER_AGENT_ID=a1 # mine\nATELIER_API_KEY=k1234567\t# a key",
            "ATELIER_AGENT_ID=\"a1\"\t# mine\nATELIER_API_KEY='k1234567' # a key",
            "set -a\nATELIER_AGENT_ID=a1\nATELIER_API_KEY=k1234567\nset +a",
            "\u{feff}ATELIER_AGENT_ID=a1\nATELIER_API_KEY=k1234567",
            "#!/bin/sh\n# ATELIER_API_KEY: old\nATELIER_AGENT_ID=a1\nATELIER_API_KEY=k1234567",
            "ATELIER_AGENT_ID=old\nATELIER_API_KEY=k1234567\nATELIER_AGENT_ID=a1",
            "ATELIER_AGENT_ID=a1\nATELIER_API_KEY=k1234567\nexport ATELIER_AGENT_ID ATELIER_API_KEY",
            "MY_ATELIER_API_KEY_OLD: x\nATELIER_AGENT_ID=a1\nATELIER_API_KEY=k1234567\nCOPY=${ATELIER_API_KEY}",
            "  ATELIER_AGENT_ID=a1\n\tATELIER_API_KEY=k1234567",
        ] {
            assert_eq!(read(text), Ok(good.clone()), "{text:?}");
        }
        assert_eq!(super::read(&utf16(plain)), Ok(good.clone()));
        assert_eq!(super::read(&[b"# caf\xe9\n", plain.as_bytes()].concat()), Ok(good));
        for text in ["", "OTHER=1", "KEY: value", "ATELIER_AGENT_ID=\nATELIER_API_KEY=\"\"", "set -a", "\0\0\0\0"] {
            assert_eq!(read(text), Ok(nothing.clone()), "{text:?}");
        }
        for (text, line, word) in [
            ("A=1\nATELIER_AGENT_ID: a1", 2, "NAME=value"),
            ("$env:ATELIER_API_KEY = \"k1234567\"", 1, "NAME=value"),
            ("set -x ATELIER_API_KEY k1234567", 1, "NAME=value"),
            ("set -gx ATELIER_API_KEY k1234567", 1, "NAME=value"),
            ("set ATELIER_API_KEY=k1234567", 1, "NAME=value"),
            ("\nset \"ATELIER_API_KEY=k1234567\"", 2, "NAME=value"),
            ("declare -x ATELIER_API_KEY=\"k1234567\"", 1, "NAME=value"),
            ("setenv ATELIER_API_KEY k1234567", 1, "NAME=value"),
            ("ATELIER_API_KEY k1234567", 1, "NAME=value"),
            ("{\"ATELIER_API_KEY\": \"k1234567\"}", 1, "NAME=value"),
            ("Environment=ATELIER_API_KEY=k1234567", 1, "inside another"),
            ("atelier_agent_id=a1\natelier_api_key=k1234567", 1, "lower case"),
            ("ATELIER_AGENT_ID=a1\nAtelier_Api_Key=k1234567", 2, "lower case"),
            ("export ATELIER_API_KEY", 1, "no line sets it"),
            ("ATELIER_API_KEY=\"k1234567", 1, "does not close"),
            ("ATELIER_API_KEY=$OTHER_KEY", 1, "not expanded"),
            ("ATELIER_AGENT_ID=a1 ATELIER_API_KEY=k1234567", 1, "more than one"),
            ("ATELIER_AGENT_ID=a1; export ATELIER_AGENT_ID", 1, "more than one"),
            ("ATELIER_API_KEY=k1234\"567", 1, "a quote"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.line == line && error.why.contains(word), "{text:?}: {error:?}");
        }
    }
}
