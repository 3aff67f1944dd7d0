//! The sandbox's page: the user plays the client and arms faults. It works without scripts; every form posts and redirects.

use maud::Markup;

use super::client::{ControlError, Placement};
use super::exchange::{Reply, Request, unescape};
use super::faults::Fault;
use super::market::Market;
use super::routes::Call;
use super::views;
use crate::domain::time::Time;

/// The list of orders.
const HOME: &str = "/sandbox/page";

impl Market {
    /// Answers a request for the page; `parts` is what follows `/sandbox/page`.
    pub(super) fn page(&mut self, now: Time, parts: &[&str], request: &Request) -> Reply {
        let shown = match (request.method.as_str(), parts) {
            ("GET", []) => views::orders(self, now),
            ("GET", ["new"]) => views::new_order(self),
            ("GET", ["faults"]) => views::faults(self),
            ("GET", ["market"]) => views::market(self),
            ("GET", ["orders", id]) => match self.order(id) {
                Some(order) => views::order(self, order, now),
                None => return html(404, &views::message("There is no such order.", HOME)),
            },
            ("POST", _) => return self.form(now, parts, request),
            _ => return html(404, &views::message("There is no such page.", HOME)),
        };
        html(200, &shown)
    }

    fn form(&mut self, now: Time, parts: &[&str], request: &Request) -> Reply {
        let field = |name: &str| form_field(request, name).unwrap_or_default();
        let (done, next) = match parts {
            ["orders"] => (self.place_from_form(now, &field), HOME.to_owned()),
            ["orders", id, verb] => {
                let said = (field("message"), field("rating").parse().unwrap_or(0));
                let done = self.client_action(now, id, verb, (&said.0, said.1));
                (done, format!("{HOME}/orders/{}", views::encoded(id)))
            }
            ["agents" | "services", id, action] => {
                (self.moderate(id, action, &field("message")), format!("{HOME}/market"))
            }
            ["bounties"] => {
                self.post_bounty(now, &field("brief"), &field("price_usd"));
                (Ok(()), format!("{HOME}/market"))
            }
            ["bounties", id, "accept"] => (self.accept_claim(now, id).map(|_| ()), HOME.to_owned()),
            ["faults"] => (self.arm_from_form(&field), format!("{HOME}/faults")),
            ["disarm"] => {
                self.disarm();
                (Ok(()), format!("{HOME}/faults"))
            }
            _ => return html(404, &views::message("There is no such page.", HOME)),
        };
        match done {
            Ok(()) => Reply::bare(303).with("Location", next),
            Err(error) => html(409, &views::message(&error.to_string(), &next)),
        }
    }

    fn place_from_form(&mut self, now: Time, field: &dyn Fn(&str) -> String) -> Result<(), ControlError> {
        let links = |name: &str| field(name).split_whitespace().map(str::to_owned).collect();
        let placement = Placement {
            service_id: Some(field("service_id")).filter(|id| !id.is_empty()),
            brief: field("brief"),
            reference_urls: links("reference_urls"),
            reference_images: links("reference_images"),
            instant: !field("instant").is_empty(),
            ..Placement::default()
        };
        self.reject_reason(&placement).map_or(Ok(()), Err)?;
        self.place(now, placement);
        Ok(())
    }

    fn arm_from_form(&mut self, field: &dyn Fn(&str) -> String) -> Result<(), ControlError> {
        let fault = field("fault").parse::<Fault>().map_err(ControlError::Rejected)?;
        self.arm(fault, field("endpoint").parse::<Call>().ok(), field("times").parse().ok().filter(|times| *times > 0));
        Ok(())
    }
}

/// A field of a posted form.
fn form_field(request: &Request, name: &str) -> Option<String> {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    body.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| unescape(&value.replace('+', " ")))
    })
}

fn html(status: u16, page: &Markup) -> Reply {
    Reply::of(status, "text/html; charset=utf-8", page.0.as_bytes())
        .with(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'",
        )
        .with("Cache-Control", "no-store")
}
