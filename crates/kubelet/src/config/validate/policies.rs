//! Choices among words: policies, modes, formats, and the gates that they need.

use super::Checks;
use crate::gates::Gate;

const CIPHERS: [&str; 26] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
];

/// Key exchange groups that Go 1.26 knows, by IANA number: P-256, P-384, P-521, X25519, the two ML-KEM hybrids with
/// NIST curves, X25519MLKEM768.
const CURVES: [i32; 7] = [23, 24, 25, 29, 4587, 4589, 4588];

pub(super) fn check(checks: &mut Checks<'_>) {
    managers(checks);
    server(checks);
    images(checks);
    memory(checks);
    logging(checks);
    tracing(checks);
    others(checks);
}

fn managers(checks: &mut Checks<'_>) {
    let config = checks.config;
    for (path, value, options) in [
        (
            "topologyManagerPolicy",
            &config.topology_manager_policy,
            &["none", "best-effort", "restricted", "single-numa-node"][..],
        ),
        ("topologyManagerScope", &config.topology_manager_scope, &["container", "pod"]),
    ] {
        if !options.contains(&value.as_str()) {
            let list = options.iter().map(|option| format!("{option:?}")).collect::<Vec<_>>().join(" ");
            let must = format!("must be one of: [{list}]");
            checks.must(path, format!("{value:?}"), &must, "write one of these words");
        }
    }
    for (path, value, options) in [
        ("cpuManagerPolicy", &config.cpu_manager_policy, ["none", "static"]),
        ("memoryManagerPolicy", &config.memory_manager_policy, ["None", "Static"]),
    ] {
        if !options.contains(&value.as_str()) {
            let cause = format!("invalid configuration: {}: unknown policy: {value:?}", Checks::called(path));
            checks.fail(path, cause, format!("write {} or {}", options[0], options[1]));
        }
    }
}

fn server(checks: &mut Checks<'_>) {
    let config = checks.config;
    if config.server_tls_bootstrap && !checks.on(Gate::RotateKubeletServerCertificate) {
        let cause = "invalid configuration: serverTLSBootstrap true requires feature gate RotateKubeletServerCertificate";
        checks.fail("serverTLSBootstrap", cause, "enable the gate, or delete the field");
    }
    for (missing, path, given) in [
        (config.tls_cert_file.is_empty(), "tlsCertFile", &config.tls_private_key_file),
        (config.tls_private_key_file.is_empty(), "tlsPrivateKeyFile", &config.tls_cert_file),
    ] {
        // One alone would serve a self-signed certificate in its place, which nobody asked for.
        if missing && !given.is_empty() {
            let cause = format!(
                "invalid configuration: {} must be specified together with {given:?}: a certificate and its key",
                Checks::called(path)
            );
            checks.fail(path, cause, "name both files, or neither for a self-signed certificate");
        }
    }
    match config.authorization.mode.as_str() {
        "AlwaysAllow" | "Webhook" => {}
        "" => checks.fail("authorization.mode", "no authorization mode specified", "write Webhook"),
        mode => {
            let cause = format!("unknown authorization mode {mode}");
            checks.fail("authorization.mode", cause, "write Webhook, or AlwaysAllow to check nothing");
        }
    }
    for cipher in &config.tls_cipher_suites {
        if !CIPHERS.contains(&cipher.as_str()) {
            let cause = format!("Cipher suite {cipher} not supported or doesn't exist");
            let hint = match crate::flags::nearest(cipher, CIPHERS.into_iter()) {
                Some(close) => format!("did you mean {close}?"),
                None => "delete the entry".to_owned(),
            };
            checks.fail("tlsCipherSuites", cause, hint);
        }
    }
    let version = config.tls_min_version.as_str();
    if !matches!(version, "" | "VersionTLS10" | "VersionTLS11" | "VersionTLS12" | "VersionTLS13") {
        checks.fail(
            "tlsMinVersion",
            format!("unknown tls version {version:?}"),
            "write VersionTLS12 or VersionTLS13",
        );
    }
    for (index, curve) in config.tls_curve_preferences.iter().enumerate() {
        let cause = match *curve {
            curve if !(1..=65535).contains(&curve) => {
                format!("curve preference {curve} is out of range (must be 1-65535)")
            }
            curve if config.tls_curve_preferences[..index].contains(&curve) => {
                format!("duplicate curve preference {curve}")
            }
            curve if !CURVES.contains(&curve) => {
                format!("curve preference {curve} is not supported by the current Go version")
            }
            _ => continue,
        };
        checks.fail(
            "tlsCurvePreferences",
            cause,
            "use each of 23, 24, 25, 29, 4587, 4588, 4589 once at most",
        );
    }
    if config.enable_system_log_query && !checks.on(Gate::NodeLogQuery) {
        let cause = "invalid configuration: NodeLogQuery feature gate is required for enableSystemLogQuery";
        checks.fail("enableSystemLogQuery", cause, "enable the gate, or delete the field");
    }
    if config.enable_system_log_query && !config.enable_system_log_handler {
        let cause = "invalid configuration: enableSystemLogHandler is required for enableSystemLogQuery";
        checks.fail("enableSystemLogQuery", cause, "set enableSystemLogHandler: true as well");
    }
}

fn images(checks: &mut Checks<'_>) {
    let config = checks.config;
    let policy = config.image_pull_credentials_verification_policy.as_str();
    let allowlist = &config.preloaded_images_verification_allowlist;
    let path = "preloadedImagesVerificationAllowlist";
    if !checks.on(Gate::KubeletEnsureSecretPulledImages) {
        for (set, path) in
            [(!policy.is_empty(), "imagePullCredentialsVerificationPolicy"), (!allowlist.is_empty(), path)]
        {
            if set {
                let cause = format!(
                    "invalid configuration: `{path}` must not be set if KubeletEnsureSecretPulledImages feature gate is not enabled"
                );
                checks.fail(path, cause, "enable the gate, or delete the field");
            }
        }
        return;
    }
    let options =
        ["NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages", "AlwaysVerify"];
    checks.one_of("imagePullCredentialsVerificationPolicy", policy, &options);
    if !allowlist.is_empty() && policy != "NeverVerifyAllowlistedImages" {
        let cause = "invalid configuration: can't set `preloadedImagesVerificationAllowlist` if `imagePullCredentialsVertificationPolicy` is not \"NeverVerifyAllowlistedImages\"";
        checks.fail(path, cause, "set the policy, or delete the list");
        return;
    }
    for pattern in allowlist {
        if let Some(cause) = image_pattern_problem(pattern) {
            let cause = format!(
                "invalid configuration: invalid image pattern in `preloadedImagesVerificationAllowlist`: {cause}"
            );
            checks.fail(path, cause, "write an image without tag and digest, or a prefix that ends in /*");
        }
    }
}

fn image_pattern_problem(pattern: &str) -> Option<String> {
    let image = pattern.strip_suffix('*').filter(|image| image.ends_with('/')).unwrap_or(pattern);
    let last = image.rsplit('/').next().unwrap_or_default();
    if pattern.trim() != pattern {
        Some(format!("leading/trailing spaces are not allowed: {pattern}"))
    } else if image.is_empty() {
        Some(format!("the supplied pattern is too short: {pattern}"))
    } else if image.contains('*') {
        Some(format!("not a valid wildcard pattern, only patterns ending with '/*' are allowed: {pattern}"))
    } else if image == "/" {
        Some("at least registry hostname is required".to_owned())
    } else if last.contains(':') || image.contains('@') {
        Some(format!("neither tag nor digest is accepted in an image reference: {pattern}"))
    } else {
        None
    }
}

fn memory(checks: &mut Checks<'_>) {
    let config = checks.config;
    let policy = config.memory_reservation_policy.as_str();
    if policy == "TieredReservation" && !checks.on(Gate::MemoryQoS) {
        let cause = "invalid configuration: memoryReservationPolicy \"TieredReservation\" requires MemoryQoS feature gate to be enabled";
        checks.fail("memoryReservationPolicy", cause, "enable the gate, or write None");
    }
    checks.one_of("memoryReservationPolicy", policy, &["None", "TieredReservation"]);
    let swap = config.memory_swap.swap_behavior.as_str();
    if !matches!(swap, "" | "NoSwap" | "LimitedSwap") {
        let cause = format!(
            "invalid configuration: memorySwap.swapBehavior {swap:?} must be one of: \"\", \"LimitedSwap\" or \"NoSwap\""
        );
        checks.fail("memorySwap.swapBehavior", cause, "write one of these words");
    }
}

fn logging(checks: &mut Checks<'_>) {
    let logging = &checks.config.logging;
    if logging.flush_frequency.nanos() <= 0 {
        let cause = format!(
            "logging.flushFrequency: Invalid value: {:?}: Must be greater than zero",
            logging.flush_frequency.to_string()
        );
        checks.fail("logging.flushFrequency", cause, "write a duration such as 5s");
    }
    match logging.format.as_str() {
        "text" => {}
        "json" if !checks.on(Gate::LoggingBetaOptions) => {
            let cause =
                "logging.format: Forbidden: Log format json is disabled, see LoggingBetaOptions feature";
            checks.fail("logging.format", cause, "enable the gate, or write text");
        }
        "json" => {}
        other => {
            let cause = format!("logging.format: Invalid value: {other:?}: Unsupported log format");
            checks.fail("logging.format", cause, "write text or json");
        }
    }
    let most = i32::MAX.unsigned_abs();
    if logging.verbosity > most {
        let cause = format!("logging.verbosity: Invalid value: {}: Must be <= {most}", logging.verbosity);
        checks.fail("logging.verbosity", cause, "10 is more than any message needs");
    }
    if !logging.vmodule.is_empty() && logging.format != "text" {
        let cause = "logging.vmodule: Forbidden: Only supported for text log format";
        checks.fail("logging.vmodule", cause, "delete vmodule, or use format text");
    }
    for (index, item) in logging.vmodule.iter().enumerate() {
        let path = format!("logging.vmodule[{index}]");
        if item.file_pattern.is_empty() {
            let cause = format!("{path}: Required value: File pattern must not be empty");
            checks.fail("logging.vmodule", cause, "name a source file without its extension");
        } else if item.file_pattern.contains(['=', ',']) {
            let cause = format!(
                "{path}: Invalid value: {:?}: File pattern must not contain equal sign or comma",
                item.file_pattern
            );
            checks.fail("logging.vmodule", cause, "write one item per file");
        } else if item.verbosity > most {
            let cause = format!("{path}: Invalid value: {}: Must be <= {most}", item.verbosity);
            checks.fail("logging.vmodule", cause, "10 is more than any message needs");
        }
    }
    if checks.on(Gate::LoggingAlphaOptions) {
        return;
    }
    for (format, routing) in [("text", &logging.options.text), ("json", &logging.options.json)] {
        let buffered = !matches!(routing.info_buffer_size.as_str(), "" | "0");
        for (set, field) in [(routing.split_stream, "splitStream"), (buffered, "infoBufferSize")] {
            if set {
                let path = format!("logging.options.{format}.{field}");
                let cause = format!("{path}: Forbidden: Feature LoggingAlphaOptions is disabled");
                checks.fail(&path, cause, "enable the gate, or delete the field");
            }
        }
    }
}

fn tracing(checks: &mut Checks<'_>) {
    let Some(tracing) = &checks.config.tracing else { return };
    if let Some(rate) = tracing.sampling_rate_per_million {
        let problem = match rate {
            rate if rate < 0 => "sampling rate must be positive",
            rate if rate > 1_000_000 => "sampling rate per million must be less than or equal to one million",
            _ => "",
        };
        if !problem.is_empty() {
            let cause = format!("tracing.samplingRatePerMillion: Invalid value: {rate}: {problem}");
            checks.fail("tracing.samplingRatePerMillion", cause, "write 0 to 1000000");
        }
    }
    let scheme =
        tracing.endpoint.as_deref().and_then(|endpoint| endpoint.split_once("//")).map(|(scheme, _)| scheme);
    if let Some(scheme) = scheme.filter(|scheme| !matches!(*scheme, "dns:" | "unix:" | "unix-abstract:")) {
        let endpoint = tracing.endpoint.as_deref().unwrap_or_default();
        let scheme = scheme.trim_end_matches(':');
        let cause = format!(
            "tracing.endpoint: Invalid value: {endpoint:?}: unsupported scheme: {scheme}.  Options are none, dns, unix, or unix-abstract."
        );
        checks.fail("tracing.endpoint", cause, "write host:port");
    }
}

fn others(checks: &mut Checks<'_>) {
    let config = checks.config;
    if config.run_once {
        let cause = "invalid configuration: runOnce (--runOnce) true, Runonce mode has been deprecated and should not be set";
        checks.fail(
            "runOnce",
            cause,
            "delete it; use Jobs, or start the containers with the runtime's own tools",
        );
    }
    checks.one_of("hairpinMode", &config.hairpin_mode, &["none", "hairpin-veth", "promiscuous-bridge"]);
    if !matches!(config.cgroup_driver.as_str(), "cgroupfs" | "systemd") {
        let cause = format!(
            "invalid configuration: {} {:?} must be \"cgroupfs\" or \"systemd\"",
            Checks::called("cgroupDriver"),
            config.cgroup_driver
        );
        checks.fail("cgroupDriver", cause, "write the driver that the container runtime uses");
    }
    let strategy = config.config_map_and_secret_change_detection_strategy.as_str();
    if !matches!(strategy, "Watch" | "Cache" | "Get") {
        let cause = format!("unknown configmap and secret manager mode: {strategy}");
        checks.fail("configMapAndSecretChangeDetectionStrategy", cause, "write Watch, Cache or Get");
    }
    let hidden = config.show_hidden_metrics_for_version.as_str();
    if !matches!(hidden, "" | "1.36") {
        let cause = format!(
            "invalid showHiddenMetricsForVersion: showHiddenMetricsForVersion: Invalid value: {hidden:?}: must be omitted or have the value '1.36'; only the previous minor version is allowed"
        );
        checks.fail("showHiddenMetricsForVersion", cause, "delete the field, or write \"1.36\" in quotes");
    }
}
