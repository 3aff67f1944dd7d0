//! What else the marketplace says of one order, and what an order waits for.

use serde_json::{Map, Value};

use crate::cli::command_error::CommandError;
use crate::cli::table::paragraph;
use crate::config::{self, Config};
use crate::domain::lifecycle::{Ending, OrderRecord, Step};
use crate::domain::limits::Endpoint;
use crate::domain::order::{Order, Status, text};
use crate::domain::sanitize::one_line;
use crate::domain::time::span;
use crate::io::clock;
use crate::io::store::Store;

/// Returns what is known of the payout of a completed order; none for any other. `unasked` is the record of an order that the
/// server cannot be asked about.
pub(super) fn payout(order: Option<&Order>, unasked: Option<&OrderRecord>) -> Option<&'static str> {
    const UNSEEN: &str = "cannot be seen here: this server does not say";
    let closed = unasked.and_then(|record| record.stage.closed);
    if closed.is_some_and(|closed| matches!(closed.ending, Ending::Delivered | Ending::Completed)) {
        return Some(UNSEEN);
    }
    let order = order.filter(|order| order.status == Status::Completed)?;
    Some(match order.members().get("payout_tx_hash") {
        None => UNSEEN,
        Some(Value::Null) => "not paid out yet",
        Some(_) => "paid out",
    })
}

/// Returns further lines of `show`, each behind a line break.
pub(super) fn lines(order: &Order, review: Option<&Map<String, Value>>, payout: Option<&str>) -> String {
    let members = order.members();
    let mut lines = String::new();
    let mut line = |name: &str, value: String| lines.push_str(&format!("\n{name:<9} {}", one_line(&value, 300)));
    if order.is_instant() {
        line("paid", "in full at once (x402): no fee is taken".to_owned());
    }
    if let Some(until) = order.workspace_expires_at {
        line("window", format!("open until {until}: one delivery, before then, is what is paid"));
    }
    if let Some(used) = text(&members, "revision_count").filter(|used| used != "0") {
        let most = text(&members, "max_revisions").map(|most| format!(" of {most}")).unwrap_or_default();
        line("revisions", format!("{used}{most} used"));
    }
    if let Some(payout) = payout {
        line("payout", payout.to_owned());
    }
    if let Some(review) = review {
        let rating = text(review, "rating").unwrap_or_else(|| "?".to_owned());
        let comment = text(review, "comment").map(|comment| format!(": {comment}")).unwrap_or_default();
        line("review", format!("{rating} of 5{comment}"));
    }
    for (question, answer) in answers(&members) {
        line("answer", format!("{question}: {answer}"));
    }
    if let Some(english) = text(&members, "brief_english").filter(|english| *english != order.brief) {
        lines.push_str(&format!("\n\nbrief in English\n{}", paragraph(&english, "  ")));
    }
    lines
}

/// Returns the client's answers to the questions of the service: an object, a list, or either as JSON in a text.
fn answers(members: &Map<String, Value>) -> Vec<(String, String)> {
    let value = match members.get("requirement_answers") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())),
        Some(value) => value.clone(),
        None => Value::Null,
    };
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Null => Vec::new(),
        Value::Object(answers) => answers.iter().map(|(question, answer)| (question.clone(), shown(answer))).collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                let question = item.get("label").map_or_else(|| "answer".to_owned(), shown);
                (question, item.get("answer").or(item.get("value")).map_or_else(|| shown(item), shown))
            })
            .collect(),
        other => vec![("answer".to_owned(), shown(&other))],
    }
}

/// Returns what an order in flight waits for beside its own next try: the marketplace's wait, or the hour's budget.
///
/// # Errors
/// The worker's record cannot be read.
pub(super) fn waits_for(config: &Config, store: &Store, record: &OrderRecord) -> Result<Option<String>, CommandError> {
    let Some(worker) = store.worker()? else { return Ok(None) };
    let (now, rules) = (clock::clock().wall, config::to_rules(config, ""));
    let endpoint = match record.stage.step {
        _ if record.stage.hold.is_some() => return Ok(None),
        Step::Generated | Step::Uploading { .. } => Endpoint::Upload,
        Step::Uploaded => Endpoint::Deliver,
        Step::Delivered => Endpoint::Messages,
        Step::Priced => Endpoint::Quote,
        _ => Endpoint::Orders,
    };
    let budget = &worker.budget;
    if let Some(until) = budget.blocked_until(endpoint, now) {
        let left = span(until.since(now));
        return Ok(Some(format!("the marketplace said to wait until {until} (in {left})")));
    }
    if let Some(begin) = record.stage.begin_at.filter(|begin| *begin > now) {
        return Ok(Some(format!("it is begun at {begin}, before its window closes")));
    }
    if budget.free(rules.allowance, endpoint, now) > 0 {
        return Ok(None);
    }
    let free = budget.turning_points(now).into_iter().find(|at| budget.free(rules.allowance, endpoint, *at) > 0);
    let until = free.map(|at| format!(" until {at} (in {})", span(at.since(now)))).unwrap_or_default();
    Ok(Some(format!("this hour's requests are spent{until}")))
}
