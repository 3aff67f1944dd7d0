//! The report as one self-contained page: no script, no font and no picture from elsewhere; light and dark.
//!
//! Text of strangers, titles included, is escaped.

use std::fmt::Write;
use std::time::Duration;

use super::chart::{Series, bars};
use super::gallery::Piece;
use super::{Report, SPANS, Sum, day};
use crate::domain::money::{usd, usd_of_micros};
use crate::domain::sanitize::html as html_of;
use crate::domain::time::{Time, span};

/// The number of days in the chart.
const DAYS: u64 = 30;

const STYLE: &str = "\
:root{color-scheme:light dark;--fg:#1c1c1e;--bg:#fbfaf7;--soft:#66666c;--line:#e2e0d8;--good:#2f6f6a;--bad:#c4633f;--card:#fff}\
@media(prefers-color-scheme:dark){:root{--fg:#ececee;--bg:#161618;--soft:#a2a2a8;--line:#2f2f34;--good:#6fb8b0;--bad:#e08d6a;--card:#1e1e21}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:62rem;padding:1.5rem 1rem 3rem;font:16px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .6rem}.soft{color:var(--soft)}p{margin:.3rem 0}\
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(max(9rem,22%),1fr));gap:.7rem;margin:1.2rem 0}\
.card{border:1px solid var(--line);background:var(--card);border-radius:.6rem;padding:.6rem .9rem}.card b{display:block;font-size:1.3rem;line-height:1.3}\
.card span{color:var(--soft);font-size:.875rem}.stuck{border-left:4px solid var(--bad);padding:.1rem .9rem;margin:.6rem 0;overflow-wrap:anywhere}\
code{font:.875rem ui-monospace,monospace}\
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr));gap:1.6rem}\
figure{margin:0}figcaption{font-weight:600;margin-bottom:.3rem}svg{width:100%;height:auto;display:block}\
.good{fill:var(--good);background:var(--good)}.bad{fill:var(--bad);background:var(--bad)}.none{fill:transparent}.grid{stroke:var(--line)}\
text{fill:var(--soft);font-size:13px}.legend{font-size:.875rem;color:var(--soft)}.legend span{margin-right:1rem}\
.legend i{display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin-right:.4rem}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:right;padding:.35rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}th{font-weight:600;font-size:.875rem;color:var(--soft)}\
th:first-child,td:first-child{text-align:left;white-space:normal;min-width:8rem;overflow-wrap:anywhere}\
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:.8rem}\
.gallery figure{border:1px solid var(--line);background:var(--card);border-radius:.6rem;overflow:hidden}\
.gallery img,.gallery .blank{display:flex;width:100%;aspect-ratio:4/5;object-fit:contain;align-items:center;justify-content:center;color:var(--soft);background:var(--line)}\
.gallery figcaption{font-weight:400;font-size:.8125rem;padding:.4rem .6rem;overflow-wrap:anywhere}";

/// A thing that needs the operator.
#[derive(Clone, Debug)]
pub struct Stuck {
    /// The order, or the part concerned.
    pub about: String,
    /// Why.
    pub why: String,
    /// The command that helps.
    pub help: String,
}

/// The page's content besides the sums.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The agent.
    pub agent: &'a str,
    /// The current time.
    pub now: Time,
    /// What is stuck.
    pub stuck: &'a [Stuck],
    /// The latest deliveries.
    pub gallery: &'a [Piece],
}

/// Returns the page as HTML.
#[must_use]
pub fn draw(report: &Report, facts: &Facts<'_>) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\
         <title>Earnings</title><style>{STYLE}</style></head><body><h1>Earnings</h1><p class=\"soft\">{} · {}</p>",
        escaped(facts.agent),
        minute(facts.now)
    );
    cards(&mut page, report);
    stuck(&mut page, facts.stuck);
    if report.days.is_empty() {
        page.push_str("<p>Nothing is in the ledger yet.</p>");
    } else {
        charts(&mut page, report, facts.now);
        services(&mut page, report);
        gallery(&mut page, facts.gallery);
        days(&mut page, report);
    }
    page.push_str(
        "<p class=\"soft\">Earned: completed orders less the marketplace's fee of 10 %. Under review: delivered, and not completed yet. \
         Cost: what the generators reported. Margin: earned and under review, less the cost. Days are in UTC.</p></body></html>\n",
    );
    page
}

fn cards(page: &mut String, report: &Report) {
    let sum = &report.total;
    let spans = |seconds: Option<u64>| seconds.map_or("–".to_owned(), |seconds| span(Duration::from_secs(seconds)));
    page.push_str("<div class=\"cards\">");
    for (name, value) in [
        ("USDC earned", usd(sum.earned_cents)),
        ("USDC under review", usd(sum.pending_cents)),
        ("USD of cost", usd_of_micros(sum.cost_micros)),
        ("margin", signed(sum.margin_cents())),
        ("delivered", sum.delivered.to_string()),
        ("cancelled or lost", sum.lost.to_string()),
        ("from paid to delivered, median", spans(report.median_seconds)),
        ("slowest", spans(report.slowest_seconds)),
    ] {
        let _ = write!(page, "<div class=\"card\"><b>{value}</b><span>{name}</span></div>");
    }
    page.push_str("</div>");
}

fn stuck(page: &mut String, stuck: &[Stuck]) {
    if stuck.is_empty() {
        return;
    }
    page.push_str("<h2>What needs you</h2>");
    for Stuck { about, why, help } in stuck {
        let _ = write!(
            page,
            "<div class=\"stuck\"><p><b>{}</b>: {}</p><p><code>{}</code></p></div>",
            escaped(about),
            escaped(why),
            escaped(help)
        );
    }
}

fn charts(page: &mut String, report: &Report, now: Time) {
    let days: Vec<String> = (0..DAYS).rev().map(|ago| day(now - Duration::from_secs(ago * 86_400))).collect();
    let of = |value: &dyn Fn(&Sum) -> u64| days.iter().map(|day| report.days.get(day).map_or(0, value)).collect();
    let labels: Vec<String> = days.iter().map(|day| day.get(5..).unwrap_or(day).to_owned()).collect();
    let earned = Series { class: "good", name: "USDC", values: of(&|sum| sum.earned_cents) };
    let delivered = Series { class: "good", name: "delivered", values: of(&|sum| sum.delivered) };
    let failed = Series { class: "bad", name: "failed attempts", values: of(&|sum| sum.failed_attempts) };
    let spans: Vec<String> = SPANS.iter().map(|(_, words)| format!("≤ {words}")).chain(["more".to_owned()]).collect();
    let took = Series { class: "good", name: "orders", values: report.spans.to_vec() };
    page.push_str("<h2>The last 30 days</h2><div class=\"charts\">");
    page.push_str(&bars("Earned, USDC", &labels, &[earned], usd));
    page.push_str(&bars("Deliveries and failures", &labels, &[delivered, failed], |value| value.to_string()));
    page.push_str(&bars("From paid to delivered, ever", &spans, &[took], |value| value.to_string()));
    page.push_str("</div>");
}

fn services(page: &mut String, report: &Report) {
    let heads = ["orders", "average price", "earned", "under review", "cost", "margin", "failed attempts", "lost"];
    table(page, "By service", &heads, report.services.iter(), |sum| {
        vec![
            sum.orders.to_string(),
            sum.price_cents.checked_div(sum.orders).map_or("–".to_owned(), usd),
            usd(sum.earned_cents),
            usd(sum.pending_cents),
            usd_of_micros(sum.cost_micros),
            signed(sum.margin_cents()),
            sum.failed_attempts.to_string(),
            sum.lost.to_string(),
        ]
    });
}

fn days(page: &mut String, report: &Report) {
    let heads = ["delivered", "completed", "failed attempts", "lost", "earned", "under review", "cost"];
    let rows = report.days.iter().rev().take(DAYS as usize);
    table(page, "Days with work", &heads, rows, |sum| {
        vec![
            sum.delivered.to_string(),
            sum.completed.to_string(),
            sum.failed_attempts.to_string(),
            sum.lost.to_string(),
            usd(sum.earned_cents),
            usd(sum.pending_cents),
            usd_of_micros(sum.cost_micros),
        ]
    });
}

fn gallery(page: &mut String, pieces: &[Piece]) {
    if pieces.is_empty() {
        return;
    }
    page.push_str("<h2>Delivered last</h2><div class=\"gallery\">");
    for piece in pieces {
        let shown = match &piece.picture {
            Some(picture) => format!("<img alt=\"{}\" src=\"{picture}\">", escaped(&piece.order)),
            None => format!("<div class=\"blank\">{}</div>", escaped(&piece.kind)),
        };
        let _ = write!(
            page,
            "<figure>{shown}<figcaption>{}<br><span class=\"soft\">{}<br>{}</span></figcaption></figure>",
            escaped(&piece.service),
            escaped(&piece.order),
            escaped(&piece.at)
        );
    }
    page.push_str("</div>");
}

fn table<'a>(
    page: &mut String,
    title: &str,
    heads: &[&str],
    rows: impl Iterator<Item = (&'a String, &'a Sum)>,
    cells: impl Fn(&Sum) -> Vec<String>,
) {
    let _ = write!(page, "<h2>{title}</h2><div class=\"wide\"><table><tr><th></th>");
    for head in heads {
        let _ = write!(page, "<th>{head}</th>");
    }
    page.push_str("</tr>");
    for (name, sum) in rows {
        let _ = write!(page, "<tr><td>{}</td>", escaped(name));
        for cell in cells(sum) {
            let _ = write!(page, "<td>{cell}</td>");
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></div>");
}

/// An instant for display: `2026-11-24 12:47 UTC`.
#[must_use]
pub fn minute(at: Time) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}

fn signed(cents: i64) -> String {
    format!("{}{}", if cents < 0 { "−" } else { "" }, usd(cents.unsigned_abs()))
}

/// Escapes and sanitizes a stranger's text.
fn escaped(text: &str) -> String {
    html_of(text, 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "<script src=//evil.example>\"&'</script>\u{202e}";

    #[test]
    fn a_page_loads_nothing_and_runs_nothing_of_a_strangers() {
        let mut report = Report::default();
        report.services.insert(EVIL.into(), Sum { delivered: 1, ..Sum::default() });
        report.days.insert("2026-11-23".into(), Sum { delivered: 1, earned_cents: 450, ..Sum::default() });
        let text = || EVIL.to_owned();
        let stuck = [Stuck { about: text(), why: text(), help: text() }];
        let gallery = [Piece { order: text(), service: text(), at: text(), kind: text(), picture: None }];
        let now = Time::parse("2026-11-24T00:00:00Z").unwrap();
        let page = draw(&report, &Facts { agent: EVIL, now, stuck: &stuck, gallery: &gallery });
        assert!(!page.contains("<script") && !page.contains('\u{202e}') && page.contains("&lt;script"));
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("));
        assert_eq!(page.matches("&lt;script").count(), 9, "every place that shows a stranger's words");
        assert!(page.contains("4.50 USDC"), "yesterday's bar");
    }

    #[test]
    fn a_loss_is_shown_as_one() {
        assert_eq!((signed(-123), signed(5)), ("−1.23".into(), "0.05".into()));
    }
}
