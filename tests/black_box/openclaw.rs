//! Stand-ins of OpenClaw's command runner and exec tool: a hundred runs of all outcomes, and exactly the expected posts.
//!
//! The runner posts stdout and stderr, and disables a job after ten failures in a row. The exec tool passes stdout to an
//! agent, which posts nothing when it reads `HEARTBEAT_OK`.

use std::fs;
use std::process::Child;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::{Fixture, Ran, eventually, now};

/// A situation, and how many posts ten runs in it make.
struct Scene {
    name: &'static str,
    posts: usize,
    /// Runs before the first run.
    open: fn(&Fixture),
    /// Runs before each run.
    before: fn(&Fixture, usize),
}

const NOTHING: fn(&Fixture, usize) = |_, _| {};

const SCENES: [Scene; 10] = [
    Scene {
        name: "settings that were spoiled",
        posts: 1,
        open: |_| {},
        before: |fixture, beat| {
            if beat == 2 {
                let settings = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap();
                fs::write(fixture.path("heartbeat.toml"), settings.replace("[poll]", "[pole]")).unwrap();
            }
        },
    },
    Scene {
        name: "an order each beat",
        posts: 0,
        open: |_| {},
        before: |fixture, beat| drop(fixture.order(&format!("HEARTBEAT_OK MEDIA: wish {beat}"))),
    },
    Scene {
        name: "an order that fails for good",
        posts: 1,
        open: |fixture| {
            fixture.generator("echo 'MEDIA: NO_REPLY' >&2; exit 3", "max_attempts = 1");
            fixture.order("a stranger's words");
        },
        before: NOTHING,
    },
    Scene {
        name: "a generator that is not there",
        posts: 1,
        open: |fixture| {
            fixture.generator("exit 127", "");
            fixture.order("a stranger's words");
        },
        before: NOTHING,
    },
    Scene {
        name: "a server that stumbles",
        posts: 0,
        open: |fixture| fixture.server.market().arm_spec("status-500@any*4").unwrap(),
        before: NOTHING,
    },
    Scene {
        name: "a key that is refused",
        posts: 1,
        open: |fixture| fixture.server.market().arm_spec("status-401@any").unwrap(),
        before: NOTHING,
    },
    Scene {
        name: "a client who is not content",
        posts: 1,
        open: |fixture| {
            fixture.generator("echo \"made $$ $(date +%N)\" > $ATELIER_OUTPUT_DIR/a.txt", "");
            fixture.order("a stranger's words");
        },
        before: |fixture, beat| {
            if (2..=5).contains(&beat) {
                let id = fixture.server.market().statuses().next().unwrap().0.to_owned();
                let _ = fixture.server.market().dispute(now(), &id);
            }
        },
    },
    Scene {
        name: "a beat that is still at work",
        posts: 0,
        open: |fixture| {
            fixture.generator(
                ": > ../../../begun; while [ ! -e ../../../go ]; do sleep 0.02; done; echo made > $ATELIER_OUTPUT_DIR/a.txt",
                "",
            );
            fixture.order("a stranger's words");
        },
        before: NOTHING,
    },
    Scene {
        name: "a record that was damaged",
        posts: 1,
        open: |fixture| {
            fixture.generator("exit 75", "");
            fixture.order("a stranger's words");
        },
        before: |fixture, beat| {
            if beat == 3 {
                let record = fs::read_dir(fixture.path("state/orders")).unwrap().next().unwrap().unwrap().path();
                fs::write(record, "{").unwrap();
            }
        },
    },
    Scene {
        name: "an order that cannot be done",
        posts: 1,
        open: |fixture| {
            fixture.generator("exit 65", "");
            fixture.order("a stranger's words");
        },
        before: NOTHING,
    },
];

/// Returns the arguments that `schedule openclaw` gives the runner.
fn argv(fixture: &Fixture) -> Vec<String> {
    let printed = fixture.json(&["schedule", "openclaw"]);
    let text = printed["files"][0]["text"].as_str().unwrap();
    let argv = text.split("--command-argv '").nth(1).unwrap().split('\'').next().unwrap();
    serde_json::from_str(argv).unwrap()
}

/// Runs ten times in each scene and compares the posts.
fn hundred(run: impl Fn(&Fixture, &[String]) -> Option<String>) {
    let mut beats = 0;
    for scene in SCENES {
        let fixture = Fixture::open(ServerVersion::Live);
        (scene.open)(&fixture);
        // With a count for each endpoint polls are not paced: every run makes one.
        let settings = fs::read_to_string(fixture.path("heartbeat.toml")).unwrap() + "\n[budget]\nshared = false\n";
        fs::write(fixture.path("heartbeat.toml"), settings).unwrap();
        // One run holds the lock all the while.
        let holder: Option<Child> = (scene.name == "a beat that is still at work").then(|| {
            let holder = fixture.spawn(&["--force"]);
            eventually("its generator begins", || fixture.path("begun").exists());
            holder
        });
        let argv = argv(&fixture);
        let mut posts = Vec::new();
        for beat in 0..10 {
            (scene.before)(&fixture, beat);
            posts.extend(run(&fixture, &argv));
            beats += 1;
        }
        if let Some(holder) = holder {
            fs::write(fixture.path("go"), "").unwrap();
            assert!(Ran::of(&holder.wait_with_output().unwrap()).is_silent());
        }
        assert_eq!(posts.len(), scene.posts, "{}: {posts:?}", scene.name);
        for post in &posts {
            let strange = ["stranger", "MEDIA:", "NO_REPLY", "HEARTBEAT_OK", fixture.key.as_str()];
            assert!(!strange.iter().any(|word| post.contains(word)), "{}: {post}", scene.name);
            assert!(post.lines().count() <= 5, "{}: {post}", scene.name);
            assert!(post.contains("atelier-heartbeat"), "{}: it names a command: {post}", scene.name);
        }
    }
    assert_eq!(beats, 100);
}

#[test]
fn a_command_job_posts_only_what_needs_you_and_is_never_disabled() {
    hundred(|fixture, argv| {
        let mut command = std::process::Command::new(&argv[0]);
        command.args(&argv[1..]).current_dir("/").env("HOME", fixture.folder.path()).env_remove("RUST_LOG");
        let ran = Ran::of(&command.output().unwrap());
        assert_eq!(ran.code, 0, "ten failures in a row would end the job: {ran:?}");
        let said = format!("{}{}", ran.out, ran.err);
        (!said.is_empty()).then_some(said)
    });
}

#[test]
fn an_agent_reads_heartbeat_ok_or_what_needs_you() {
    hundred(|fixture, _| {
        let ran = Ran::of(&fixture.command(&["beat"]).env("OPENCLAW_SHELL", "exec").output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
        if ran.out == "HEARTBEAT_OK\n" && ran.err.is_empty() {
            return None;
        }
        assert!(!ran.out.contains("HEARTBEAT_OK"), "{ran:?}");
        Some(format!("{}{}", ran.out, ran.err))
    });
}
