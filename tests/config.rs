//! Settings as people get them right and wrong: where they are found, what wins, and the sentence for each mistake.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atelier_heartbeat::internals::config::{self, Config, ConfigError, Environment, Overrides, PriceType};
use atelier_heartbeat::internals::domain::order::Status;

/// A folder to stand in, with a home of its own.
struct Place {
    root: tempfile::TempDir,
    variables: Vec<(String, String)>,
    overrides: Overrides,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("work")).unwrap();
        let home = root.path().join("home").to_str().unwrap().to_owned();
        Self { root, variables: vec![("HOME".into(), home)], overrides: Overrides::default() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn file(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn var(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.variables.push((name.into(), value.as_ref().to_str().unwrap().into()));
        self
    }

    fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.overrides.config = Some(path.into());
        self
    }

    fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.overrides.state_dir = Some(path.into());
        self
    }

    fn try_load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.overrides, &Environment::new(self.path("work"), self.variables.clone()))
    }

    fn load(&self) -> Config {
        self.try_load().unwrap_or_else(|error| panic!("{error}"))
    }

    fn says(&self) -> String {
        self.try_load().unwrap_err().to_string()
    }
}

/// What the file `text` is refused with.
fn refusal(text: &str) -> String {
    Place::new().file("work/heartbeat.toml", text).says()
}

const SERVICE: &str = "[[service]]\ncategory = \"image_gen\"\ntitle = \"A title\"\ndescription = \"A description of forty characters or more.\"\n\
                       price_usd = \"5.00\"\nprice_type = \"fixed\"\n";

/// Each case of the table is the file, then `=> line: sentence` for every mistake in it, then an empty line.
#[test]
fn every_mistake_has_its_sentence() {
    let table = include_str!("config/wrong.txt");
    let (mut count, mut wrong) = (0, Vec::new());
    for case in table.trim_end().split("\n\n") {
        let (text, expected) = case.split_once("\n=> ").unwrap_or_else(|| panic!("no sentence: {case}"));
        let expected: Vec<String> = expected.split("\n=> ").map(|line| format!("heartbeat.toml:{line}")).collect();
        let error = Place::new().file("work/heartbeat.toml", text).try_load().unwrap_err();
        let found: Vec<String> = error.each().map(ConfigError::line).collect();
        if found != expected {
            wrong.push(format!("{text}\n=> {}\nand not\n=> {}", found.join("\n=> "), expected.join("\n=> ")));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(count >= 140, "only {count} cases were read");
}

#[test]
fn mistakes_a_table_cannot_show() {
    let long = format!("[delivery]\nmessage = \"{}\"", "é".repeat(2001));
    assert_eq!(refusal(&long), "heartbeat.toml:2: delivery.message must have at most 2000 characters, and has 2001");
    assert_eq!(
        refusal("[beat]\r\n\r\nparalel = 2\r\n"),
        "heartbeat.toml:3: unknown key \"paralel\" in [beat]; did you mean \"parallel\"?"
    );
    assert_eq!(
        refusal("\u{feff}[beat]\nparalel = 2"),
        "heartbeat.toml:2: unknown key \"paralel\" in [beat]; did you mean \"parallel\"?"
    );
    let twice = format!("{SERVICE}\n{}", SERVICE.replace("A title", " A title "));
    assert!(refusal(&twice).starts_with("heartbeat.toml:10: service.title must differ"), "{}", refusal(&twice));
    let binary = Place::new().file("work/heartbeat.toml", b"[poll]\n\nx = \"\xff\"");
    assert_eq!(binary.says(), "heartbeat.toml:3: this is not UTF-8 text: save the file as UTF-8");
    let huge = Place::new().file("work/heartbeat.toml", vec![b'#'; 1024 * 1024 + 1]);
    assert_eq!(huge.says(), "heartbeat.toml: this file is larger than 1 MiB: it cannot be a heartbeat.toml");
    let folder = Place::new().file("work/heartbeat.toml/x", "");
    assert!(folder.says().starts_with("heartbeat.toml: this file cannot be read: "), "{}", folder.says());
    let place = Place::new().file("work/heartbeat.toml", "\n[beat]\nparallel = 0").try_load().unwrap_err();
    assert_eq!(place.place(), Some((Path::new("heartbeat.toml"), Some(3))));
}

#[test]
fn a_key_that_strays_into_the_file_is_never_repeated() {
    let key = "atelier_0123456789abcdef";
    for text in [
        format!("api_key = \"{key}\""),
        format!("{key} = 1"),
        format!("[{key}]"),
        format!("x = {key}"),
        format!("state_dir = [\"{key}\"]"),
        format!("[poll]\ninterval = \"{key}\""),
        format!("[poll]\nstatuses = [\"{key}\"]"),
        format!("[api]\nbase_url = \"https://u:{key}@a.b/\""),
        format!("[api]\nbase_url = \"https://a.b/?key={key}\""),
        format!("[api]\nbase_url = \"{key}\""),
        format!("[api]\ntimeout = \"{key}\""),
        format!("[generator]\nenv = [\"ATELIER_API_KEY={key}\"]"),
        format!("[generator]\ncommand = [\"./go\", \"{{{key}a}}\", \"{{atelier_}}\"]"),
        format!("[accept]\nservices = [\"{key}!\"]"),
        format!("{SERVICE}price_usd = \"{key}\""),
        format!("[agent]\n{key} = 1\n{key} = 2"),
        SERVICE.replace("\"fixed\"", &format!("\"{key}\"")),
        SERVICE.replace("image_gen", key),
    ] {
        let said = refusal(&text);
        assert!(!said.contains("0123456789"), "{text}\n{said}");
    }
    let said = Place::new().var("ATELIER_BASE_URL", format!("https://u:{key}@a.b/")).says();
    assert_eq!(said, "ATELIER_BASE_URL must carry no user name and no password");
}

#[test]
fn the_first_file_found_is_read_and_paths_are_relative_to_it() {
    let at = |place: &Place| {
        let config = place.load();
        (config.path.map(|path| path.strip_prefix(place.root.path()).unwrap().to_owned()), config.state_dir)
    };
    let text = |name: &str| format!("state_dir = \"{name}\"\n[budget]\nfile = \"./b/../budget.json\"\n");

    let place = Place::new().file("home/.config/atelier-heartbeat/heartbeat.toml", text("home-state"));
    let home = place.path("home/.config/atelier-heartbeat");
    assert_eq!(at(&place), (Some("home/.config/atelier-heartbeat/heartbeat.toml".into()), home.join("home-state")));
    assert_eq!(place.load().dir, home);
    assert_eq!(place.load().budget.file, Some(home.join("b/../budget.json")));

    let xdg = place.path("xdg");
    let place = place.file("xdg/atelier-heartbeat/heartbeat.toml", text("xdg-state")).var("XDG_CONFIG_HOME", xdg);
    assert_eq!(at(&place).0, Some("xdg/atelier-heartbeat/heartbeat.toml".into()));

    let place = place.file("work/heartbeat.toml", text("work-state"));
    assert_eq!(at(&place), (Some("work/heartbeat.toml".into()), place.path("work/work-state")));
    assert_eq!(place.load().dir, place.path("work"));

    let place = place.file("work/other/named.toml", text("state")).var("ATELIER_HEARTBEAT_CONFIG", "other/named.toml");
    assert_eq!(at(&place), (Some("work/other/named.toml".into()), place.path("work/other/state")));

    let place = place.file("far/away.toml", text("/var/lib/atelier")).config("../far/away.toml");
    assert_eq!(at(&place).1, Path::new("/var/lib/atelier"));
    assert_eq!(place.load().dir, place.path("work/../far"));
}

#[test]
fn no_file_means_the_defaults_in_the_current_folder() {
    let place = Place::new().var("XDG_CONFIG_HOME", "relative/is/ignored");
    let config = place.load();
    assert_eq!((config.path, config.dir, config.state_dir), (None, place.path("work"), place.path("work/state")));
    assert_eq!(config.poll.interval, Duration::from_secs(120));
    assert_eq!(config.poll.statuses, [Status::Paid, Status::InProgress]);
    assert_eq!(config.budget.per_hour, 30);
    assert!(config.services.is_empty());
}

#[test]
fn a_named_file_must_exist() {
    let end = "does not exist: run \"atelier-heartbeat init\" to write one";
    let place = Place::new().file("work/heartbeat.toml", "").config("typo.toml");
    assert_eq!(place.says(), format!("typo.toml: this file, named by --config, {end}"));
    let place = Place::new().file("work/heartbeat.toml", "").var("ATELIER_HEARTBEAT_CONFIG", "/no/such.toml");
    assert_eq!(place.says(), format!("/no/such.toml: this file, named by ATELIER_HEARTBEAT_CONFIG, {end}"));
    let place = Place::new().file("work/heartbeat.toml", "x").var("ATELIER_HEARTBEAT_CONFIG", "");
    assert!(place.says().starts_with("heartbeat.toml:1:"), "a variable set to nothing names nothing");
}

#[test]
fn the_environment_wins_over_the_file_and_the_command_line_over_both() {
    let text = "state_dir = \"file\"\n[api]\nbase_url = \"https://file.host/api/\"\n";
    let place = Place::new().file("conf/heartbeat.toml", text).config("../conf/heartbeat.toml");
    assert_eq!(place.load().api.base_url, "https://file.host/api");
    assert_eq!(place.load().state_dir, place.path("work/../conf/file"));
    let place = place.var("ATELIER_BASE_URL", "http://127.0.0.1:8080/api//").var("ATELIER_STATE_DIR", "env");
    assert_eq!(place.load().api.base_url, "http://127.0.0.1:8080/api");
    assert!(place.load().api.is_local());
    assert_eq!(place.load().state_dir, place.path("work/env"), "relative to where the user stands");
    let place = place.state_dir("./line");
    assert_eq!(place.load().state_dir, place.path("work/line"));
    assert_eq!(place.state_dir("").says(), "--state-dir must name a folder, and names nothing");

    let place = Place::new().var("ATELIER_BASE_URL", "api.host");
    assert_eq!(
        place.says(),
        "ATELIER_BASE_URL must be a plain web address such as \"https://some.host/path\", not \"api.host\""
    );
}

#[test]
fn limits_are_the_marketplaces_and_not_a_sandboxs() {
    let text = "[api]\nbase_url = \"http://127.0.0.1:1/api\"\n[poll]\ninterval = \"0s\"\n[budget]\nper_hour = 1000\n";
    for host in ["127.0.0.1:1", "localhost", "[::1]:9"] {
        let config = Place::new().file("work/heartbeat.toml", text.replace("127.0.0.1:1", host)).load();
        assert_eq!((config.poll.interval, config.budget.per_hour), (Duration::ZERO, 1000));
    }
    // The file that was right for the sandbox is not for the marketplace, whoever names it.
    let place = Place::new().file("work/heartbeat.toml", text).var("ATELIER_BASE_URL", "https://api.useatelier.ai/api");
    assert_eq!(
        place.says(),
        "heartbeat.toml:4: poll.interval must be at least \"120s\" against a public host, not \"0s\" (the first of 2 errors)"
    );
    assert!(refusal(&text.replace("127.0.0.1:1", "127.0.0.1.some.host")).contains("must begin with https://"));
}

#[test]
fn a_service_may_have_a_generator_of_its_own() {
    let text = format!(
        "[generator]\ncommand = [\"./all.sh\"]\nmax_attempts = 5\nenv = [\"A\"]\n{SERVICE}[service.generator]\n\
         command = [\"./one.sh\", \"{{brief}}\"]\ntimeout = \"1h30m\"\nenv = []\n{}",
        SERVICE.replace("A title", "Other").replace("fixed", "weekly")
    );
    let config = Place::new().file("work/heartbeat.toml", text).load();
    let own = config.generator.for_service(config.service_titled("A title"));
    assert_eq!(own.command, ["./one.sh", "{brief}"]);
    assert_eq!((own.timeout, own.max_attempts, own.env.len()), (Duration::from_secs(5400), 5, 0));
    let other = config.service_titled(" Other ");
    assert_eq!(other.map(|service| service.price_type), Some(PriceType::Weekly));
    assert_eq!(*config.generator.for_service(other), config.generator);
    assert_eq!(*config.generator.for_service(None), config.generator);
    assert_eq!(config.service_titled("third"), None);
}

#[test]
fn doubtful_settings_are_warned_of() {
    let warnings = |text: &str| Place::new().file("work/heartbeat.toml", text).load().warnings();
    let own = "[generator]\ncommand = [\"./go\"]\n";
    assert_eq!(warnings(own), [""; 0]);
    assert!(warnings("")[0].contains("a rehearsal's generator, not a product"));
    let own_poster = format!(
        "{own}{SERVICE}[service.generator]\ncommand = [\"/bin/atelier-heartbeat\", \"poster\", \"--output\", \"x\"]\n"
    );
    assert!(warnings(&own_poster)[0].starts_with("the generator of service "), "{:?}", warnings(&own_poster));
    assert_eq!(warnings("[api]\nbase_url = \"http://127.0.0.1:8420/api\"\n"), [""; 0], "a rehearsal");
    let fixed = format!("{own}{SERVICE}quota_limit = 5\n");
    assert!(warnings(&fixed)[0].contains("24-hour workspace"));
    let weekly = fixed.replace("\"fixed\"", "\"weekly\"");
    assert!(warnings(&weekly)[0].contains("nothing is paid unless you deliver"));
    assert_eq!(warnings(&format!("[subscriptions]\ndeliver = \"at_end\"\n{weekly}")), [""; 0]);
    assert!(warnings(&format!("{own}{SERVICE}quote_price_usd = \"1\"\n"))[0].contains("only price_type \"quote\""));
    assert!(warnings(&format!("{own}{SERVICE}").replace("5.00", "0.00"))[0].contains("costs nothing"));
    let moved = format!("{own}[api]\nbase_url = \"https://atelierai.xyz/api/\"\n");
    assert!(warnings(&moved)[0].ends_with("has moved permanently: write \"https://api.useatelier.ai/api\""));
}

#[test]
fn the_default_file_is_written_once() {
    let place = Place::new();
    let path = place.path("work/heartbeat.toml");
    config::write(&path, config::DEFAULT_FILE).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), config::DEFAULT_FILE);
    assert_eq!(place.load().path, Some(path.clone()));
    fs::write(&path, "# mine").unwrap();
    assert_eq!(config::write(&path, config::DEFAULT_FILE).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).unwrap(), "# mine");
    assert!(config::write(&place.path("no/such/folder.toml"), "").is_err());
}

#[test]
fn no_truncation_and_no_flipped_bit_makes_it_panic() {
    let text = config::DEFAULT_FILE.as_bytes();
    let place = Place::new();
    for cut in (0..text.len()).step_by(29) {
        let mut bytes = text[..cut].to_vec();
        fs::write(place.path("work/heartbeat.toml"), &bytes).unwrap();
        let _ = place.try_load();
        bytes.extend_from_slice(&text[cut..]);
        bytes[cut] ^= 1 << (cut % 8);
        fs::write(place.path("work/heartbeat.toml"), &bytes).unwrap();
        if let Err(error) = place.try_load() {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}

#[test]
fn bottomless_files_are_refused_in_time() {
    for text in [
        format!("x = {}", "[".repeat(200_000)),
        format!("x = {}", "{a=".repeat(200_000)),
        format!("x{} = 1", ".a".repeat(200_000)),
        format!("[x{}]", ".a".repeat(200_000)),
        "[[service]]\n".repeat(50_000),
    ] {
        let said = refusal(&text);
        assert!(said.starts_with("heartbeat.toml:1: ") && said.len() < 400, "{said:.500}");
    }
}
