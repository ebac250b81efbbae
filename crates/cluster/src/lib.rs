//! The Kubernetes API: transport, watches, patches, node, lease, tokens, events
