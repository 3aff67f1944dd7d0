//! The generator's command line: finds the program and fills the placeholders.
//!
//! No shell is involved. A brief fills one argument and is never expanded a second time.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::runnable;

/// The command name that always means this program.
const OURSELVES: &str = "atelier-heartbeat";

/// The value of each placeholder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) brief: &'a str,
    pub(super) order_id: &'a str,
    pub(super) order_file: &'a OsStr,
    pub(super) output: &'a OsStr,
    pub(super) output_dir: &'a OsStr,
    pub(super) reference_dir: &'a OsStr,
    pub(super) service_title: &'a str,
    pub(super) category: &'a str,
    pub(super) attempt: &'a str,
    pub(super) revision: &'a str,
}

impl Values<'_> {
    fn of(&self, name: &str) -> Option<&OsStr> {
        Some(match name {
            "brief" => self.brief.as_ref(),
            "order_id" => self.order_id.as_ref(),
            "order_file" => self.order_file,
            "output" => self.output,
            "output_dir" => self.output_dir,
            "reference_dir" => self.reference_dir,
            "service_title" => self.service_title.as_ref(),
            "category" => self.category.as_ref(),
            "attempt" => self.attempt.as_ref(),
            "revision" => self.revision.as_ref(),
            _ => return None,
        })
    }
}

/// Finds the program that `command` names: a path relative to the settings, this program, or a name in `PATH`.
///
/// # Errors
///
/// Returns one sentence with the cause and the remedy when the program is missing or not executable.
pub fn resolve(command: &[String], config_dir: &Path) -> Result<PathBuf, String> {
    let name = command.first().map(String::as_str).unwrap_or_default();
    if name == OURSELVES {
        return std::env::current_exe().map_err(|error| format!("could not find this program's own file: {error}"));
    }
    if name.contains('/') {
        let path = config_dir.join(name);
        return runnable::check(&path)
            .map(|()| path)
            .map_err(|why| format!("the generator {} {why}", config_dir.join(name).display()));
    }
    let path = runnable::in_path(Path::new(name)).ok_or_else(|| {
        format!("the generator {name:?} is not in PATH: install it, or write its path in `command` under [generator]")
    })?;
    runnable::check(&path).map_err(|why| format!("the generator {} {why}", path.display()))?;
    Ok(path)
}

/// Returns the arguments after the program, with their placeholders filled.
pub(super) fn arguments(command: &[String], config_dir: &Path, values: &Values<'_>) -> Vec<OsString> {
    command.iter().skip(1).map(|argument| filled(argument, config_dir, values)).collect()
}

fn filled(argument: &str, config_dir: &Path, values: &Values<'_>) -> OsString {
    let mut text = Vec::with_capacity(argument.len());
    let (mut rest, mut is_whole) = (argument, false);
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        text.extend_from_slice(before.as_bytes());
        let value = from.find('}').and_then(|end| Some((values.of(&from[1..end])?, &from[end + 1..])));
        match value {
            Some((value, after)) => {
                is_whole = text.is_empty() && rest.len() == argument.len() && after.is_empty();
                text.extend(value.as_bytes().iter().filter(|byte| **byte != 0));
                rest = after;
            }
            None => {
                text.push(b'{');
                rest = &from[1..];
            }
        }
    }
    text.extend_from_slice(rest.as_bytes());
    if is_whole && text.starts_with(b"-") {
        // A brief must not be read as an option.
        text.insert(0, b' ');
    }
    if argument.contains('{') { OsString::from_vec(text) } else { resolve_beside_config(argument, config_dir) }
}

/// Makes the path of a file beside the settings absolute: the generator runs in the order's folder (`["python3", "make.py"]`).
fn resolve_beside_config(argument: &str, config_dir: &Path) -> OsString {
    let path = Path::new(argument);
    if argument.starts_with('-') || path.is_absolute() || path.file_name().is_none_or(OsStr::is_empty) {
        return argument.into();
    }
    let beside = config_dir.join(path);
    if beside.is_file() { beside.into_os_string() } else { argument.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(brief: &str) -> Values<'_> {
        Values {
            brief,
            order_id: "ord_1",
            order_file: OsStr::new("/w/order.json"),
            output: OsStr::new("/w/out/result.png"),
            output_dir: OsStr::new("/w/out"),
            reference_dir: OsStr::new("/w/references"),
            service_title: "Posters",
            category: "image_gen",
            attempt: "1",
            revision: "0",
        }
    }

    fn one(argument: &str, brief: &str) -> String {
        let command = ["program".to_owned(), argument.to_owned()];
        arguments(&command, Path::new("/nowhere"), &values(brief)).remove(0).into_string().unwrap()
    }

    #[test]
    fn a_brief_stays_one_argument_and_is_never_expanded_twice() {
        assert_eq!(one("{brief}", "a \"b\" $(c) `d`\n;e"), "a \"b\" $(c) `d`\n;e");
        assert_eq!(one("{brief}", "{output} {order_id}"), "{output} {order_id}");
        assert_eq!(one("{brief}", "a\0b"), "ab");
        assert_eq!(one("{brief}", "--output=/etc/passwd"), " --output=/etc/passwd");
        assert_eq!(one("--prompt={brief}", "-x"), "--prompt=-x");
        assert_eq!(one("{brief}{attempt}", "-x"), "-x1", "it does not stand alone");
        assert_eq!(one("{brief}", ""), "");
        assert_eq!(one("{\"json\": {attempt}, {}}", "x"), "{\"json\": 1, {}}");
        assert_eq!(one("{output}:{nothing}:{order_id}", "x"), "/w/out/result.png:{nothing}:ord_1");
    }

    #[test]
    fn a_script_beside_the_settings_gets_an_absolute_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("make.py"), "").unwrap();
        let command = ["python3", "make.py", "other.py", "-", "--make.py"].map(str::to_owned);
        let script = folder.path().join("make.py").to_string_lossy().into_owned();
        assert_eq!(arguments(&command, folder.path(), &values("")), [script.as_str(), "other.py", "-", "--make.py"]);
    }

    #[test]
    fn an_unusable_program_is_reported_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plain.sh"), "#!/bin/sh\n").unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let error = |name: &str| resolve(&[name.to_owned()], folder.path()).unwrap_err();
        assert!(error("./missing.sh").contains("is not there"));
        assert!(error("./plain.sh").contains("chmod +x"));
        assert!(error("./folder").contains("is not a file"));
        assert!(error("no-such-program-anywhere").contains("is not in PATH"));
        assert!(resolve(&["sh".to_owned()], folder.path()).unwrap().is_absolute());
    }
}
