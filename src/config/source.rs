//! Finds where in the text of the file a key is. Only errors need it, so nothing here is fast.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

/// The way to a value, such as `service.title`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Way(pub(super) Vec<Step>);

impl Way {
    /// `table.key`, or a key at the top level.
    pub(super) fn to(dotted: &str) -> Self {
        Self(dotted.split('.').map(|key| Step::Key(key.to_owned())).collect())
    }

    /// A key of the `index`th service.
    pub(super) fn to_service(index: usize, key: &str) -> Self {
        Self(vec![Step::Key("service".to_owned()), Step::Item(index)]).with(key)
    }

    /// On to a key of the table it leads to.
    pub(super) fn with(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    /// Everything but the last key.
    pub(super) fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// The last key.
    pub(super) fn last_key(&self) -> &str {
        self.0.iter().rev().find_map(Step::key).unwrap_or_default()
    }

    /// Whether it ends inside a list.
    pub(super) fn ends_in_list(&self) -> bool {
        matches!(self.0.last(), Some(Step::Item(_)))
    }
}

impl Step {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Item(_) => None,
        }
    }
}

/// Without indices: the line number tells which of several tables it is.
impl fmt::Display for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.0.iter().filter_map(Step::key).collect();
        out.write_str(&super::shorten(&keys.join(".")).escape_debug().to_string())
    }
}

/// A value of the file and where it is.
pub(super) struct Spot {
    pub(super) line: usize,
    /// The text of the value.
    pub(super) written: String,
    pub(super) is_table: bool,
}

/// Returns the value of the file that `way` leads to.
pub(super) fn find(text: &str, way: &Way) -> Option<Spot> {
    find_in(DeTable::parse(text).ok()?.get_ref(), text, way)
}

/// As [`find`], in a document that was read from `text`.
pub(super) fn find_in(document: &DeTable<'_>, text: &str, way: &Way) -> Option<Spot> {
    let mut table = Some(document);
    let mut list: Option<&[Spanned<DeValue<'_>>]> = None;
    let mut spot = None;
    for step in &way.0 {
        let (at, value) = match step {
            Step::Key(key) => {
                let (name, value) = table?.iter().find(|(name, _)| name.get_ref() == key)?;
                (name.span().start, value)
            }
            Step::Item(index) => {
                let value = list?.get(*index)?;
                (value.span().start, value)
            }
        };
        table = value.get_ref().as_table();
        list = value.get_ref().as_array().map(|items| &**items);
        let written = text.get(value.span()).unwrap_or_default();
        spot = Some(Spot { line: line(text, at), written: shown(written), is_table: table.is_some() });
    }
    spot
}

/// Returns the path to the innermost key or value around the byte at `at`.
pub(super) fn way_at(document: &DeTable<'_>, at: usize) -> Option<Way> {
    let mut best = None;
    seek_table(document, at, &mut Way::default(), &mut best);
    best
}

fn seek_table(table: &DeTable<'_>, at: usize, path: &mut Way, best: &mut Option<Way>) {
    for (key, value) in table {
        path.0.push(Step::Key(key.get_ref().to_string()));
        if holds(key.span(), at) || holds(value.span(), at) {
            *best = Some(path.clone());
        }
        seek(value.get_ref(), at, path, best);
        path.0.pop();
    }
}

fn seek(value: &DeValue<'_>, at: usize, path: &mut Way, best: &mut Option<Way>) {
    match value {
        DeValue::Table(table) => seek_table(table, at, path, best),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.0.push(Step::Item(index));
                if holds(item.span(), at) {
                    *best = Some(path.clone());
                }
                seek(item.get_ref(), at, path, best);
                path.0.pop();
            }
        }
        _ => {}
    }
}

fn holds(span: Range<usize>, at: usize) -> bool {
    span.start <= at && at < span.end
}

/// Returns the line number of the byte at `at`, from one.
pub(super) fn line(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Returns the text of a value for one line of an error: short and printable.
pub(super) fn shown(written: &str) -> String {
    let first = written.trim().lines().next().unwrap_or_default();
    let whole = first.len() == written.trim().len();
    let text: String = super::shorten(first).chars().filter(|c| !c.is_control()).collect();
    if whole { text } else { format!("{text}…") }
}
