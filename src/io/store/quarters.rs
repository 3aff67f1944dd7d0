//! Files kept by quarter of the year (`closed/2026-Q4/ord_1.json`), so that what is too old is removed by the folder and
//! no clean-up reads what is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::time::Time;
use crate::io::atomic_file;

/// How long a file is kept at least: a closed order must not be taken for a new one.
const KEPT: Duration = Duration::from_secs(180 * 24 * 3600);

/// Returns where the newest file of this name is.
pub(super) fn find(folder: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    for quarter in quarters(folder)?.iter().rev() {
        let path = quarter.join(name);
        if path.try_exists()? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Returns where a new file of this name belongs, and makes its folder.
pub(super) fn place(folder: &Path, name: &str, now: Time) -> io::Result<PathBuf> {
    let quarter = folder.join(quarter(now));
    atomic_file::make_private_dir(&quarter)?;
    Ok(quarter.join(name))
}

/// Removes the quarters that are over for longer than files are kept. What cannot be removed now is removed next time.
pub(super) fn expire(folder: &Path, now: Time) {
    let oldest = quarter(now - KEPT);
    for path in quarters(folder).unwrap_or_default() {
        if path.file_name().is_some_and(|name| *name < *oldest) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// The quarters that have a folder, the oldest first.
fn quarters(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut quarters = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    quarters.sort_unstable();
    Ok(quarters)
}

fn quarter(at: Time) -> String {
    let date = at.to_string();
    let month: u32 = date.get(5..7).and_then(|month| month.parse().ok()).unwrap_or(1);
    format!("{}-Q{}", date.get(..4).unwrap_or_default(), month.div_ceil(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_by_the_quarter_once_all_of_it_is_old_enough() {
        let folder = tempfile::tempdir().unwrap();
        let at = |text: &str| Time::parse(text).unwrap();
        let names = || quarters(folder.path()).unwrap().len();
        assert_eq!(find(&folder.path().join("none"), "a").unwrap(), None);
        for date in ["2026-03-31T23:59:59Z", "2026-04-01T00:00:00Z", "2026-12-31T00:00:00Z", "1970-01-01T00:00:00Z"] {
            fs::write(place(folder.path(), "a", at(date)).unwrap(), date).unwrap();
        }
        let newest = find(folder.path(), "a").unwrap().unwrap();
        assert!(newest.ends_with("2026-Q4/a"), "{newest:?}");
        expire(folder.path(), at("2026-09-27T00:00:00Z"));
        assert_eq!(names(), 3, "the last file of the first quarter is 179 days old");
        expire(folder.path(), at("2026-09-28T00:00:00Z"));
        assert_eq!(names(), 2);
        expire(folder.path(), at("2028-01-01T00:00:00Z"));
        assert_eq!((names(), find(folder.path(), "a").unwrap()), (0, None));
    }
}
