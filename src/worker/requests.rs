//! The one path of a counted request, for runs and for commands: reserve, send, settle, classify.

use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::limits::Endpoint;
use crate::domain::rate_budget::{Budget, Durability, Reservation};
use crate::domain::rules::Rules;
use crate::domain::time::Time;

/// What a request needs: the time, the rules, the budget, and who judges keys.
pub trait RequestContext {
    /// Why the budget cannot be read or written.
    type Error;

    /// Returns the time.
    fn now(&mut self) -> Time;

    /// Returns the settings on which decisions depend.
    fn rules(&self) -> &Rules;

    /// Changes the budget.
    ///
    /// # Errors
    ///
    /// The budget cannot be read or written.
    fn change_budget(&mut self, durable: Durability, change: &mut dyn FnMut(&mut Budget)) -> Result<(), Self::Error>;

    /// Books a request to `endpoint`: it is recorded when this returns, and sent then.
    ///
    /// # Errors
    ///
    /// The budget cannot be read or written.
    fn book(&mut self, endpoint: Endpoint, change: &mut dyn FnMut(&mut Budget)) -> Result<(), Self::Error>;

    /// Asks whether the key itself is refused.
    ///
    /// # Errors
    ///
    /// The question had no answer.
    fn key_is_refused(&mut self) -> Result<bool, ApiError>;
}

/// Whether a request may be sent.
#[derive(Debug)]
pub enum Reserved {
    /// It may, and is counted.
    Yes(Reservation),
    /// Not now.
    No {
        /// The server said to wait; else the hour's requests are spent.
        is_blocked: bool,
        /// When it may be sent, as far as that is known.
        again_at: Option<Time>,
    },
}

/// What an error means for more than one order.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing: it concerns the order alone.
    Order(ApiError),
    /// The key is refused: this is the marketplace's sentence.
    KeyRefused(String),
    /// The settings do not reach the marketplace: a proxy, a CA file, an address that has moved for good.
    Unusable(String),
}

/// Whether the key is good, after a request was refused because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyVerdict {
    /// The key itself is refused.
    Refused,
    /// The key is good and not allowed this.
    Good,
    /// Nobody judged it.
    Unknown,
}

/// Counts a request before it is sent. `claim` is how many requests this agent needs to finish what it has begun.
///
/// # Errors
///
/// The budget cannot be read or written.
pub fn reserve<C: RequestContext>(ctx: &mut C, endpoint: Endpoint, claim: Option<usize>) -> Result<Reserved, C::Error> {
    let now = ctx.now();
    let (allowance, timeout) = (ctx.rules().allowance, ctx.rules().timeouts.of(endpoint));
    let agent = claim.map(|requests| (ctx.rules().agent.clone(), requests));
    let mut reserved = Reserved::No { is_blocked: false, again_at: None };
    ctx.book(endpoint, &mut |budget| {
        budget.prune(now);
        let is_blocked = budget.blocked_until(endpoint, now).is_some();
        if is_blocked || budget.free(allowance, endpoint, now) == 0 {
            let is_free =
                |at: &Time| budget.blocked_until(endpoint, *at).is_none() && budget.free(allowance, endpoint, *at) > 0;
            let again_at = budget.turning_points(now).into_iter().find(is_free);
            reserved = Reserved::No { is_blocked, again_at };
            return;
        }
        reserved = Reserved::Yes(budget.reserve(endpoint, now, timeout));
        if let Some((agent, requests)) = &agent {
            budget.claim(agent, *requests, now);
        }
    })?;
    Ok(reserved)
}

/// Counts an answered request from its answer. One without an answer may still arrive, and stays counted until it cannot.
///
/// # Errors
///
/// The budget cannot be read or written.
pub fn settle<C: RequestContext>(
    ctx: &mut C,
    reservation: Reservation,
    error: Option<&ApiError>,
    durable: Durability,
) -> Result<(), C::Error> {
    let now = ctx.now();
    match error.map(|error| &error.kind) {
        Some(ApiErrorKind::Unanswered) => Ok(()),
        Some(ApiErrorKind::NotSent | ApiErrorKind::Misconfigured) => {
            ctx.change_budget(durable, &mut |budget| budget.release(reservation))
        }
        _ => ctx.change_budget(durable, &mut |budget| budget.settle(reservation, now)),
    }
}

/// Blocks the endpoint, or all of them, when the server said to wait.
///
/// # Errors
///
/// The budget cannot be read or written.
pub fn block<C: RequestContext>(ctx: &mut C, endpoint: Endpoint, error: &ApiError) -> Result<(), C::Error> {
    let ApiErrorKind::Limited { wait } = error.kind else { return Ok(()) };
    let (allowance, now) = (ctx.rules().allowance, ctx.now());
    ctx.change_budget(Durability::Sync, &mut |budget| {
        budget.refused(allowance, endpoint, now);
        budget.block(allowance, endpoint, now + wait);
    })
}

/// Asks whether the key itself is refused.
pub fn judge_key<C: RequestContext>(ctx: &mut C) -> KeyVerdict {
    match ctx.key_is_refused() {
        Ok(true) => KeyVerdict::Refused,
        Ok(false) => KeyVerdict::Good,
        Err(_) => KeyVerdict::Unknown,
    }
}

/// Decides whether an error concerns the order alone, and blocks the endpoint when the server said to wait.
///
/// # Errors
///
/// The budget cannot be read or written.
pub fn classify<C: RequestContext>(ctx: &mut C, endpoint: Endpoint, error: ApiError) -> Result<Verdict, C::Error> {
    block(ctx, endpoint, &error)?;
    let with = |kind, error: ApiError| Verdict::Order(ApiError { kind, ..error });
    Ok(match &error.kind {
        ApiErrorKind::Unauthorized => match judge_key(ctx) {
            KeyVerdict::Refused => Verdict::KeyRefused(error.message),
            KeyVerdict::Good => with(ApiErrorKind::Forbidden, error),
            KeyVerdict::Unknown => with(ApiErrorKind::Retryable { after: None }, error),
        },
        ApiErrorKind::Misconfigured => Verdict::Unusable(error.message),
        ApiErrorKind::Moved { permanent: true, .. } if matches!(endpoint, Endpoint::Orders | Endpoint::Upload) => {
            Verdict::Unusable(error.message)
        }
        // The path contains an order's id, which the server may not accept: one odd order stops no other.
        ApiErrorKind::Moved { permanent: true, .. } => with(ApiErrorKind::Permanent, error),
        ApiErrorKind::Moved { .. } => with(ApiErrorKind::Retryable { after: None }, error),
        _ => Verdict::Order(error),
    })
}
