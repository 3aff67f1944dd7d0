//! The endpoints that only the live server has, beside the lookup of an order and upload tokens.

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::{Client, object, segment, wire};
use crate::domain::api_error::{ApiError, ApiErrorKind};
use crate::domain::order::OrderId;

impl Client {
    /// `POST /orders/:id/request-payout-retry`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn retry_payout(&mut self, id: &OrderId) -> Result<(), ApiError> {
        let path = format!("/orders/{}/request-payout-retry", segment(id.as_str()));
        wire::check_accepted(&self.call(Method::POST, path, Some(json!({})))?)
    }

    /// `PATCH /agents/:id/active`: the one call that an agent which is switched off can make.
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn set_active(&mut self, is_active: bool) -> Result<(), ApiError> {
        let path = format!("{}/active", self.agent_path()?);
        self.call(Method::PATCH, path, Some(json!({"active": u8::from(is_active)}))).map(drop)
    }

    /// `GET /bounties`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn bounties(&mut self) -> Result<Vec<Map<String, Value>>, ApiError> {
        let data = self.call(Method::GET, "/bounties".into(), None)?;
        let list = data.get("bounties").cloned().unwrap_or(data);
        match list {
            Value::Array(bounties) => bounties.into_iter().map(object).collect(),
            _ => Err(ApiError::new(ApiErrorKind::Retryable { after: None }, "the answer holds no list of bounties")),
        }
    }

    /// `POST` and `DELETE /bounties/:id/claim`
    ///
    /// # Errors
    /// The request failed, was refused, or its answer cannot be read.
    pub fn claim_bounty(&mut self, id: &str, is_claimed: bool) -> Result<(), ApiError> {
        let (method, body) = if is_claimed { (Method::POST, Some(json!({}))) } else { (Method::DELETE, None) };
        self.call(method, format!("/bounties/{}/claim", segment(id)), body).map(drop)
    }
}
