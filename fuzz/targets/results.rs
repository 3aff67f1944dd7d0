//! Any output of a generator: only files in its folder are taken, of a known type.
#![no_main]

use std::fs;

use atelier_heartbeat::internals::report::gallery;
use atelier_heartbeat::internals::io::media;
use atelier_heartbeat::internals::io::generator;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8])| {
    thread_local!(static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder"));
    FOLDER.with(|folder| {
        let (said, made) = input;
        let attempt = folder.path().join("work/attempt-1");
        let work = folder.path().join("work");
        fs::create_dir_all(attempt.join("output")).expect("a folder");
        fs::write(attempt.join("stdout"), said).expect("a file");
        fs::write(work.join("a.png"), made).expect("a file");
        if let Ok(results) = generator::results(&work, &attempt) {
            let home = fs::canonicalize(&work).expect("a folder");
            assert!(results.files.iter().all(|file| file.starts_with(&home)));
            assert!(
                results.hosted.iter().all(|one| one.hosted.as_ref().is_some_and(|h| h.url.starts_with("https://")))
            );
        }
        let _ = generator::last_line(&attempt);
        assert!(generator::cost(&attempt).is_none_or(|micros| micros < 1_000_000_000_000));
        if let Ok(judged) = media::judge(&work, &work.join("a.png")) {
            assert!(judged.content_type.contains('/') && judged.bytes == made.len() as u64);
            media::open_unchanged(&work, &judged).expect("unchanged");
            let _ = gallery::thumbnail(&work, &judged);
        }
    });
});
