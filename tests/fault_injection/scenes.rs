//! What the program is doing when it is struck, and what must be true of the shop afterwards, as its server's recorder have it.

use std::fs;

use atelier_heartbeat::internals::sandbox::ServerVersion;

use super::shop::{Ran, Shop, unchecked};

/// How a shop came out of a fault.
#[derive(Debug, Default)]
pub struct End {
    pub made_again: bool,
    pub uploaded_again: bool,
    /// It stopped and said that only a person can know.
    pub asked_a_person: bool,
}

/// A command, the shop it is said in, and what must be true after it was struck and others came after it.
pub struct Scene {
    pub name: &'static str,
    pub open: fn() -> Shop,
    pub words: fn(&Shop) -> Vec<String>,
    pub judge: fn(&Shop, &Ran) -> End,
}

pub const SCENES: &[Scene] = &[
    Scene { name: "beat", open: with_an_order, words: |_| said(&["--force"]), judge: delivered },
    // The thread that sends is not struck; that none can be started is.
    Scene { name: "beat, threads", open: in_threads, words: |_| said(&["--force"]), judge: delivered },
    Scene {
        name: "deliver",
        open: with_a_file,
        words: |shop| vec!["deliver".into(), order_of(shop), "p.txt".into()],
        judge: by_hand,
    },
    Scene {
        name: "quote",
        open: with_a_wish,
        words: |shop| vec!["quote".into(), order_of(shop), "15.00".into()],
        judge: quoted,
    },
    Scene { name: "setup", open: unknown, words: |_| said(&["setup"]), judge: set_up },
];

fn said(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn with_an_order() -> Shop {
    let shop = Shop::open(ServerVersion::Live);
    shop.generator("", "");
    shop.settings("[generator]\ncommand = [\"./make.sh\"]\n[delivery]\nmessage = \"Here: {url}\"\n");
    let script = "#!/bin/sh\necho x >> ../../../made\necho \"made $$ $(date +%N)\" > $ATELIER_OUTPUT_DIR/a.txt\n";
    fs::write(shop.path("make.sh"), script).unwrap();
    shop.order("A lighthouse");
    shop
}

fn in_threads() -> Shop {
    let shop = with_an_order();
    let path = shop.path("heartbeat.toml");
    let settings = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{settings}[beat]\nparallel = 2\n")).unwrap();
    shop
}

fn with_a_file() -> Shop {
    let shop = Shop::open(ServerVersion::Live);
    shop.order("x");
    fs::write(shop.path("p.txt"), "A text made by hand, with some words in it.\n").unwrap();
    shop
}

fn with_a_wish() -> Shop {
    let shop = Shop::open_with(ServerVersion::Live, "quote");
    shop.order("x");
    shop
}

fn unknown() -> Shop {
    let shop = Shop::empty(ServerVersion::Live);
    shop.settings(
        "[agent]\nname = \"Northern Light Studio\"\ndescription = \"Pictures of lighthouses, made with care\"\n\
         capabilities = [\"image_gen\"]\npayout_wallet = \"11111111111111111111111111111111\"\n\
         [[service]]\ncategory = \"image_gen\"\ntitle = \"One picture\"\ndescription = \"One picture of a lighthouse, made with care\"\n\
         price_usd = \"5.00\"\nprice_type = \"fixed\"\nturnaround_hours = 1\n",
    );
    shop
}

/// The one order of the shop.
fn order_of(shop: &Shop) -> String {
    let market = shop.server.market();
    market.statuses().map(|(id, _)| id.to_owned()).next().unwrap()
}

/// Beats until nothing is in flight, with a person's help where that is asked for.
fn go_on(shop: &Shop, order: &str, end: &mut End) {
    for _ in 0..12 {
        shop.let_doubts_settle();
        shop.run(&["--force"]);
        match shop.run(&["status", "-q"]).code {
            0 if shop.deliveries(order) > 0 => return,
            20 => {
                end.asked_a_person = true;
                shop.run(&["retry", order]);
            }
            _ => {}
        }
    }
    panic!("order {order} was never delivered: {:?} {}", shop.run(&["explain", order]), shop.log());
}

fn delivered(shop: &Shop, _: &Ran) -> End {
    let mut end = End::default();
    let order = order_of(shop);
    go_on(shop, &order, &mut end);
    once(shop, &order, &mut end);
    // Two starts at most that nobody asked for: what they cost is in the table.
    let made = shop.lines("made") - usize::from(end.asked_a_person);
    assert!(made <= 2, "made {made} times");
    end.made_again = shop.lines("made") > 1;
    end
}

/// Delivered once, told once, in the ledger once; the key as it was.
fn once(shop: &Shop, order: &str, end: &mut End) {
    assert_eq!(shop.deliveries(order), 1, "delivered so often");
    let market = shop.server.market();
    let said = market.recorder().messages.get(order).map_or(0, Vec::len);
    assert!(said <= 1, "the client was told {said} times");
    end.uploaded_again = market.recorder().uploads.len() > 1;
    assert!(market.recorder().uploads.len() <= 2, "uploaded {} times", market.recorder().uploads.len());
    drop(market);
    let ledger = fs::read_to_string(shop.path("state/ledger.jsonl")).unwrap_or_default();
    let lines = ledger.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count();
    assert_eq!(lines, 1, "the ledger: {ledger}");
    let key = fs::read_to_string(shop.path("state/credentials.json")).unwrap();
    assert!(key.contains(&shop.key), "the key is gone");
}

fn by_hand(shop: &Shop, _: &Ran) -> End {
    let mut end = End::default();
    let order = order_of(shop);
    // Struck before anything was kept, it was not begun: a person says it again, who waits where they are told to.
    for _ in 0..4 {
        let known = shop.path(&format!("state/orders/{order}.json")).exists() || shop.deliveries(&order) > 0;
        if known || shop.run(&["deliver", &order, "p.txt"]).code == 0 {
            break;
        }
    }
    go_on(shop, &order, &mut end);
    once(shop, &order, &mut end);
    end
}

fn quoted(shop: &Shop, _: &Ran) -> End {
    let order = order_of(shop);
    for _ in 0..4 {
        shop.let_doubts_settle();
        let again = shop.run(&["quote", &order, "15.00"]);
        let market = shop.server.market();
        let quotes = market.recorder().quotes.get(&order).map_or(0, Vec::len);
        drop(market);
        assert!(quotes <= 1, "quoted {quotes} times: {again:?}");
        if quotes == 1 {
            return End::default();
        }
    }
    panic!("never quoted: {:?}", shop.run(&["quote", &order, "15.00"]));
}

fn set_up(shop: &Shop, first: &Ran) -> End {
    let mut end = End::default();
    let agents = || shop.server.market().recorder().registrations.len();
    for _ in 0..4 {
        let again = shop.run(&["setup"]);
        if again.code == 0 {
            assert_eq!(agents(), 1, "agents");
            assert_eq!(shop.server.market().recorder().services.len(), 1, "services");
            assert_eq!(shop.json(&["profile"])["payout_wallet"], "11111111111111111111111111111111");
            return end;
        }
        assert!(agents() <= 1, "{again:?}");
        // In doubt it says so and sends nothing; a key that found no room in its place is in another one.
        if again.err.contains("its answer was lost") || again.err.contains("cannot be read: look whether") {
            // What the struck run had sent may have arrived meanwhile; from here on nothing more is under way.
            let settled = agents();
            let once_more = shop.run(&["setup"]);
            assert_eq!((once_more.code, agents()), (again.code, settled), "{once_more:?}");
            end.asked_a_person = true;
            return end;
        }
        if let Some((_, rest)) = first.err.split_once("it is in ") {
            let kept = rest.split_once(';').unwrap().0;
            fs::rename(kept, shop.path("state/credentials.json")).unwrap();
            let _ = fs::remove_file(shop.path("state/credentials.json.new"));
            end.asked_a_person = true;
        }
        let memory = shop.path("state/setup.json");
        if let Ok(text) = fs::read_to_string(&memory) {
            fs::write(&memory, unchecked(&text).replace("\"20", "\"19")).unwrap();
        }
    }
    panic!("never set up: {:?}", shop.run(&["setup"]));
}
