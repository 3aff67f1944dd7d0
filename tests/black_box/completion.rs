//! Completion, in the shells themselves: commands, options, orders, services, statuses, presets and files.

use std::fs;
use std::process::Command;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::{BIN, Fixture};

/// An agent with two orders in flight; the program is in its `bin`.
fn with_orders() -> (Fixture, String, String) {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("exit 65", "");
    let (first, second) = (fixture.order("one"), fixture.order("two"));
    fixture.beat();
    fixture.stand_in("atelier-heartbeat", &format!("exec '{BIN}' \"$@\""));
    (fixture, first, second)
}

/// What completes each line; `…` stands for the orders.
fn cases(first: &str, second: &str) -> Vec<(String, Vec<String>)> {
    let both = vec![first.to_owned(), second.to_owned()];
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    vec![
        ("ret".to_owned(), words(&["retry"])),
        ("retry ".to_owned(), both.clone()),
        (
            format!("retry {}", &first[..first.len() - 1]),
            both.iter().filter(|id| id.starts_with(&first[..first.len() - 1])).cloned().collect(),
        ),
        ("--config heartbeat.toml explain ".to_owned(), both.clone()),
        ("payout retry ".to_owned(), both.clone()),
        ("logs --order ".to_owned(), both),
        ("orders --status compl".to_owned(), words(&["completed"])),
        ("orders --status paid,compl".to_owned(), words(&["paid,completed"])),
        ("init --generator pos".to_owned(), words(&["poster"])),
        ("schedule sys".to_owned(), words(&["systemd"])),
        ("status --prom".to_owned(), words(&["--prometheus"])),
        ("upload heartb".to_owned(), words(&["heartbeat.toml"])),
        ("--state-dir nowhere retry ".to_owned(), Vec::new()),
    ]
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Runs a script in a shell where the program is found; none where the shell is not installed.
fn run_in(fixture: &Fixture, shell: &[&str], script: &str) -> Option<String> {
    let found = Command::new("sh").args(["-c", &format!("command -v {}", shell[0])]).output().unwrap();
    if !found.status.success() {
        println!("skipped: {} is not installed", shell[0]);
        return None;
    }
    let mut command = fixture.command(&[]);
    let mut run = Command::new(shell[0]);
    run.current_dir(fixture.folder.path()).args(&shell[1..]).arg(script);
    for (name, value) in command.env("TERM", "dumb").get_envs() {
        match value {
            Some(value) => run.env(name, value),
            None => run.env_remove(name),
        };
    }
    let output = run.output().unwrap();
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

fn completes_in(name: &str, shell: &[&str], script: impl Fn(&str) -> String) {
    let (fixture, first, second) = with_orders();
    let made = fixture.run(&["completions", name]);
    assert!(made.code == 0, "{made:?}");
    fs::write(fixture.path("script"), made.out).unwrap();
    let lock = fixture.path("state/lock");
    let before = fs::metadata(&lock).and_then(|meta| meta.modified()).ok();
    let calls = fixture.server.market().recorder().calls.clone();
    for (line, mut expected) in cases(&first, &second) {
        let Some(found) = run_in(&fixture, shell, &script(&line)) else { return };
        expected.sort();
        assert_eq!(sorted(&found), expected, "{name}: {line:?}");
    }
    assert_eq!(fixture.server.market().recorder().calls, calls, "nothing is asked of the marketplace");
    assert_eq!(fs::metadata(&lock).and_then(|meta| meta.modified()).ok(), before);
}

/// The function as bash calls it. Files are bash's own: there is no command line in which it could offer them.
#[test]
fn bash_completes_orders_and_everything_else() {
    completes_in("bash", &["bash", "--norc", "-c"], |line| {
        format!(
            "source ./script; COMP_LINE='atelier-heartbeat {line}'; read -ra COMP_WORDS <<<\"$COMP_LINE\"; \
             [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             compopt() {{ COMPREPLY=($(compgen -f -- \"${{COMP_WORDS[COMP_CWORD]}}\")); }}; \
             _atelier_heartbeat atelier-heartbeat; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
    });
}

/// The function with stand-ins for what shows the candidates.
#[test]
fn zsh_completes_orders_and_everything_else() {
    completes_in("zsh", &["zsh", "-f", "-c"], |line| {
        format!(
            "compdef() {{ }}; source ./script; words=(${{(z):-\"atelier-heartbeat {line}\"}}); \
             [[ '{line}' == *' ' ]] && words+=(''); CURRENT=$#words; \
             _describe() {{ print -l -- \"${{(@)${{(@P)3}}%%:*}}\"; }}; _files() {{ print -l -- ${{words[CURRENT]}}*(N); }}; \
             _atelier-heartbeat"
        )
    });
}

#[test]
fn fish_completes_orders_and_everything_else() {
    completes_in("fish", &["fish", "--no-config", "-c"], |line| {
        format!("source ./script; complete -C 'atelier-heartbeat {line}' | string replace -r '\\t.*' ''")
    });
}
