//! The report as one self-contained page: no script, font or picture from elsewhere; light, dark, phone and paper.

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::{Series, bars};
use super::gallery::Piece;
use super::headline::{Headline, Trend, short_day};
use super::{Period, Report, SPANS, Sum};
use crate::domain::money::{dollars, thousands, usd_of_micros};
use crate::domain::sanitize::one_line;
use crate::domain::time::{Time, span};

/// The most causes shown under "What needs you", and the most orders named for each.
const MAX_CAUSES: usize = 6;
const MAX_NAMED: usize = 3;

const STYLE: &str = "\
:root{color-scheme:light dark;--fg:#1c1c1e;--bg:#fbfaf7;--soft:#5c5c62;--line:#dcdad2;--good:#2a6560;--bad:#b1502d;--card:#fff}\
@media(prefers-color-scheme:dark){:root{--fg:#ececee;--bg:#161618;--soft:#a8a8ae;--line:#37373c;--good:#6fb8b0;--bad:#e08d6a;--card:#1e1e21}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:62rem;padding:1.5rem 1rem 3rem;font:16px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}\
h1{font-size:1.2rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .6rem}.soft{color:var(--soft)}p{margin:.3rem 0}\
header p,.word{overflow-wrap:anywhere}.hero{margin:1.2rem 0 .4rem}.hero b{display:block;font-size:2.8rem;line-height:1.1;letter-spacing:-.02em}\
.hero b small{font-size:1.1rem;font-weight:400;letter-spacing:0}.up{color:var(--good)}.down{color:var(--bad)}\
.warn{border:2px solid var(--bad);border-radius:.6rem;padding:.4rem .9rem;margin:.8rem 0}\
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(max(9rem,22%),1fr));gap:.7rem;margin:1.2rem 0}\
.card{border:1px solid var(--line);background:var(--card);border-radius:.6rem;padding:.6rem .9rem}.card b{display:block;font-size:1.25rem;line-height:1.3}\
.card span{color:var(--soft);font-size:.875rem}.stuck{border-left:4px solid var(--bad);padding:.1rem .9rem;margin:.8rem 0;overflow-wrap:anywhere}\
code{font:.875rem ui-monospace,monospace}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr));gap:1.6rem}\
figure{margin:0}figcaption{font-weight:600;margin-bottom:.3rem}svg{width:100%;height:auto;display:block}\
.good{fill:var(--good);background:var(--good)}.bad{fill:var(--bad);background:var(--bad)}.none{fill:transparent}.grid{stroke:var(--line)}\
text{fill:var(--soft);font-size:13px}.legend{font-size:.875rem;color:var(--soft)}.legend span{margin-right:1rem}\
.legend i{display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin-right:.4rem}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:right;padding:.35rem .6rem;border-bottom:1px solid var(--line)}\
thead th{font-size:.875rem;color:var(--soft);vertical-align:bottom}thead th:first-child{text-align:left}footer{margin-top:1.5rem}tbody th{text-align:left;font-weight:400;min-width:8rem;overflow-wrap:anywhere}\
@media screen and (max-width:46rem){thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}\
tr{display:flex;flex-wrap:wrap;gap:0 .9rem;padding:.5rem 0;border-bottom:1px solid var(--line)}\
tbody th{flex:1 0 100%;font-weight:600;border:0;padding:0}td{border:0;padding:0}td::after{content:\" \" attr(data-label);color:var(--soft)}}\
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(11rem,45%),1fr));gap:.8rem}\
.gallery figure{border:1px solid var(--line);background:var(--card);border-radius:.6rem;overflow:hidden;break-inside:avoid}\
.gallery img,.gallery .blank{display:flex;width:100%;aspect-ratio:4/5;object-fit:contain;align-items:center;justify-content:center;color:var(--fg);background:var(--line)}\
.gallery figcaption{font-weight:400;font-size:.8125rem;padding:.4rem .6rem;overflow-wrap:anywhere}\
@media print{:root{color-scheme:light;--fg:#000;--bg:#fff;--soft:#444;--line:#bbb;--good:#2a6560;--bad:#b1502d;--card:#fff}\
body{max-width:none;padding:0;font-size:11pt}th,td{padding:.25rem .3rem;font-size:9pt}*{print-color-adjust:exact}.card,.charts figure,.stuck,tr{break-inside:avoid}h2{break-after:avoid}}";

/// A cause for which something needs the operator.
#[derive(Clone, Debug)]
pub struct Stuck {
    /// The cause, with commands between backticks.
    pub why: String,
    /// The orders that wait for it; none for a condition of the worker itself.
    pub orders: Vec<String>,
    /// What their clients pay.
    pub price_cents: u64,
    /// The command that helps with the first.
    pub help: String,
}

/// What the page is drawn from, besides the sums.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The agent, by name and id.
    pub agent: &'a str,
    /// The marketplace's base URL.
    pub server: &'a str,
    /// Whether that is a sandbox, so that no money of it is real.
    pub sandbox: bool,
    /// When it is drawn.
    pub now: Time,
    /// What needs the operator.
    pub stuck: &'a [Stuck],
    /// The latest deliveries.
    pub gallery: &'a [Piece],
}

/// Draws the page.
#[must_use]
pub fn draw(report: &Report, facts: &Facts<'_>) -> String {
    let days = report.period.days(facts.now);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                title { "Earnings of " (shown(facts.agent)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Earnings of " (shown(facts.agent)) }
                    p.soft { (shown(facts.server.split("://").last().unwrap_or_default())) " · drawn " (minute(facts.now)) }
                }
                main {
                    @if facts.sandbox {
                        p.warn { b { "A rehearsal." } " This server is a sandbox: none of this money is real." }
                    }
                    (hero(&Headline::of(report, facts.now)))
                    @if report.days.is_empty() {
                        p { "The ledger is empty. It gets a line with the first delivery." }
                    } @else {
                        (cards(report))
                        (charts(report, &days))
                    }
                    (needs_you(facts.stuck))
                    @if !report.days.is_empty() {
                        (services(report))
                        (gallery(facts.gallery))
                        (days_table(report))
                    }
                }
                footer {
                    p.soft { "Earned: completed orders less the marketplace's fee of 10 %. Under review: delivered and not completed. \
                        Cost: what the generators reported. Margin: earned and under review, less the cost. Days are in UTC." }
                }
            }
        }
    };
    page.into_string()
}

/// The one figure.
fn hero(headline: &Headline) -> Markup {
    let class = match headline.trend {
        Trend::Up => "up",
        Trend::Down => "down",
        Trend::Level => "soft",
    };
    html! {
        section.hero {
            b { (dollars(headline.earned_cents)) small { " earned" } }
            p { (headline.period) " · " span class=(class) { (headline.change) } }
        }
    }
}

/// What the sums beside the hero are of.
fn scope(report: &Report) -> &'static str {
    if report.period.is_open() { "Since the first delivery" } else { "In this period" }
}

fn cards(report: &Report) -> Markup {
    let sum = &report.total;
    let spans = |seconds: Option<u64>| seconds.map_or("–".to_owned(), |seconds| span(Duration::from_secs(seconds)));
    let cards = [
        ("under review", dollars(sum.pending_cents)),
        ("cost", cost(sum.cost_micros)),
        ("margin", signed(sum.margin_cents())),
        ("deliveries", thousands(sum.delivered)),
        ("orders completed", thousands(sum.completed)),
        ("orders cancelled or lost", thousands(sum.lost)),
        ("median time to deliver", spans(report.median_seconds)),
        ("slowest delivery", spans(report.slowest_seconds)),
    ];
    html! {
        h2 { (scope(report)) }
        div.cards { @for (name, value) in cards { div.card { b { (value) } span { (name) } } } }
    }
}

fn charts(report: &Report, days: &[String]) -> Markup {
    let of = |value: &dyn Fn(&Sum) -> u64| days.iter().map(|day| report.days.get(day).map_or(0, value)).collect();
    let labels: Vec<String> = days.iter().map(|day| short_day(day)).collect();
    let earned = Series { class: "good", name: "earned", values: of(&|sum| sum.earned_cents) };
    let delivered = Series { class: "good", name: "delivered", values: of(&|sum| sum.delivered) };
    let failed = Series { class: "bad", name: "failed attempts", values: of(&|sum| sum.failed_attempts) };
    let spans: Vec<String> = SPANS.iter().map(|(_, words)| (*words).to_owned()).chain(["more".to_owned()]).collect();
    let took = Series { class: "good", name: "orders", values: report.spans.to_vec() };
    html! {
        h2 { "Day by day" }
        div.charts {
            (bars("Earned a day, US dollars", &labels, &[earned], round_dollars))
            (bars("Deliveries and failures a day", &labels, &[delivered, failed], thousands))
            (bars("Orders delivered within", &spans, &[took], thousands))
        }
    }
}

/// What needs the operator: the causes, the money that waits for each, and the command that helps.
fn needs_you(causes: &[Stuck]) -> Markup {
    let count: usize = causes.iter().map(|one| one.orders.len().max(1)).sum();
    let waiting = causes.iter().map(|one| one.price_cents).sum();
    html! {
        @if !causes.is_empty() {
            h2 { "What needs you (" (count) @if waiting > 0 { ", " (dollars(waiting)) " waiting" } ")" }
        }
        @for one in causes.iter().take(MAX_CAUSES) {
            section.stuck {
                p {
                    @if !one.orders.is_empty() {
                        b { (one.orders.len()) @if one.orders.len() == 1 { " order, " } @else { " orders, " } (dollars(one.price_cents)) } ": "
                    }
                    (with_commands(&one.why))
                }
                p { code { (shown(&one.help)) } }
                @if one.orders.len() > 1 {
                    p.soft {
                        // The command names the first.
                        @for (at, order) in one.orders.iter().take(MAX_NAMED).enumerate().skip(1) {
                            @if at == 1 { "also " } @else { ", " } (breakable(order))
                        }
                        @if one.orders.len() > MAX_NAMED { " and " (one.orders.len() - MAX_NAMED) " more" }
                    }
                }
            }
        }
        @if causes.len() > MAX_CAUSES {
            p { (causes.len() - MAX_CAUSES) " more: " code { "atelier-heartbeat status" } }
        }
    }
}

/// A sentence whose commands stand between backticks.
fn with_commands(text: &str) -> Markup {
    let text = shown(text);
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// An id, which may be broken where its parts meet.
fn breakable(id: &str) -> Markup {
    let id = shown(id);
    html! { @for part in id.split_inclusive('_') { (part) wbr; } }
}

fn services(report: &Report) -> Markup {
    let heads = ["orders", "average price", "earned", "under review", "cost", "margin", "failed attempts", "lost"];
    table("By service", "service", &heads, report.services.iter(), |sum| {
        vec![
            sum.orders.to_string(),
            sum.price_cents.checked_div(sum.orders).map_or("–".to_owned(), dollars),
            dollars(sum.earned_cents),
            dollars(sum.pending_cents),
            cost(sum.cost_micros),
            signed(sum.margin_cents()),
            sum.failed_attempts.to_string(),
            sum.lost.to_string(),
        ]
    })
}

fn days_table(report: &Report) -> Markup {
    let heads = ["delivered", "completed", "failed attempts", "lost", "earned", "under review", "cost"];
    let rows = report.days.iter().rev().filter(|(day, _)| report.period.has(day)).take(Period::DEFAULT_DAYS);
    table("Days with work", "day", &heads, rows, |sum| {
        vec![
            sum.delivered.to_string(),
            sum.completed.to_string(),
            sum.failed_attempts.to_string(),
            sum.lost.to_string(),
            dollars(sum.earned_cents),
            dollars(sum.pending_cents),
            cost(sum.cost_micros),
        ]
    })
}

fn gallery(pieces: &[Piece]) -> Markup {
    html! {
        @if !pieces.is_empty() { h2 { "Delivered last" } }
        div.gallery {
            @for piece in pieces {
                figure {
                    @match &piece.picture {
                        Some(picture) => img alt={ "Delivered picture for " (shown(&piece.service)) ", order " (shown(&piece.order)) } src=(picture);,
                        None => div.blank { (shown(&piece.kind)) },
                    }
                    figcaption { (shown(&piece.service)) br; span.soft { (breakable(&piece.order)) br; (shown(&piece.at)) } }
                }
            }
        }
    }
}

fn table<'a>(
    title: &str,
    first: &str,
    heads: &[&str],
    rows: impl Iterator<Item = (&'a String, &'a Sum)>,
    cells: impl Fn(&Sum) -> Vec<String>,
) -> Markup {
    html! {
        h2 { (title) }
        table {
            thead { tr { th scope="col" { (first) } @for head in heads { th scope="col" { (head) } } } }
            tbody {
                @for (name, sum) in rows {
                    tr {
                        th scope="row" { (shown(name)) }
                        @for (head, cell) in heads.iter().zip(cells(sum)) { td data-label=(head) { (cell) } }
                    }
                }
            }
        }
    }
}

/// A time as it is shown: `2026-11-24 12:47 UTC`.
#[must_use]
pub fn minute(at: Time) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}

/// An amount on an axis: `$300`, and with its cents where it has some.
fn round_dollars(cents: u64) -> String {
    if cents.is_multiple_of(100) { format!("${}", thousands(cents / 100)) } else { dollars(cents) }
}

/// A cost: to the cent, and below a cent with all the places that it needs.
fn cost(micros: u64) -> String {
    if micros < 10_000 { format!("${}", usd_of_micros(micros)) } else { dollars((micros + 5_000) / 10_000) }
}

fn signed(cents: i64) -> String {
    format!("{}{}", if cents < 0 { "−" } else { "" }, dollars(cents.unsigned_abs()))
}

/// A client's text without control and direction characters; markup escapes it.
fn shown(text: &str) -> String {
    one_line(text, 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "<script src=//evil.example>\"&'</script>\u{202e}";

    fn drawn(report: &Report, stuck: &[Stuck], gallery: &[Piece], text: &str) -> String {
        let now = Time::parse("2026-11-24T00:00:00Z").unwrap();
        draw(report, &Facts { agent: text, server: text, sandbox: false, now, stuck, gallery })
    }

    #[test]
    fn a_page_loads_nothing_and_runs_no_text_of_a_client() {
        let mut report = Report::default();
        report.services.insert(EVIL.into(), Sum { delivered: 1, ..Sum::default() });
        report.days.insert("2026-11-23".into(), Sum { delivered: 1, earned_cents: 450, ..Sum::default() });
        let text = || EVIL.to_owned();
        let stuck = [Stuck { why: text(), orders: vec![text(), text()], price_cents: 0, help: text() }];
        let gallery = [Piece { order: text(), service: text(), at: text(), kind: text(), picture: None }];
        let page = drawn(&report, &stuck, &gallery, EVIL);
        assert!(!page.contains("<script") && !page.contains('\u{202e}'));
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("));
        assert_eq!(page.matches("&lt;script").count(), 11, "every place that shows foreign text");
        assert!(page.contains("23 Nov, $4.50 earned"), "yesterday's bar");
        for part in ["<main>", "scope=\"row\"", "scope=\"col\"", "@media print", "role=\"img\" aria-label=\"Earned"] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn what_needs_the_operator_is_grouped_and_capped() {
        let orders = |cause: usize| (0..5).map(|n| format!("ord_{cause}_{n}")).collect();
        let cause = |n| Stuck {
            why: format!("cause {n}: `retry` it"),
            orders: orders(n),
            price_cents: 123_400,
            help: "h".into(),
        };
        let causes: Vec<Stuck> = (0..9).map(cause).collect();
        let page = needs_you(&causes).0;
        for words in ["What needs you (45, $11,106.00 waiting)", "5 orders, $1,234.00", "and 2 more", "3 more: "] {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert!(
            page.contains(": <code>retry</code> it") && page.contains("ord_<wbr>8_<wbr>0") == (MAX_CAUSES > 8),
            "{page}"
        );
        assert_eq!(page.matches("<section").count(), MAX_CAUSES);
        assert_eq!(needs_you(&[]).0, "");
    }

    #[test]
    fn a_loss_has_a_minus() {
        assert_eq!((signed(-123), signed(5)), ("−$1.23".into(), "$0.05".into()));
        assert_eq!([0, 4_200, 33_355_740].map(cost), ["$0.00", "$0.0042", "$33.36"]);
        assert_eq!((round_dollars(30_000), round_dollars(150)), ("$300".into(), "$1.50".into()));
    }
}
