//! [`seams::Reviews`]: TokenReview and SubjectAccessReview.
//!
//! They go over the heartbeat client: it has no rate limit and a short deadline. The server that asks bounds how many
//! are under way.

use async_trait::async_trait;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use seams::{
    ApiError, Reviews,
    reviews::{NodeAccess, User},
};

use crate::ApiCluster;

const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

#[async_trait]
impl Reviews for ApiCluster {
    async fn token(&self, token: &str) -> Result<Option<User>, ApiError> {
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let answer: TokenReview = self.heartbeat.create(TOKENS, &review).await?;
        Ok(answer.status.filter(|status| status.authenticated == Some(true)).and_then(|status| {
            let user = status.user?;
            Some(User {
                name: user.username.unwrap_or_default(),
                uid: user.uid.unwrap_or_default(),
                groups: user.groups.unwrap_or_default(),
                extra: user.extra.unwrap_or_default(),
            })
        }))
    }

    async fn access(&self, user: &User, access: &NodeAccess) -> Result<bool, ApiError> {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: some(&user.name),
                uid: some(&user.uid),
                groups: Some(user.groups.clone()),
                extra: Some(user.extra.clone()).filter(|extra| !extra.is_empty()),
                resource_attributes: Some(ResourceAttributes {
                    verb: some(access.verb),
                    version: some("v1"),
                    resource: some("nodes"),
                    subresource: some(access.subresource),
                    name: some(&access.node),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer: SubjectAccessReview = self.heartbeat.create(ACCESS, &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
    }
}
