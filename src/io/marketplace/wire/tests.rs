//! Tests of the format.

use super::*;

#[test]
fn half_a_character_becomes_the_sign_for_one_and_nothing_else_changes() {
    for (sent, read) in [
        (r#""\ud83d\ude00 \ud83d""#, r#""\ud83d\ude00 \ufffd""#),
        (r#""\uDC00\uD83D\uD83D\uDE00""#, r#""\ufffd\ufffd\uD83D\uDE00""#),
        (r#""\\ud83d \\\ud83d""#, r#""\\ud83d \\\ufffd""#),
        (r#""\ud83d\n""#, r#""\ufffd\n""#),
        (r#""\ud83""#, r#""\ud83""#),
        (r#""\u00e9 \é\"#, r#""\u00e9 \é\"#),
        (r#""\ud83d"#, r#""\ufffd"#),
    ] {
        assert_eq!(String::from_utf8(repair_surrogates(sent.as_bytes().to_vec())).unwrap(), read, "{sent}");
    }
    assert_eq!(repair_surrogates(b"\xff\\ud83d".to_vec()), b"\xff\\ud83d", "what is no text stays as it is");
}
