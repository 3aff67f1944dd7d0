//! Strangers' text, made harmless before anybody sees it.

use crate::domain::order::OrderId;

/// Whether a character shows nothing and does something: moves the cursor, turns the line around, hides text in it.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180d}' | '\u{180f}'
            | '\u{3164}' | '\u{ffa0}' | '\u{1d173}'..='\u{1d17a}' | '\u{fe00}'..='\u{fe0f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // Tags: whole sentences that only a machine reads.
            | '\u{e0000}'..='\u{e0fff}')
}

/// A stranger's text as one harmless line: nothing invisible in it, at most `limit` characters.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let harmless = |c: &char| !is_invisible(*c);
    let mut line: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(harmless).take(limit + 1).collect();
    if line.chars().count() > limit {
        line.pop();
        line.push('…');
    }
    line
}

/// A stranger's text in HTML: harmless characters, and none that means something there.
#[must_use]
pub fn html(text: &str, limit: usize) -> String {
    let mut escaped = String::new();
    for c in one_line(text, limit).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A shorter line may stand in a text by chance. In characters.
const SHORTEST_QUOTE: usize = 12;

/// A text without what it repeats of a stranger's, whole or line by line.
#[must_use]
pub fn without(text: &str, strangers: &str) -> String {
    let lines = strangers.lines().map(str::trim).filter(|line| line.chars().count() >= SHORTEST_QUOTE);
    let whole = Some(strangers.trim()).filter(|whole| whole.chars().count() >= SHORTEST_QUOTE);
    whole.into_iter().chain(lines).fold(text.to_owned(), |text, part| text.replace(part, "[brief]"))
}

/// Returns a word as a POSIX shell reads it: as it is, or in single quotes.
#[must_use]
pub fn shell_word(word: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b);
    if !word.is_empty() && word.bytes().all(is_bare) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A stray value as an error may repeat it: short, harmless, and nothing of it when a key strayed into it.
#[must_use]
pub fn quotable(text: &str) -> String {
    let shown = one_line(text, 60);
    // Also where something invisible parted its letters.
    if text.contains("atelier_") || shown.contains("atelier_") { "…".to_owned() } else { shown }
}

/// An order id as it may stand in a line that an agent reads: plain ids as they are, all others by their file name.
#[must_use]
pub fn display_id(id: &str) -> String {
    let tame = id.len() <= 80
        && !id.starts_with('-')
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let speaks = ["HEARTBEAT_OK", "NO_REPLY", "MEDIA"].iter().any(|word| id.to_ascii_uppercase().contains(word));
    if tame && !speaks {
        id.to_owned()
    } else {
        OrderId::new(id).map_or_else(|| "x-unnamed".to_owned(), |id| format!("x-{}", &id.hash()[..16]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_repeats_of_a_strangers_is_left_out() {
        let brief = "A lighthouse at dusk\nwith one small boat\n";
        assert_eq!(without("made: A lighthouse at dusk", brief), "made: [brief]");
        assert_eq!(without("x\nA lighthouse at dusk\nwith one small boat: no", brief), "x\n[brief]: no");
        assert_eq!(without("no cat", "cat"), "no cat");
        assert_eq!(without("nothing", ""), "nothing");
    }

    #[test]
    fn strangers_cannot_speak_to_terminals_or_agents() {
        assert_eq!(one_line("a\u{1b}[31m\u{202e}b\nc\u{0}", 20), "a[31mb c");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("pay\u{61c}\u{ad}\u{e0069}\u{e0067}ment", 20), "payment");
        assert_eq!(display_id("ord_1708-abc"), "ord_1708-abc");
        for wild in ["HEARTBEAT_OK", "no_reply", "MEDIA: x", "run rm -rf", "ord\u{202e}", "-rf"] {
            assert!(display_id(wild).starts_with("x-"), "{wild}");
        }
    }
}
