//! Masks what looks like a secret in settings that are shown: parts of addresses and arguments of commands.
//!
//! Nobody says which of them are secrets, so this errs on the side of a mask.

/// In place of a secret.
const MASK: &str = "***";

/// Names of values that are secrets, or parts of such names.
const SECRET_NAMES: [&str; 8] = ["token", "secret", "password", "passwd", "key", "auth", "bearer", "credential"];

/// So many letters and digits in a row, some of both, are no word.
const NO_WORD: usize = 16;

/// Masks the secrets of every address in a text: user name and password, the values of a query, and what looks like a token.
#[must_use]
pub fn addresses(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let end = rest[at..].find([' ', '\t', '\n', '"', '\'', '<', '>']).map_or(rest.len(), |end| at + end);
        masked.push_str(&rest[..at + 3]);
        masked.push_str(&address(&rest[at + 3..end]));
        rest = &rest[end..];
    }
    masked + rest
}

/// Masks everything behind the host of an address: a page that is only asked for is a secret by its path.
#[must_use]
pub fn whole_path(url: &str) -> String {
    let masked = addresses(url);
    let Some((scheme, rest)) = masked.split_once("://") else { return MASK.to_owned() };
    match rest.split_once('/') {
        Some((host, path)) if !path.is_empty() => format!("{scheme}://{host}/{MASK}"),
        _ => masked,
    }
}

/// Masks the user name and the password of a proxy, whose scheme may be missing.
#[must_use]
pub fn proxy(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let host = without_user(rest);
    if scheme.is_empty() { host } else { format!("{scheme}://{host}") }
}

/// Masks the arguments of a command that name a secret or look like one.
#[must_use]
pub fn command(words: &[String]) -> Vec<String> {
    let mut follows = false;
    let mask = |word: &String| {
        let is_named =
            std::mem::replace(&mut follows, word.starts_with('-') && !word.contains('=') && is_secret_name(word));
        if is_named && !word.starts_with('-') { placeholder_or_mask(word) } else { argument(word) }
    };
    words.iter().map(mask).collect()
}

fn argument(word: &str) -> String {
    // NAME=value, --name=value, and `Name: value` as headers of a request are given.
    for (at, _) in word.match_indices(['=', ':']) {
        let (name, value) = word.split_at(at);
        if !name.contains(['/', ' ', '{', '?']) && is_secret_name(name) && !value.starts_with("://") {
            let gap = if value[1..].starts_with(' ') { " " } else { "" };
            return format!("{name}{}{gap}{}", &value[..1], placeholder_or_mask(value[1..].trim_start()));
        }
    }
    if word.contains("://") { addresses(word) } else { tokens(word) }
}

/// A placeholder is filled in later, and nothing is no secret.
fn placeholder_or_mask(value: &str) -> String {
    let is_open = value.is_empty() || value.starts_with('{') && value.ends_with('}') || value.starts_with('$');
    if is_open { value.to_owned() } else { MASK.to_owned() }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// What stands behind `scheme://`.
fn address(rest: &str) -> String {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = without_user(authority);
    let (path, query) = path.split_at(path.find(['?', '#']).unwrap_or(path.len()));
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => format!("{name}={}", placeholder_or_mask(value)),
        None => tokens(pair),
    };
    format!("{host}{}{}", tokens(path), query.split('&').map(pair).collect::<Vec<_>>().join("&"))
}

/// A host, with a mask in place of the user name and the password before it.
fn without_user(authority: &str) -> String {
    authority.rsplit_once('@').map_or_else(|| authority.to_owned(), |(_, host)| format!("{MASK}@{host}"))
}

/// Masks every row of letters and digits that is no word.
fn tokens(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (row, after) = rest.split_at(end);
        let digits = row.bytes().filter(u8::is_ascii_digit).count();
        let is_token = row.len() >= NO_WORD && digits >= 2 && digits < row.len();
        masked.push_str(if is_token { MASK } else { row });
        let other = after.find(|c: char| c.is_ascii_alphanumeric()).unwrap_or(after.len());
        masked.push_str(&after[..other]);
        rest = &after[other..];
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_secrets_and_stay_addresses() {
        for (text, masked) in [
            ("https://api.useatelier.ai/api", "https://api.useatelier.ai/api"),
            ("https://me:pw@a.b/c", "https://***@a.b/c"),
            ("https://a.b/hook?token=abc&x={url}", "https://a.b/hook?token=***&x={url}"),
            (
                "https://api.telegram.org/bot123456:AAF0a1b2c3d4e5f6g7/send",
                "https://api.telegram.org/bot123456:***/send",
            ),
            (
                "https://hooks.slack.com/services/T00/B00/XXXX1234abcd5678efgh",
                "https://hooks.slack.com/services/T00/B00/***",
            ),
            ("see https://a.b/x?k=1 and http://u@c.d", "see https://a.b/x?k=*** and http://***@c.d"),
            ("no address: {url}", "no address: {url}"),
        ] {
            assert_eq!(addresses(text), masked);
        }
        assert_eq!(whole_path("https://hc-ping.com/e5b0"), "https://hc-ping.com/***");
        assert_eq!(whole_path("https://hc-ping.com"), "https://hc-ping.com");
        assert_eq!(proxy("http://me:pw@proxy.local:3128"), "http://***@proxy.local:3128");
        assert_eq!(proxy("me:p@w@proxy.local:3128"), "***@proxy.local:3128");
        assert_eq!((proxy("none"), proxy("http://proxy.local")), ("none".to_owned(), "http://proxy.local".to_owned()));
    }

    #[test]
    fn commands_lose_their_secrets_and_keep_their_placeholders() {
        let masked =
            |words: &[&str]| command(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).join(" ");
        for (words, expected) in [
            (&["./go", "--token", "abc", "--brief", "{brief}"][..], "./go --token *** --brief {brief}"),
            (
                &["./go", "--api-key=abc", "--seed", "{order_id}-{attempt}"],
                "./go --api-key=*** --seed {order_id}-{attempt}",
            ),
            (
                &["curl", "-H", "Authorization: Bearer abc", "https://u:p@a.b/"],
                "curl -H Authorization: *** https://***@a.b/",
            ),
            (&["env", "GEMINI_API_KEY=abc", "./go"], "env GEMINI_API_KEY=*** ./go"),
            (&["./go", "sk-proj-a1b2c3d4e5f6g7h8i9"], "./go sk-proj-***"),
            (&["./go", "--key", "--fast", "--keep={output}"], "./go --key --fast --keep={output}"),
            (
                &["/opt/models/stable-diffusion-xl-base-1", "gemini-2.5-flash-image"],
                "/opt/models/stable-diffusion-xl-base-1 gemini-2.5-flash-image",
            ),
        ] {
            assert_eq!(masked(words), expected);
        }
    }
}
