//! Finds the one file in a `multipart/form-data` body.
//!
//! This file refuses to look at the file's bytes, and copies none: it says where they lie.

use std::ops::Range;

/// A part that is a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) content_type: String,
    pub(super) bytes: Range<usize>,
}

/// What is wrong with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Not `multipart/form-data`, or not what it says it is.
    Malformed,
    /// No part of that name that has a file name.
    Missing,
}

/// The longest a part's head may be.
const MOST_HEAD: usize = 8192;

/// The part called `field` that has a file name.
pub(super) fn file(content_type: &str, body: &[u8], field: &str) -> Result<File, Flaw> {
    let (kind, parameters) = content_type.split_once(';').ok_or(Flaw::Malformed)?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(Flaw::Malformed);
    }
    let boundary = parameter(parameters, "boundary").filter(|b| (1..=70).contains(&b.len())).ok_or(Flaw::Malformed)?;
    let opening = format!("--{boundary}");
    let closing = format!("\r\n--{boundary}");
    let mut at = find(body, 0, opening.as_bytes()).ok_or(Flaw::Malformed)? + opening.len();
    loop {
        match body.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(b"--") => return Err(Flaw::Missing),
            _ => return Err(Flaw::Malformed),
        }
        // The blank line may follow at once: a part without headers.
        let near = &body[..body.len().min(at + MOST_HEAD)];
        let head_end = find(near, at.saturating_sub(2), b"\r\n\r\n").ok_or(Flaw::Malformed)?;
        let start = head_end + 4;
        let end = find(body, head_end + 2, closing.as_bytes()).ok_or(Flaw::Malformed)?.max(start);
        let head = std::str::from_utf8(body.get(at..head_end).unwrap_or_default()).map_err(|_| Flaw::Malformed)?;
        let header = |name: &str| {
            head.split("\r\n").find_map(|line| {
                let (known, value) = line.split_once(':')?;
                known.trim().eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let disposition = header("content-disposition").unwrap_or_default();
        if parameter(disposition, "name") == Some(field)
            && parameter(disposition, "filename").is_some_and(|n| !n.is_empty())
        {
            let content_type = header("content-type").unwrap_or("application/octet-stream").to_owned();
            return Ok(File { content_type, bytes: start..end });
        }
        at = find(body, head_end + 2, closing.as_bytes()).ok_or(Flaw::Malformed)? + closing.len();
    }
}

/// A parameter of a header's value, quoted or not.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

fn find(text: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    while let Some(step) = text.get(at..)?.iter().position(|byte| *byte == first) {
        at += step;
        if text[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "multipart/form-data; boundary=xyz";

    fn body(disposition: &str, content: &str) -> Vec<u8> {
        format!("--xyz\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: image/png\r\n\r\n{content}\r\n--xyz--\r\n").into_bytes()
    }

    #[test]
    fn the_file_is_found_where_it_lies() {
        for content in ["bytes", "", "\r\n--xy", "\r\n\r\n"] {
            let body = body("name=\"file\"; filename=\"a.png\"", content);
            let file = file(FORM, &body, "file").unwrap();
            assert_eq!(&body[file.bytes], content.as_bytes());
            assert_eq!(file.content_type, "image/png");
        }
    }

    #[test]
    fn other_parts_are_passed_over() {
        let mut two = b"--xyz\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n".to_vec();
        two.extend(body("name=file; filename=a.png", "bytes"));
        let found = file("Multipart/Form-Data; boundary=\"xyz\"", &two, "file").unwrap();
        assert_eq!(&two[found.bytes], b"bytes");
    }

    #[test]
    fn flaws_have_names() {
        assert_eq!(file(FORM, &body("name=\"file\"", "x"), "file"), Err(Flaw::Missing));
        assert_eq!(file(FORM, &body("name=\"other\"; filename=\"a\"", "x"), "file"), Err(Flaw::Missing));
        assert_eq!(file("application/json", b"{}", "file"), Err(Flaw::Malformed));
        assert_eq!(file("multipart/form-data; boundary=", b"--", "file"), Err(Flaw::Malformed));
        let whole = body("name=\"file\"; filename=\"a.png\"", "bytes");
        // Without its closing boundary a body is no form, wherever it was cut.
        for cut in 0..whole.len() - "--\r\n".len() {
            let _ = file(FORM, &whole[..cut], "other");
            let closed = cut >= whole.len() - "--\r\n".len();
            assert_eq!(file(FORM, &whole[..cut], "file").is_ok(), closed, "cut at {cut}");
        }
    }
}
