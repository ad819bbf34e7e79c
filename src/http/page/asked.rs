//! A request for a page, taken apart.

use crate::api::Query;
use crate::http::visitor::Visitor;

/// A request for a page.
pub struct Asked<'a> {
    /// The path, in its parts.
    pub parts: &'a [&'a str],
    /// The parameters.
    pub query: &'a Query,
    /// Where a stream goes on that was cut: the id of its last event.
    pub last_event: Option<&'a str>,
    /// Who asks.
    pub visitor: &'a Visitor,
}
