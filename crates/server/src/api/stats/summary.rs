//! The document of `/stats/summary`, put together from figures.
//!
//! What was not read has no field: upstream's consumers know all of them as optional.

mod fields;

use seams::{
    host::FsUsage,
    stats::{
        ContainerUse, DiskUse, GroupReading, GroupUse, Interface, PodDisk, PodUse, Pressure, Snapshot, Space,
        Stall, Summary,
    },
};

use self::fields::{
    Container, Cpu, Document, Fs, InterfaceStats, Io, Memory, Network, Node, Pod, PodRef, ProcessStats, Psi,
    PsiData, Rlimit, Runtime, Swap, Time, Usage, Volume,
};
use super::resource::pods;

/// Interface whose figures stand for all of them.
const DEFAULT_INTERFACE: &str = "eth0";

/// The document. Without disk use it has CPU, memory and swap only, as upstream's with `only_cpu_and_memory`.
pub(super) fn document(summary: &Summary) -> Document<'_> {
    let (snapshot, disk) = (&*summary.snapshot, summary.disk.as_ref());
    let pods = pods(snapshot).map(|pod| of_pod(pod, disk.map(|disk| disk.pods.get(&pod.uid))));
    Document { node: node(snapshot, disk), pods: pods.collect() }
}

fn node<'a>(snapshot: &'a Snapshot, disk: Option<&DiskUse>) -> Node<'a> {
    let node = &snapshot.node;
    let reading = &node.group.reading;
    let mut usage = usage(&node.group, disk.is_some());
    if let Some(memory) = &mut usage.memory {
        memory.available_bytes = Some(node.memory_bytes.saturating_sub(memory.working_set_bytes));
    }
    if let Some(swap) = &mut usage.swap {
        swap.swap_available_bytes = Some(node.swap_bytes.saturating_sub(swap.swap_usage_bytes));
    }
    let system = snapshot.system.iter().map(|system| Container {
        name: system.name,
        start_time: Time(system.group.reading.created_at.unwrap_or(system.group.reading.read_at)),
        usage: self::usage(&system.group, disk.is_some()),
        rootfs: None,
        logs: None,
    });
    Node {
        node_name: &node.name,
        system_containers: system.collect(),
        start_time: Time(node.booted_at.unwrap_or(reading.read_at)),
        usage,
        network: disk.map(|_| network(reading, &node.network)),
        fs: disk.and_then(|disk| disk.node).map(fs),
        runtime: disk
            .map(|disk| Runtime { image_fs: disk.images.map(fs), container_fs: disk.containers.map(fs) }),
        rlimit: disk.and(node.tasks).map(|(curproc, maxpid)| Rlimit {
            time: Time(reading.read_at),
            maxpid,
            curproc,
        }),
    }
}

/// `disk` is `None` when it was not wanted, and `Some(None)` when nothing is known of the pod's.
fn of_pod<'a>(pod: &'a PodUse, disk: Option<Option<&'a PodDisk>>) -> Pod<'a> {
    let whole = disk.is_some();
    let disk = disk.flatten();
    let containers: Vec<_> =
        pod.containers.iter().map(|container| of_container(container, disk, whole)).collect();
    let processes = pod.containers.iter().filter_map(|container| container.group.reading.processes);
    Pod {
        pod_ref: PodRef { name: &pod.name, namespace: &pod.namespace, uid: pod.uid.as_str() },
        start_time: Time(pod.started_at.unwrap_or(pod.group.reading.read_at)),
        containers,
        usage: usage(&pod.group, whole),
        network: pod
            .network
            .as_deref()
            .filter(|_| whole)
            .map(|interfaces| network(&pod.group.reading, interfaces)),
        volume: disk.map(volumes).unwrap_or_default(),
        ephemeral_storage: disk.and_then(|disk| disk.ephemeral).map(fs),
        process_stats: whole
            .then(|| ProcessStats { process_count: processes.map(|processes| processes.count).sum() }),
    }
}

fn of_container<'a>(container: &'a ContainerUse, disk: Option<&PodDisk>, whole: bool) -> Container<'a> {
    let disk = disk.and_then(|disk| disk.containers.get(&container.id));
    Container {
        name: &container.name,
        start_time: Time(container.created_at),
        usage: usage(&container.group, whole),
        rootfs: disk.and_then(|disk| disk.rootfs).map(fs),
        logs: disk.and_then(|disk| disk.logs).map(fs),
    }
}

fn volumes(disk: &PodDisk) -> Vec<Volume<'_>> {
    disk.volumes.iter().map(|(name, space)| Volume { fs: fs(*space), name }).collect()
}

fn usage(group: &GroupUse, whole: bool) -> Usage {
    let GroupUse { reading, nano_cores } = group;
    let time = Time(reading.read_at);
    let io = reading.pressure.io.as_ref().filter(|_| whole);
    Usage {
        cpu: reading.cpu.map(|cpu| Cpu {
            time,
            usage_nano_cores: *nano_cores,
            usage_core_nano_seconds: cpu.usage_ns,
            psi: reading.pressure.cpu.as_ref().map(psi),
        }),
        memory: memory(reading),
        io: io.map(|pressure| Io { time, psi: psi(pressure) }),
        swap: reading.swap.map(|swap| Swap {
            time,
            swap_available_bytes: swap.limit.map(|limit| limit.saturating_sub(swap.usage)),
            swap_usage_bytes: swap.usage,
        }),
    }
}

fn memory(reading: &GroupReading) -> Option<Memory> {
    let memory = reading.memory?;
    Some(Memory {
        time: Time(reading.read_at),
        available_bytes: memory.limit.map(|limit| limit.saturating_sub(memory.working_set)),
        usage_bytes: memory.usage,
        working_set_bytes: memory.working_set,
        rss_bytes: memory.rss,
        page_faults: memory.faults.all,
        major_page_faults: memory.faults.major,
        psi: reading.pressure.memory.as_ref().map(psi),
    })
}

fn psi(pressure: &Pressure) -> Psi {
    let data = |stall: &Stall| PsiData {
        total: stall.total_us,
        avg10: stall.avg10,
        avg60: stall.avg60,
        avg300: stall.avg300,
    };
    Psi { full: data(&pressure.full), some: data(&pressure.some) }
}

fn network<'a>(reading: &GroupReading, interfaces: &'a [Interface]) -> Network<'a> {
    let stats = |interface: &'a Interface| InterfaceStats {
        name: &interface.name,
        rx_bytes: Some(interface.received.bytes),
        rx_errors: Some(interface.received.errors),
        tx_bytes: Some(interface.transmitted.bytes),
        tx_errors: Some(interface.transmitted.errors),
    };
    let default = interfaces.iter().find(|interface| interface.name == DEFAULT_INTERFACE);
    Network {
        time: Time(reading.read_at),
        default: default.map(stats).unwrap_or_default(),
        interfaces: interfaces.iter().map(stats).collect(),
    }
}

fn fs(space: Space) -> Fs {
    let of = |figure: fn(FsUsage) -> u64| space.filesystem.map(figure);
    Fs {
        time: Time(space.at),
        available_bytes: of(|usage| usage.available_bytes),
        capacity_bytes: of(|usage| usage.capacity_bytes),
        used_bytes: space.used.bytes,
        inodes_free: of(|usage| usage.inodes_free),
        inodes: of(|usage| usage.inodes),
        inodes_used: space.used.inodes,
    }
}

#[cfg(test)]
mod tests;
