//! The request headers of a webhook, as far as they matter.

use super::signature;

/// The longest request line and headers, in bytes.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The longest body, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// The most headers; proxies add a dozen.
const MAX_HEADERS: usize = 128;

/// What the beginning of a connection holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The headers do not end yet.
    Partial,
    /// It is not HTTP.
    Invalid,
    /// There are more headers than are read.
    TooMany,
    /// The headers, and where the body begins.
    Whole(RequestHeaders, usize),
}

/// The request headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeaders {
    /// The method.
    pub method: String,
    /// The target, query included.
    pub target: String,
    /// Every `Content-Length`.
    pub lengths: Vec<String>,
    /// It has a `Transfer-Encoding`.
    pub is_chunked: bool,
    /// It waits for `100 Continue` before it sends the body.
    pub expects: bool,
    /// Every signature.
    pub signatures: Vec<String>,
}

impl RequestHeaders {
    /// Reads what has arrived so far.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Parsed {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let end = match request.parse(bytes) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => return Parsed::Partial,
            Err(httparse::Error::TooManyHeaders) => return Parsed::TooMany,
            Err(_) => return Parsed::Invalid,
        };
        let (Some(method), Some(target)) = (request.method, request.path) else { return Parsed::Invalid };
        let mut found = Self { method: method.to_owned(), target: target.to_owned(), ..Self::default() };
        for header in request.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let value = || String::from_utf8_lossy(header.value).trim().to_owned();
            if is("content-length") {
                found.lengths.push(value());
            } else if is("transfer-encoding") {
                found.is_chunked = true;
            } else if is("expect") {
                found.expects = value().eq_ignore_ascii_case("100-continue");
            } else if is(signature::HEADER) {
                found.signatures.push(value());
            }
        }
        Parsed::Whole(found, end)
    }

    /// Returns the path of the target, without its query; of an address, what follows its host.
    #[must_use]
    pub fn path(&self) -> &str {
        path(&self.target)
    }
}

/// Returns the path of an address or of a request's target: `/` where it is empty.
#[must_use]
pub fn path(target: &str) -> &str {
    let after = target.split_once("://").map_or(target, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
    let path = after.split(['?', '#']).next().unwrap_or_default();
    if path.is_empty() { "/" } else { path }
}
