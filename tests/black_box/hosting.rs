//! `[delivery] host`: a command hosts the files, and each order costs one request.

use std::fs;

use atelier_heartbeat::internals::domain::limits::Endpoint;
use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::fixture::Fixture;

const SETTINGS: &str =
    "[generator]\ncommand = [\"./make.sh\"]\n[delivery]\nhost = [\"./host.sh\", \"{order_id}\", \"{file}\"]\n";

/// A fixture whose files are hosted by this script.
fn fixture(host: &str) -> Fixture {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.script("make.sh", "echo x >> ../../../made; echo 'a poem' > \"$ATELIER_OUTPUT_DIR/poem.txt\"");
    fixture.script("host.sh", host);
    fixture.settings(SETTINGS);
    fixture
}

#[test]
fn a_file_hosted_by_a_command_is_delivered_by_its_address_without_an_upload() {
    let fixture = fixture(
        "echo working >&2; cp \"$2\" hosted.txt; env > host.env; pwd > host.pwd\necho done; echo \" https://bucket.example/$1.txt \"; echo",
    );
    let order = fixture.order("A poem");
    let mut command = fixture.command(&["--force"]);
    command.env("BUCKET_SECRET", "b").env("ATELIER_WEBHOOK_SECRET", "whsec_0123456789");
    let ran = command.output().unwrap();
    assert!(ran.status.success() && ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran:?}");
    assert_eq!(fs::read_to_string(fixture.path("hosted.txt")).unwrap(), "a poem\n");
    let environment = fs::read_to_string(fixture.path("host.env")).unwrap();
    assert!(environment.contains("BUCKET_SECRET=b") && !environment.contains("ATELIER_API_KEY"), "{environment}");
    assert!(!environment.contains("ATELIER_WEBHOOK_SECRET"), "{environment}");
    let market = fixture.server.market();
    let recorder = market.recorder();
    assert_eq!(recorder.deliveries_of(&order)[0].urls, [format!("https://bucket.example/{order}.txt")]);
    assert!(recorder.uploads.is_empty(), "{:?}", recorder.uploads);
    let asked: Vec<Endpoint> = recorder.requests.iter().map(|request| request.endpoint).collect();
    assert_eq!(asked.iter().filter(|endpoint| **endpoint == Endpoint::Deliver).count(), 1);
    assert!(!asked.contains(&Endpoint::Upload), "{asked:?}");
}

#[test]
fn a_command_that_fails_or_names_no_public_address_is_tried_again_and_nothing_is_made_again() {
    for (host, why) in [
        ("echo 'no bucket' >&2; exit 3", "no bucket"),
        ("kill -9 $$", "signal"),
        ("true", "public https address"),
        ("echo http://bucket.example/a.txt", "public https address"),
        ("echo https://localhost/a.txt", "public https address"),
        ("echo https://10.0.0.1/a.txt; echo saved", "public https address"),
    ] {
        let fixture = fixture(host);
        let order = fixture.order("A poem");
        let beat = fixture.beat();
        let failed = &beat["failed"][0];
        let error = failed["error"].as_str().unwrap_or_default();
        assert!(error.contains("delivery.host") && error.contains(why), "{host}: {beat}");
        assert!(failed["retry_at"].is_string(), "{host}: {beat}");
        assert_eq!(fixture.deliveries(&order), 0);
        fixture.script("host.sh", "echo https://bucket.example/a.txt");
        assert_eq!(fixture.run(&["retry", &order]).code, 0);
        fixture.beat();
        assert_eq!((fixture.deliveries(&order), fixture.lines("made")), (1, 1), "{host}: {}", fixture.log());
    }
}

#[test]
fn a_command_that_is_not_there_is_a_fault_of_the_settings() {
    let fixture = fixture("true");
    fs::remove_file(fixture.path("host.sh")).unwrap();
    let order = fixture.order("A poem");
    let ran = fixture.run(&["--force"]);
    assert_eq!(ran.code, 78, "{ran:?}");
    assert!(ran.err.contains("delivery.host") && ran.err.contains("host.sh"), "{ran:?}");
    fixture.script("host.sh", "echo https://bucket.example/a.txt");
    fixture.run(&["retry", &order]);
    fixture.beat();
    assert_eq!((fixture.deliveries(&order), fixture.lines("made")), (1, 1), "{}", fixture.log());
}
