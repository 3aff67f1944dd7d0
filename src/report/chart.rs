//! Stacked bars as inline SVG with axes: no script, no library, legible on a phone.

use maud::{Markup, html};

/// As wide as a column of the page, so that its letters are as large as the page's.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 150.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 24.0;
/// The space between the values of the axis and its lines, and that of a letter.
const GAP: f64 = 6.0;
const LETTER: f64 = 8.6;

/// One kind of thing that is counted.
#[derive(Debug)]
pub struct Series<'a> {
    /// The colour: a class of the page's style.
    pub class: &'a str,
    /// The name in the legend.
    pub name: &'a str,
    /// A value for each label.
    pub values: Vec<u64>,
}

/// Draws stacked bars, one for each label. `format` writes a value of the axis and of a bar.
#[must_use]
pub fn bars(title: &str, labels: &[String], series: &[Series<'_>], format: impl Fn(u64) -> String) -> Markup {
    let sum = |at: usize| series.iter().filter_map(|one| one.values.get(at)).sum::<u64>();
    let highest = (0..labels.len()).max_by_key(|at| (sum(*at), std::cmp::Reverse(*at)));
    let top_value = round_up(highest.map_or(0, sum));
    let ground = TOP + HEIGHT;
    let values: Vec<String> = (0..=2_u64).map(|part| format(top_value / 2 * part)).collect();
    let left = values.iter().map(|value| value.chars().count()).max().unwrap_or(0) as f64 * LETTER + GAP;
    let slot = (WIDTH - left) / labels.len().max(1) as f64;
    let wide = (slot * 0.72).min(36.0);
    let tall = |value: u64| value as f64 / top_value as f64 * HEIGHT;
    let total: u64 = (0..labels.len()).map(sum).sum();
    let summary = match highest.filter(|_| total > 0) {
        Some(at) => format!("{title}: {} in all, at most {} at {}", format(total), format(sum(at)), labels[at]),
        None => format!("{title}: nothing yet"),
    };
    html! {
        figure {
            figcaption { (title) }
            svg viewBox={ "0 0 " (WIDTH) " " (ground + BOTTOM) } role="img" aria-label=(summary) {
                @for (part, value) in values.iter().enumerate() {
                    @let y = ground - HEIGHT / 2.0 * part as f64;
                    path class="grid" d={ "M" (px(left)) " " (y) "H" (WIDTH) } {}
                    text x=(px(left - GAP)) y=(y + 4.0) text-anchor="end" { (value) }
                }
                @for (at, label) in labels.iter().enumerate() {
                    @let x = left + at as f64 * slot;
                    g {
                        title {
                            (label) @for one in series { ", " (format(one.values.get(at).copied().unwrap_or(0))) " " (one.name) }
                        }
                        // The whole column answers to a pointer, bar or none.
                        rect class="none" x=(px(x)) y=(TOP) width=(px(slot)) height=(HEIGHT) {}
                        @for (index, one) in series.iter().enumerate() {
                            @let value = one.values.get(at).copied().unwrap_or(0);
                            @let below: u64 = series[..index].iter().filter_map(|one| one.values.get(at)).sum();
                            @if value > 0 {
                                rect class=(one.class) x=(px(x + (slot - wide) / 2.0)) y=(px(ground - tall(below + value)))
                                    width=(px(wide)) height=(px(tall(value))) {}
                            }
                        }
                    }
                }
                @for (at, label) in shown_labels(labels) {
                    @let (anchor, x) = match at {
                        at if labels.len() > 8 && at + 1 == labels.len() => ("end", WIDTH),
                        0 if labels.len() > 8 => ("start", left),
                        at => ("middle", left + (at as f64 + 0.5) * slot),
                    };
                    text x=(px(x)) y=(ground + 17.0) text-anchor=(anchor) { (label) }
                }
            }
            @if series.len() > 1 {
                p.legend { @for one in series { span { i class=(one.class) {} (one.name) } } }
            }
        }
    }
}

fn px(value: f64) -> String {
    format!("{value:.1}")
}

/// The next number of the form 2, 4, 6, 8 or 10 times a power of ten, whose half is round as well: what the axis ends with.
fn round_up(value: u64) -> u64 {
    let mut step = 1_u64;
    loop {
        for times in [2, 4, 6, 8, 10] {
            if step.saturating_mul(times) >= value {
                return step.saturating_mul(times);
            }
        }
        step = step.saturating_mul(10);
    }
}

/// The labels there is room for: all of a few, else the first, the middle and the last.
fn shown_labels(labels: &[String]) -> Vec<(usize, &String)> {
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
    fn bars_are_stacked_and_as_tall_as_their_share_of_the_axis() {
        let labels: Vec<String> = ["Mon", "Tue", "Wed"].map(String::from).to_vec();
        let series = [
            Series { class: "a", name: "delivered", values: vec![3, 0, 1] },
            Series { class: "b", name: "failed", values: vec![1, 0, 0] },
        ];
        let svg = bars("Work", &labels, &series, |value| value.to_string()).0;
        assert_eq!(heights(&svg, "a"), [112.5, 37.5], "of four, and nothing for nothing");
        assert_eq!(heights(&svg, "b"), [37.5]);
        assert!(svg.contains("y=\"49.5\"") && svg.contains("y=\"12.0\""), "stacked: {svg}");
        assert!(svg.contains("<title>Mon, 3 delivered, 1 failed</title>"), "{svg}");
        assert!(svg.contains("aria-label=\"Work: 5 in all, at most 4 at Mon\""), "{svg}");
        for value in [">0</text>", ">2</text>", ">4</text>"] {
            assert!(svg.contains(value), "the axis has its values: {svg}");
        }
        assert_eq!(svg.matches("</i>").count(), 2);
    }

    #[test]
    fn a_month_labels_three_of_its_days_and_no_values_draw_no_bars() {
        let labels: Vec<String> = (1..=30).map(|day| format!("11-{day:02}")).collect();
        let svg = bars("Days", &labels, &[Series { class: "a", name: "x", values: vec![0; 30] }], |v| v.to_string()).0;
        for day in ["11-01", "11-15", "11-30"] {
            assert!(svg.contains(&format!(">{day}</text>")), "{svg}");
        }
        assert_eq!(svg.matches("</text>").count(), 6, "three labels and three values");
        assert!(!svg.contains("NaN") && !svg.contains("inf") && heights(&svg, "a").is_empty());
        assert!(svg.contains("Days: nothing yet") && !bars("No labels", &[], &[], |v| v.to_string()).0.contains("NaN"));
    }

    #[test]
    fn the_axis_ends_with_an_even_round_number() {
        let ends: Vec<u64> = [0, 1, 2, 3, 5, 11, 41, 450, u64::MAX / 2].map(round_up).to_vec();
        assert_eq!(ends[..8], [2, 2, 2, 4, 6, 20, 60, 600]);
    }
}
