//! Finds a generator's results: files in its output folder, else files or URLs that its stdout names.
//!
//! The generator is untrusted: links, folders, pipes and paths outside the order's folder are not accepted.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::domain::deliverable::{Deliverable, Hosted, MediaError};
use crate::domain::error_text;
use crate::domain::money;
use crate::domain::sanitize::{one_line, without};

/// The most files that one attempt may deliver.
const MAX_FILES: usize = 50;

/// How much of the end of an output is read.
const TAIL: u64 = 64 * 1024;

/// The results of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// Files, in name order, within the order's work folder.
    pub files: Vec<PathBuf>,
    /// Results that are hosted elsewhere already.
    pub hosted: Vec<Deliverable>,
}

/// Finds the results: the output folder first, then files that stdout names, then URLs that it names.
///
/// # Errors
///
/// Returns [`MediaError`] when there is no result, or a named file is missing, outside the folder or unreadable.
pub fn results(work: &Path, attempt_dir: &Path) -> Result<Results, MediaError> {
    let output_dir = attempt_dir.join("output");
    let files = in_folder(&output_dir)?;
    if !files.is_empty() {
        return Ok(Results { files, hosted: Vec::new() });
    }
    let stdout = stdout_tail(attempt_dir)?;
    let files = named(work, &stdout)?;
    if !files.is_empty() {
        return Ok(Results { files, hosted: Vec::new() });
    }
    let hosted = elsewhere(&stdout);
    if !hosted.is_empty() {
        return Ok(Results { files: Vec::new(), hosted });
    }
    Err(MediaError::Judged(format!("it ended well but left no file in {}", output_dir.display())))
}

/// Returns the last line on stdout that is not empty: a price command's answer.
///
/// # Errors
///
/// Returns [`MediaError::Unread`] when the disk fails.
pub fn last_line(attempt_dir: &Path) -> Result<Option<String>, MediaError> {
    let stdout = stdout_tail(attempt_dir)?;
    Ok(stdout.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned))
}

/// Returns what this start cost, in millionths of a US dollar: `cost_usd`, a number or text, in the last JSON object on stdout.
#[must_use]
pub fn cost(attempt_dir: &Path) -> Option<u64> {
    let object = last_object(&stdout_tail(attempt_dir).ok()?)?;
    match object.get("cost_usd")? {
        Value::Number(number) => money::micros(&number.to_string()),
        Value::String(text) => money::micros(text.trim()),
        _ => None,
    }
}

/// Returns the end of stdout; empty when there is no log.
fn stdout_tail(attempt_dir: &Path) -> Result<String, MediaError> {
    let path = attempt_dir.join("stdout");
    tail(&path).or_else(|error| match MediaError::of(&error, format!("could not read {}: {error}", path.display())) {
        MediaError::Judged(_) => Ok(String::new()),
        unread => Err(unread),
    })
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, MediaError> {
    let could_not =
        |error: io::Error| MediaError::of(&error, format!("could not look into {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(could_not)? {
        let entry = entry.map_err(could_not)?;
        let name = entry.file_name();
        let litter = is_litter(&name.to_string_lossy());
        // Of the entry itself: a link is not what it points to.
        let meta = fs::symlink_metadata(entry.path()).map_err(could_not)?;
        if meta.is_file() && meta.len() > 0 && !litter {
            files.push(entry.path());
        } else if litter {
            log::info!("passed over {}: no result by its name", one_line(&entry.path().to_string_lossy(), 200));
        }
        if files.len() > MAX_FILES {
            return Err(MediaError::Judged(format!("it left more than {MAX_FILES} files")));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file is left over by a downloader, a tool or a desktop: hidden, unfinished, a log.
fn is_litter(name: &str) -> bool {
    let name = name.to_lowercase();
    let is_unfinished = [".ytdl", ".part", ".tmp", ".crdownload", ".log"].iter().any(|end| name.ends_with(end));
    name.starts_with('.') || is_unfinished || name == "thumbs.db" || name == "desktop.ini"
}

/// Files named by `MEDIA: path` lines, or by the last line that is a JSON object (`path`, `files[]`, `outputs[].path`).
fn named(work: &Path, stdout: &str) -> Result<Vec<PathBuf>, MediaError> {
    let media = |line: &str| line.trim().strip_prefix("MEDIA:").map(|path| path.trim().to_owned());
    let mut paths: Vec<String> = stdout.lines().filter_map(media).filter(|path| !path.is_empty()).collect();
    if paths.is_empty()
        && let Some(object) = last_object(stdout)
    {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        paths.extend(object.get("path").and_then(text));
        let list = |name: &str| object.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        paths.extend(list("files").iter().filter_map(|file| text(file).or_else(|| file.get("path").and_then(text))));
        paths.extend(list("outputs").iter().filter_map(|output| output.get("path").and_then(text)));
    }
    paths.iter().take(MAX_FILES).map(|path| within(work, path)).collect()
}

/// Returns a file inside the order's work folder, links resolved.
fn within(work: &Path, path: &str) -> Result<PathBuf, MediaError> {
    let shown = one_line(path, 120);
    let real = fs::canonicalize(work.join(path))
        .map_err(|error| MediaError::of(&error, format!("it names {shown}, which cannot be found: {error}")))?;
    let home = fs::canonicalize(work)
        .map_err(|error| MediaError::of(&error, format!("could not look into {}: {error}", work.display())))?;
    if real.starts_with(&home) {
        Ok(real)
    } else {
        Err(MediaError::Judged(format!(
            "it names {shown}, which is outside the order's folder: copy it to $ATELIER_OUTPUT_DIR"
        )))
    }
}

/// `{"deliverables":[{"url":"https://…","media_type":"image"}]}` as the last JSON object: nothing to upload.
fn elsewhere(stdout: &str) -> Vec<Deliverable> {
    let Some(object) = last_object(stdout) else { return Vec::new() };
    let one = |value: &Value| {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let (url, media_type) = (text("url")?, text("media_type")?);
        crate::domain::url::is_public(&url).then(|| Deliverable::elsewhere(Hosted { url, media_type }))
    };
    object.get("deliverables").and_then(Value::as_array).into_iter().flatten().filter_map(one).take(MAX_FILES).collect()
}

/// Returns the last JSON object on stdout: it begins a line, may go on over several, and other lines may stand around it.
fn last_object(stdout: &str) -> Option<Value> {
    let object = |text: &str| {
        let value = serde_json::Deserializer::from_str(text).into_iter::<Value>().next()?.ok()?;
        Some(value).filter(Value::is_object)
    };
    let on_a_line = |line: &&str| line.starts_with('{') && line.ends_with('}');
    // An object within another begins a line too: the outermost one of a block is the one that nothing before reaches over.
    let mut last = None;
    let mut tries = 0;
    let mut rest = stdout;
    while let Some(start) = next_brace(rest) {
        rest = &rest[start..];
        tries += 1;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) if value.is_object() => {
                let end = values.byte_offset();
                last = Some(value);
                rest = &rest[end..];
            }
            _ if tries > MAX_OBJECT_TRIES => {
                // Too much that only looks like objects: the last line that is one by itself.
                return stdout.lines().rev().map(str::trim).filter(on_a_line).find_map(object).or(last);
            }
            _ => rest = &rest[1..],
        }
    }
    last
}

/// How often text that begins like an object is tried; each may be read to the end of stdout's last 64 KiB.
const MAX_OBJECT_TRIES: u32 = 1000;

/// Returns where the next line begins whose first character is a brace.
fn next_brace(text: &str) -> Option<usize> {
    text.match_indices('{').map(|(at, _)| at).find(|at| {
        let line = text[..*at].rfind('\n').map_or(0, |end| end + 1);
        text[line..*at].trim_start_matches('\u{feff}').trim().is_empty()
    })
}

/// Returns what stderr says went wrong, else stdout, as one printable line: the message of an error in JSON, else the last lines.
/// The brief, which many generators repeat, is left out: the line is shown where no client may speak.
pub(super) fn output_tail(attempt_dir: &Path) -> String {
    let brief = attempt_dir.parent().and_then(|work| tail(&work.join("brief.txt")).ok()).unwrap_or_default();
    let lines = |name: &str| {
        let text = without(&tail(&attempt_dir.join(name)).unwrap_or_default(), &brief);
        if let Some(reason) = error_text::json_reason(&text) {
            return reason;
        }
        let lines: Vec<String> =
            text.lines().map(|line| one_line(line.trim(), 300)).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join(" | ")
    };
    let text = Some(lines("stderr")).filter(|text| !text.is_empty()).unwrap_or_else(|| lines("stdout"));
    if text.is_empty() { "it wrote no output".to_owned() } else { one_line(&text, 300) }
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
