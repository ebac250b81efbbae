//! The node's own check of its resolver file: told once at start, before the first pod trips over it (contract §28).

use std::path::Path;

use lifecycle::{
    reason::go_error::go_error,
    spec::dns::{self, ResolvConf},
};

use crate::{config::AgentConfig, events::EventSink};

/// Reason of the event.
const REASON: &str = "CheckLimitsForResolvConf";

/// The file's text. What is no UTF-8 in it can only be in a comment, or in a name that no resolver finds: neither is a
/// reason to start no pod.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read(path: &Path) -> std::io::Result<String> {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Records what is wrong with the file, if anything is.
pub(crate) fn check(config: &AgentConfig, events: &EventSink) {
    let Some(path) = &config.resolv_conf else { return };
    let path = path.display().to_string();
    let problem = match read(Path::new(&path)) {
        Err(error) => {
            tracing::warn!(path, %error, "Cannot read the node's resolver file\nhint: pods with dnsPolicy Default or ClusterFirst cannot start; resolvConf names the file");
            Some(format!("open {path}: {}", go_error(&error)))
        }
        Ok(text) => match dns::parse_resolv_conf(&text) {
            Err(error) => Some(error.to_string()),
            Ok(ResolvConf::Unset) => None,
            Ok(ResolvConf::File(file)) => dns::check_limits(&path, &file, &config.cluster_dns),
        },
    };
    if let Some(problem) = problem {
        events.record_node(true, REASON, problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_may_be_in_any_encoding() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        std::fs::write(&path, b"# K\xf6ln\nnameserver 192.0.2.53\n").unwrap();
        let Ok(ResolvConf::File(file)) = dns::parse_resolv_conf(&read(&path).unwrap()) else {
            panic!("a file")
        };
        assert_eq!(file.servers, ["192.0.2.53"]);
        assert!(read(&dir.path().join("none")).is_err());
    }
}
