//! From a request's path to its row in the table.
//!
//! Segments are compared as they were sent and decoded one by one: an encoded slash never makes a segment, `.` and `..`
//! are none, and what is authorized is what is served.

use crate::catalog::routes::{ROUTES, Route, Server};

/// Longest path that is looked at, bytes: names have at most 253, and a path at most five of them.
const LONGEST: usize = 8 << 10;

/// What a path's variable segments are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// `{namespace}`.
    pub(super) namespace: String,
    /// `{pod}`.
    pub(super) pod: String,
    /// `{uid}`.
    pub(super) uid: Option<String>,
    /// `{container}`.
    pub(super) container: String,
    /// `{*…}`, decoded, without slashes at its ends.
    pub(super) rest: String,
}

/// A row and what the path says in it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) route: &'static Route,
    pub(super) parameters: Parameters,
}

/// The row of a path; a slash at its end changes nothing.
pub(super) fn find(path: &str) -> Option<Found> {
    if path.len() > LONGEST {
        return None;
    }
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments = path.split('/').map(decoded).collect::<Option<Vec<_>>>()?;
    let routes = ROUTES.iter().filter(|route| route.server == Server::Main);
    routes.into_iter().find_map(|route| {
        let parameters = matched(route.path, &segments)?;
        Some(Found { route, parameters })
    })
}

fn matched(pattern: &str, segments: &[String]) -> Option<Parameters> {
    let mut found = Parameters::default();
    let mut segments = segments.iter();
    for part in pattern.trim_matches('/').split('/') {
        if part.starts_with("{*") {
            found.rest = segments.as_slice().join("/");
            return Some(found);
        }
        let segment = segments.next()?;
        let into = match part {
            "{namespace}" => &mut found.namespace,
            "{pod}" => &mut found.pod,
            "{uid}" => found.uid.get_or_insert_default(),
            "{container}" => &mut found.container,
            literal if literal == segment => continue,
            _ => return None,
        };
        into.clone_from(segment);
    }
    segments.next().is_none().then_some(found)
}

/// A segment as it is meant; `None` for what is none.
fn decoded(segment: &str) -> Option<String> {
    let text = super::query::decoded(segment, super::query::Plus::IsPlus)?;
    let is_none = text.is_empty() || text == "." || text == ".." || text.contains(['/', '\0']);
    (!is_none).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::routes::{Access, Endpoint};

    fn endpoint(path: &str) -> Option<Endpoint> {
        find(path).map(|found| found.route.endpoint)
    }

    #[test]
    fn paths_find_their_row() {
        for (path, expected) in [
            ("/pods", Some(Endpoint::Pods)),
            ("/pods/", Some(Endpoint::Pods)),
            ("/runningpods/", Some(Endpoint::RunningPods)),
            ("/healthz/syncloop", Some(Endpoint::Health)),
            ("/healthz/nothing", None),
            ("/exec/ns/pod/c", Some(Endpoint::Exec)),
            ("/exec/ns/pod/uid/c", Some(Endpoint::Exec)),
            ("/exec/ns/pod", None),
            ("/exec/ns/pod/uid/c/d", None),
            ("/portForward/ns/pod", Some(Endpoint::PortForward)),
            ("/portForward/ns/pod/uid", Some(Endpoint::PortForward)),
            ("/containerLogs/ns/pod/c", Some(Endpoint::ContainerLogs)),
            ("/logs", Some(Endpoint::NodeLogs)),
            ("/logs/", Some(Endpoint::NodeLogs)),
            ("/logs/a/b.log", Some(Endpoint::NodeLogs)),
            ("/logs/../etc/shadow", None),
            ("/logs/%2e%2e/etc/shadow", None),
            ("/logs/a%2Fb", None),
            ("/logs/a%00b", None),
            ("//pods", None),
            ("/exec/ns//pod/c", None),
            ("/", None),
            ("", None),
            ("pods", None),
            ("/livez", None),
            ("/PODS", None),
        ] {
            assert_eq!(endpoint(path), expected, "{path}");
        }
        let found = find("/exec/n%73/pod/uid/c").unwrap().parameters;
        let parameters = Parameters {
            namespace: "ns".into(),
            pod: "pod".into(),
            uid: Some("uid".into()),
            container: "c".into(),
            rest: String::new(),
        };
        assert_eq!(found, parameters);
        assert_eq!(find("/logs/pods/x/0.log").unwrap().parameters.rest, "pods/x/0.log");
        assert!(find(&format!("/logs/{}", "x".repeat(LONGEST))).is_none());
    }

    #[test]
    fn only_the_health_server_lets_everyone_in() {
        for route in ROUTES {
            match route.access {
                Access::Address => assert_eq!(route.server, Server::Healthz, "{}", route.path),
                Access::Node(_, subresources) => assert!(!subresources.is_empty(), "{}", route.path),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_path_leads_out_of_its_segment(path in "(/[a-zA-Z%0-9./\\\\ü-]{0,12}){0,7}") {
            if let Some(found) = find(&path) {
                let Parameters { namespace, pod, uid, container, rest } = found.parameters;
                for one in [namespace, pod, uid.unwrap_or_default(), container] {
                    prop_assert!(!one.contains(['/', '\0']) && one != "..", "{path}: {one}");
                }
                prop_assert!(rest.split('/').all(|part| part != ".." && part != "."), "{path}: {rest}");
            }
        }
    }
}
