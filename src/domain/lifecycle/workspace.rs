//! Orders that wait by the settings: workspace orders, and what `[accept]` rejects.

use std::time::Duration;

use super::hold::HoldKind;
use super::record::OrderRecord;
use crate::domain::rules::{Rules, Workspaces};
use crate::domain::time::Time;

/// How long before the end of its window a workspace order is begun: a generator may fail twice and the marketplace be away
/// for an hour, and it is still delivered in time.
pub const WINDOW_LEAD: Duration = Duration::from_secs(3 * 3600);

impl OrderRecord {
    /// Holds a workspace order and what `[accept]` rejects, unless the operator released it.
    pub(super) fn check_acceptance(&mut self, now: Time, rules: &Rules) {
        use super::record::Step;
        if let Step::AwaitingReason { .. } = self.stage.step {
            self.stage.step = Step::Queued;
        }
        self.stage.begin_at = None;
        let is_workspace = self.order.is_subscription() && rules.workspaces != Workspaces::Deliver;
        let released = self.stage.released_by_operator;
        let ends = self.order.workspace_expires_at;
        match ends {
            _ if !is_workspace => self.settle_workspace_hold(),
            Some(ends) if released || rules.workspaces == Workspaces::AtEnd => {
                self.settle_workspace_hold();
                self.stage.begin_at = Some(ends - WINDOW_LEAD);
            }
            None if released => {}
            _ if self.is_begun() => {}
            _ => {
                let until = match ends {
                    Some(at) => format!("before {at}"),
                    None => "before its window closes, at a time the marketplace does not say".to_owned(),
                };
                let why = format!(
                    "a workspace order: nothing is paid unless you deliver it, once, {until}, and a delivery ends the client's window. `deliver` does it by hand; [subscriptions] deliver = \"at_end\" shortly before the end"
                );
                return self.hold(now, HoldKind::Subscription, why);
            }
        }
        if let Some(why) = rules.reject_reason(&self.order)
            && !released
            && !self.is_begun()
        {
            self.hold(now, HoldKind::Rejected, why);
        }
    }

    /// The settings say now what is done with workspace orders.
    fn settle_workspace_hold(&mut self) {
        if self.stage.hold.as_ref().is_some_and(|hold| hold.kind == HoldKind::Subscription) {
            self.stage.hold = None;
        }
    }

    /// Returns whether it is a workspace order whose window is over: the live server ends it when it is asked about it, and
    /// nothing is paid for it then.
    #[must_use]
    pub fn is_past_its_window(&self, now: Time) -> bool {
        self.order.status.is_work() && self.order.workspace_expires_at.is_some_and(|ends| ends <= now)
    }
}
