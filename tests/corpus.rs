//! The verdicts of the media check on many files: `tests/corpus/compare.py` fetches them and holds the verdicts against
//! other decoders.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::time::Instant;

use atelier_heartbeat::internals::io::media;

/// Judges each file that a line of the file `$CORPUS` names: the verdict, milliseconds, and the sentence.
#[test]
fn verdicts() {
    let Ok(list) = std::env::var("CORPUS") else { return println!("no files: set CORPUS to a list of paths") };
    for path in std::fs::read_to_string(list).unwrap().lines().map(Path::new) {
        let begun = Instant::now();
        let judged = media::judge(path.parent().unwrap(), path);
        let took = begun.elapsed().as_millis();
        let (verdict, why) = match judged {
            Ok(fit) => ("fit", fit.content_type),
            Err(error) => ("unfit", error.to_string()),
        };
        println!("VERDICT\t{verdict}\t{took}\t{}\t{why}", path.display());
    }
}
