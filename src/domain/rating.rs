//! What clients say of the agent: its rating and their latest reviews, as the marketplace showed them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::order::text;
use crate::domain::sanitize::one_line;
use crate::domain::time::Time;

/// How many of the latest reviews are kept.
const MOST: usize = 5;

/// How much is kept of a comment, in characters.
const COMMENT_CHARS: usize = 200;

/// The reviews of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rating {
    /// When they were seen.
    pub seen_at: Time,
    /// How many there are.
    pub count: u64,
    /// The average of one to five stars, as the marketplace writes it.
    pub average: Option<String>,
    /// The latest ones, newest first.
    pub latest: Vec<Review>,
}

/// The review of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The order, where the marketplace says it.
    pub order: Option<String>,
    /// One to five.
    pub stars: String,
    /// What the client wrote: a stranger's text, in one line.
    pub comment: Option<String>,
}

impl Rating {
    /// Returns the reviews that the public page of an agent shows; none while there are none.
    #[must_use]
    pub fn of(page: &Map<String, Value>, seen_at: Time) -> Option<Self> {
        let stats = page.get("stats").and_then(Value::as_object);
        let listed = page.get("reviews").and_then(Value::as_array).into_iter().flatten();
        let mut reviews: Vec<&Map<String, Value>> = listed.filter_map(Value::as_object).collect();
        let short = |of: &Map<String, Value>, name: &str, most| text(of, name).map(|text| one_line(&text, most));
        let counted = stats.and_then(|stats| text(stats, "review_count")?.parse().ok());
        let count = counted.unwrap_or(reviews.len() as u64);
        reviews.sort_by_key(|review| std::cmp::Reverse(text(review, "created_at")));
        let review = |of: &&Map<String, Value>| Review {
            order: short(of, "order_id", 60),
            stars: short(of, "rating", 10).unwrap_or_else(|| "?".to_owned()),
            comment: short(of, "comment", COMMENT_CHARS),
        };
        let average = stats.and_then(|stats| short(stats, "avg_rating", 10));
        (count > 0).then(|| Self { seen_at, count, average, latest: reviews.iter().take(MOST).map(review).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reviews_are_read_as_far_as_they_can_be() {
        let now = Time::from_unix(1_795_000_000);
        let of = |page: Value| Rating::of(page.as_object().unwrap(), now);
        assert_eq!((of(json!({})), of(json!({"reviews": null, "stats": {"review_count": 0}}))), (None, None));
        let review =
            |day: u8, stars: u8| json!({"rating": stars, "comment": "a\nb", "created_at": format!("2026-11-0{day}")});
        let rating = of(json!({"reviews": [review(1, 1), 7, review(3, 3)], "stats": {"avg_rating": 2.0}})).unwrap();
        assert_eq!((rating.count, rating.average.as_deref()), (2, Some("2.0")));
        assert_eq!((rating.latest[0].stars.as_str(), rating.latest[0].comment.as_deref()), ("3", Some("a b")));
    }
}
