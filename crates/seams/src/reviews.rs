//! What the API server says about callers of the node's own API: who they are and what they may do.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::ApiError;

/// Somebody who asks. Names and groups are the API's.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User {
    /// Name.
    pub name: String,
    /// Uid; often empty.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What else an authenticator told.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What is asked for: a verb on a subresource of one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeAccess {
    /// API verb: `get`, `create`, …; empty for a method that has none.
    pub verb: &'static str,
    /// `proxy`, `log`, `metrics`, …
    pub subresource: &'static str,
    /// Name of the node.
    pub node: String,
}

/// The reviews. Each call has a deadline of its own and is not rate limited with the node's other calls: whoever sends
/// bad tokens must not be able to hold back statuses.
#[async_trait]
pub trait Reviews: Send + Sync + 'static {
    /// TokenReview: whose token this is; `None` when it is nobody's.
    async fn token(&self, token: &str) -> Result<Option<User>, ApiError>;
    /// SubjectAccessReview: whether the user may.
    async fn access(&self, user: &User, access: &NodeAccess) -> Result<bool, ApiError>;
}
