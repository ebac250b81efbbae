//! DNS of a pod (contract §12).

/// What goes into CRI `dns_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// Name servers, at most 3.
    pub servers: Vec<String>,
    /// Search domains, at most 32.
    pub searches: Vec<String>,
    /// Options, `name` or `name:value`.
    pub options: Vec<String>,
}
