//! `setup`, `check`, and every command for the marketplace's API, with both server versions.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use atelier_heartbeat::internals::sandbox::{Call, Placement, ServerVersion};
use serde_json::Value;

use super::fixture::{Fixture, Ran, now, unchecked};

const WALLET: &str = "7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV";

/// An `[agent]` and two services that both server versions accept.
fn agent_and_services() -> String {
    format!(
        "[agent]\nname = \"Night Shift\"\ndescription = \"Posters from a brief, made overnight\"\nendpoint_url = \"https://nightshift.dev/events\"\ncapabilities = [\"image_gen\"]\navatar_url = \"https://nightshift.dev/face.png\"\npayout_wallet = \"{WALLET}\"\n{}{}",
        service("AI Image Generation", "5.00", "fixed"),
        service("A price for anything", "10.00", "quote")
    )
}

fn service(title: &str, price: &str, kind: &str) -> String {
    format!(
        "[[service]]\ncategory = \"image_gen\"\ntitle = \"{title}\"\ndescription = \"Professional AI-generated images from text prompts. Fast turnaround.\"\nprice_usd = \"{price}\"\nprice_type = \"{kind}\"\nturnaround_hours = 1\ndeliverables = [\"1 high-quality image\"]\n"
    )
}

/// Returns the number of calls that change something.
fn writes(fixture: &Fixture) -> u64 {
    let writing = [Call::Register, Call::UpdateMe, Call::Services, Call::UpdateService, Call::DeleteService];
    writing.iter().map(|call| fixture.server.market().recorder().calls.get(call).copied().unwrap_or(0)).sum()
}

#[test]
fn setup_registers_once_and_changes_nothing_the_second_time() {
    for server_version in [ServerVersion::Document, ServerVersion::Live] {
        let fixture = Fixture::empty(server_version);
        fixture.settings(&agent_and_services());
        let plan = fixture.json(&["setup", "--dry-run"]);
        assert_eq!(plan["plan"].as_array().unwrap().len(), 4, "{plan}");
        assert_eq!(fixture.server.connections(), 0, "not registered: nothing at all is sent");
        let ran = fixture.run(&["setup"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        for line in ["registered agent ext_", "set payout_wallet", "created service \"AI Image Generation\" (svc_"] {
            assert!(ran.out.contains(line), "{line} in {ran:?}");
        }
        let file = fixture.path("state/credentials.json");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(fixture.path("state")).unwrap().permissions().mode() & 0o777, 0o700);
        let kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let key = kept["api_key"].as_str().unwrap();
        assert!(!ran.out.contains(key) && !ran.err.contains(key));
        if server_version == ServerVersion::Live {
            assert!(kept["webhook_secret"].is_string(), "the whole answer is kept");
        }
        let before = writes(&fixture);
        for words in [&["setup"][..], &["setup", "--update"], &["setup", "--dry-run"]] {
            let again = fixture.run(words);
            assert_eq!(again.code, 0);
            assert!(again.out.starts_with("nothing to do: the marketplace matches heartbeat.toml"), "{again:?}");
        }
        assert_eq!(writes(&fixture), before);
        let profile = fixture.json(&["profile"]);
        assert_eq!(profile["payout_wallet"], WALLET);
        assert!(!profile.to_string().contains(key));
    }
}

#[test]
fn differences_are_reported_and_changed_only_with_update() {
    let fixture = Fixture::empty(ServerVersion::Live);
    fixture.settings(&agent_and_services());
    assert_eq!(fixture.run(&["setup"]).code, 0);
    let services = fixture.json(&["services"]);
    let id = |title: &str| {
        let found = services.as_array().unwrap().iter().find(|one| one["title"] == title).unwrap();
        found["id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (id("AI Image Generation"), id("A price for anything"));
    // One service is renamed on the server, one has a new price here, one is unknown here.
    fixture.json(&["services", "update", &second, "title=Renamed by hand"]);
    fixture.json(&[
        "services",
        "create",
        "category=ugc",
        "title=By hand alone",
        &format!("description={}", "x".repeat(60)),
        "price_usd=1.00",
        "price_type=fixed",
    ]);
    fixture.settings(&agent_and_services().replace("5.00", "6.00"));
    let before = writes(&fixture);
    let told = fixture.run(&["setup"]);
    assert_eq!(told.code, 0);
    assert_eq!(writes(&fixture), before, "nothing is changed unasked");
    for words in [
        format!("({first}) differs in price_usd"),
        format!("({second}) differs in title"),
        "setup --update".to_owned(),
        "is not in heartbeat.toml and is left as it is".to_owned(),
    ] {
        assert!(told.out.contains(&words), "{words} in {told:?}");
    }
    let plan = fixture.json(&["setup", "--update", "--dry-run"]);
    assert_eq!(plan["plan"].as_array().unwrap().len(), 2, "{plan}");
    assert_eq!(fixture.run(&["setup", "--update"]).code, 0);
    assert_eq!(writes(&fixture), before + 2);
    let listed = fixture.json(&["services"]);
    let price = listed.as_array().unwrap().iter().find(|one| one["id"] == *first).unwrap()["price_usd"].clone();
    assert_eq!(price, "6.00");
}

#[test]
fn setup_wants_a_wallet_and_quotes_the_servers_refusals() {
    let fixture = Fixture::empty(ServerVersion::Live);
    let agent = "[agent]\nname = \"Night Shift\"\ndescription = \"Posters from a brief\"\n";
    fixture.settings(agent);
    let insists = fixture.run(&["setup"]);
    assert_eq!(insists.code, 78);
    assert!(insists.err.contains("payout_wallet") && insists.err.contains("--without-payout"), "{insists:?}");
    assert_eq!(fixture.server.connections(), 0);
    let hidden = fixture.run(&["setup", "--without-payout"]);
    assert_eq!(hidden.code, 0, "{hidden:?}");
    assert!(hidden.out.contains("marketable: false") && hidden.out.contains("nothing is for sale"), "{hidden:?}");
    // The same name from another machine: the server's message, the id, and what to do.
    let elsewhere = fixture.run(&["setup", "--without-payout", "--state-dir", "other"]);
    assert_eq!(elsewhere.code, 1);
    for words in [
        "duplicate_agent",
        "ext_",
        "choose another name",
        "nothing was registered",
        "/agents/recover",
        "setup --import",
    ] {
        assert!(elsewhere.err.contains(words), "{words} in {elsewhere:?}");
    }
    assert!(!fixture.path("other/credentials.json.new").exists(), "a definite refusal leaves nothing behind");
    // A limit of the live server only; the other service is created all the same.
    fixture.settings(&format!(
        "{agent}{}{}",
        service("Tiny", "5.00", "fixed"),
        service("Long enough", "5.00", "fixed")
    ));
    let ran = fixture.run(&["setup", "--without-payout"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("\"Tiny\"") && ran.err.contains("title must be 5-80 characters") || ran.err.contains("title"),
        "{ran:?}"
    );
    assert!(ran.out.contains("created service \"Long enough\""), "{ran:?}");
    let document = Fixture::empty(ServerVersion::Document);
    document.settings(agent);
    let wants = document.run(&["setup", "--without-payout"]);
    assert!(wants.code == 1 && wants.err.contains("endpoint_url under [agent]"), "{wants:?}");
}

#[test]
fn a_registration_without_an_answer_is_not_repeated() {
    for server_version in [ServerVersion::Document, ServerVersion::Live] {
        for fault in ["commit-then-drop", "drop-before", "commit-then-500", "truncate", "html-200"] {
            let fixture = Fixture::empty(server_version);
            fixture.settings(&agent_and_services());
            fixture.server.market().arm_spec(&format!("{fault}@register*1")).unwrap();
            let lost = fixture.run(&["setup"]);
            assert_eq!(lost.code, 69, "{fault}: {lost:?}");
            let registered = fixture.server.market().recorder().registrations.len();
            let again = fixture.run(&["setup"]);
            assert_eq!(again.code, 78, "{fault}: {again:?}");
            for words in ["Night Shift", "its answer was lost", "--register-again", "never repeated by itself"] {
                assert!(again.err.contains(words), "{words} in {again:?}");
            }
            assert_eq!(fixture.server.market().recorder().registrations.len(), registered);
            assert!(fixture.run(&["beat", "--force"]).err.contains("atelier-heartbeat setup"));
            if registered == 0 || server_version == ServerVersion::Document {
                assert_eq!(fixture.run(&["setup", "--register-again"]).code, 0);
            } else {
                let told = fixture.run(&["setup", "--register-again"]);
                assert!(told.code == 1 && told.err.contains("duplicate_agent"), "{told:?}");
            }
        }
    }
}

#[test]
fn a_service_without_an_answer_is_looked_up_and_created_once() {
    for fault in ["commit-then-drop", "drop-before", "commit-then-500", "truncate", "wrong-types"] {
        let fixture = Fixture::empty(ServerVersion::Live);
        fixture.settings(&agent_and_services());
        fixture.server.market().arm_spec(&format!("{fault}@services*1")).unwrap();
        let first = fixture.run(&["setup"]);
        if first.code != 0 {
            assert!(first.code == 69 && first.err.contains("run setup again in"), "{fault}: {first:?}");
            let soon = fixture.run(&["setup"]);
            assert_eq!(soon.code, 69, "it may still arrive: {soon:?}");
            // As if two minutes had passed.
            let memory = fixture.path("state/setup.json");
            let text = unchecked(&fs::read_to_string(&memory).unwrap()).replace("\"20", "\"19");
            fs::write(memory, text).unwrap();
            assert_eq!(fixture.run(&["setup"]).code, 0);
        }
        let services = fixture.json(&["services"]);
        let titles: BTreeSet<&str> =
            services.as_array().unwrap().iter().map(|one| one["title"].as_str().unwrap()).collect();
        assert_eq!((services.as_array().unwrap().len(), titles.len()), (2, 2), "{fault}: {services}");
    }
}

#[test]
fn setup_killed_at_every_failpoint_registers_one_agent_and_each_service_once() {
    let mut survived = 0;
    for at in 1.. {
        let fixture = Fixture::empty(ServerVersion::Live);
        fixture.settings(&agent_and_services());
        let killed = fixture.command(&["setup"]).env("ATELIER_FAILPOINT", at.to_string()).output().unwrap();
        if killed.status.success() {
            break;
        }
        let first = Ran::of(&killed);
        assert!(first.code == -1 && first.err.contains(&format!("failpoint {at}:")), "{first:?}");
        survived += 1;
        let registered = fixture.server.market().recorder().registrations.len();
        let again = fixture.run(&["setup"]);
        let in_doubt = again.code == 78 && again.err.contains("its answer was lost");
        if in_doubt {
            // Between the intent and the key on disk the outcome is unknown: setup says so and sends nothing.
            assert!(first.err.contains("room") || first.err.contains("a request"), "{first:?}");
            assert_eq!(fixture.server.market().recorder().registrations.len(), registered);
            continue;
        }
        let waits = again.code == 69 && again.err.contains("run setup again in");
        if waits {
            let memory = fixture.path("state/setup.json");
            fs::write(&memory, unchecked(&fs::read_to_string(&memory).unwrap()).replace("\"20", "\"19")).unwrap();
        }
        let last = if waits { fixture.run(&["setup"]) } else { again };
        assert_eq!(last.code, 0, "killed at {at} ({}): {last:?}", first.err);
        let market = fixture.server.market();
        assert_eq!(market.recorder().registrations.len(), 1, "killed at {at}: {}", first.err);
        assert_eq!(market.recorder().services.len(), 2, "killed at {at}: {}", first.err);
        drop(market);
        assert_eq!(fixture.json(&["profile"])["payout_wallet"], WALLET);
    }
    println!("setup survived {survived} failpoints");
    assert!(survived >= 30, "only {survived} failpoints: are they built in?");
}

/// Every call of the API has a command; this test makes each of them.
#[test]
#[expect(clippy::too_many_lines, reason = "a list: a line is a call")]
fn commands_reach_every_endpoint_of_both_server_versions() {
    for server_version in [ServerVersion::Document, ServerVersion::Live] {
        let fixture = Fixture::empty(server_version);
        fixture.settings(&agent_and_services());
        assert_eq!(fixture.run(&["setup"]).code, 0);
        // First, because ten an hour are allowed and the live server counts all requests together.
        let unasked = fixture.run(&["token", "launch", "NIGHT"]);
        assert!(unasked.code == 64 && unasked.err.contains("--yes"), "{unasked:?}");
        assert!(fixture.json(&["token", "launch", "NIGHT", "--yes"])["mint"].is_string());
        let again = fixture.run(&["token", "launch", "NIGHT", "--yes"]);
        assert_eq!(again.code, 1, "{again:?}");

        let services = fixture.json(&["services", "list"]);
        let service = |kind: &str| {
            let found = services.as_array().unwrap().iter().find(|one| one["price_type"] == kind).unwrap();
            found["id"].as_str().unwrap().to_owned()
        };
        let place = |kind: &str| {
            let placement =
                Placement { service_id: Some(service(kind)), brief: "A lighthouse".into(), ..Placement::default() };
            fixture.server.market().place(now(), placement)
        };
        let (paid, asked) = (place("fixed"), place("quote"));

        let description = format!("description={}", "words ".repeat(12));
        let made = fixture.json(&[
            "services",
            "create",
            "category=video_gen",
            "title=Short films",
            &description,
            "price_usd=9.00",
            "price_type=weekly",
            "quota_limit=5",
        ]);
        let made = made["id"].as_str().unwrap();
        assert_eq!(fixture.json(&["services", "update", made, "price_usd=8.50"])["id"], made);
        fixture.json(&["services", "deactivate", made, "--yes"]);
        assert_eq!(
            fixture.json(&["profile", "set", "description=Posters from a brief, overnight"])["name"],
            "Night Shift"
        );
        assert_eq!(fixture.json(&["profile", "set", "payout_wallet=null"])["payout_wallet"], Value::Null);
        fixture.json(&["profile", "set", &format!("payout_wallet={WALLET}")]);

        let listed = fixture.json(&["orders", "--status", "paid,pending_quote"]);
        assert_eq!(listed["orders"].as_array().unwrap().len(), 2, "{listed}");
        fixture.json(&["quote", &asked, "15.00"]);
        assert_eq!(fixture.server.market().status_of(&asked).unwrap().as_str(), "quoted");
        let again = fixture.run(&["quote", &asked, "15.00"]);
        assert!(again.code == 1 && again.err.contains("quote"), "{again:?}");
        fixture.json(&["messages", &paid, "--send", "Working on it: ten minutes."]);
        let thread = fixture.json(&["messages", &paid]);
        assert_eq!(thread["messages"][0]["content"], "Working on it: ten minutes.");

        let picture = fixture.path("picture.png");
        assert_eq!(fixture.run(&["poster", "--brief", "x", "--output", picture.to_str().unwrap()]).code, 0);
        let hosted = fixture.json(&["upload", picture.to_str().unwrap()]);
        assert_eq!(hosted["media_type"], "image");
        if server_version == ServerVersion::Document {
            // This server version has no endpoint for a single order: a poll must have listed it.
            assert_eq!(fixture.run(&["deliver", &paid, picture.to_str().unwrap()]).code, 1);
            fixture.generator("exit 75", "");
            fixture.settings(&format!("{}[generator]\ncommand = [\"./make.sh\"]\n", agent_and_services()));
            assert_eq!(fixture.run(&["beat", "--force"]).code, 0);
        }
        let delivered = fixture.json(&["deliver", &paid, picture.to_str().unwrap(), hosted["url"].as_str().unwrap()]);
        assert_eq!(delivered["delivered"], true);
        let deliveries = fixture.server.market().recorder().deliveries_of(&paid).to_vec();
        assert_eq!(deliveries.len(), 1);
        assert_eq!(deliveries[0].urls.len(), if server_version == ServerVersion::Live { 2 } else { 1 });
        let twice = fixture.run(&["deliver", &paid, picture.to_str().unwrap()]);
        assert!(twice.code == 1 && twice.err.contains("delivered"), "{twice:?}");
        let shown = fixture.run(&["show", &paid]);
        assert!(shown.code == 0 && shown.out.contains("ten minutes") && shown.out.contains("delivered"), "{shown:?}");
        let why = fixture.run(&["explain", &paid]);
        assert!(
            why.code == 0 && why.out.contains("provided by the operator") && why.out.contains("delivered"),
            "{why:?}"
        );

        let calls = fixture.server.market().recorder().calls.clone();
        for call in Call::ALL {
            // A client's page, and calls that the document does not have.
            let no_command = [
                Call::Agent,
                Call::SetActive,
                Call::PayoutRetry,
                Call::Bounties,
                Call::ClaimBounty,
                Call::WithdrawClaim,
            ];
            if no_command.contains(&call) {
                continue;
            }
            let only_live = matches!(call, Call::UploadToken | Call::Blob | Call::Order);
            assert!(only_live || calls.contains_key(&call), "{server_version}: no command makes the call {call}");
        }
    }
}

#[test]
fn commands_respect_the_lock_the_budget_and_retry_after() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("x");
    let lock =
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(fixture.path("state/lock")).unwrap();
    fs2::FileExt::lock_exclusive(&lock).unwrap();
    let busy = fixture.run(&["orders"]);
    assert!(busy.code == 75 && busy.err.contains("a run is at work"), "{busy:?}");
    drop(lock);
    fixture.server.market().arm_spec("status-429@messages*1").unwrap();
    let told = fixture.run(&["messages", &order, "--send", "hello"]);
    assert!(told.code == 75 && told.err.contains("wait 61 s"), "{told:?}");
    let connections = fixture.server.connections();
    for words in [&["orders"][..], &["upload", "heartbeat.toml"]] {
        let ran = fixture.run(words);
        assert!(ran.code == 75 || ran.code == 64, "{ran:?}");
    }
    let waits = fixture.run(&["orders"]);
    assert!(waits.err.contains("the marketplace said to wait: try again at"), "{waits:?}");
    assert_eq!(fixture.server.connections(), connections, "nothing is sent before a Retry-After has passed");
    assert_eq!(fixture.beat()["reason"], "retry_after", "and a beat knows of it too");

    let spent = Fixture::open(ServerVersion::Live);
    for _ in 0..30 {
        assert_eq!(spent.run(&["orders"]).code, 0);
    }
    let last = spent.run(&["orders"]);
    assert!(last.code == 75 && last.err.contains("this hour's requests are spent"), "{last:?}");
    assert_eq!(spent.server.market().recorder().requests.iter().filter(|request| request.refused).count(), 0);
}

#[test]
fn a_refusal_is_one_line_with_the_servers_message_and_a_hint() {
    let fixture = Fixture::open(ServerVersion::Live);
    let order = fixture.order("x");
    for (fault, code, words) in [
        ("status-400", 1, "correct it and try again"),
        ("status-404", 1, "atelier-heartbeat orders"),
        ("status-409", 1, "it is there already"),
        ("status-413", 1, "too large"),
        ("status-422", 1, "correct it and try again"),
        ("status-403", 1, "check the id"),
        ("status-401", 1, "check the id"),
        ("status-500", 69, "whether it took effect is not known"),
        ("status-502-html", 69, "whether it took effect is not known"),
        ("drop-before", 69, "whether it took effect is not known"),
        ("html-200", 69, "whether it took effect is not known"),
        ("redirect-foreign", 78, "base_url = "),
    ] {
        fixture.server.market().arm_spec(&format!("{fault}@messages*1")).unwrap();
        let ran = fixture.run(&["messages", &order, "--send", "hello"]);
        assert_eq!((ran.code, ran.err.lines().count()), (code, 1), "{fault}: {ran:?}");
        assert!(ran.err.contains(words), "{fault}: {ran:?}");
    }
    fixture.server.market().arm_spec("status-401@any*2").unwrap();
    let refused = fixture.run(&["messages", &order]);
    assert!(refused.code == 77 && refused.err.contains("never register again"), "{refused:?}");
    assert_eq!(fixture.server.market().recorder().messages.get(&order).map_or(0, Vec::len), 0);
}

#[test]
fn check_names_each_problem_and_the_command_that_fixes_it() {
    let fixture = Fixture::empty(ServerVersion::Live);
    fixture.settings(&agent_and_services());
    let before = fixture.run(&["check"]);
    assert!(before.code == 78 && before.out.contains("atelier-heartbeat setup"), "{before:?}");
    assert_eq!(fixture.run(&["setup"]).code, 0);
    let well = fixture.run(&["check"]);
    assert_eq!(well.code, 0, "{well:?}");
    for line in
        ["ok    marketplace:", "ok    payout: a payout wallet is set", "ok    services: 2 for sale", "ok    clock:"]
    {
        assert!(well.out.contains(line), "{line} in {well:?}");
    }
    let says = |words: &[&str]| fixture.run(words).out;
    fixture.json(&["profile", "set", "payout_wallet=null"]);
    assert!(says(&["check"]).contains("is never paid\n      -> write payout_wallet"));
    fixture.settings(&agent_and_services().replace("5.00", "7.00").replace("A price for anything", "Another title"));
    let services = says(&["check"]);
    for words in [
        "1 service(s) of heartbeat.toml are not listed\n      -> atelier-heartbeat setup",
        "setup --update",
        "services deactivate svc_",
    ] {
        assert!(services.contains(words), "{words} in {services}");
    }
    fs::set_permissions(fixture.path("state/credentials.json"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(says(&["check", "--offline"]).contains("can be read by others (mode 644)\n      -> chmod 600"));
    fixture.server.market().arm_spec("redirect-foreign@me*1").unwrap();
    let moved = fixture.run(&["check"]);
    assert!(moved.code == 78 && moved.out.contains("set base_url = \""), "{moved:?}");
    let connections = fixture.server.connections();
    fixture.json(&["check", "--offline"]);
    assert_eq!(fixture.server.connections(), connections);
}

#[test]
fn a_support_bundle_contains_no_secret_and_no_text_of_a_client() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator("exit 3", "env = [\"HOME\"]");
    let order = fixture.order("A very private wish");
    fixture.run(&["--force"]);
    assert_eq!(fixture.run(&["check", "--bundle", "help.json"]).code, 0);
    let bundle = fs::read_to_string(fixture.path("help.json")).unwrap();
    assert!(bundle.contains(&order) && bundle.contains("exit 3") && bundle.contains("run: {"), "{bundle}");
    assert!(!bundle.contains(&fixture.key) && !bundle.contains("private wish"));
}

#[test]
fn no_command_ever_shows_a_secret_at_any_level() {
    let fixture = Fixture::empty(ServerVersion::Live);
    fixture.settings(&agent_and_services());
    let mut said = String::new();
    let mut run = |words: &[&str]| {
        let ran = Ran::of(&fixture.command(words).env("RUST_LOG", "trace").output().unwrap());
        said.push_str(&ran.out);
        said.push_str(&ran.err);
    };
    run(&["setup", "-vv"]);
    let placed = Placement { brief: "x".into(), ..Placement::default() };
    let order = fixture.server.market().place(now(), placed);
    for words in [
        &["profile"][..],
        &["profile", "--json"],
        &["profile", "set", "description=Posters from a brief, overnight"],
        &["services", "--json"],
        &["orders", "--json"],
        &["show", &order],
        &["show", &order, "--json"],
        &["messages", &order, "--send", "hello"],
        &["messages", &order],
        &["poster", "--brief", "x", "--output", "p.png"],
        &["upload", "p.png"],
        &["deliver", &order, "p.png"],
        &["explain", &order],
        &["beat", "--force", "-vv"],
        &["beat", "--json", "--force"],
        &["status", "--json"],
        &["report", "--json"],
        &["check"],
        &["check", "--json"],
        &["check", "--bundle", "help.json"],
        &["schedule", "systemd", "--system"],
        &["schedule", "openclaw"],
        &["token", "launch", "NIGHT", "--yes"],
        &["setup", "--update"],
        &["quote", &order, "5.00"],
        &["decline", &order],
        &["retry", &order],
    ] {
        run(words);
    }
    let kept = fs::read_to_string(fixture.path("state/credentials.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let secrets = [kept["api_key"].as_str().unwrap(), kept["webhook_secret"].as_str().unwrap()];
    assert!(said.len() > 5000, "{}", said.len());
    for secret in secrets {
        assert!(!said.contains(secret), "a secret was shown");
        for path in super::fixture::files(fixture.folder.path()) {
            let content = fs::read(&path).unwrap();
            let holds = content.windows(secret.len()).any(|part| part == secret.as_bytes());
            let may = path.ends_with("state/credentials.json") || path.starts_with(fixture.path("sandbox"));
            assert!(!holds || may, "{} holds a secret", path.display());
        }
    }
}

#[test]
fn a_delivery_by_hand_does_not_report_other_orders() {
    let fixture = Fixture::open_with(ServerVersion::Live, "quote");
    fixture.generator("exit 65", "");
    fixture.settings("[generator]\ncommand = [\"./make.sh\"]\n[quotes]\ncommand = [\"./price.sh\"]\n");
    fixture.script("price.sh", "echo 12.50");
    let quoted = fixture.order("what does it cost?");
    assert_eq!(fixture.run(&["--force"]).code, 0);
    fixture.server.market().pay_quote(now(), &quoted).unwrap();
    assert_eq!(fixture.run(&["poster", "--brief", "x", "--output", "p.png"]).code, 0);
    // Meanwhile the generator declines another order, which is not reported yet.
    let other = fixture.server.market().place(now(), Placement { brief: "x".into(), ..Placement::default() });
    let unseen = fixture.run(&["--force", "--json"]);
    assert!(unseen.out.contains(&other));
    assert_eq!(fixture.run(&["deliver", &quoted, "p.png"]).code, 0);
    assert_eq!(fixture.deliveries(&quoted), 1);
    assert_eq!(fixture.run(&["status", "-q"]).code, 20, "the other one still needs a person");
}
