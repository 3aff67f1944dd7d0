//! The report as one self-contained page: no script, no font and no picture from elsewhere; light and dark.
//!
//! Everything that comes from a stranger, titles included, is escaped.

use std::fmt::Write;

use super::{Report, Sum, usd};
use crate::text::html as html_of;

/// Days drawn.
const DAYS: usize = 30;

const STYLE: &str = "\
:root{color-scheme:light dark;--fg:#1c1c1e;--bg:#fbfaf7;--soft:#6b6b70;--line:#e2e0d8;--bar:#2f6f6a;--bar2:#b9d3cf}\
@media(prefers-color-scheme:dark){:root{--fg:#ececee;--bg:#161618;--soft:#9a9aa0;--line:#2c2c30;--bar:#6fb8b0;--bar2:#2b4a47}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:60rem;padding:2rem 1.25rem;font:16px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}\
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1rem;margin:2rem 0 .5rem}.soft{color:var(--soft)}\
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:1rem;margin:1.5rem 0}\
.card{border:1px solid var(--line);border-radius:.6rem;padding:.8rem 1rem}.card b{display:block;font-size:1.4rem}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{text-align:right;padding:.35rem .6rem;border-bottom:1px solid var(--line)}\
th:first-child,td:first-child{text-align:left}svg{width:100%;height:auto}rect.e{fill:var(--bar)}rect.d{fill:var(--bar2)}text{fill:var(--soft);font-size:14px}";

/// Draws it. `at` is when, in words.
#[must_use]
pub fn draw(report: &Report, agent: &str, at: &str) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Earnings</title><style>{STYLE}</style></head><body><h1>Earnings</h1><p class=\"soft\">{} · {}</p>",
        escaped(agent),
        escaped(at)
    );
    let Sum { delivered, completed, lost, earned_cents, pending_cents } = &report.total;
    let minutes =
        |seconds: Option<u64>| seconds.map_or("–".to_owned(), |seconds| format!("{:.1} min", seconds as f64 / 60.0));
    page.push_str("<div class=\"cards\">");
    for (name, value) in [
        ("earned", format!("{} USDC", usd(*earned_cents))),
        ("under review", format!("{} USDC", usd(*pending_cents))),
        ("delivered", delivered.to_string()),
        ("completed", completed.to_string()),
        ("called off or lost", lost.to_string()),
        ("median to deliver", minutes(report.median_seconds)),
        ("slowest", minutes(report.slowest_seconds)),
    ] {
        let _ = write!(page, "<div class=\"card\"><b>{value}</b><span class=\"soft\">{name}</span></div>");
    }
    page.push_str("</div>");
    page.push_str(&chart(report));
    table(&mut page, "By service", report.services.iter().map(|(name, sum)| (name.as_str(), sum)));
    table(&mut page, "By day", report.days.iter().rev().take(DAYS).map(|(name, sum)| (name.as_str(), sum)));
    page.push_str("<p class=\"soft\">Earned: completed orders less the marketplace's fee of 10 %. Days are in UTC.</p></body></html>\n");
    page
}

/// Earnings and deliveries of the last days, as bars.
fn chart(report: &Report) -> String {
    let days: Vec<(&String, &Sum)> = report.days.iter().rev().take(DAYS).collect();
    let most = |of: &dyn Fn(&Sum) -> u64| days.iter().map(|(_, sum)| of(sum)).max().unwrap_or(0).max(1);
    let (richest, busiest) = (most(&|sum| sum.earned_cents), most(&|sum| sum.delivered));
    if days.is_empty() {
        return "<p>Nothing is in the ledger yet.</p>".to_owned();
    }
    let (width, height) = (720.0, 160.0);
    // A few days are no reason for bars as wide as a hand.
    let slot = width / days.len().max(10) as f64;
    let mut svg = format!(
        "<h2>Days with work, the last {}</h2><svg viewBox=\"0 0 {width} {}\" role=\"img\" aria-label=\"Earnings and deliveries by day\">",
        days.len(),
        height + 20.0
    );
    for (at, (day, sum)) in days.iter().rev().enumerate() {
        let x = at as f64 * slot;
        for (class, value, most, left) in [("d", sum.delivered, busiest, 0.1), ("e", sum.earned_cents, richest, 0.5)] {
            let tall = value as f64 / most as f64 * height;
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\"><title>{}: {} delivered, {} USDC</title></rect>",
                x + left * slot,
                height - tall,
                slot * 0.38,
                escaped(day),
                sum.delivered,
                usd(sum.earned_cents)
            );
        }
        if at == 0 || at + 1 == days.len() && at >= 4 {
            let (anchor, place) = if at == 0 { ("start", x) } else { ("end", x + slot) };
            let _ = write!(
                svg,
                "<text x=\"{place:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                height + 15.0,
                escaped(day)
            );
        }
    }
    svg.push_str("</svg><p class=\"soft\">Light: deliveries. Dark: earnings.</p>");
    svg
}

fn table<'a>(page: &mut String, title: &str, rows: impl Iterator<Item = (&'a str, &'a Sum)>) {
    let _ = write!(
        page,
        "<h2>{title}</h2><div class=\"wide\"><table><tr><th></th><th>delivered</th><th>completed</th><th>lost</th><th>earned</th><th>under review</th></tr>"
    );
    for (name, sum) in rows {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(name),
            sum.delivered,
            sum.completed,
            sum.lost,
            usd(sum.earned_cents),
            usd(sum.pending_cents)
        );
    }
    page.push_str("</table></div>");
}

/// A stranger's text, as it may stand on the page.
fn escaped(text: &str) -> String {
    html_of(text, 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_loads_nothing_and_runs_nothing_of_a_strangers() {
        let mut report = Report::default();
        report
            .services
            .insert("<script src=//evil.example>\"&'</script>\u{202e}".into(), Sum { delivered: 1, ..Sum::default() });
        report.days.insert("2026-11-23".into(), Sum { delivered: 1, earned_cents: 450, ..Sum::default() });
        let page = draw(&report, "<b>", "now");
        assert!(!page.contains("<script") && !page.contains("<b>&") && !page.contains('\u{202e}'));
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("));
        assert!(page.contains("&lt;script") && page.contains("4.50 USDC"));
    }
}
