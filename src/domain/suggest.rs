//! The known word that a misspelt one probably meant.

/// What to say after naming the wrong word: the nearest known one, or all of them when none is near.
pub fn suggest(wrong: &str, known: &[impl AsRef<str>], quote: impl Fn(&str) -> String) -> String {
    match nearest(wrong, known) {
        Some(word) => format!("did you mean {}?", quote(word)),
        None => format!("choose from {}", list(known, quote)),
    }
}

/// The known word nearest to `wrong`, if one is near enough to have been meant.
pub fn nearest<'a>(wrong: &str, known: &'a [impl AsRef<str>]) -> Option<&'a str> {
    // A word of hundreds of letters is no slip of the finger, and the measure is quadratic.
    if wrong.len() > 64 {
        return None;
    }
    let wrong = wrong.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(AsRef::as_ref)
        .map(|word| (strsim::osa_distance(&wrong, word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `"a"`, `"a" and "b"`, `"a", "b" and "c"`.
pub fn list(words: &[impl AsRef<str>], quote: impl Fn(&str) -> String) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word.as_ref())).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// `"word"`, as keys and values are named in an error.
pub fn quoted(word: &str) -> String {
    format!("{word:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_named_and_far_ones_listed() {
        let known = ["interval", "statuses"];
        assert_eq!(suggest("intervall", &known, quoted), "did you mean \"interval\"?");
        assert_eq!(suggest("Interval", &known, quoted), "did you mean \"interval\"?");
        assert_eq!(suggest("price", &known, quoted), "choose from \"interval\" and \"statuses\"");
        assert_eq!(nearest("max-attempts", &["max_attempts"]), Some("max_attempts"));
        assert_eq!(nearest("breif", &["category", "brief"]), Some("brief"));
        assert_eq!(nearest(&"a".repeat(1_000_000), &known), None);
        assert_eq!(list(&["a", "b", "c"], quoted), "\"a\", \"b\" and \"c\"");
    }
}
