//! `poster`: the built-in generator, a PNG of a brief.

use std::io::Read;

use crate::cli::args::{Global, PosterArgs};
use crate::cli::command_error::{CommandError, OrExit};
use crate::cli::exit_code;
use crate::cli::output;
use crate::domain::order;
use crate::poster::{self, Size};

/// An order on stdin is read up to this many bytes.
const MOST_STDIN: u64 = 4 * 1024 * 1024;

/// Writes the poster.
///
/// # Errors
/// The size is not one, or the file cannot be written.
pub fn run(global: &Global, args: &PosterArgs) -> Result<u8, CommandError> {
    let size = size(&args.size).ok_or_else(|| {
        let message = "write width and height in pixels, 16 to 4096 each, such as 1080x1350";
        CommandError::usage(format!("--size {}: {message}", args.size))
    })?;
    let brief = args.brief.clone().unwrap_or_else(brief_on_stdin);
    poster::render_to(&args.output, &brief, &args.seed, size)
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

/// The brief of the order that a worker gives its generator on stdin; none when there is none.
fn brief_on_stdin() -> String {
    let mut text = String::new();
    let read = std::io::stdin().take(MOST_STDIN).read_to_string(&mut text);
    let order = read.ok().and_then(|_| serde_json::from_str::<serde_json::Map<_, _>>(&text).ok());
    order.and_then(|order| order::text(&order, "brief")).unwrap_or_default()
}
