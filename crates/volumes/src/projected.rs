//! `projected` volumes: several sources in one set of files, with service account tokens among them.

use k8s_openapi::api::core::v1::{
    Container, Pod, ProjectedVolumeSource, ServiceAccountTokenProjection, VolumeProjection,
};
use lifecycle::spec::resource_ref::Allocatable;
use seams::{ObjectError, Objects};

use crate::{
    config_map, downward_api,
    error::{SetUpError, aggregate},
    payload::{Payload, Projection, file_mode},
    secret,
    tokens::{TokenKey, Tokens},
};

/// Tokens are for one user, or for the pod's group.
const TOKEN_MODE: u32 = 0o600;

/// What collecting needs.
pub(crate) struct Sources<'a> {
    /// The pod.
    pub(crate) pod: &'a Pod,
    /// Volume name.
    pub(crate) volume: &'a str,
    /// The API's objects; `None` without an API server.
    pub(crate) objects: Option<&'a dyn Objects>,
    /// Tokens in use.
    pub(crate) tokens: &'a Tokens,
    /// Of the node.
    pub(crate) allocatable: &'a Allocatable,
    /// What the volume holds already, by path.
    pub(crate) held: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// Wall clock.
    pub(crate) now: jiff::Timestamp,
}

/// The user that all containers of a pod run as, if the spec names one for each and it is the same.
pub(crate) fn single_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let own =
        |container: &Container| container.security_context.as_ref().and_then(|context| context.run_as_user);
    let ordinary = spec.init_containers.iter().flatten().chain(&spec.containers).map(own);
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let ephemeral = ephemeral
        .map(|container| container.security_context.as_ref().and_then(|context| context.run_as_user));
    let mut users = ordinary.chain(ephemeral).map(|own| own.or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok()).flatten()
}

impl Sources<'_> {
    fn api(&self) -> Result<&dyn Objects, SetUpError> {
        self.objects.ok_or_else(|| SetUpError::ProjectedNoApi { volume: self.volume.to_owned() })
    }

    fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    async fn token(
        &self,
        projection: &ServiceAccountTokenProjection,
        default_mode: i32,
    ) -> Result<Payload, SetUpError> {
        let spec = self.pod.spec.as_ref();
        let account = spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default();
        let key = TokenKey {
            pod_uid: self.pod.metadata.uid.clone().unwrap_or_default(),
            pod_name: self.pod.metadata.name.clone().unwrap_or_default(),
            namespace: self.namespace().to_owned(),
            service_account: account,
            audience: projection.audience.clone().unwrap_or_default(),
            seconds: projection.expiration_seconds,
        };
        let token = self.tokens.get(self.api()?, &key, || (self.held)(&projection.path), self.now).await?;
        let owner = single_user(self.pod);
        let group = spec.and_then(|spec| spec.security_context.as_ref()).and_then(|context| context.fs_group);
        // With a group, its ownership turns 0600 into 0640 later.
        let mode = if owner.is_some() || group.is_some() { TOKEN_MODE } else { file_mode(default_mode) };
        let file = Projection { data: token.into_bytes(), mode, owner };
        Ok([(projection.path.clone(), file)].into())
    }

    async fn source(&self, source: &VolumeProjection, default_mode: i32) -> Result<Payload, SetUpError> {
        let mode = Some(default_mode);
        if let Some(projection) = &source.secret {
            let optional = projection.optional == Some(true);
            let items = projection.items.as_deref().unwrap_or_default();
            return match self.api()?.secret(self.namespace(), &projection.name).await {
                Ok(found) => secret::payload(items, &found, mode, optional),
                Err(ObjectError::NotFound { .. }) if optional => {
                    secret::payload(items, &Default::default(), mode, optional)
                }
                Err(error) => Err(SetUpError::Object(error)),
            };
        }
        if let Some(projection) = &source.config_map {
            let optional = projection.optional == Some(true);
            let items = projection.items.as_deref().unwrap_or_default();
            return match self.api()?.config_map(self.namespace(), &projection.name).await {
                Ok(found) => config_map::payload(items, &found, mode, optional),
                Err(ObjectError::NotFound { .. }) if optional => {
                    config_map::payload(items, &Default::default(), mode, optional)
                }
                Err(error) => Err(SetUpError::Object(error)),
            };
        }
        if let Some(projection) = &source.downward_api {
            let items = projection.items.as_deref().unwrap_or_default();
            return downward_api::payload(items, self.pod, self.allocatable, mode);
        }
        if let Some(projection) = &source.service_account_token {
            return self.token(projection, default_mode).await;
        }
        let unsupported = |kind: &str| {
            let text =
                format!("projected source {kind} is not supported by this kubelet yet (docs/compat.md)");
            Err(SetUpError::Unsupported(text))
        };
        if source.cluster_trust_bundle.is_some() {
            return unsupported("clusterTrustBundle");
        }
        if source.pod_certificate.is_some() {
            return unsupported("podCertificate");
        }
        Ok(Payload::new())
    }

    /// Files of all sources, a later one over an earlier one of the same path; all errors together.
    pub(crate) async fn collect(&self, projected: &ProjectedVolumeSource) -> Result<Payload, SetUpError> {
        let default_mode = projected.default_mode.ok_or(SetUpError::NoDefaultMode)?;
        let mut payload = Payload::new();
        let mut errors = Vec::new();
        for source in projected.sources.iter().flatten() {
            match self.source(source, default_mode).await {
                Ok(files) => payload.extend(files),
                Err(error) => errors.push(error),
            }
        }
        match aggregate(errors) {
            None => Ok(payload),
            Some(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_single_user_of_a_pod() {
        let run = |spec: serde_json::Value| {
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            single_user(&pod)
        };
        let as_user = |user: i64| json!({"name": "c", "securityContext": {"runAsUser": user}});
        assert_eq!(run(json!({"containers": [{"name": "c"}]})), None);
        assert_eq!(run(json!({"containers": [as_user(7)]})), Some(7));
        assert_eq!(run(json!({"containers": [as_user(0)]})), Some(0));
        assert_eq!(run(json!({"containers": [as_user(7), {"name": "d"}]})), None);
        assert_eq!(
            run(json!({"securityContext": {"runAsUser": 7}, "containers": [as_user(7), {"name": "d"}]})),
            Some(7)
        );
        assert_eq!(run(json!({"containers": [as_user(7)], "initContainers": [as_user(8)]})), None);
        assert_eq!(run(json!({"containers": []})), None);
    }
}
