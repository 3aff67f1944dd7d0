//! Exit codes, as sysexits.h names them.

/// An order needs the operator, or the marketplace rejected a request.
pub const REFUSED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// The marketplace or the network is unavailable.
pub const AWAY: u8 = 69;
/// A bug.
pub const INTERNAL: u8 = 70;
/// State cannot be read or written.
pub const STATE: u8 = 74;
/// Not now: another run holds the lock, the request budget is spent, or the marketplace said to wait.
pub const LATER: u8 = 75;
/// The marketplace rejected the API key.
pub const KEY: u8 = 77;
/// Settings, generator or credentials are missing or wrong.
pub const CONFIG: u8 = 78;
