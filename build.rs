//! Links the unwinder from the archive that lies beside the C compiler, instead of the shared library of it.
//!
//! That is a library less to find, map and relocate at each of thousands of starts a week, an eighth of what a beat with
//! nothing to do costs (`cargo bench --bench beat` compares). Where there is no such archive nothing is asked for, and
//! the shared library serves as well. Nothing is read, written or fetched.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let linux = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    // The compiler of this machine knows nothing of another's archives.
    if linux && env::var("HOST").is_ok_and(|host| is("TARGET", &host)) {
        let asked = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
        // A name that comes back without its folder was not found.
        if asked.is_ok_and(|answer| answer.status.success() && answer.stdout.contains(&b'/')) {
            println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
        }
    }
}
