//! Places at which the program can be made to die, to prove that it survives it there.
//!
//! Only built with the feature `failpoints`, which tests switch on and a release never has: without it a point is nothing.

/// One more step that a crash could follow. With the feature, `ATELIER_FAILPOINT=N` kills the process at the N-th one.
#[cfg(feature = "failpoints")]
pub fn point(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let passed = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    let at = std::env::var("ATELIER_FAILPOINT").ok().and_then(|at| at.parse::<u32>().ok());
    if at == Some(passed) {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("failpoint {passed}: {name}\n").as_bytes());
        // As hard as it comes: no destructor runs, nothing is flushed.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn point(_name: &str) {}
