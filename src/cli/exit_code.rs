//! Exit codes, each once.

/// The marketplace refused, or an order needs the operator.
pub const REFUSED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// The marketplace or the network is away.
pub const AWAY: u8 = 69;
/// Not now: another run holds the lock, or the marketplace said to wait.
pub const LATER: u8 = 75;
/// The key was refused.
pub const KEY: u8 = 77;
/// A bug.
pub const INTERNAL: u8 = 70;
/// State cannot be written.
pub const STATE: u8 = 74;
/// Settings, generator or credentials are missing or wrong.
pub const CONFIG: u8 = 78;
