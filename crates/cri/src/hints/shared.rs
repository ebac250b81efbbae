//! Runtimes whose event stream cannot be trusted, however open it is.
//!
//! containerd before 2 has one channel of events for all who ask for them, and gives each event to one of them: to a crictl
//! that watches too, or to the stream of a kubelet that was killed, of which it learns only by failing to send to it.

use metrics::runtime::Operation;
use proto::cri::VersionRequest;

use crate::client::{Client, Deadline};

/// Who gets an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    /// Everyone who asked.
    Own,
    /// One of those who asked.
    Shared,
}

/// Asks the runtime what it is. One that does not answer is asked for its events all the same: they are what tells when it
/// is back.
pub(super) async fn streams_of(client: &Client) -> Streams {
    let request = VersionRequest::default();
    let answer = client
        .runtime(Operation::Version, Deadline::Default, request, async |mut c, r| c.version(r).await)
        .await;
    answer.map_or(Streams::Own, |answer| of(&answer.runtime_name, &answer.runtime_version))
}

fn of(name: &str, version: &str) -> Streams {
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if name == "containerd" && major.is_some_and(|major| major < 2) { Streams::Shared } else { Streams::Own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerd_shares_its_events_before_version_2() {
        for version in ["1.6.20~ds1", "v1.7.24", "1.7.0-rc.1"] {
            assert_eq!(of("containerd", version), Streams::Shared, "{version}");
        }
        for version in ["v2.0.0", "2.1.4", "10.0.0", "", "main"] {
            assert_eq!(of("containerd", version), Streams::Own, "{version}");
        }
        assert_eq!(of("cri-o", "1.31.0"), Streams::Own);
    }
}
