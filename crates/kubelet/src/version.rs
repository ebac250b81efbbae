//! Which release we stand in for, and which build we are.

/// Upstream release whose behaviour this program has. Tools parse it out of `--version` and the node object.
pub const KUBERNETES: &str = "v1.37.2";

/// `--version`. `reported` is the release that `--version=vX.Y.Z` names.
#[must_use]
pub fn line(reported: &str) -> String {
    format!("Kubernetes {reported}")
}

/// `--version=raw`.
#[must_use]
pub fn raw() -> String {
    format!(
        "version.Info{{Major:\"1\", Minor:\"37\", GitVersion:\"{KUBERNETES}\", Platform:\"{}/{}\"}} kubelet-rs {} ({})",
        std::env::consts::OS,
        architecture(),
        env!("CARGO_PKG_VERSION"),
        if cfg!(debug_assertions) { "debug build" } else { "release build" },
    )
}

/// Kubernetes' name of the architecture: `amd64`.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}
