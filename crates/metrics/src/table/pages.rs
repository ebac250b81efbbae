//! The pages beside `/metrics`: statistics of containers, probes, health checks.

use super::{Metric, Page, counter, gauge, histogram};
use crate::text::Stability::{Alpha, None, Stable};

/// Labels of every metric of a container.
const BASE: &[&str] = &["container", "id", "image", "name", "namespace", "pod"];
/// With the device.
const DEVICE: &[&str] = &["container", "device", "id", "image", "name", "namespace", "pod"];
/// With the device and its number, and the direction.
const BLOCK: &[&str] =
    &["container", "device", "id", "image", "major", "minor", "name", "namespace", "operation", "pod"];
/// With the network interface.
const INTERFACE: &[&str] = &["container", "id", "image", "interface", "name", "namespace", "pod"];
/// Labels of every metric of the machine.
const MACHINE: &[&str] = &["boot_id", "machine_id", "system_uuid"];
/// Labels of a container where no cgroup is named.
const CONTAINER: &[&str] = &["container", "namespace", "pod"];
/// Labels of a pod.
const POD: &[&str] = &["namespace", "pod"];

/// A row of `/metrics/cadvisor`.
const fn cadvisor(metric: Metric) -> Metric {
    metric.on(Page::Cadvisor).stability(None)
}

/// A row of `/metrics/resource`.
const fn resource(metric: Metric) -> Metric {
    metric.on(Page::Resource).stability(Stable)
}

/// The rows, by page and name.
#[rustfmt::skip]
pub(super) const ROWS: &[Metric] = &[
    cadvisor(gauge("cadvisor_version_info", &["cadvisorRevision", "cadvisorVersion", "dockerVersion", "kernelVersion", "osVersion"], "1, with the versions of the kernel and of the operating system")),
    cadvisor(counter("container_blkio_device_usage_total", BLOCK, "Bytes that were moved from or to a block device")),
    cadvisor(counter("container_cpu_cfs_burst_periods_total", BASE, "Periods in which CPU was used beyond the quota, out of what was saved up")),
    cadvisor(counter("container_cpu_cfs_burst_seconds_total", BASE, "Seconds of CPU that were used beyond the quota, out of what was saved up")),
    cadvisor(counter("container_cpu_cfs_periods_total", BASE, "Periods in which a quota of CPU was enforced")),
    cadvisor(counter("container_cpu_cfs_throttled_periods_total", BASE, "Periods in which the quota of CPU was used up")),
    cadvisor(counter("container_cpu_cfs_throttled_seconds_total", BASE, "Seconds of waiting since the quota of CPU was used up")),
    cadvisor(counter("container_cpu_system_seconds_total", BASE, "Seconds of CPU that were used in the kernel")),
    cadvisor(counter("container_cpu_usage_seconds_total", &["container", "cpu", "id", "image", "name", "namespace", "pod"], "Seconds of CPU that were used")),
    cadvisor(counter("container_cpu_user_seconds_total", BASE, "Seconds of CPU that were used outside the kernel")),
    cadvisor(gauge("container_creation_time_seconds", BASE, "When the cgroup was made, seconds of Unix time")),
    cadvisor(gauge("container_file_descriptors", BASE, "Files that processes have open")),
    cadvisor(gauge("container_fs_inodes_free", DEVICE, "Inodes that are free in the file system")).differs("file systems on block devices only: memory and network file systems are left out"),
    cadvisor(gauge("container_fs_inodes_total", DEVICE, "Inodes that the file system has in all")).differs("file systems on block devices only: memory and network file systems are left out"),
    cadvisor(gauge("container_fs_io_current", DEVICE, "Reads and writes under way")).differs("of block devices only"),
    cadvisor(counter("container_fs_io_time_seconds_total", DEVICE, "Seconds in which reads or writes were under way")).differs("block devices only; in seconds, where upstream divides milliseconds by a billion"),
    cadvisor(counter("container_fs_io_time_weighted_seconds_total", DEVICE, "Seconds of reads and writes under way, each counted for itself")).differs("block devices only; in seconds, where upstream divides milliseconds by a billion"),
    cadvisor(gauge("container_fs_limit_bytes", DEVICE, "Bytes that may be used of the file system")).differs("file systems on block devices only: memory and network file systems are left out"),
    cadvisor(counter("container_fs_read_seconds_total", DEVICE, "Seconds spent with reads")).differs("block devices only; in seconds, where upstream divides milliseconds by a billion"),
    cadvisor(counter("container_fs_reads_bytes_total", DEVICE, "Bytes that were read")).differs("also of the node"),
    cadvisor(counter("container_fs_reads_merged_total", DEVICE, "Reads that were joined with others")).differs("of block devices only"),
    cadvisor(counter("container_fs_reads_total", DEVICE, "Reads that were done")).differs("of block devices only"),
    cadvisor(counter("container_fs_sector_reads_total", DEVICE, "Sectors that were read")).differs("of block devices only"),
    cadvisor(counter("container_fs_sector_writes_total", DEVICE, "Sectors that were written")).differs("of block devices only"),
    cadvisor(gauge("container_fs_usage_bytes", DEVICE, "Bytes that are used of the file system")).differs("file systems on block devices only: memory and network file systems are left out"),
    cadvisor(counter("container_fs_write_seconds_total", DEVICE, "Seconds spent with writes")).differs("block devices only; in seconds, where upstream divides milliseconds by a billion"),
    cadvisor(counter("container_fs_writes_bytes_total", DEVICE, "Bytes that were written")).differs("also of the node"),
    cadvisor(counter("container_fs_writes_merged_total", DEVICE, "Writes that were joined with others")).differs("of block devices only"),
    cadvisor(counter("container_fs_writes_total", DEVICE, "Writes that were done")).differs("of block devices only"),
    cadvisor(gauge("container_health_state", BASE, "Health as the container runtime knows it: -1 where it knows none")),
    cadvisor(gauge("container_last_seen", BASE, "When it was measured last, seconds of Unix time")),
    cadvisor(gauge("container_memory_cache", BASE, "Bytes of page cache")),
    cadvisor(counter("container_memory_events_high_total", BASE, "Times that memory.high slowed processes down")),
    cadvisor(counter("container_memory_events_max_total", BASE, "Times that memory.max was about to be passed")),
    cadvisor(counter("container_memory_failcnt", BASE, "Times that the limit of memory was hit")),
    cadvisor(counter("container_memory_failures_total", &["container", "failure_type", "id", "image", "name", "namespace", "pod", "scope"], "Page faults")).differs("`scope=\"hierarchy\"` counts the groups below on cgroup v1 too"),
    cadvisor(gauge("container_memory_file_dirty_bytes", BASE, "Bytes of page cache that are to be written out")),
    cadvisor(gauge("container_memory_file_writeback_bytes", BASE, "Bytes of page cache that are being written out")),
    cadvisor(gauge("container_memory_kernel_usage", BASE, "Bytes of memory of the kernel")),
    cadvisor(gauge("container_memory_mapped_file", BASE, "Bytes of files that are mapped into memory")),
    cadvisor(gauge("container_memory_max_usage_bytes", BASE, "Most bytes of memory that were in use at a time")),
    cadvisor(counter("container_memory_pgscan_total", BASE, "Pages that were looked at to be reclaimed")),
    cadvisor(counter("container_memory_pgsteal_total", BASE, "Pages that were reclaimed")),
    cadvisor(gauge("container_memory_rss", BASE, "Bytes of anonymous memory")),
    cadvisor(gauge("container_memory_swap", BASE, "Bytes of swap")),
    cadvisor(gauge("container_memory_total_active_file_bytes", BASE, "Bytes of page cache that were used lately")),
    cadvisor(gauge("container_memory_total_inactive_file_bytes", BASE, "Bytes of page cache that were not used lately")),
    cadvisor(gauge("container_memory_usage_bytes", BASE, "Bytes of memory in use, page cache included")),
    cadvisor(gauge("container_memory_working_set_bytes", BASE, "Bytes of memory in use, less page cache that was not used lately")),
    cadvisor(counter("container_memory_workingset_refault_anon_total", BASE, "Anonymous pages that were wanted again soon after they were reclaimed")),
    cadvisor(counter("container_memory_workingset_refault_file_total", BASE, "Pages of files that were wanted again soon after they were reclaimed")),
    cadvisor(counter("container_network_receive_bytes_total", INTERFACE, "Bytes that came in")).differs("not for pods on the node's network, whose interfaces are the node's"),
    cadvisor(counter("container_network_receive_errors_total", INTERFACE, "Errors while receiving")).differs("not for pods on the node's network, whose interfaces are the node's"),
    cadvisor(counter("container_network_receive_packets_dropped_total", INTERFACE, "Packets that came in and were dropped")).differs("not for pods on the node's network, whose interfaces are the node's"),
    cadvisor(counter("container_network_receive_packets_total", INTERFACE, "Packets that came in")).differs("not for pods on the node's network, whose interfaces are the node's"),
    cadvisor(counter("container_network_transmit_bytes_total", INTERFACE, "Bytes that were sent")).differs("not for pods on the node's network, whose interfaces are the node's"),
    cadvisor(counter("container_network_transmit_errors_total", INTERFACE, "Errors while sending")).differs("not for pods on the node's network, whose interfaces are the node's"),
    cadvisor(counter("container_network_transmit_packets_dropped_total", INTERFACE, "Packets that were to be sent and were dropped")).differs("not for pods on the node's network, whose interfaces are the node's"),
    cadvisor(counter("container_network_transmit_packets_total", INTERFACE, "Packets that were sent")).differs("not for pods on the node's network, whose interfaces are the node's"),
    cadvisor(counter("container_oom_events_total", BASE, "Times that a process was killed for want of memory")).differs("the kernel's own count of each cgroup"),
    cadvisor(counter("container_pressure_cpu_stalled_seconds_total", BASE, "Seconds in which all processes waited for CPU")).differs("the node's also on cgroup v1"),
    cadvisor(counter("container_pressure_cpu_waiting_seconds_total", BASE, "Seconds in which a process waited for CPU")).differs("the node's also on cgroup v1"),
    cadvisor(counter("container_pressure_io_stalled_seconds_total", BASE, "Seconds in which all processes waited for disks")).differs("the node's also on cgroup v1"),
    cadvisor(counter("container_pressure_io_waiting_seconds_total", BASE, "Seconds in which a process waited for disks")).differs("the node's also on cgroup v1"),
    cadvisor(counter("container_pressure_memory_stalled_seconds_total", BASE, "Seconds in which all processes waited for memory")).differs("the node's also on cgroup v1"),
    cadvisor(counter("container_pressure_memory_waiting_seconds_total", BASE, "Seconds in which a process waited for memory")).differs("the node's also on cgroup v1"),
    cadvisor(gauge("container_processes", BASE, "Processes")),
    cadvisor(gauge("container_scrape_error", &[], "1 if the containers could not be measured, else 0")),
    cadvisor(gauge("container_sockets", BASE, "Sockets that processes have open")),
    cadvisor(gauge("container_spec_cpu_period", BASE, "Period of the quota of CPU, microseconds")),
    cadvisor(gauge("container_spec_cpu_quota", BASE, "Quota of CPU in a period, microseconds")),
    cadvisor(gauge("container_spec_cpu_shares", BASE, "Weight in the competition for CPU, in shares")),
    cadvisor(gauge("container_spec_memory_limit_bytes", BASE, "Bytes of memory that may be used; 0 without a limit")),
    cadvisor(gauge("container_spec_memory_reservation_limit_bytes", BASE, "Bytes of memory that are kept for it; 0 without a reservation")),
    cadvisor(gauge("container_spec_memory_swap_limit_bytes", BASE, "Bytes of swap that may be used; 0 without a limit")),
    cadvisor(gauge("container_start_time_seconds", BASE, "When it started, seconds of Unix time")),
    cadvisor(gauge("container_threads", BASE, "Threads")),
    cadvisor(gauge("container_threads_max", BASE, "Threads that there may be; 0 without a limit")),
    cadvisor(gauge("container_ulimits_soft", &["container", "id", "image", "name", "namespace", "pod", "ulimit"], "Soft limits of the first process; -1 without one")),
    cadvisor(gauge("machine_cpu_books", MACHINE, "Books of CPUs")),
    cadvisor(gauge("machine_cpu_cores", MACHINE, "Logical CPUs")),
    cadvisor(gauge("machine_cpu_drawers", MACHINE, "Drawers of CPUs")),
    cadvisor(gauge("machine_cpu_physical_cores", MACHINE, "Physical cores")),
    cadvisor(gauge("machine_cpu_sockets", MACHINE, "Sockets with CPUs")),
    cadvisor(gauge("machine_memory_bytes", MACHINE, "Bytes of memory")),
    cadvisor(gauge("machine_nvm_avg_power_budget_watts", MACHINE, "Watts that persistent memory may take on average")),
    cadvisor(gauge("machine_nvm_capacity", &["boot_id", "machine_id", "mode", "system_uuid"], "Bytes of persistent memory, by mode")),
    cadvisor(gauge("machine_scrape_error", &[], "1 if the machine could not be measured, else 0")),
    cadvisor(gauge("machine_swap_bytes", MACHINE, "Bytes of swap")),
    resource(counter("container_cpu_usage_seconds_total", CONTAINER, "Seconds of CPU that the container used")),
    resource(gauge("container_memory_working_set_bytes", CONTAINER, "Bytes of memory that the container has in use, less page cache that was not used lately")),
    resource(gauge("container_start_time_seconds", CONTAINER, "When the container started, seconds of Unix time")),
    resource(gauge("container_swap_limit_bytes", CONTAINER, "Bytes of swap that the container may use")).stability(Alpha),
    resource(gauge("container_swap_usage_bytes", CONTAINER, "Bytes of swap that the container uses")).stability(Alpha),
    resource(counter("node_cpu_usage_seconds_total", &[], "Seconds of CPU that the node used")),
    resource(gauge("node_memory_working_set_bytes", &[], "Bytes of memory that the node has in use, less page cache that was not used lately")),
    resource(gauge("node_swap_usage_bytes", &[], "Bytes of swap that the node uses")).stability(Alpha),
    resource(counter("pod_cpu_usage_seconds_total", POD, "Seconds of CPU that the pod used")),
    resource(gauge("pod_memory_working_set_bytes", POD, "Bytes of memory that the pod has in use, less page cache that was not used lately")),
    resource(gauge("pod_swap_usage_bytes", POD, "Bytes of swap that the pod uses")).stability(Alpha),
    resource(gauge("resource_scrape_error", &[], "1 if something could not be measured, else 0")),
    histogram("prober_probe_duration_seconds", &["container", "namespace", "pod", "probe_type"], &[], "Seconds that probes took, failed ones left out").on(Page::Probes),
    counter("prober_probe_total", &["container", "namespace", "pod", "pod_uid", "probe_type", "result"], "Probes, by how they ended").on(Page::Probes).beta()
        .differs("a failure in the first second of a container is tried again at once, and each try is counted"),
    gauge("process_start_time_seconds", &[], "When the process started, seconds of Unix time").on(Page::Probes),
    gauge("kubernetes_healthcheck", &["name", "type"], "How a health check ended last: 1 for well, 0 for not").on(Page::Slis).stability(Stable),
    counter("kubernetes_healthchecks_total", &["name", "status", "type"], "Health checks, by how they ended").on(Page::Slis).stability(Stable),
    gauge("process_start_time_seconds", &[], "When the process started, seconds of Unix time").on(Page::Slis),
];
