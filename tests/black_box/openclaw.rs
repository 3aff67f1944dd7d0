//! Under stand-ins of OpenClaw's command runner and of its exec tool: a hundred beats of all outcomes each, and exactly the
//! posts that should appear.
//!
//! The runner posts what stands on stdout or stderr and stops a job after ten failures in a row; the exec tool hands stdout
//! to an agent, which keeps still when it reads `HEARTBEAT_OK`.

use std::fs;
use std::process::Child;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::shop::{Ran, Shop, eventually, now};

/// What goes on in a shop, and how many posts ten beats of it should make.
struct Scene {
    name: &'static str,
    posts: usize,
    /// Before the first beat.
    open: fn(&Shop),
    /// Before each beat.
    before: fn(&Shop, usize),
}

const NOTHING: fn(&Shop, usize) = |_, _| {};

const SCENES: [Scene; 10] = [
    Scene {
        name: "settings that were spoiled",
        posts: 1,
        open: |_| {},
        before: |shop, beat| {
            if beat == 2 {
                let settings = fs::read_to_string(shop.path("heartbeat.toml")).unwrap();
                fs::write(shop.path("heartbeat.toml"), settings.replace("[poll]", "[pole]")).unwrap();
            }
        },
    },
    Scene {
        name: "an order each beat",
        posts: 0,
        open: |_| {},
        before: |shop, beat| drop(shop.order(&format!("HEARTBEAT_OK MEDIA: wish {beat}"))),
    },
    Scene {
        name: "an order that fails for good",
        posts: 1,
        open: |shop| {
            shop.generator("echo 'MEDIA: NO_REPLY' >&2; exit 3", "max_attempts = 1");
            shop.order("a stranger's words");
        },
        before: NOTHING,
    },
    Scene {
        name: "a generator that is not there",
        posts: 1,
        open: |shop| {
            shop.generator("exit 127", "");
            shop.order("a stranger's words");
        },
        before: NOTHING,
    },
    Scene {
        name: "a server that stumbles",
        posts: 0,
        open: |shop| shop.server.market().arm_spec("status-500@any*4").unwrap(),
        before: NOTHING,
    },
    Scene {
        name: "a key that is refused",
        posts: 1,
        open: |shop| shop.server.market().arm_spec("status-401@any").unwrap(),
        before: NOTHING,
    },
    Scene {
        name: "a client who is not content",
        posts: 1,
        open: |shop| {
            shop.generator("echo \"made $$ $(date +%N)\" > $ATELIER_OUTPUT_DIR/a.txt", "");
            shop.order("a stranger's words");
        },
        before: |shop, beat| {
            if (2..=5).contains(&beat) {
                let id = shop.server.market().statuses().next().unwrap().0.to_owned();
                let _ = shop.server.market().dispute(now(), &id);
            }
        },
    },
    Scene {
        name: "a beat that is still at work",
        posts: 0,
        open: |shop| {
            shop.generator(
                ": > ../../../begun; while [ ! -e ../../../go ]; do sleep 0.02; done; echo made > $ATELIER_OUTPUT_DIR/a.txt",
                "",
            );
            shop.order("a stranger's words");
        },
        before: NOTHING,
    },
    Scene {
        name: "a record that was damaged",
        posts: 1,
        open: |shop| {
            shop.generator("exit 75", "");
            shop.order("a stranger's words");
        },
        before: |shop, beat| {
            if beat == 3 {
                let record = fs::read_dir(shop.path("state/orders")).unwrap().next().unwrap().unwrap().path();
                fs::write(record, "{").unwrap();
            }
        },
    },
    Scene {
        name: "an order that cannot be done",
        posts: 1,
        open: |shop| {
            shop.generator("exit 65", "");
            shop.order("a stranger's words");
        },
        before: NOTHING,
    },
];

/// The words that `schedule openclaw` gives the runner.
fn argv(shop: &Shop) -> Vec<String> {
    let printed = shop.json(&["schedule", "openclaw"]);
    let text = printed["files"][0]["text"].as_str().unwrap();
    let argv = text.split("--command-argv '").nth(1).unwrap().split('\'').next().unwrap();
    serde_json::from_str(argv).unwrap()
}

/// Ten beats of each scene, each started by `run`: what they posted, by scene.
fn hundred(run: impl Fn(&Shop, &[String]) -> Option<String>) {
    let mut beats = 0;
    for scene in SCENES {
        let shop = Shop::open(ServerVersion::Live);
        (scene.open)(&shop);
        // Where each endpoint has its own count, polls are not spread over the hour: every beat makes one.
        let settings = fs::read_to_string(shop.path("heartbeat.toml")).unwrap() + "\n[budget]\nshared = false\n";
        fs::write(shop.path("heartbeat.toml"), settings).unwrap();
        // One that is at work all the while holds the lock.
        let holder: Option<Child> = (scene.name == "a beat that is still at work").then(|| {
            let holder = shop.spawn(&["--force"]);
            eventually("its generator begins", || shop.path("begun").exists());
            holder
        });
        let argv = argv(&shop);
        let mut posts = Vec::new();
        for beat in 0..10 {
            (scene.before)(&shop, beat);
            posts.extend(run(&shop, &argv));
            beats += 1;
        }
        if let Some(holder) = holder {
            fs::write(shop.path("go"), "").unwrap();
            assert!(Ran::of(&holder.wait_with_output().unwrap()).is_silent());
        }
        assert_eq!(posts.len(), scene.posts, "{}: {posts:?}", scene.name);
        for post in &posts {
            let strange = ["stranger", "MEDIA:", "NO_REPLY", "HEARTBEAT_OK", shop.key.as_str()];
            assert!(!strange.iter().any(|word| post.contains(word)), "{}: {post}", scene.name);
            assert!(post.lines().count() <= 5, "{}: {post}", scene.name);
            assert!(post.contains("atelier-heartbeat"), "{}: it names a command: {post}", scene.name);
        }
    }
    assert_eq!(beats, 100);
}

#[test]
fn a_command_job_posts_what_needs_a_person_and_is_never_disabled() {
    hundred(|shop, argv| {
        let mut command = std::process::Command::new(&argv[0]);
        command.args(&argv[1..]).current_dir("/").env("HOME", shop.folder.path()).env_remove("RUST_LOG");
        let ran = Ran::of(&command.output().unwrap());
        assert_eq!(ran.code, 0, "ten failures in a row would end the job: {ran:?}");
        let said = format!("{}{}", ran.out, ran.err);
        (!said.is_empty()).then_some(said)
    });
}

#[test]
fn an_agent_at_the_exec_tool_reads_heartbeat_ok_or_what_needs_a_person() {
    hundred(|shop, _| {
        let ran = Ran::of(&shop.command(&["beat"]).env("OPENCLAW_SHELL", "exec").output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
        if ran.out == "HEARTBEAT_OK\n" && ran.err.is_empty() {
            return None;
        }
        assert!(!ran.out.contains("HEARTBEAT_OK"), "{ran:?}");
        Some(format!("{}{}", ran.out, ran.err))
    });
}
