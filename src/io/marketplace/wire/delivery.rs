//! The answer to a delivery.

use serde_json::Value;

use super::check_accepted;
use crate::domain::api_error::ApiError;

/// What the answer to a delivery says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The marketplace says that it has no preview of a picture: the client sees nothing before the order completes.
    pub lacks_preview: bool,
}

/// Reads the answer to a delivery. An absent preview says nothing, a null one that there is none.
///
/// # Errors
/// As [`check_accepted`].
pub fn accepted(data: &Value) -> Result<Accepted, ApiError> {
    check_accepted(data)?;
    let lacks = |one: &Value| {
        one.get("deliverable_preview_url").is_some_and(Value::is_null)
            && one.get("deliverable_media_type").and_then(Value::as_str) == Some("image")
    };
    let files = data.get("deliverables").and_then(Value::as_array).into_iter().flatten();
    Ok(Accepted { lacks_preview: lacks(data) || files.into_iter().any(lacks) })
}
