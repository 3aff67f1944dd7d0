//! The sandbox's page and the report in a real browser: a person plays the client with mouse and keys, on a phone and a desk.
//!
//! A command of its own, because it needs chromedriver (and Chromium): `cargo test --test browser`. With `SCREENS=folder` it
//! leaves pictures of what it saw there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[allow(dead_code)]
#[path = "black_box/fixture.rs"]
mod fixture;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use atelier_heartbeat::internals::sandbox::ServerVersion;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fixture::{BIN, Fixture};
use serde_json::{Value, json};

/// A browser window, driven by the WebDriver protocol.
struct Browser {
    driver: Child,
    session: String,
}

impl Browser {
    fn new(width: u32, height: u32, dark: bool) -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().expect("chromedriver is needed: apt-get install chromium-driver");
        let said = BufReader::new(driver.stdout.take().unwrap());
        // "ChromeDriver was started successfully on port 40123."
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            line.trim_end_matches('.')
                .rsplit_once("successfully on port ")
                .and_then(|(_, port)| port.parse::<u16>().ok())
        });
        let mut browser = Self { driver, session: format!("http://127.0.0.1:{}/session", port.unwrap()) };
        // Emulated, because a window of the headless browser cannot be as narrow as a phone.
        let screen =
            json!({"deviceMetrics": {"width": width, "height": height, "pixelRatio": 1.0, "mobile": width < 600}});
        let scheme =
            if dark { "--blink-settings=preferredColorScheme=0" } else { "--blink-settings=preferredColorScheme=1" };
        let args = ["--headless=new", "--no-sandbox", "--disable-gpu", scheme];
        let options = json!({"args": args, "mobileEmulation": screen});
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let begun = browser.call("", Some(wanted));
        browser.session = format!("{}/{}", browser.session, begun["sessionId"].as_str().unwrap());
        browser
    }

    fn call(&self, path: &str, body: Option<Value>) -> Value {
        self.try_call(path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn try_call(&self, path: &str, body: Option<Value>) -> Result<Value, String> {
        let url = format!("{}{path}", self.session);
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
        let agent = ureq::Agent::new_with_config(config);
        let mut answer = match body {
            Some(body) => agent.post(url).content_type("application/json").send(body.to_string()).unwrap(),
            None => agent.get(url).call().unwrap(),
        };
        let text = answer.body_mut().with_config().limit(50_000_000).read_to_string().unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].take()),
        }
    }

    fn open(&self, url: &str) {
        self.call("/url", Some(json!({"url": url})));
    }

    /// Does something with the first element of this selector, as soon as it is there: a page may be on its way, or look
    /// again by itself between finding and doing.
    fn with(&self, selector: &str, act: impl Fn(&Value) -> Result<Value, String>) {
        let until = Instant::now() + Duration::from_secs(20);
        let sought = json!({"using": "css selector", "value": selector});
        loop {
            let done = self.try_call("/element", Some(sought.clone())).and_then(|element| act(&element));
            let Err(error) = done else { return };
            assert!(Instant::now() < until, "{selector}: {error}: {}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn click(&self, selector: &str) {
        self.with(selector, |element| self.try_call(&format!("/element/{}/click", id_of(element)), Some(json!({}))));
    }

    fn write(&self, selector: &str, text: &str) {
        self.with(selector, |element| {
            let element = id_of(element);
            self.try_call(&format!("/element/{element}/clear"), Some(json!({})))?;
            self.try_call(&format!("/element/{element}/value"), Some(json!({"text": text})))
        });
    }

    /// What the page says, as it is read.
    fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap().to_owned()
    }

    /// Waits until the page says this: a click may still be on its way.
    fn says(&self, words: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.text().contains(words) {
            assert!(Instant::now() < until, "{words:?} never came: {}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn run(&self, script: &str) -> Value {
        self.call("/execute/sync", Some(json!({"script": script, "args": []})))
    }

    /// Nothing is wider than the screen: nobody has to scroll sideways.
    fn assert_fits(&self, what: &str) {
        let fits = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert_eq!(self.run(fits), true, "{what} is wider than the screen");
        let out = "return [...document.querySelectorAll('.card *, .cards *')].filter(e => { const c = e.closest('.card'); return c && \
                   e.getBoundingClientRect().right > c.getBoundingClientRect().right + 1 }).map(e => e.outerHTML)";
        assert_eq!(self.run(out), json!([]), "{what}: something hangs out of its card");
        let scrolls = "return [...document.querySelectorAll('body, body *')].filter(e => !['TEXTAREA', 'SELECT'].includes(e.tagName) && \
                       ['auto', 'scroll'].includes(getComputedStyle(e).overflowY)).map(e => e.outerHTML)";
        assert_eq!(self.run(scrolls), json!([]), "{what}: only the page scrolls");
        let unnamed = "return [...document.querySelectorAll('input, select, textarea, button, a, img')].filter(e => \
                       !(e.labels && e.labels.length && e.labels[0].innerText.trim()) && !e.innerText.trim() && !e.alt && \
                       !e.querySelector('img[alt]')).map(e => e.outerHTML)";
        assert_eq!(self.run(unnamed), json!([]), "{what}: every control and picture has a name");
    }

    fn keep_screen(&self, name: &str) {
        let Some(folder) = std::env::var_os("SCREENS") else { return };
        let picture = self.call("/screenshot", None);
        let bytes = BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap();
        fs::write(std::path::Path::new(&folder).join(name), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn id_of(element: &Value) -> &str {
    element.as_object().unwrap().values().next().unwrap().as_str().unwrap()
}

#[test]
fn a_person_plays_the_client() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(&format!("{BIN} poster --brief \"$1 $$\" --output $ATELIER_OUTPUT"), "");
    let page = format!("{}/sandbox/page", fixture.server.base_url().trim_end_matches("/api"));
    for (width, height) in [(390, 844), (1280, 900)] {
        for dark in [false, true] {
            let browser = Browser::new(width, height, dark);
            let name = |page: &str| format!("{page}-{width}-{}.png", if dark { "dark" } else { "light" });
            browser.open(&format!("{page}/new"));
            browser.assert_fits("the new order");
            browser.keep_screen(&name("sandbox-new"));
            browser.write("#brief", "A <b>lighthouse</b> & the sea");
            browser.click("form[action$='/orders'] button");
            browser.says("A <b>lighthouse</b> & the sea");
            fixture.beat();
            // The list loads itself again, and shows what was delivered.
            let loaded = || {
                browser.run("const card = document.querySelector('article.card'); const picture = card && card.querySelector('img'); return !!picture && picture.naturalWidth > 100 && card.innerText.includes('delivered')")
            };
            fixture::eventually("the picture is shown", || loaded() == true);
            browser.assert_fits("the list");
            let card = browser.run("return document.querySelector('article.card').innerText");
            for words in [
                "delivered",
                "A <b>lighthouse</b> & the sea",
                "Sandbox service · $5.00 · ",
                "s ago",
                "accept it or ask",
            ] {
                assert!(card.as_str().unwrap().contains(words), "{words}: {card}");
            }
            let picture = browser.run("return [document.images[0].src, document.images[0].naturalHeight]");
            assert!(picture[0].as_str().unwrap().ends_with("?thumbnail") && picture[1] == 640, "{picture}");
            let served = ureq::get(picture[0].as_str().unwrap()).call().unwrap();
            assert_eq!(served.headers()["content-type"], "image/jpeg");
            assert!(served.headers()["cache-control"].to_str().unwrap().contains("immutable"), "{served:?}");
            browser.keep_screen(&name("sandbox-orders"));
            browser.click("article h3 a");
            browser.assert_fits("an order");
            browser.write("#revise", "More red, please");
            browser.keep_screen(&name("sandbox-order"));
            browser.click("form[action$='/revise'] button");
            browser.says("you: Revision request: More red, please");
            fixture.beat();
            browser.click("main > p > a");
            browser.says("delivered");
            browser.click("form[action$='/accept'] button");
            browser.says("completed");
            browser.open(&format!("{page}/faults"));
            browser.click("form[action$='/faults'] button");
            browser.says("Armed at any request, once");
            browser.assert_fits("the faults");
            browser.keep_screen(&name("sandbox-faults"));
            browser.click("button[formaction$='/disarm']");
            browser.says("answers correctly");
            browser.open(&format!("{page}/market"));
            browser.assert_fits("the market");
            browser.keep_screen(&name("sandbox-market"));
        }
    }
}

#[test]
fn the_report_fits_a_phone_and_a_desk() {
    let fixture = Fixture::open(ServerVersion::Live);
    fixture.generator(
        &format!("{BIN} poster --brief \"$1 $$\" --output $ATELIER_OUTPUT; echo '{{\"cost_usd\": 0.04}}'"),
        "",
    );
    for brief in ["Spring sale in a small bookshop", "Jazz in the harbour", "The cat that sailed"] {
        let order = fixture.order(brief);
        fixture.beat_until_delivered(&order);
    }
    fixture.generator("exit 65", "");
    fixture.order("impossible");
    fixture.beat();
    assert_eq!(fixture.run(&["report", "--html", "report.html"]).code, 0);
    for (width, height, dark) in [(390, 3000, false), (390, 3000, true), (1280, 1800, false), (1280, 1800, true)] {
        let browser = Browser::new(width, height, dark);
        browser.open(&format!("file://{}", fixture.path("report.html").display()));
        browser.assert_fits("the report");
        let drawn = "return [...document.images].filter(i => i.complete && i.naturalWidth > 100).length";
        assert_eq!(browser.run(drawn), 3, "three thumbnails");
        browser.says("atelier-heartbeat messages ord_");
        // Letters of a chart are as large as they are written, or nearly.
        let scale =
            "const s = document.querySelector('svg'); return s.getBoundingClientRect().width / s.viewBox.baseVal.width";
        assert!(browser.run(scale).as_f64().unwrap() > 0.8);
        browser.keep_screen(&format!("report-{width}-{}.png", if dark { "dark" } else { "light" }));
    }
}
