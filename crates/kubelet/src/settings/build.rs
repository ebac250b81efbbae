//! From the effective configuration and the flags to [`Settings`]. Runs after validation: what validation accepts, this
//! can read; what it cannot is reported and not guessed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::Taint;
use node::quantity::Quantity;
use serde_json::Value;

use super::{
    ApiSettings, CgroupDriver, CloudProvider, ContainerGc, ContainerLogs, DEFAULT_PARALLEL_PULLS,
    EvictionSettings, Heartbeat, ImageSettings, NodeIps, NodeSettings, Paths, PodSettings, ProcessSettings,
    Pulls, Rate, Registration, Reserved, ResourceSettings, RuntimeSettings, ServerSettings, Settings,
    StaticPods, StatsSettings,
};
use crate::{
    config::{
        KubeletConfiguration, Loaded,
        load::absolute,
        problem::{Problem, Stage},
        validate::node_ips,
    },
    cpuset,
    duration::GoDuration,
    flags::{RawFlags, value::parse_ip},
    process,
    thresholds::{self, Statements},
    version,
};

/// Requests a second, and at once, of a client-go client that is told zero: its `DefaultQPS` and `DefaultBurst`.
const CLIENT_GO_QPS: i32 = 5;
const CLIENT_GO_BURST: u32 = 10;

/// Builds the settings from what [`crate::config::validate`] has accepted.
///
/// # Errors
/// Values that cannot be read; after validation this means a rule is missing there.
pub fn build(loaded: Loaded, flags: &RawFlags) -> Result<Settings, Vec<Problem>> {
    let config = &loaded.config;
    let path_of = |name: &str| flags.text(name).map(absolute);
    let name = match flags.text("hostname-override") {
        Some(name) => name.trim().to_lowercase(),
        None => process::host_name(),
    };
    let heartbeat = Heartbeat {
        update: config.node_status_update_frequency.to_std(),
        report: config.node_status_report_frequency.to_std(),
        lease: Duration::from_secs(u64::from(unsigned(config.node_lease_duration_seconds))),
        max_images: u32::try_from(config.node_status_max_images).ok(),
    };
    let api = path_of("kubeconfig").map(|kubeconfig| ApiSettings {
        kubeconfig,
        bootstrap_kubeconfig: path_of("bootstrap-kubeconfig"),
        rotate_certificates: config.rotate_certificates,
        // Zero means client-go's own rate there, and a burst of zero its own burst.
        rate: match config.kube_api_qps {
            0 => rate(CLIENT_GO_QPS, config.kube_api_burst, CLIENT_GO_BURST),
            qps => rate(qps, config.kube_api_burst, CLIENT_GO_BURST),
        },
        event_rate: rate(config.event_record_qps, config.event_burst, CLIENT_GO_BURST),
        heartbeat_timeout: heartbeat.update.min(heartbeat.lease),
    });
    let settings = Settings {
        node: NodeSettings {
            hostname: name.clone(),
            name,
            ips: ips(flags),
            labels: text_map(flags.values.get("node-labels")),
            taints: taints(config),
            register: if config.register_node { Registration::Register } else { Registration::Wait },
            cloud: match flags.text("cloud-provider") {
                Some(_) => CloudProvider::External,
                None => CloudProvider::None,
            },
            provider_id: filled(&config.provider_id),
            controller_attaches_volumes: config.enable_controller_attach_detach,
            pod_cidr: filled(&config.pod_cidr),
        },
        api,
        paths: Paths {
            root: path_of("root-dir").unwrap_or_else(|| PathBuf::from("/var/lib/kubelet")),
            certificates: path_of("cert-dir").unwrap_or_else(|| PathBuf::from("/var/lib/kubelet/pki")),
            pod_logs: absolute(&config.pod_logs_dir),
            volume_plugins: absolute(&config.volume_plugin_dir),
            resolv_conf: file(&config.resolv_conf),
            credential_providers: path_of("image-credential-provider-config")
                .zip(path_of("image-credential-provider-bin-dir")),
        },
        static_pods: StaticPods {
            path: file(&config.static_pod_path),
            file_check: config.file_check_frequency.to_std(),
            url: filled(&config.static_pod_url),
            headers: config
                .static_pod_url_header
                .iter()
                .flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone())))
                .collect(),
            http_check: config.http_check_frequency.to_std(),
        },
        runtime: RuntimeSettings {
            socket: socket(&config.container_runtime_endpoint),
            image_socket: match config.image_service_endpoint.as_str() {
                "" => socket(&config.container_runtime_endpoint),
                endpoint => socket(endpoint),
            },
            request_timeout: config.runtime_request_timeout.to_std(),
            cgroup: flags.text("runtime-cgroups").map(str::to_owned),
        },
        heartbeat,
        pods: pods(config, flags),
        images: images(&loaded),
        resources: resources(config, flags)?,
        eviction: eviction(config)?,
        container_gc: ContainerGc {
            min_age: duration(flags, "minimum-container-ttl-duration", Duration::ZERO),
            per_container: limit(flags, "maximum-dead-containers-per-container", 1),
            on_node: limit(flags, "maximum-dead-containers", -1),
        },
        container_logs: ContainerLogs {
            max_size: quantity("containerLogMaxSize", &config.container_log_max_size)
                .map(|size| u64::try_from(size.value()).ok())?,
            max_files: unsigned(config.container_log_max_files),
            workers: unsigned(config.container_log_max_workers),
            interval: config.container_log_monitor_interval.to_std(),
        },
        server: server(config),
        stats: StatsSettings {
            volume_period: Some(config.volume_stats_agg_period)
                .filter(|period| *period > GoDuration::ZERO)
                .map(GoDuration::to_std),
        },
        process: ProcessSettings {
            healthz: listen(&config.healthz_bind_address, config.healthz_port),
            oom_score_adj: config.oom_score_adj,
            max_open_files: u64::try_from(config.max_open_files).unwrap_or(0),
            lock_file: path_of("lock-file"),
            exit_on_lock_contention: flags.is_on("exit-on-lock-contention"),
            logging: config.logging.clone(),
            housekeeping: duration(flags, "housekeeping-interval", Duration::from_secs(10)),
        },
        gates: loaded.gates,
        reported_version: match flags.text("version") {
            Some(release) if release.starts_with('v') => release.to_owned(),
            _ => version::KUBERNETES.to_owned(),
        },
        flagz: flags.lines().collect(),
        config: Arc::new(KubeletConfiguration::default()),
    };
    Ok(Settings { config: Arc::new(loaded.config), ..settings })
}

fn pods(config: &KubeletConfiguration, flags: &RawFlags) -> PodSettings {
    PodSettings {
        max: unsigned(config.max_pods),
        max_per_core: Some(unsigned(config.pods_per_core)).filter(|pods| *pods > 0),
        pids_limit: Some(config.pod_pids_limit).filter(|limit| *limit > 0),
        sync: config.sync_frequency.to_std(),
        max_restart_delay: config
            .crash_loop_back_off
            .max_container_restart_period
            .map_or(Duration::from_secs(300), GoDuration::to_std),
        seccomp_default: config.seccomp_default || flags.is_on("seccomp-default"),
        cpu_quota_period: config.cpu_cfs_quota.then(|| config.cpu_cfs_quota_period.to_std()),
        allowed_unsafe_sysctls: config.allowed_unsafe_sysctls.clone(),
        default_sysctls: config.default_pod_sysctls.clone(),
        cluster_dns: config.cluster_dns.iter().filter_map(|text| parse_ip(text)).collect(),
        cluster_domain: filled(&config.cluster_domain),
        ids_per_pod: config
            .user_namespaces
            .as_ref()
            .and_then(|namespaces| namespaces.ids_per_pod)
            .and_then(|ids| u32::try_from(ids).ok())
            .unwrap_or(65536),
    }
}

fn images(loaded: &Loaded) -> ImageSettings {
    let config = &loaded.config;
    let asked = loaded.sources.is_set("serializeImagePulls") || config.max_parallel_image_pulls.is_some();
    let most = config.max_parallel_image_pulls.map(unsigned);
    ImageSettings {
        pulls: match (asked, config.serialize_image_pulls, most) {
            (false, _, _) => Pulls::Parallel(DEFAULT_PARALLEL_PULLS),
            (true, true, _) | (true, false, Some(1)) => Pulls::Serial,
            (true, false, Some(most)) => Pulls::Parallel(most),
            (true, false, None) => Pulls::Unlimited,
        },
        rate: rate(config.registry_pull_qps, config.registry_burst, 10),
        min_age: config.image_minimum_gc_age.to_std(),
        max_age: Some(config.image_maximum_gc_age.to_std()).filter(|age| *age > Duration::ZERO),
        high_percent: u8::try_from(config.image_gc_high_threshold_percent).unwrap_or(100),
        low_percent: u8::try_from(config.image_gc_low_threshold_percent).unwrap_or(100),
    }
}

fn resources(config: &KubeletConfiguration, flags: &RawFlags) -> Result<ResourceSettings, Vec<Problem>> {
    let reserved_cpus = cpuset::parse(&config.reserved_system_cpus)
        .map_err(|cause| vec![unreadable("reservedSystemCPUs", cause)])?;
    let mut system_reserved = reserved("systemReserved", &config.system_reserved)?;
    let mut kube_reserved = reserved("kubeReserved", &config.kube_reserved)?;
    if !reserved_cpus.is_empty() {
        let cpus = i64::try_from(reserved_cpus.len()).unwrap_or(i64::MAX / 1000);
        system_reserved.cpu_milli = Some(cpus * 1000);
        kube_reserved.cpu_milli = None;
    }
    Ok(ResourceSettings {
        cgroup_driver: match config.cgroup_driver.as_str() {
            "systemd" => CgroupDriver::Systemd,
            _ => CgroupDriver::Cgroupfs,
        },
        cgroup_root: filled(&config.cgroup_root).unwrap_or_else(|| "/".to_owned()),
        cgroups_per_qos: config.cgroups_per_qos,
        system_reserved,
        kube_reserved,
        reserved_cpus,
        enforce_pods: config.enforce_node_allocatable.iter().any(|level| level == "pods"),
        allocatable_ignores_eviction: flags.is_on("experimental-allocatable-ignore-eviction"),
        fail_swap_on: config.fail_swap_on,
        protect_kernel_defaults: config.protect_kernel_defaults,
        local_storage_isolation: config.local_storage_capacity_isolation,
    })
}

fn reserved(field: &str, map: &BTreeMap<String, String>) -> Result<Reserved, Vec<Problem>> {
    let mut reserved = Reserved::default();
    for (resource, amount) in map {
        let quantity = quantity(&format!("{field}.{resource}"), amount)?;
        match resource.as_str() {
            "cpu" => reserved.cpu_milli = Some(quantity.nearest_milli()),
            "memory" => reserved.memory = Some(quantity.value()),
            "ephemeral-storage" => reserved.ephemeral_storage = Some(quantity.value()),
            "pid" => reserved.pids = Some(quantity.value()),
            _ => return Err(vec![unreadable(field, format!("cannot reserve {resource:?} resource"))]),
        }
    }
    Ok(reserved)
}

fn eviction(config: &KubeletConfiguration) -> Result<EvictionSettings, Vec<Problem>> {
    let statements = Statements {
        hard: &config.eviction_hard,
        soft: &config.eviction_soft,
        grace: &config.eviction_soft_grace_period,
        reclaim: &config.eviction_minimum_reclaim,
    };
    let thresholds = thresholds::parse(statements)
        .map_err(|bad| bad.into_iter().map(|bad| unreadable(bad.field, bad.cause)).collect::<Vec<_>>())?;
    Ok(EvictionSettings {
        thresholds,
        pressure_transition: config.eviction_pressure_transition_period.to_std(),
        max_pod_grace_seconds: i64::from(config.eviction_max_pod_grace_period),
    })
}

fn server(config: &KubeletConfiguration) -> ServerSettings {
    let (authentication, authorization) = (&config.authentication, &config.authorization);
    ServerSettings {
        listen: config.enable_server.then(|| listen(&config.address, config.port)).flatten(),
        read_only: listen(&config.address, config.read_only_port),
        certificate: file(&config.tls_cert_file).zip(file(&config.tls_private_key_file)),
        bootstrap_certificate: config.server_tls_bootstrap,
        client_ca: file(&authentication.x509.client_ca_file),
        anonymous: authentication.anonymous.enabled,
        token_review_ttl: authentication.webhook.enabled.then(|| authentication.webhook.cache_ttl.to_std()),
        access_review_ttls: (authorization.mode == "Webhook").then(|| {
            let webhook = &authorization.webhook;
            (webhook.cache_authorized_ttl.to_std(), webhook.cache_unauthorized_ttl.to_std())
        }),
        debugging_handlers: config.enable_debugging_handlers,
        system_log_handler: config.enable_system_log_handler,
        system_log_query: config.enable_system_log_query,
        profiling_handler: config.enable_profiling_handler,
        debug_flags_handler: config.enable_debug_flags_handler,
        only_tls13: config.tls_min_version == "VersionTLS13",
        cipher_suites: config.tls_cipher_suites.clone(),
        stream_idle: config.streaming_connection_idle_timeout.to_std(),
    }
}

fn taints(config: &KubeletConfiguration) -> Vec<Taint> {
    let taints = config.register_with_taints.iter();
    taints
        .map(|taint| Taint {
            key: taint.key.clone(),
            value: filled(&taint.value),
            effect: taint.effect.clone(),
            time_added: None,
        })
        .collect()
}

fn ips(flags: &RawFlags) -> NodeIps {
    let addresses = flags.text("node-ip").and_then(|text| node_ips(text).ok()).unwrap_or_default();
    match addresses.as_slice() {
        [] => NodeIps::Detect,
        [IpAddr::V4(ip)] if ip.is_unspecified() => NodeIps::PreferV4,
        [IpAddr::V6(ip)] if ip.is_unspecified() => NodeIps::PreferV6,
        _ => NodeIps::Fixed(addresses),
    }
}

fn rate(qps: i32, burst: i32, default_burst: u32) -> Rate {
    match u32::try_from(qps) {
        Ok(0) | Err(_) => Rate::Unlimited,
        Ok(per_second) => {
            let burst = Some(unsigned(burst)).filter(|burst| *burst > 0).unwrap_or(default_burst);
            Rate::Limited { per_second, burst }
        }
    }
}

fn unsigned(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn file(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| absolute(text))
}

/// A path without scheme is taken as a socket, as upstream's client does.
fn socket(endpoint: &str) -> PathBuf {
    absolute(endpoint.strip_prefix("unix://").unwrap_or(endpoint))
}

fn listen(address: &str, port: i32) -> Option<SocketAddr> {
    let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
    Some(SocketAddr::new(parse_ip(address).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port))
}

fn quantity(field: &str, text: &str) -> Result<Quantity, Vec<Problem>> {
    text.parse::<Quantity>().map_err(|error| vec![unreadable(field, error.to_string())])
}

fn unreadable(field: &str, cause: String) -> Problem {
    Problem::new(Stage::Validate, field, cause, "correct the value; docs/compat.md lists the fields")
}

fn duration(flags: &RawFlags, name: &str, default: Duration) -> Duration {
    flags.text(name).and_then(|text| text.parse::<GoDuration>().ok()).map_or(default, GoDuration::to_std)
}

fn limit(flags: &RawFlags, name: &str, default: i64) -> Option<u32> {
    let value = flags.values.get(name).and_then(Value::as_i64).unwrap_or(default);
    u32::try_from(value).ok()
}

fn text_map(value: Option<&Value>) -> BTreeMap<String, String> {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

#[cfg(test)]
mod tests;
