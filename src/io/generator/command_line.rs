//! The generator's command line: finds the program and fills the placeholders.
//!
//! No shell is involved. A brief fills one argument and is never expanded a second time.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The command name that always means this program.
const OURSELVES: &str = "atelier-heartbeat";

/// The value of each placeholder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) brief: &'a str,
    pub(super) order_id: &'a str,
    pub(super) order_file: &'a str,
    pub(super) output: &'a str,
    pub(super) output_dir: &'a str,
    pub(super) reference_dir: &'a str,
    pub(super) service_title: &'a str,
    pub(super) category: &'a str,
    pub(super) attempt: &'a str,
}

impl Values<'_> {
    fn of(&self, name: &str) -> Option<&str> {
        Some(match name {
            "brief" => self.brief,
            "order_id" => self.order_id,
            "order_file" => self.order_file,
            "output" => self.output,
            "output_dir" => self.output_dir,
            "reference_dir" => self.reference_dir,
            "service_title" => self.service_title,
            "category" => self.category,
            "attempt" => self.attempt,
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
        return runnable(&path)
            .map(|()| path)
            .map_err(|why| format!("the generator {} {why}", config_dir.join(name).display()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(name)).filter(|path| runnable(path).is_ok());
    found.next().ok_or_else(|| {
        format!("the generator {name:?} is not in PATH: install it, or write its path in `command` under [generator]")
    })
}

fn runnable(path: &Path) -> Result<(), String> {
    let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "is not there: correct `command` under [generator]".to_owned(),
        _ => format!("cannot be looked at: {error}"),
    })?;
    if !meta.is_file() {
        Err("is not a file: correct `command` under [generator]".to_owned())
    } else if meta.permissions().mode() & 0o111 == 0 {
        Err(format!("is not executable: chmod +x {}", path.display()))
    } else {
        Ok(())
    }
}

/// Returns the arguments after the program, with their placeholders filled.
pub(super) fn arguments(command: &[String], config_dir: &Path, values: &Values<'_>) -> Vec<String> {
    command.iter().skip(1).map(|argument| filled(argument, config_dir, values)).collect()
}

fn filled(argument: &str, config_dir: &Path, values: &Values<'_>) -> String {
    let mut text = String::with_capacity(argument.len());
    let (mut rest, mut is_whole) = (argument, false);
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let value = from.find('}').and_then(|end| Some((values.of(&from[1..end])?, &from[end + 1..])));
        match value {
            Some((value, after)) => {
                is_whole = text.is_empty() && rest.len() == argument.len() && after.is_empty();
                text.extend(value.chars().filter(|c| *c != '\0'));
                rest = after;
            }
            None => {
                text.push('{');
                rest = &from[1..];
            }
        }
    }
    text.push_str(rest);
    if is_whole && text.starts_with('-') {
        // A brief must not be read as an option.
        text.insert(0, ' ');
    }
    if !argument.contains('{') { resolve_beside_config(text, config_dir) } else { text }
}

/// Makes the path of a file beside the settings absolute: the generator runs in the order's folder (`["python3", "make.py"]`).
fn resolve_beside_config(argument: String, config_dir: &Path) -> String {
    let path = Path::new(&argument);
    if argument.starts_with('-') || path.is_absolute() || path.file_name().is_none_or(OsStr::is_empty) {
        return argument;
    }
    let beside = config_dir.join(path);
    if beside.is_file() { beside.to_string_lossy().into_owned() } else { argument }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'_> = Values {
        brief: "",
        order_id: "ord_1",
        order_file: "/w/order.json",
        output: "/w/out/result.png",
        output_dir: "/w/out",
        reference_dir: "/w/references",
        service_title: "Posters",
        category: "image_gen",
        attempt: "1",
    };

    fn one(argument: &str, brief: &str) -> String {
        let command = ["program".to_owned(), argument.to_owned()];
        arguments(&command, Path::new("/nowhere"), &Values { brief, ..VALUES }).remove(0)
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
        assert_eq!(arguments(&command, folder.path(), &VALUES), [script.as_str(), "other.py", "-", "--make.py"]);
    }

    #[test]
    fn an_unusable_program_is_reported_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plain.sh"), "").unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let error = |name: &str| resolve(&[name.to_owned()], folder.path()).unwrap_err();
        assert!(error("./missing.sh").contains("is not there"));
        assert!(error("./plain.sh").contains("chmod +x"));
        assert!(error("./folder").contains("is not a file"));
        assert!(error("no-such-program-anywhere").contains("is not in PATH"));
        assert!(resolve(&["sh".to_owned()], folder.path()).unwrap().is_absolute());
    }
}
