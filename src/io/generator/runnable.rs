//! Whether a program can be run on this machine: executable, with an interpreter or a loader that exists.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Bytes of a program that are looked at: a kernel reads a first line of 256.
const HEAD: u64 = 4096;

/// Checks that the kernel would run a program.
///
/// # Errors
///
/// Returns what is wrong and what to do, as the end of a sentence about the program.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "is not there: correct `command` under [generator]".to_owned(),
        _ => format!("cannot be looked at: {error}"),
    })?;
    if !meta.is_file() {
        return Err("is not a file: correct `command` under [generator]".to_owned());
    }
    if meta.permissions().mode() & 0o111 == 0 {
        return Err(format!("is not executable: chmod +x {}", path.display()));
    }
    if is_on_noexec(path) {
        return Err("is on a file system from which nothing may be run (noexec): move it elsewhere".to_owned());
    }
    if meta.len() == 0 {
        return Err("is empty: write the script, beginning with a line like #!/bin/sh".to_owned());
    }
    // A program that may be run and not read is left to the kernel.
    let Ok(mut file) = File::open(path) else { return Ok(()) };
    let mut head = Vec::new();
    if file.by_ref().take(HEAD).read_to_end(&mut head).is_err() {
        return Ok(());
    }
    match head.as_slice() {
        [b'#', b'!', ..] => script(&head),
        [0x7f, b'E', b'L', b'F', ..] => binary(&mut file, &head),
        [b'M', b'Z', ..] => Err("is a program for Windows: use one built for this machine".to_owned()),
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] if cfg!(target_os = "linux") => {
            Err("is a program for macOS: use one built for this machine".to_owned())
        }
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => Ok(()),
        [0xef, 0xbb, 0xbf, ..] => Err("begins with a byte order mark: save it as UTF-8 without BOM".to_owned()),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err("is saved as UTF-16: save it as UTF-8 without BOM".to_owned()),
        _ if head.trim_ascii_start().starts_with(b"#!") => {
            Err("has blanks before its #!: #! must be its first two characters".to_owned())
        }
        _ if has_other_formats() => Ok(()),
        _ => Err("has no interpreter: begin it with a line like #!/bin/sh".to_owned()),
    }
}

#[cfg(target_os = "linux")]
fn is_on_noexec(path: &Path) -> bool {
    use rustix::fs::StatVfsMountFlags;
    rustix::fs::statvfs(path).is_ok_and(|place| place.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

#[cfg(not(target_os = "linux"))]
fn is_on_noexec(_: &Path) -> bool {
    false
}

/// Whether this machine may run formats that we do not know, by handlers registered with its kernel.
fn has_other_formats() -> bool {
    let entries = std::fs::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten().flatten();
    entries.map(|entry: std::fs::DirEntry| entry.file_name()).any(|name| name != "register" && name != "status")
}

/// `#!/interpreter [argument]`.
fn script(head: &[u8]) -> Result<(), String> {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r") {
        return Err(
            "has Windows line ends (CRLF), which become part of its interpreter's name: convert it to LF".to_owned()
        );
    }
    let mut words = line[2..].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let Some(name) = words.next() else {
        return Err("names no interpreter in its first line: write one like #!/bin/sh".to_owned());
    };
    let interpreter = Path::new(OsStr::from_bytes(name));
    usable(interpreter)?;
    if interpreter.file_name() != Some(OsStr::new("env")) {
        return Ok(());
    }
    // `env NAME`, `env -S NAME …`; its other options and its variables are left to it.
    let wanted = words.find(|word| *word != b"-S").filter(|word| !word.starts_with(b"-") && !word.contains(&b'='));
    match wanted.map(|name| Path::new(OsStr::from_bytes(name))) {
        Some(name) if name.components().count() == 1 && in_path(name).is_none() => {
            Err(format!("needs {}, which is not in PATH: install it", name.display()))
        }
        _ => Ok(()),
    }
}

fn usable(interpreter: &Path) -> Result<(), String> {
    match std::fs::metadata(interpreter) {
        Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => Ok(()),
        Ok(_) => Err(format!("needs {}, which is not executable", interpreter.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("needs {}, which is not there: install it, or correct its first line", interpreter.display()))
        }
        Err(error) => Err(format!("needs {}, which cannot be looked at: {error}", interpreter.display())),
    }
}

/// Returns the executable file of this name in `PATH`.
pub(super) fn in_path(name: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0))
}

/// An ELF program: built for this machine, and its loader is there.
fn binary(file: &mut File, head: &[u8]) -> Result<(), String> {
    // Class, byte order and machine, as our own program has them.
    let traits = |head: &[u8]| Some((*head.get(4)?, *head.get(5)?, head.get(18..20)?.to_vec()));
    let mut own = [0; 20];
    let known = File::open("/proc/self/exe").and_then(|mut own_file| own_file.read_exact(&mut own));
    if known.is_err() {
        return Ok(());
    }
    let Some(machine) = traits(head) else { return Err("is a program that was cut: copy it again".to_owned()) };
    let is_x86_of_x86_64 = own[18] == 62 && machine.2 == [3, 0];
    if traits(&own).is_some_and(|ours| ours != machine) && !is_x86_of_x86_64 && !has_other_formats() {
        return Err("is a program for another kind of machine: use one built for this one".to_owned());
    }
    match loader(file, head) {
        Some(loader) if !loader.exists() => {
            Err(format!("needs the loader {}, which is not there: use one built for this system", loader.display()))
        }
        _ => Ok(()),
    }
}

/// The loader that a 64-bit little-endian program asks for.
fn loader(file: &mut File, head: &[u8]) -> Option<PathBuf> {
    if head.get(4..6)? != [2, 1] {
        return None;
    }
    let number = |bytes: &[u8], at: usize, size: usize| {
        Some(bytes.get(at..at + size)?.iter().rev().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)))
    };
    let (table, size, count) = (number(head, 32, 8)?, number(head, 54, 2)?, number(head, 56, 2)?);
    let read = |file: &mut File, at: u64, size: u64| {
        let mut bytes = vec![0; usize::try_from(size.min(HEAD)).ok()?];
        file.seek(SeekFrom::Start(at)).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    };
    (0..count.min(64)).find_map(|index| {
        let entry = read(file, table + index * size, 56)?;
        if number(&entry, 0, 4)? != 3 {
            return None;
        }
        let name = read(file, number(&entry, 8, 8)?, number(&entry, 32, 8)?)?;
        Some(PathBuf::from(OsStr::from_bytes(name.split(|byte| *byte == 0).next()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_that_cannot_be_run_has_its_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generate.sh");
        let mut foreign = std::fs::read("/proc/self/exe").unwrap();
        foreign.truncate(4096);
        foreign[18..20].copy_from_slice(&[0xf3, 0]);
        for (content, word) in [
            (&b"echo hi\n"[..], "begin it with a line like #!/bin/sh"),
            (b"\n#!/bin/sh\n", "blanks before its #!"),
            (b" #!/bin/sh\n", "blanks before its #!"),
            (b"\xef\xbb\xbf#!/bin/sh\n", "byte order mark"),
            (b"\xff\xfe#\0!\0", "UTF-16"),
            (b"#!/bin/sh\r\necho hi\r\n", "CRLF"),
            (b"#!/no/such/python3\n", "needs /no/such/python3, which is not there"),
            (b"#!/usr/bin/env no-such-python\n", "needs no-such-python, which is not in PATH"),
            (b"#!/usr/bin/env -S no-such-python -u\n", "needs no-such-python"),
            (b"#!\n", "names no interpreter"),
            (b"", "is empty"),
            (b"MZ\x90\0", "for Windows"),
            (b"\xcf\xfa\xed\xfe\x07", "for macOS"),
            (&foreign, "another kind of machine"),
        ] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            let error = check(&path).unwrap_err();
            assert!(error.contains(word), "{:?}: {error}", String::from_utf8_lossy(&content[..content.len().min(40)]));
        }
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        assert_eq!(check(&path), Ok(()));
        std::fs::write(&path, "#! /usr/bin/env -S FOO=1 sh -u\n").unwrap();
        assert_eq!(check(&path), Ok(()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(check(&path).unwrap_err().contains("chmod +x"));
        assert!(check(folder.path()).unwrap_err().contains("is not a file"));
        assert!(check(&folder.path().join("missing")).unwrap_err().contains("is not there"));
        assert_eq!(check(Path::new("/proc/self/exe")), Ok(()));
        assert_eq!(check(&in_path(Path::new("sh")).unwrap()), Ok(()));
    }
}
