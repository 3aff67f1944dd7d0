//! Checks of a command before it runs: no program, a misspelt placeholder, a brief in a script. `check` looks for the program.

use crate::domain::suggest::suggest;

/// What a generator's arguments may hold in braces.
pub(super) const PLACEHOLDERS: [&str; 10] = [
    "brief",
    "order_id",
    "order_file",
    "output",
    "output_dir",
    "reference_dir",
    "service_title",
    "category",
    "attempt",
    "revision",
];

/// The placeholders of a delivery message.
pub(super) const MESSAGE_PLACEHOLDERS: [&str; 2] = ["url", "order_id"];

/// The placeholders of a command that hosts a file.
const HOST_PLACEHOLDERS: [&str; 2] = ["file", "order_id"];

/// Programs that take a script as an argument, by the beginning of their names.
const INTERPRETERS: [&str; 14] = [
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "fish",
    "busybox",
    "python",
    "node",
    "perl",
    "ruby",
    "php",
    "pwsh",
    "osascript",
];

/// A command that is run as it is.
pub(super) fn check(command: &[String]) -> Result<(), String> {
    let program = command.first().map_or("", String::as_str);
    if program.trim().is_empty() {
        return Err("name a program, such as [\"./generate.sh\"]".into());
    }
    if program.starts_with('~') {
        return Err("give the program's whole path: no shell reads it, so \"~\" means nothing".into());
    }
    if command.iter().any(|argument| argument.contains('\0')) {
        return Err("hold no NUL character: no program can be given one".into());
    }
    Ok(())
}

/// A command whose placeholders are filled in for each order.
pub(super) fn check_with_placeholders(command: &[String]) -> Result<(), String> {
    check(command)?;
    for argument in command {
        check_placeholders(argument, &PLACEHOLDERS)?;
    }
    if command.first().is_some_and(|program| !in_braces(program).is_empty()) {
        return Err("begin with a program, not with a placeholder".into());
    }
    check_scripts(command)
}

/// A command that hosts a file: it must be given the file.
pub(super) fn check_host(command: &[String]) -> Result<(), String> {
    check(command)?;
    for argument in command {
        check_placeholders(argument, &HOST_PLACEHOLDERS)?;
    }
    if !command.iter().skip(1).any(|argument| argument.contains("{file}")) {
        return Err(format!("have {} among its arguments: the path of the file to host", braced("file")));
    }
    Ok(())
}

/// Every `{word}` of `text` must be known: an order must not go out with one left in.
pub(super) fn check_placeholders(text: &str, known: &[&str]) -> Result<(), String> {
    match in_braces(text).into_iter().find(|word| !known.contains(word)) {
        Some(word) => {
            let hint = suggest(word, known, braced);
            Err(format!("hold only placeholders that exist: {} is none; {hint}", braced(super::shorten(word))))
        }
        None => Ok(()),
    }
}

/// A client's words inside a script are run as a script.
fn check_scripts(command: &[String]) -> Result<(), String> {
    let mut interpreted = false;
    let mut script_follows = false;
    for argument in command {
        if script_follows && in_braces(argument).contains(&"brief") {
            return Err(format!(
                "not put {} into a script, where a client's words would run as code: let the script read the file \
                 that ATELIER_BRIEF_FILE names",
                braced("brief")
            ));
        }
        script_follows = interpreted && is_script_flag(argument);
        interpreted |= is_interpreter(argument);
    }
    Ok(())
}

fn is_interpreter(argument: &str) -> bool {
    let name = argument.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = name.strip_suffix(".exe").unwrap_or(name).trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INTERPRETERS.contains(&name)
}

/// `-c`, `-lc`, `-e`, `--eval` and their like.
fn is_script_flag(argument: &str) -> bool {
    match argument.strip_prefix('-') {
        Some(long) if long.starts_with('-') => matches!(long, "-eval" | "-print" | "-command"),
        Some(short) => short.ends_with(['c', 'e', 'p', 'r', 'E']) && short.bytes().all(|b| b.is_ascii_alphabetic()),
        None => false,
    }
}

/// The words in braces that look like placeholders. A shell's `${WORD}` does not.
fn in_braces(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (open, _) in text.match_indices('{') {
        let Some((word, _)) = text[open + 1..].split_once('}') else { break };
        let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        if is_word && !text[..open].ends_with('$') {
            words.push(word);
        }
    }
    words
}

fn braced(word: &str) -> String {
    format!("{{{word}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(words: &[&str]) -> Result<(), String> {
        check_with_placeholders(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn every_placeholder_and_every_other_brace_may_stand_in_a_command() {
        for word in PLACEHOLDERS {
            assert_eq!(judge(&["./g", &format!("--x={{{word}}}")]), Ok(()));
        }
        for argument in ["{\"json\": 1}", "{}", "${HOME}", "{print $1}", "{", "}{", "{{{", "{ brief }", "{é}"] {
            assert_eq!(judge(&["./g", argument]), Ok(()), "{argument}");
        }
    }

    #[test]
    fn misspelt_ones_may_not() {
        assert_eq!(
            judge(&["./g", "{breif}"]).unwrap_err(),
            "hold only placeholders that exist: {breif} is none; did you mean {brief}?"
        );
        for argument in ["{Brief}", "a{prompt}b", "{{promt}}", "{brief}{brieff}"] {
            assert!(judge(&["./g", argument]).is_err(), "{argument}");
        }
    }

    #[test]
    fn a_brief_is_an_argument_and_never_a_script() {
        for words in [
            ["sh", "-c", "draw '{brief}'"],
            ["/bin/bash", "-lc", "{brief}"],
            ["python3.12", "-c", "print('{brief}')"],
            ["node", "--eval", "{brief}"],
        ] {
            assert!(judge(&words).unwrap_err().contains("would run as code"), "{words:?}");
        }
        assert!(judge(&["env", "A=1", "sh", "-euc", "{brief}"]).is_err());
        assert_eq!(judge(&["sh", "-c", "draw \"$1\"", "sh", "{brief}"]), Ok(()));
        assert_eq!(judge(&["./draw", "-c", "{brief}"]), Ok(()));
        assert_eq!(judge(&["python3", "draw.py", "--prompt", "{brief}"]), Ok(()));
    }
}
