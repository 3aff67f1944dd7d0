//! Arguments in, an exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(atelier_heartbeat::run(std::env::args_os()))
}
