//! Tables and paragraphs, fitted to a terminal. Text of strangers is made harmless here.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::cli::output;
use crate::domain::sanitize::one_line;

/// Between two columns.
const GAP: usize = 2;

/// The header is bold.
const HEAD: &str = "1";

/// No cell of a table is longer, in characters.
const LONGEST_CELL: usize = 400;

/// Returns rows under a header: on a terminal cut where the line ends, on a pipe with tabs between cells.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let clean = |row: &Vec<String>| row.iter().map(|cell| one_line(cell, LONGEST_CELL)).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = rows.iter().map(clean).collect();
    match output::width() {
        None => {
            let head = output::paint(HEAD, &head.join("\t"));
            let lines = std::iter::once(head).chain(rows.iter().map(|row| row.join("\t")));
            lines.collect::<Vec<_>>().join("\n")
        }
        Some(width) => {
            let table = fitted(head, &rows, width);
            let (head, rest) = table.split_once('\n').unwrap_or((&table, ""));
            format!("{}\n{rest}", output::paint(HEAD, head)).trim_end_matches('\n').to_owned()
        }
    }
}

fn fitted(head: &[&str], rows: &[Vec<String>], width: usize) -> String {
    let column = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.width());
        cells.chain(head.get(at).map(|name| name.width())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(column).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, wide) in cells.zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat((wide + GAP).saturating_sub(cell.width())));
        }
        cut(line.trim_end(), width)
    };
    let mut lines = vec![line(&mut head.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// Returns at most `width` columns of a text.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut kept, mut wide) = (String::new(), 1);
    for c in text.chars() {
        wide += c.width().unwrap_or(0);
        if wide > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// Breaks one line between its words into lines of at most `width` columns, and at most `most` of them: the last is cut.
#[must_use]
pub fn wrapped(text: &str, width: usize, most: usize) -> Vec<String> {
    let (mut lines, mut rest) = (Vec::new(), text.trim());
    while lines.len() + 1 < most && rest.width() > width {
        let fits = rest.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| rest[..*end].width() <= width);
        let whole = fits.last().unwrap_or_else(|| rest.chars().next().map_or(0, char::len_utf8));
        let is_word_end = rest[whole..].starts_with(' ');
        let end = if is_word_end { None } else { rest[..whole].rfind(' ').filter(|end| *end > 0) };
        let (line, after) = rest.split_at(end.unwrap_or(whole));
        lines.push(line.trim_end().to_owned());
        rest = after.trim_start();
    }
    lines.push(cut(rest, width));
    lines
}

/// Wraps a stranger's text into lines that fit, each behind `indent`.
#[must_use]
pub fn paragraph(text: &str, indent: &str) -> String {
    let width = output::width().unwrap_or(usize::MAX / 2).saturating_sub(indent.width()).max(20);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in one_line(paragraph, 100_000).split(' ') {
            if !line.is_empty() && line.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.iter().map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_whole_where_they_fit() {
        assert_eq!(wrapped("one two three four", 9, 9), ["one two", "three", "four"]);
        assert_eq!(wrapped("one two three four", 7, 2), ["one two", "three …"]);
        assert_eq!(wrapped("abcdefghij", 4, 9), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("灯台と海と小", 4, 9), ["灯台", "と海", "と小"]);
        assert_eq!(wrapped("", 4, 9), [""]);
    }

    #[test]
    fn a_table_fits_whatever_stands_in_it() {
        let rows = vec![
            vec!["ord_1".to_owned(), "paid".to_owned(), "A lighthouse at dusk, calm sea, one small boat".to_owned()],
            vec!["ord_22".to_owned(), "in_progress".to_owned(), "灯台と海と小さな船と夕暮れの空と静かな波".to_owned()],
        ];
        let table = fitted(&["ORDER", "STATUS", "BRIEF"], &rows, 40);
        assert!(table.lines().all(|line| line.width() <= 40), "{table}");
        assert!(table.starts_with("ORDER   STATUS       BRIEF\nord_1   paid         A lighthouse"));
    }
}
