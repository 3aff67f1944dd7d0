//! `poster`: the built-in generator, a handsome PNG of a brief.

use std::io::Read;

use super::fail;
use crate::cli::args::{Global, PosterArgs};
use crate::cli::exit_code;
use crate::cli::output;
use crate::domain::order;
use crate::poster::{self, Size};

/// An order on stdin is read up to this many bytes.
const MOST_STDIN: u64 = 4 * 1024 * 1024;

/// Writes the poster.
#[must_use]
pub fn run(global: &Global, args: &PosterArgs) -> u8 {
    let Some(size) = size(&args.size) else {
        let message =
            format!("--size {}: write width and height in pixels, 16 to 4096 each, such as 1080x1350", args.size);
        return fail(global, exit_code::USAGE, &message);
    };
    let brief = args.brief.clone().unwrap_or_else(brief_on_stdin);
    match poster::render_to(&args.output, &brief, &args.seed, size) {
        Ok(()) if global.json => output::json(&serde_json::json!({"path": args.output})),
        Ok(()) => {}
        Err(error) => {
            return fail(global, exit_code::STATE, &format!("could not write {}: {error}", args.output.display()));
        }
    }
    0
}

fn size(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| (16..=4096).contains(side));
    Some(Size { width: side(width)?, height: side(height)? })
}

/// The brief of the order that a worker gives its generator on stdin; none when there is none.
fn brief_on_stdin() -> String {
    let mut text = String::new();
    let read = std::io::stdin().take(MOST_STDIN).read_to_string(&mut text);
    let order = read.ok().and_then(|_| serde_json::from_str::<serde_json::Map<_, _>>(&text).ok());
    order.and_then(|order| order::text(&order, "brief")).unwrap_or_default()
}
