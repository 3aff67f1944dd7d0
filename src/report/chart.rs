//! Stacked bars as inline SVG: no script, no library, legible on a phone. Labels are our own and are not escaped.

use std::fmt::Write;

/// The width of a column of the page, so that letters have the page's size.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 150.0;
/// Space above for the largest value, below for the labels.
const ABOVE: f64 = 20.0;
const BELOW: f64 = 22.0;

/// A series: its colour, its name, a value for each label.
#[derive(Debug)]
pub struct Series<'a> {
    /// A class of the page's style.
    pub class: &'a str,
    /// The name in the legend.
    pub name: &'a str,
    /// A value for each label.
    pub values: Vec<u64>,
}

/// Draws the series on each other, a bar a label. `said` puts a value into words.
#[must_use]
pub fn bars(title: &str, labels: &[String], series: &[Series<'_>], said: impl Fn(u64) -> String) -> String {
    let sum = |at: usize| series.iter().filter_map(|one| one.values.get(at)).sum::<u64>();
    let most = (0..labels.len()).map(sum).max().unwrap_or(0);
    let mut svg = format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{title}\">",
        ABOVE + HEIGHT + BELOW
    );
    let ground = ABOVE + HEIGHT;
    let _ = write!(svg, "<path class=\"grid\" d=\"M0 {ABOVE}H{WIDTH}M0 {ground}H{WIDTH}\"/>");
    if most > 0 {
        let _ = write!(svg, "<text x=\"0\" y=\"{}\">{}</text>", ABOVE - 6.0, said(most));
    }
    let slot = WIDTH / labels.len().max(1) as f64;
    let wide = (slot * 0.72).min(36.0);
    for (at, label) in labels.iter().enumerate() {
        let x = at as f64 * slot + (slot - wide) / 2.0;
        let (mut top, mut words) = (ground, label.clone());
        let mut drawn = String::new();
        for one in series {
            let value = one.values.get(at).copied().unwrap_or(0);
            let tall = value as f64 / most.max(1) as f64 * HEIGHT;
            top -= tall;
            let _ = write!(words, ", {} {}", said(value), one.name);
            if value > 0 {
                let _ = write!(
                    drawn,
                    "<rect class=\"{}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\"/>",
                    one.class
                );
            }
        }
        // The tooltip covers the whole column.
        let _ = write!(
            svg,
            "<g><title>{words}</title><rect class=\"none\" x=\"{:.1}\" y=\"{ABOVE}\" width=\"{slot:.1}\" height=\"{HEIGHT}\"/>{drawn}</g>",
            at as f64 * slot
        );
    }
    for (at, label) in named(labels) {
        let middle = (at as f64 + 0.5) * slot;
        let (anchor, x) = match at {
            _ if labels.len() <= 8 => ("middle", middle),
            0 => ("start", 0.0),
            at if at + 1 == labels.len() => ("end", WIDTH),
            _ => ("middle", middle),
        };
        let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{label}</text>", ground + 16.0);
    }
    svg.push_str("</svg>");
    if series.len() > 1 {
        svg.push_str("<p class=\"legend\">");
        for one in series {
            let _ = write!(svg, "<span><i class=\"{}\"></i>{}</span>", one.class, one.name);
        }
        svg.push_str("</p>");
    }
    svg.push_str("</figure>");
    svg
}

/// The labels that fit: all of a few, else the first, the middle and the last.
fn named(labels: &[String]) -> Vec<(usize, &String)> {
    let last = labels.len().saturating_sub(1);
    let shown = |at: usize| labels.len() <= 8 || at == 0 || at == last / 2 || at == last;
    labels.iter().enumerate().filter(|(at, _)| shown(*at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heights(svg: &str, class: &str) -> Vec<f64> {
        let marked = format!("<rect class=\"{class}\"");
        let height = |part: &str| part.split("height=\"").nth(1)?.split('"').next()?.parse().ok();
        svg.split(&marked).skip(1).filter_map(height).collect()
    }

    #[test]
    fn bars_are_as_tall_as_their_share_and_stand_on_each_other() {
        let labels: Vec<String> = ["Mon", "Tue", "Wed"].map(String::from).to_vec();
        let series = [
            Series { class: "a", name: "delivered", values: vec![3, 0, 1] },
            Series { class: "b", name: "failed", values: vec![1, 0, 0] },
        ];
        let svg = bars("Work", &labels, &series, |value| value.to_string());
        assert_eq!(heights(&svg, "a"), [112.5, 37.5], "of four, and nothing for nothing");
        assert_eq!(heights(&svg, "b"), [37.5]);
        assert!(svg.contains("y=\"57.5\"") && svg.contains("y=\"20.0\""), "one on the other: {svg}");
        assert!(svg.contains("<title>Mon, 3 delivered, 1 failed</title>") && svg.contains(">4</text>"));
        assert_eq!(svg.matches("</i>").count(), 2);
    }

    #[test]
    fn a_month_names_three_of_its_days_and_nothing_at_all_is_drawn_as_nothing() {
        let labels: Vec<String> = (1..=30).map(|day| format!("11-{day:02}")).collect();
        let svg = bars("Days", &labels, &[Series { class: "a", name: "x", values: vec![0; 30] }], |v| v.to_string());
        let named: Vec<&str> = svg.split("</text>").filter_map(|part| part.rsplit('>').next()).collect();
        assert_eq!(named, ["11-01", "11-15", "11-30", ""]);
        assert!(!svg.contains("NaN") && !svg.contains("inf") && heights(&svg, "a").is_empty());
        assert!(!bars("No labels", &[], &[], |v| v.to_string()).contains("NaN"));
    }
}
