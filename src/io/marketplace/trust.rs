//! The certificate authorities that are trusted: those of the setting, else of OpenSSL's variables, else the built-in ones.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ureq::tls::{PemItem, RootCerts, parse_pem};

/// The largest file of certificates read, in bytes.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// Roots, and where they come from.
pub(super) struct Roots {
    pub(super) certs: RootCerts,
    pub(super) source: String,
}

/// Reads the roots of `ca_file`, of `SSL_CERT_FILE` and `SSL_CERT_DIR`, or the built-in ones.
///
/// # Errors
///
/// A sentence when what is named holds no certificate.
pub(super) fn load(ca_file: Option<&Path>, env: impl Fn(&str) -> Option<OsString>) -> Result<Roots, String> {
    let env = |name| env(name).filter(|value| !value.is_empty());
    let (mut certs, mut sources) = (Vec::new(), Vec::new());
    if let Some(path) = ca_file {
        certs.extend(of_file("[api] ca_file", path)?);
        sources.push(format!("[api] ca_file {}", path.display()));
    } else {
        if let Some(path) = env("SSL_CERT_FILE").map(PathBuf::from) {
            certs.extend(of_file("SSL_CERT_FILE", &path)?);
            sources.push(format!("SSL_CERT_FILE {}", path.display()));
        }
        if let Some(folders) = env("SSL_CERT_DIR") {
            certs.extend(std::env::split_paths(&folders).flat_map(|folder| of_folder(&folder)));
            sources.push(format!("SSL_CERT_DIR {}", folders.to_string_lossy()));
        }
    }
    if sources.is_empty() {
        return Ok(Roots { certs: RootCerts::WebPki, source: "the built-in roots of Mozilla".to_owned() });
    }
    let source = sources.join(" and ");
    if certs.is_empty() {
        return Err(format!("{source} holds no certificate"));
    }
    let source = format!("{} root(s) of {source}", certs.len());
    Ok(Roots { certs: RootCerts::Specific(Arc::new(certs)), source })
}

type Certificates = Vec<ureq::tls::Certificate<'static>>;

fn of_file(name: &str, path: &Path) -> Result<Certificates, String> {
    let why = |what: &str| format!("{name} {}: {what}", path.display());
    // A FIFO would never end.
    let meta = fs::metadata(path).map_err(|error| why(&error.to_string()))?;
    if !meta.is_file() || meta.len() > LARGEST_FILE {
        return Err(why("it is not a file of certificates"));
    }
    let pem = fs::read(path).map_err(|error| why(&error.to_string()))?;
    let certs = certificates(&pem);
    if certs.is_empty() { Err(why("it holds no certificate in PEM form")) } else { Ok(certs) }
}

/// The files of a folder that hold certificates; what else is in it is passed over.
fn of_folder(folder: &Path) -> Certificates {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| of_file("SSL_CERT_DIR", &entry.path()).ok()).flatten().collect()
}

fn certificates(pem: &[u8]) -> Certificates {
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    parse_pem(pem).filter_map(certificate).collect()
}
