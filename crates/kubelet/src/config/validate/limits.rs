//! Numbers within their ranges, times in their order.

use super::Checks;
use crate::{
    duration::GoDuration,
    gates::Gate,
    thresholds::{self, Statements},
};

const SECOND: GoDuration = GoDuration::from_secs(1);

pub(super) fn check(checks: &mut Checks<'_>) {
    ranges(checks);
    ages(checks);
    pulls(checks);
    shutdown(checks);
    logs(checks);
    eviction(checks);
}

fn ranges(checks: &mut Checks<'_>) {
    let config = checks.config;
    if config.node_lease_duration_seconds <= 0 {
        let cause = "invalid configuration: nodeLeaseDurationSeconds must be greater than 0";
        checks.fail("nodeLeaseDurationSeconds", cause, "delete the field to get 40 seconds");
    }
    for (path, value) in [
        ("eventBurst", i64::from(config.event_burst)),
        ("eventRecordQPS", i64::from(config.event_record_qps)),
        ("kubeAPIBurst", i64::from(config.kube_api_burst)),
        ("kubeAPIQPS", i64::from(config.kube_api_qps)),
        ("maxOpenFiles", config.max_open_files),
        ("maxPods", i64::from(config.max_pods)),
        ("podsPerCore", i64::from(config.pods_per_core)),
        ("registryBurst", i64::from(config.registry_burst)),
        ("registryPullQPS", i64::from(config.registry_pull_qps)),
    ] {
        if value < 0 {
            checks.must(path, value, "must not be a negative number", "write zero or more");
        }
    }
    for (path, value, least, most, text) in [
        (
            "imageGCHighThresholdPercent",
            config.image_gc_high_threshold_percent,
            0,
            100,
            "must be between 0 and 100, inclusive",
        ),
        (
            "imageGCLowThresholdPercent",
            config.image_gc_low_threshold_percent,
            0,
            100,
            "must be between 0 and 100, inclusive",
        ),
        ("iptablesDropBit", config.iptables_drop_bit, 0, 31, "must be between 0 and 31, inclusive"),
        (
            "iptablesMasqueradeBit",
            config.iptables_masquerade_bit,
            0,
            31,
            "must be between 0 and 31, inclusive",
        ),
        ("oomScoreAdj", config.oom_score_adj, -1000, 1000, "must be between -1000 and 1000, inclusive"),
        ("port", config.port, 1, 65535, "must be between 1 and 65535, inclusive"),
        ("readOnlyPort", config.read_only_port, 0, 65535, "must be between 0 and 65535, inclusive"),
        ("healthzPort", config.healthz_port, 0, 65535, "must be between 1 and 65535, inclusive"),
    ] {
        if !(least..=most).contains(&value) {
            checks.must(path, value, text, "write a number in that range");
        }
    }
    if config.node_status_max_images < -1 {
        checks.must(
            "nodeStatusMaxImages",
            config.node_status_max_images,
            "must be -1 or greater",
            "-1 reports all images",
        );
    }
    if config.image_gc_low_threshold_percent >= config.image_gc_high_threshold_percent {
        let must = format!(
            "must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) {}",
            config.image_gc_high_threshold_percent
        );
        let low = config.image_gc_low_threshold_percent;
        checks.must(
            "imageGCLowThresholdPercent",
            low,
            &must,
            "garbage collection starts at the high mark and stops at the low one",
        );
    }
    let period = config.cpu_cfs_quota_period;
    if !checks.on(Gate::CustomCPUCFSQuotaPeriod) {
        if period.nanos() != 100_000_000 {
            let hint = "enable the gate, or delete the field";
            checks.must("cpuCFSQuotaPeriod", period, "requires feature gate CustomCPUCFSQuotaPeriod", hint);
        }
    } else if !(1_000_000..=1_000_000_000).contains(&period.nanos()) {
        checks.must(
            "cpuCFSQuotaPeriod",
            period,
            "must be between 1ms and 1sec, inclusive",
            "100ms is the kernel's own period",
        );
    }
    if let Some(factor) = config.memory_throttling_factor {
        if !checks.on(Gate::MemoryQoS) && (factor - 0.9).abs() > f64::EPSILON {
            let cause = "invalid configuration: memoryThrottlingFactor must not be set when MemoryQoS feature gate is disabled";
            checks.fail("memoryThrottlingFactor", cause, "delete the field, or enable MemoryQoS");
        }
        if factor <= 0.0 || factor > 1.0 {
            let must = "must be greater than 0 and less than or equal to 1.0";
            checks.must("memoryThrottlingFactor", factor, must, "write a share of the limit, such as 0.9");
        }
    }
    if let Some(ids) = config.user_namespaces.as_ref().and_then(|namespaces| namespaces.ids_per_pod) {
        let problem = match ids {
            ids if ids < 65536 => "must not be less than 65536",
            ids if ids % 65536 != 0 => "must be a multiple of 65536",
            ids if ids > i64::from(u32::MAX) => "must not be more than 4294967295",
            _ => return,
        };
        let cause = format!("invalid configuration: userNamespaces.idsPerPod {problem}");
        checks.fail("userNamespaces.idsPerPod", cause, "delete the field to get 65536");
    }
}

fn ages(checks: &mut Checks<'_>) {
    let (least, most) = (checks.config.image_minimum_gc_age, checks.config.image_maximum_gc_age);
    for (path, age) in [("imageMinimumGCAge", least), ("imageMaximumGCAge", most)] {
        if age < GoDuration::ZERO {
            let cause = format!("invalid configuration: {path} {age} must not be negative");
            checks.fail(path, cause, "write a duration such as 2m");
        }
    }
    if most > GoDuration::ZERO && most <= least {
        let cause = format!(
            "invalid configuration: imageMaximumGCAge {most} must be greater than imageMinimumGCAge {least}"
        );
        checks.fail("imageMaximumGCAge", cause, "raise it, or write 0s to switch it off");
    }
    let back_off = checks.config.crash_loop_back_off.max_container_restart_period;
    let path = "crashLoopBackOff.maxContainerRestartPeriod";
    match (checks.on(Gate::KubeletCrashLoopBackOffMax), back_off) {
        (true, None) => {
            let cause = "invalid configuration: FeatureGate KubeletCrashLoopBackOffMax is enabled, CrashLoopBackOff.MaxContainerRestartPeriod must be set";
            checks.fail(path, cause, "write a duration from 1s to 300s");
        }
        (true, Some(period)) if period < SECOND || period > GoDuration::from_secs(300) => {
            let cause = format!(
                "invalid configuration: CrashLoopBackOff.MaxContainerRestartPeriod (got: {} seconds) must be set between 1s and 300s",
                period.to_std().as_secs_f64()
            );
            checks.fail(path, cause, "write a duration from 1s to 300s");
        }
        (false, Some(_)) => {
            let cause = "invalid configuration: FeatureGate KubeletCrashLoopBackOffMax not enabled, CrashLoopBackOff.MaxContainerRestartPeriod must not be set";
            checks.fail(path, cause, "delete the field, or enable the gate");
        }
        _ => {}
    }
}

fn pulls(checks: &mut Checks<'_>) {
    let Some(most) = checks.config.max_parallel_image_pulls else { return };
    if most < 1 {
        let cause = format!("invalid configuration: maxParallelImagePulls {most} must be a positive number");
        checks.fail("maxParallelImagePulls", cause, "delete the field for no limit of its own");
    }
    if checks.config.serialize_image_pulls && most > 1 {
        let cause = "invalid configuration: maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is set to false";
        let hint = "set serializeImagePulls: false as well (a drop-in or flag does not change the default that a file has got)";
        checks.fail("maxParallelImagePulls", cause, hint);
    }
}

fn shutdown(checks: &mut Checks<'_>) {
    let config = checks.config;
    let (all, critical) = (config.shutdown_grace_period, config.shutdown_grace_period_critical_pods);
    let by_priority = !config.shutdown_grace_period_by_pod_priority.is_empty();
    let any = all > GoDuration::ZERO || critical > GoDuration::ZERO;
    if checks.on(Gate::GracefulNodeShutdown) {
        if critical > all {
            let cause = format!(
                "invalid configuration: shutdownGracePeriodCriticalPods {critical} must be <= shutdownGracePeriod {all}"
            );
            checks.fail(
                "shutdownGracePeriodCriticalPods",
                cause,
                "critical pods get the last part of shutdownGracePeriod",
            );
        }
        for (path, period) in [("shutdownGracePeriod", all), ("shutdownGracePeriodCriticalPods", critical)] {
            if period < SECOND && period != GoDuration::ZERO {
                let cause = format!(
                    "invalid configuration: {path} {period} must be either zero or otherwise >= 1 sec"
                );
                checks.fail(path, cause, "write 0s to switch it off");
            }
        }
    } else if any {
        let cause = "invalid configuration: specifying shutdownGracePeriod or shutdownGracePeriodCriticalPods requires feature gate GracefulNodeShutdown";
        checks.fail("shutdownGracePeriod", cause, "enable the gate, or delete the fields");
    }
    if by_priority && !checks.on(Gate::GracefulNodeShutdownBasedOnPodPriority) {
        let cause = "invalid configuration: Specifying shutdownGracePeriodByPodPriority requires feature gate GracefulNodeShutdownBasedOnPodPriority";
        checks.fail("shutdownGracePeriodByPodPriority", cause, "enable the gate, or delete the field");
    } else if by_priority && any {
        let cause = "invalid configuration: Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time";
        checks.fail("shutdownGracePeriodByPodPriority", cause, "use one of them");
    }
}

fn logs(checks: &mut Checks<'_>) {
    let config = checks.config;
    for (bad, path, rule) in [
        (
            config.container_log_max_workers < 1,
            "containerLogMaxWorkers",
            "must be greater than or equal to 1",
        ),
        (
            config.container_log_monitor_interval < GoDuration::from_secs(3),
            "containerLogMonitorInterval",
            "must be a positive time duration greater than or equal to 3s",
        ),
        (config.container_log_max_files <= 1, "containerLogMaxFiles", "must be greater than 1"),
    ] {
        if bad {
            checks.fail(
                path,
                format!("invalid configuration: {path} {rule}"),
                "delete the field to get the default",
            );
        }
    }
}

fn eviction(checks: &mut Checks<'_>) {
    let config = checks.config;
    let statements = Statements {
        hard: &config.eviction_hard,
        soft: &config.eviction_soft,
        grace: &config.eviction_soft_grace_period,
        reclaim: &config.eviction_minimum_reclaim,
    };
    for bad in thresholds::parse(statements).err().into_iter().flatten() {
        let hint = match bad.field {
            "evictionSoftGracePeriod" => "write a duration such as 1m30s",
            "evictionSoft" if bad.cause.starts_with("grace") => "add the signal to evictionSoftGracePeriod",
            _ => "write signal and amount, such as memory.available: 100Mi or nodefs.available: 10%",
        };
        checks.fail(
            &format!("{}.{}", bad.field, bad.key),
            format!("invalid configuration: {}", bad.cause),
            hint,
        );
    }
}
