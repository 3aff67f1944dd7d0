//! Finds the one file in a `multipart/form-data` body without copying it.

use std::ops::Range;

/// A part that is a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) content_type: String,
    pub(super) bytes: Range<usize>,
}

/// Why a body has no file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MultipartError {
    /// Not valid `multipart/form-data`.
    Malformed,
    /// No part of that name with a file name.
    Missing,
}

/// The most bytes of a part's headers.
const MAX_PART_HEADERS: usize = 8192;

/// Finds the part named `field` that has a file name.
pub(super) fn file(content_type: &str, body: &[u8], field: &str) -> Result<File, MultipartError> {
    let (kind, parameters) = content_type.split_once(';').ok_or(MultipartError::Malformed)?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(MultipartError::Malformed);
    }
    let boundary =
        parameter(parameters, "boundary").filter(|b| (1..=70).contains(&b.len())).ok_or(MultipartError::Malformed)?;
    let opening = format!("--{boundary}");
    let closing = format!("\r\n--{boundary}");
    let mut at = find(body, 0, opening.as_bytes()).ok_or(MultipartError::Malformed)? + opening.len();
    loop {
        match body.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(b"--") => return Err(MultipartError::Missing),
            _ => return Err(MultipartError::Malformed),
        }
        // The blank line may follow at once: a part without headers.
        let near = &body[..body.len().min(at + MAX_PART_HEADERS)];
        let headers_end = find(near, at.saturating_sub(2), b"\r\n\r\n").ok_or(MultipartError::Malformed)?;
        let start = headers_end + 4;
        let end = find(body, headers_end + 2, closing.as_bytes()).ok_or(MultipartError::Malformed)?.max(start);
        let headers = std::str::from_utf8(body.get(at..headers_end).unwrap_or_default())
            .map_err(|_| MultipartError::Malformed)?;
        let header = |name: &str| {
            headers.split("\r\n").find_map(|line| {
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
        at = find(body, headers_end + 2, closing.as_bytes()).ok_or(MultipartError::Malformed)? + closing.len();
    }
}

/// A parameter of a header value, quoted or not.
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
    fn the_range_of_the_file_is_found() {
        for content in ["bytes", "", "\r\n--xy", "\r\n\r\n"] {
            let body = body("name=\"file\"; filename=\"a.png\"", content);
            let file = file(FORM, &body, "file").unwrap();
            assert_eq!(&body[file.bytes], content.as_bytes());
            assert_eq!(file.content_type, "image/png");
        }
    }

    #[test]
    fn other_parts_are_skipped() {
        let mut two = b"--xyz\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n".to_vec();
        two.extend(body("name=file; filename=a.png", "bytes"));
        let found = file("Multipart/Form-Data; boundary=\"xyz\"", &two, "file").unwrap();
        assert_eq!(&two[found.bytes], b"bytes");
    }

    #[test]
    fn errors_are_distinguished() {
        assert_eq!(file(FORM, &body("name=\"file\"", "x"), "file"), Err(MultipartError::Missing));
        assert_eq!(file(FORM, &body("name=\"other\"; filename=\"a\"", "x"), "file"), Err(MultipartError::Missing));
        assert_eq!(file("application/json", b"{}", "file"), Err(MultipartError::Malformed));
        assert_eq!(file("multipart/form-data; boundary=", b"--", "file"), Err(MultipartError::Malformed));
        let whole = body("name=\"file\"; filename=\"a.png\"", "bytes");
        // A body without its closing boundary is malformed, wherever it was cut.
        for cut in 0..whole.len() - "--\r\n".len() {
            let _ = file(FORM, &whole[..cut], "other");
            let closed = cut >= whole.len() - "--\r\n".len();
            assert_eq!(file(FORM, &whole[..cut], "file").is_ok(), closed, "cut at {cut}");
        }
    }
}
