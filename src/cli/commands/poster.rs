//! `poster`: the built-in generator, a PNG of a brief.

use std::io::Read;

use serde_json::{Map, Value};

use crate::cli::args::{Global, PosterArgs};
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::domain::order;
use crate::poster::{self, Size};

/// An order on stdin is read up to this many bytes.
const MAX_STDIN: u64 = 4 * 1024 * 1024;

/// What a generator exits with when an order cannot be done.
const CANNOT_BE_DONE: u8 = 65;

/// Writes the poster.
///
/// # Errors
/// The size or the brief cannot be drawn, or the file cannot be written.
pub fn run(global: &Global, args: &PosterArgs) -> Result<u8, CommandError> {
    let size = size(&args.size).ok_or_else(|| {
        let message = "write width and height in pixels, 16 to 4096 each, such as 1080x1350";
        CommandError::usage(format!("--size {}: {message}", args.size))
    })?;
    let order = if args.brief.is_none() { order_on_stdin() } else { Map::new() };
    let brief = args.brief.clone().or_else(|| order::text(&order, "brief")).unwrap_or_default();
    if let Some(letter) = poster::unsupported(&brief) {
        let script = poster::script(letter).map_or_else(|| "this script".to_owned(), str::to_owned);
        let message = format!(
            "this rehearsal poster cannot write {script} (\"{letter}\"): its fonts have Latin, Greek and Cyrillic letters; \
             this order needs another generator"
        );
        return Err(CommandError::new(CANNOT_BE_DONE, message));
    }
    let seed = format!("{}{}", args.seed, variation(&order, std::env::var("ATELIER_IDEMPOTENCY_KEY").ok()));
    poster::render_to(&args.output, &brief, &seed, size)
        .or_exit(exit_code::STATE, || format!("could not write {}", args.output.display()))?;
    if global.json {
        output::json(&serde_json::json!({"path": args.output}));
    }
    Ok(0)
}

fn size(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| (16..=4096).contains(side));
    Some(Size { width: side(width)?, height: side(height)? })
}

/// The order that the worker gives its generator on stdin; empty when there is none.
fn order_on_stdin() -> Map<String, Value> {
    let mut text = String::new();
    let read = std::io::stdin().take(MAX_STDIN).read_to_string(&mut text);
    read.ok().and_then(|_| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// What makes a revision and another attempt of one order differ, and a restart of one attempt the same.
fn variation(order: &Map<String, Value>, idempotency_key: Option<String>) -> String {
    let number = |name: &str| order.get(name).and_then(Value::as_u64);
    match (idempotency_key, number("revision"), number("attempt")) {
        (Some(key), ..) => format!("\0{key}"),
        (None, None, None) => String::new(),
        (None, revision, attempt) => format!("\0{}-{}", revision.unwrap_or(0), attempt.unwrap_or(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_redo_differs_and_a_restart_does_not() {
        let order = |revision: u64, attempt: u64| {
            json!({"revision": revision, "attempt": attempt}).as_object().cloned().unwrap()
        };
        assert_eq!(variation(&Map::new(), None), "");
        assert_eq!(variation(&order(0, 1), None), variation(&order(0, 1), None));
        assert_ne!(variation(&order(0, 1), None), variation(&order(1, 1), None));
        assert_ne!(variation(&order(0, 1), None), variation(&order(0, 2), None));
        assert_ne!(
            variation(&order(0, 1), Some("ord_1-1-1".into())),
            variation(&order(0, 1), Some("ord_1-2-1".into()))
        );
    }
}
