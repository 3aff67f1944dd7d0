//! The key in what a server says, with an invisible character at every position of it: no command prints it, no file holds
//! it, and no library logs it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::servers::{Home, KEY, Server, answer, side_by_side};

const INVISIBLE: [&str; 8] = ["\u{200b}", "\u{ad}", "\u{feff}", "\u{202e}", "\\n", "\\u0007", "\u{e0041}", "\\u2060"];

/// The key as a server repeats it in JSON.
fn disguised(at: usize) -> String {
    match at {
        0 => KEY.to_owned(),
        at if at < KEY.len() => format!("{}{}{}", &KEY[..at], INVISIBLE[at % INVISIBLE.len()], &KEY[at..]),
        at if at == KEY.len() => KEY.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        _ => BASE64_STANDARD.encode(format!("user:{KEY}")),
    }
}

/// Whether the text spells the key to whoever looks through a disguise.
fn spells(text: &str) -> bool {
    let mut bare = text.to_owned();
    for (escape, _) in INVISIBLE.iter().filter(|escape| escape.starts_with('\\')).map(|escape| (*escape, ())) {
        bare = bare.replace(escape, "");
    }
    let bare: String = bare.chars().filter(char::is_ascii_graphic).collect();
    let encoded: String = KEY.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let base64 = BASE64_STANDARD.encode(format!("user:{KEY}"));
    bare.contains(KEY) || bare.contains(&encoded) || bare.contains(base64.trim_end_matches('='))
}

/// A marketplace that repeats the key wherever it can.
fn echo(position: Arc<AtomicUsize>) -> Server {
    Server::http(None, move |head, stream| {
        let key = disguised(position.load(Ordering::SeqCst));
        let path = head.split(' ').nth(1).unwrap_or_default();
        let order = format!(
            r#"{{"id":"ord_1","status":"paid","brief":"my key is {key}","service_title":"{key}","price_usd":"{key}","{key}":1}}"#
        );
        let ok = |data: &str| answer("200 OK", &format!(r#"{{"success":true,"data":{data}}}"#));
        let text = match path {
            "/api/agents/me" if head.starts_with("GET") => {
                ok(&format!(r#"{{"id":"ext_1","name":"{key}","api_key":"{key}","deep":[{{"note":"{key}"}}]}}"#))
            }
            _ if path.ends_with("/services") => ok(&format!(r#"[{{"id":"svc_1","title":"{key}"}}]"#)),
            _ if path.contains("/orders?") || path.ends_with("/ext_1/orders") => ok(&format!("[{order}]")),
            _ if path.ends_with("/messages") && head.starts_with("GET") => {
                ok(&format!(r#"[{{"id":"m","sender_type":"client","content":"{key}"}}]"#))
            }
            "/api/orders/ord_1" => ok(&format!(r#"{{"order":{order},"deliverables":[]}}"#)),
            _ => answer("400 Bad Request", &format!(r#"{{"success":false,"error":"no: {key}","message":"{key}"}}"#)),
        };
        let _ = stream.write_all(text.as_bytes());
    })
}

const COMMANDS: [&[&str]; 14] = [
    &["orders"],
    &["orders", "--json"],
    &["profile"],
    &["profile", "--json"],
    &["services", "--json"],
    &["show", "ord_1"],
    &["show", "ord_1", "--json"],
    &["messages", "ord_1", "--json"],
    &["messages", "ord_1", "--send", "Hello"],
    &["profile", "set", "description=Posters from a brief, made by night"],
    &["check", "--json"],
    &["beat", "--json", "-vv"],
    &["status", "--json"],
    &["explain", "ord_1", "--json"],
];

#[test]
fn no_disguise_gets_the_key_past_any_command_into_any_file() {
    let cases: Vec<usize> = (0..KEY.len() + 2).collect();
    let mut tried = 0;
    for some in cases.chunks(6) {
        tried += side_by_side(some.to_vec(), |at| {
            let server = echo(Arc::new(AtomicUsize::new(at)));
            let home = Home::new(&format!("http://127.0.0.1:{}/api", server.port())).registered();
            for words in COMMANDS {
                let ran = home.run(words);
                assert!(ran.code != 101 && !ran.err.contains("panicked"), "{words:?}: {ran:?}");
                assert!(!spells(&ran.out) && !spells(&ran.err), "{:?} by {words:?}: {ran:?}", disguised(at));
            }
            for (path, text) in home.files() {
                assert!(!spells(&text), "{:?} in {}: {text}", disguised(at), path.display());
            }
            COMMANDS.len()
        })
        .len();
    }
    println!("{tried} disguises x {} commands, and every file", COMMANDS.len());
}

#[test]
fn no_level_of_the_log_shows_the_key_and_every_level_says_something_of_ours() {
    let server = echo(Arc::new(AtomicUsize::new(0)));
    for level in ["debug", "trace", "ureq_proto::util=trace", "ureq=trace,rustls=trace", "atelier_heartbeat=debug"] {
        let home = Home::new(&format!("http://127.0.0.1:{}/api", server.port())).registered().with("RUST_LOG", level);
        for words in [&["orders"][..], &["beat"]] {
            let ran = home.run(words);
            let said = format!("{}{}", ran.out, ran.err);
            assert!(!spells(&said) && !said.to_ascii_lowercase().contains("bearer"), "{level} {words:?}: {ran:?}");
            let ours = !level.starts_with("ureq");
            assert_eq!(ran.err.contains("/ext_1/orders"), ours, "{level} {words:?}: {ran:?}");
        }
    }
}

#[test]
fn a_loose_dotenv_is_used_and_told_by_check_alone_and_settings_that_others_can_write_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::http(None, super::servers::empty_market);
    let home = Home::new(&format!("http://127.0.0.1:{}/api", server.port()));
    let mode = |name: &str, mode: u32| {
        std::fs::set_permissions(home.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    std::fs::write(home.path(".env"), format!("ATELIER_AGENT_ID=ext_1\nATELIER_API_KEY={KEY}\n")).unwrap();
    mode(".env", 0o644);
    let beat = home.run(&["beat"]);
    assert!(beat.code == 0 && beat.out.is_empty() && beat.err.is_empty(), "{beat:?}");
    assert!(
        home.files().iter().any(|(path, text)| path.ends_with("beat.log") && text.contains("can be read by others"))
    );
    let check = home.run(&["check"]);
    assert!(check.out.contains("chmod 600") && check.out.contains(".env"), "{check:?}");
    mode("heartbeat.toml", 0o666);
    // A run with nothing to do reads no command from it.
    for words in [&["beat", "--force"][..], &["check"], &["orders"]] {
        let ran = home.run(words);
        assert!(ran.code == 78 && format!("{}{}", ran.out, ran.err).contains("chmod go-w"), "{words:?}: {ran:?}");
    }
}

#[test]
fn what_is_put_in_place_of_a_state_file_is_a_clear_error_at_once() {
    let server = Server::http(None, super::servers::empty_market);
    let kinds = ["fifo", "device", "link", "folder"];
    let files = [
        "lock",
        "worker.recent.json",
        "worker.json",
        "setup.json",
        "awaiting.json",
        "ledger.jsonl",
        "log/beat.log",
        "credentials.json",
    ];
    let cases: Vec<_> = kinds.iter().flat_map(|kind| files.iter().map(move |file| (*kind, *file))).collect();
    let count = cases.len();
    for some in cases.chunks(8) {
        side_by_side(some.to_vec(), |(kind, file)| {
            let home = Home::new(&format!("http://127.0.0.1:{}/api", server.port())).registered();
            assert_eq!(home.run(&["beat"]).code, 0);
            let path = home.path("state").join(file);
            let _ = std::fs::remove_file(&path);
            match kind {
                "fifo" => assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success()),
                "device" => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
                "link" => std::os::unix::fs::symlink("/etc/passwd", &path).unwrap(),
                _ => std::fs::create_dir(&path).unwrap(),
            }
            for words in [&["beat", "--force"][..], &["status"], &["check", "--offline"]] {
                let started = std::time::Instant::now();
                let ran = home.run(words);
                // A second on a quiet machine.
                assert!(started.elapsed().as_secs() < 8, "{kind} {file} {words:?} took {:?}", started.elapsed());
                assert!([0, 70, 74, 78].contains(&ran.code) && !ran.err.contains("panicked"), "{kind} {file}: {ran:?}");
            }
            let check = home.run(&["check", "--offline"]);
            // A run puts some back by itself.
            let odd = std::fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
            assert!(!odd || check.code == 74, "{kind} {file}: {check:?}");
        });
    }
    println!("{count} files replaced");
}
