//! stub
use crate::order::{Odd, Order};
/// stub
#[derive(Debug, Default, Clone)]
pub struct Listing {
    /// stub
    pub orders: Vec<Order>,
    /// stub
    pub odd: Vec<Odd>,
}
