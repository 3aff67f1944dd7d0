//! The reason in what a failed program wrote: its JSON error, else the line that names an error, else the last line.

use serde_json::Value;

/// What a line that names an error has in it.
const SIGNS: [&str; 10] =
    ["error", "failed", "invalid", "denied", "exceeded", "quota", "not found", "cannot", "could not", "timed out"];

/// Splits the text of an error into how the program ended (`exit 3`), where it begins with that, and the reason.
#[must_use]
pub fn reason(text: &str) -> (Option<&str>, String) {
    let (code, output) = match text.split_once(": ") {
        Some((code, output)) if code.starts_with("exit ") => (Some(code), output),
        _ => (None, text),
    };
    let found = json_reason(output).or_else(|| named_reason(output)).unwrap_or_else(|| output.trim().to_owned());
    (code, found)
}

/// Returns the message of the last JSON object that tells of an error. It may be spread over lines, and cut.
///
/// Programs also log in JSON: an object that only has a message counts when it is the last that was written.
#[must_use]
pub fn json_reason(output: &str) -> Option<String> {
    let (mut found, mut rest) = (None, output);
    while let Some(start) = rest.find('{') {
        let from = &rest[start..];
        let mut values = serde_json::Deserializer::from_str(from).into_iter::<Value>();
        let Some(Ok(value)) = values.next() else {
            rest = &from[1..];
            continue;
        };
        rest = &from[values.byte_offset().max(1)..];
        let error = value.get("error").or_else(|| value.get("errors")?.get(0));
        let last = Some(&value).filter(|_| rest.trim().is_empty());
        found = error.or(last).and_then(message).or(found);
    }
    found.or_else(|| cut_message(output))
}

fn message(error: &Value) -> Option<String> {
    let told = ["message", "detail", "reason"].into_iter().find_map(|name| error.get(name)?.as_str());
    told.or_else(|| error.as_str()).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The message of an object whose end is missing.
fn cut_message(text: &str) -> Option<String> {
    let (_, after) = text.split_once("\"error\"")?;
    let value = match after.split_once("\"message\"") {
        Some((_, after)) => after,
        None => after,
    };
    let value = value.trim_start().strip_prefix(':')?.trim_start();
    let whole = serde_json::Deserializer::from_str(value).into_iter::<String>().next();
    match whole {
        Some(Ok(text)) => Some(text),
        _ => value.strip_prefix('"').map(|text| text.trim_end_matches(['…', '\\']).trim().to_owned()),
    }
    .filter(|text| !text.is_empty())
}

fn named_reason(output: &str) -> Option<String> {
    let lines = output.split('\n').flat_map(|line| line.split(" | ")).map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    let names_an_error = |line: &&&str| SIGNS.iter().any(|sign| line.to_lowercase().contains(sign));
    lines.iter().rfind(names_an_error).or_else(|| lines.last()).map(|line| (*line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_the_program_says_went_wrong() {
        for (text, expected) in [
            (
                r#"exit 3: loading model {"error": {"message": "quota exceeded", "code": 429}}"#,
                (Some("exit 3"), "quota exceeded"),
            ),
            (
                r#"exit 1: DEBUG {"level":"debug","trace":"abc"} | {"error":{"message":"no credit"}} | bye"#,
                (Some("exit 1"), "no credit"),
            ),
            (r#"exit 1: {"error":"no credit"}"#, (Some("exit 1"), "no credit")),
            (r#"exit 1: {"detail":"unknown model"}"#, (Some("exit 1"), "unknown model")),
            (r#"exit 1: {"errors":[{"message":"first"},{"message":"second"}]}"#, (Some("exit 1"), "first")),
            (
                "{\n  \"error\": {\n    \"code\": 429,\n    \"message\": \"slow \\\"down\\\"\"\n  }\n}",
                (None, "slow \"down\""),
            ),
            (
                r#"exit 1: {"error": {"code": 1, "message": "the model is overl…"#,
                (Some("exit 1"), "the model is overl"),
            ),
            (r#"{"message":"bad prompt"}"#, (None, "bad prompt")),
            ("{\"message\":\"loading\"}\nout of memory", (None, "out of memory")),
            ("exit 2: debug: 1\nError: API key is invalid\nbye", (Some("exit 2"), "Error: API key is invalid")),
            ("exit 2: loading | step 3 of 9 | killed", (Some("exit 2"), "killed")),
            ("exit 3: it said nothing", (Some("exit 3"), "it said nothing")),
            ("exit 3: {not json} went up in smoke", (Some("exit 3"), "{not json} went up in smoke")),
            ("timed out after 10m", (None, "timed out after 10m")),
            ("", (None, "")),
        ] {
            let (code, found) = reason(text);
            assert_eq!((code, found.as_str()), expected, "{text}");
        }
    }
}
