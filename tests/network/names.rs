//! Name servers that say no, fail, or say nothing. They stand on port 53 of a network of their own, where the system
//! allows one to be made.

use std::net::UdpSocket;
use std::process::{Command, Stdio};

use super::servers::{Home, KEY};

/// Set in the process that stands inside that network.
const INSIDE: &str = "ATELIER_TEST_NAME_SERVER";

/// Answers every question with this code; none: with silence.
fn serve(code: Option<u8>) {
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            let Some(code) = code else { continue };
            let mut answer = question[..length].to_vec();
            answer[2] |= 0x80;
            answer[3] = (answer[3] & 0xf0) | code;
            let _ = socket.send_to(&answer, from);
        }
    });
}

#[test]
fn a_name_server_that_does_not_answer_is_nothing_sent() {
    if let Ok(kind) = std::env::var(INSIDE) {
        serve(match kind.as_str() {
            "NXDOMAIN" => Some(3),
            "SERVFAIL" => Some(2),
            _ => None,
        });
        let home = Home::new("https://market.example.net/api").registered();
        let ran = home.run(&["messages", "ord_1", "--send", "Hello"]);
        println!("{kind}: exit {} {}", ran.code, ran.err);
        assert!(ran.code == 69 && ran.err.contains("nothing was sent") && ran.err.contains("DNS"), "{ran:?}");
        assert!(!ran.err.contains(KEY) && !ran.err.contains("is not known"), "{ran:?}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("resolv.conf");
    std::fs::write(&conf, "nameserver 127.0.0.1\noptions attempts:1 timeout:5\n").unwrap();
    let script = format!(
        "ip link set lo up && mount --bind {} /etc/resolv.conf && exec \"$0\" --exact names::a_name_server_that_does_not_answer_is_nothing_sent --nocapture",
        conf.display()
    );
    for kind in ["NXDOMAIN", "SERVFAIL", "silence"] {
        let mut inside = Command::new("unshare");
        inside.args(["-rmn", "sh", "-c", &script]).arg(std::env::current_exe().unwrap()).env(INSIDE, kind);
        let Ok(done) = inside.stdin(Stdio::null()).output() else {
            println!("there is no unshare here: name servers are not tried");
            return;
        };
        let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        if !said.contains("exit ") && !said.contains("panicked") {
            println!("no network of its own can be made here: {said}");
            return;
        }
        assert!(done.status.success() && said.contains(&format!("{kind}: exit 69")), "{kind}: {said}");
        println!("{kind}: nothing was sent");
    }
}
