//! The node's own check of its resolver file: told once at start, before the first pod trips over it (contract §28).

use lifecycle::spec::dns::{self, ResolvConf};

use crate::{config::AgentConfig, events::EventSink};

/// Reason of the event.
const REASON: &str = "CheckLimitsForResolvConf";

/// Records what is wrong with the file, if anything is.
pub(crate) fn check(config: &AgentConfig, events: &EventSink) {
    let Some(path) = &config.resolv_conf else { return };
    let path = path.display().to_string();
    let problem = match std::fs::read_to_string(&path) {
        Err(error) => {
            tracing::warn!(path, %error, "Cannot read the node's resolver file\nhint: pods with dnsPolicy Default or ClusterFirst cannot start; resolvConf names the file");
            Some(format!("open {path}: {error}"))
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
