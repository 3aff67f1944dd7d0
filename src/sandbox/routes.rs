//! Maps a method and a path to a call of the API.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::exchange::{Request, unescape};
use super::server_version::ServerVersion;
use crate::domain::limits::Endpoint;

/// One call of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// `POST /agents/register`
    Register,
    /// `GET /agents/me`
    Me,
    /// `PATCH /agents/me`
    UpdateMe,
    /// `POST /agents/:id/services`
    Services,
    /// `GET /agents/:id/services`
    ListServices,
    /// `PATCH /services/:id`
    UpdateService,
    /// `DELETE /services/:id`
    DeleteService,
    /// `POST /upload`
    Upload,
    /// `POST /upload/token`, which only the live server has
    UploadToken,
    /// `PUT` to the blob store, which only the live server has
    Blob,
    /// `GET /agents/:id/orders`: the poll
    Orders,
    /// `GET /orders/:id`, which only the live server has
    Order,
    /// `POST /orders/:id/deliver`
    Deliver,
    /// `POST /orders/:id/quote`
    Quote,
    /// `GET /orders/:id/messages`
    ReadMessages,
    /// `POST /orders/:id/messages`
    Messages,
    /// `POST /agents/:id/token/launch`
    Token,
    /// `GET /agents/:id`, which only the live server has
    Agent,
    /// `PATCH /agents/:id/active`, which only the live server has
    SetActive,
    /// `POST /orders/:id/request-payout-retry`, which only the live server has
    PayoutRetry,
    /// `GET /bounties`, which only the live server has
    Bounties,
    /// `POST /bounties/:id/claim`, which only the live server has
    ClaimBounty,
    /// `DELETE /bounties/:id/claim`, which only the live server has
    WithdrawClaim,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 23] = [
        Self::Register,
        Self::Me,
        Self::UpdateMe,
        Self::Services,
        Self::ListServices,
        Self::UpdateService,
        Self::DeleteService,
        Self::Upload,
        Self::UploadToken,
        Self::Blob,
        Self::Orders,
        Self::Order,
        Self::Deliver,
        Self::Quote,
        Self::ReadMessages,
        Self::Messages,
        Self::Token,
        Self::Agent,
        Self::SetActive,
        Self::PayoutRetry,
        Self::Bounties,
        Self::ClaimBounty,
        Self::WithdrawClaim,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Me => "me",
            Self::UpdateMe => "update-me",
            Self::Services => "services",
            Self::ListServices => "list-services",
            Self::UpdateService => "update-service",
            Self::DeleteService => "delete-service",
            Self::Upload => "upload",
            Self::UploadToken => "upload-token",
            Self::Blob => "blob",
            Self::Orders => "orders",
            Self::Order => "order",
            Self::Deliver => "deliver",
            Self::Quote => "quote",
            Self::ReadMessages => "read-messages",
            Self::Messages => "messages",
            Self::Token => "token",
            Self::Agent => "agent",
            Self::SetActive => "set-active",
            Self::PayoutRetry => "payout-retry",
            Self::Bounties => "bounties",
            Self::ClaimBounty => "claim-bounty",
            Self::WithdrawClaim => "withdraw-claim",
        }
    }

    /// Returns the limit it is counted against, if any. An upload token counts as an upload.
    #[must_use]
    pub const fn endpoint(self) -> Option<Endpoint> {
        match self {
            Self::Register => Some(Endpoint::Register),
            Self::Services => Some(Endpoint::Services),
            Self::Upload | Self::UploadToken => Some(Endpoint::Upload),
            Self::Orders => Some(Endpoint::Orders),
            Self::Deliver => Some(Endpoint::Deliver),
            // The rare ones that the live server counts besides have the same limit as quotes, and share its one counter.
            Self::Quote | Self::PayoutRetry | Self::ClaimBounty => Some(Endpoint::Quote),
            Self::Messages => Some(Endpoint::Messages),
            Self::Token => Some(Endpoint::Token),
            Self::Me
            | Self::UpdateMe
            | Self::ListServices
            | Self::UpdateService
            | Self::DeleteService
            | Self::Blob
            | Self::Order
            | Self::ReadMessages
            | Self::Agent
            | Self::SetActive
            | Self::Bounties
            | Self::WithdrawClaim => None,
        }
    }

    const fn only_live(self) -> bool {
        matches!(
            self,
            Self::UploadToken
                | Self::Blob
                | Self::Order
                | Self::Agent
                | Self::SetActive
                | Self::PayoutRetry
                | Self::Bounties
                | Self::ClaimBounty
                | Self::WithdrawClaim
        )
    }
}

impl fmt::Display for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Call {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|call| call.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|call| call.name()).collect();
            format!("{text:?} is not an endpoint: use `any` or one of {}", names.join(" "))
        })
    }
}

/// The result of routing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Routed {
    /// To a call, with the id in its path (empty where there is none).
    To(Call, String),
    /// To the same path without its trailing or doubled slashes.
    Moved(String),
    /// To a known path with a wrong method.
    WrongMethod,
    /// Nowhere.
    Unknown,
}

/// Finds the call. Ids are unescaped and not checked.
pub(super) fn route(server_version: ServerVersion, request: &Request) -> Routed {
    let path = request.bare_path();
    if server_version.is_live() && matches!(path, "/blob" | "/blob/") {
        return if request.method == "PUT" { Routed::To(Call::Blob, String::new()) } else { Routed::WrongMethod };
    }
    if path.contains("//") || path.len() > 1 && path.ends_with('/') {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let query = request.path.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
        return Routed::Moved(format!("/{}{query}", parts.join("/")));
    }
    let Some(rest) = path.strip_prefix("/api/") else { return Routed::Unknown };
    let parts: Vec<&str> = rest.split('/').collect();
    let (calls, id): (&[(&str, Call)], &str) = match parts.as_slice() {
        ["agents", "register"] => (&[("POST", Call::Register)], ""),
        ["agents", "me"] => (&[("GET", Call::Me), ("PATCH", Call::UpdateMe)], ""),
        ["agents", id] => (&[("GET", Call::Agent)], id),
        ["agents", id, "active"] => (&[("PATCH", Call::SetActive)], id),
        ["agents", id, "services"] => (&[("POST", Call::Services), ("GET", Call::ListServices)], id),
        ["agents", id, "orders"] => (&[("GET", Call::Orders)], id),
        ["agents", id, "token", "launch"] => (&[("POST", Call::Token)], id),
        ["services", id] => (&[("PATCH", Call::UpdateService), ("DELETE", Call::DeleteService)], id),
        ["upload"] => (&[("POST", Call::Upload)], ""),
        ["upload", "token"] => (&[("POST", Call::UploadToken)], ""),
        ["orders", id] => (&[("GET", Call::Order)], id),
        ["orders", id, "request-payout-retry"] => (&[("POST", Call::PayoutRetry)], id),
        ["bounties"] => (&[("GET", Call::Bounties)], ""),
        ["bounties", id, "claim"] => (&[("POST", Call::ClaimBounty), ("DELETE", Call::WithdrawClaim)], id),
        ["orders", id, "deliver"] => (&[("POST", Call::Deliver)], id),
        ["orders", id, "quote"] => (&[("POST", Call::Quote)], id),
        ["orders", id, "messages"] => (&[("GET", Call::ReadMessages), ("POST", Call::Messages)], id),
        _ => return Routed::Unknown,
    };
    let mut known = calls.iter().filter(|(_, call)| server_version.is_live() || !call.only_live()).peekable();
    if known.peek().is_none() {
        return Routed::Unknown;
    }
    match known.find(|(method, _)| *method == request.method) {
        Some((_, call)) => Routed::To(*call, unescape(id)),
        None => Routed::WrongMethod,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(server_version: ServerVersion, method: &str, path: &str) -> Routed {
        route(server_version, &Request::new(method, path))
    }

    #[test]
    fn paths_are_routed() {
        use ServerVersion::{Document, Live};
        assert_eq!(at(Live, "GET", "/api/orders/a%2Fb"), Routed::To(Call::Order, "a/b".into()));
        assert_eq!(at(Document, "GET", "/api/orders/a"), Routed::Unknown);
        assert_eq!(at(Live, "POST", "/api/orders/a"), Routed::WrongMethod);
        assert_eq!(at(Live, "PUT", "/api/upload"), Routed::WrongMethod);
        assert_eq!(at(Live, "GET", "/api/nowhere"), Routed::Unknown);
        assert_eq!(at(Live, "GET", "/agents/me"), Routed::Unknown);
        assert_eq!(at(Live, "GET", "/api//agents/me/?a=1"), Routed::Moved("/api/agents/me?a=1".into()));
        assert_eq!(at(Live, "PUT", "/blob/?pathname=x"), Routed::To(Call::Blob, String::new()));
        assert_eq!(at(Document, "PUT", "/blob?pathname=x"), Routed::Unknown);
    }

    #[test]
    fn names_are_read_back() {
        for call in Call::ALL {
            assert_eq!(call.to_string().parse(), Ok(call));
            assert_eq!(serde_json::to_value(call).unwrap(), call.to_string());
        }
        assert!("any".parse::<Call>().is_err());
    }
}
