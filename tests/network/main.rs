//! The program behind whatever network its user has: real TLS, real proxies, name servers that fail, servers that answer
//! early, and keys that must not be printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod before_the_first_byte;
mod early_answers;
mod names;
mod proxies;
mod secrets;
mod servers;
mod tls;
