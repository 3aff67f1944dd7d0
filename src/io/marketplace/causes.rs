//! What went wrong on the way, as one sentence that says what to do.

use std::io;

use rustls::{AlertDescription, CertificateError};
use ureq::{Error, Timeout};

use crate::domain::time::Time;

/// The cause of a request without an answer. `begun`: whether it had begun to leave.
pub(super) fn cause(error: &Error, begun: bool) -> String {
    match error {
        Error::HostNotFound => "its name was not found (DNS)".to_owned(),
        Error::Timeout(Timeout::Resolve) => "its name could not be looked up in time (DNS)".to_owned(),
        Error::Timeout(what) if begun => format!("no answer in time ({what})"),
        Error::Timeout(_) => "no connection in time".to_owned(),
        Error::ConnectProxyFailed(why) => refused_by_proxy(why),
        Error::Rustls(error) => tls(error),
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(error) => tls(error),
            None if !begun && error.kind() == io::ErrorKind::UnexpectedEof => {
                "the connection was closed before it was ready (during the TLS handshake, or by the proxy)".to_owned()
            }
            None => error.to_string(),
        },
        other => other.to_string(),
    }
}

fn refused_by_proxy(why: &str) -> String {
    let status = why.rsplit('/').next().unwrap_or_default();
    match status {
        "407" => "the proxy wants a user name and a password (407): write them into its address, http://user:password@host:port".to_owned(),
        _ if status.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("the proxy does not connect to it (HTTP {status})")
        }
        _ => "the proxy did not answer".to_owned(),
    }
}

fn tls(error: &rustls::Error) -> String {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(error) => certificate(error),
        Tls::PeerIncompatible(_) | Tls::AlertReceived(AlertDescription::ProtocolVersion) => {
            "it speaks no TLS newer than 1.1, which is not safe".to_owned()
        }
        Tls::InvalidMessage(_) => "it does not speak TLS on this port: is it http:// or another port?".to_owned(),
        Tls::AlertReceived(alert) => format!("it ends the TLS handshake ({alert:?})"),
        other => format!("the TLS handshake failed: {other}"),
    }
}

fn certificate(error: &CertificateError) -> String {
    let now = crate::io::clock::now();
    match error {
        CertificateError::UnknownIssuer => "its certificate is signed by an authority that is not trusted here: behind a company's proxy, write the company's CA file as ca_file under [api], or name it in SSL_CERT_FILE".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate expired at {}; this machine's clock says {now}", at(not_after.as_secs()))
        }
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "its certificate is not valid before {}, and this machine's clock says {now}: set the clock",
            at(not_before.as_secs())
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            // As the library shows them: DnsName("a.example").
            let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
            let names: Vec<String> = presented.iter().take(3).map(bare).collect();
            format!("its certificate is for another name ({}), not for {}", names.join(", "), expected.to_str())
        }
        CertificateError::Expired => format!("its certificate expired; this machine's clock says {now}"),
        CertificateError::NotValidYet => {
            format!("its certificate is not valid yet, and this machine's clock says {now}: set the clock")
        }
        CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
        CertificateError::BadSignature => "its certificate is forged or damaged (bad signature)".to_owned(),
        CertificateError::Revoked => "its certificate is revoked".to_owned(),
        other => format!("its certificate cannot be used: {other}"),
    }
}

fn at(seconds: u64) -> Time {
    Time::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX))
}
