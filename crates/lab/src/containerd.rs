//! containerd of a lab: its configuration, CNI's, and the addresses of the registries.
//!
//! Every folder and socket is the lab's own, runc's state (`Root`) and the pods' network namespaces included; only the
//! shims' sockets of 1.6 are at a fixed place, and teardown knows their names.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    daemon::{Daemon, Invocation},
    images,
    network::enter,
    plan::{Plan, Service, make_dir, write},
    run,
    spec::Runtime,
    wait,
};

/// Longest for containerd to answer: it does so in well under a second on an idle machine.
const READY_BOUND: Duration = Duration::from_secs(60);
/// The user of the registry that wants a password.
pub const REGISTRY_USER: &str = "lab";
/// Its password.
pub const REGISTRY_PASSWORD: &str = "sesame";
/// Host part of image names in the open registry.
pub const REGISTRY_HOST: &str = "registry.test";
/// Name of the runtime handler whose OCI runtime is [`scripted_runtime`].
pub const SCRIPTED_HANDLER: &str = "scripted";
/// Host part of image names in the registry that wants a password.
pub const PRIVATE_REGISTRY_HOST: &str = "private.registry.test";

/// Write containerd's configuration, CNI's and the registries'.
///
/// # Errors
/// A file cannot be written.
pub fn write_configuration(plan: &Plan) -> Result<()> {
    let folder = &plan.paths.containerd;
    for part in ["root", "state", "cni", "hosts", "opt", "runc", "host-local"] {
        make_dir(&folder.join(part))?;
    }
    // containerd 2.x wants the folder of the shims' sockets to be there and private to root.
    make_dir(&plan.paths.machine_dir.join("s"))?;
    write(&folder.join("config.toml"), &config(plan))?;
    script_runtime(plan, "")?;
    write(&folder.join("cni/10-lab.conflist"), &format!("{:#}\n", cni(plan)))?;
    let (open, private) = registries(plan);
    images::registry::write_hosts(
        &folder.join("hosts"),
        &[(REGISTRY_HOST, open.address), (PRIVATE_REGISTRY_HOST, private.address)],
    )?;
    open.write(&plan.paths.registries.join("open"))?;
    private.write(&plan.paths.registries.join("private"))?;
    Ok(())
}

/// The OCI runtime of the handler [`SCRIPTED_HANDLER`]: a script that ends as the ordinary one.
#[must_use]
pub fn scripted_runtime(plan: &Plan) -> PathBuf {
    plan.paths.containerd.join("scripted-runc")
}

/// Have the scripted runtime do something first; its arguments are runc's. Replaced whole at once, so that a call that
/// begins meanwhile runs the old or the new.
///
/// # Errors
/// The file cannot be written.
pub fn script_runtime(plan: &Plan, lines: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = scripted_runtime(plan);
    let partial = file.with_extension("partial");
    write(&partial, &format!("#!/bin/sh\n{lines}\nexec {} \"$@\"\n", plan.tools.runc.display()))?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))
        .and_then(|()| fs::rename(&partial, &file))
        .with_context(|| format!("cannot place {}", file.display()))
}

/// The two registries: open, and with a password.
fn registries(plan: &Plan) -> (images::registry::Registry, images::registry::Registry) {
    let registry = |name: &str, port: u16, credentials| images::registry::Registry {
        address: (plan.addresses.node, port).into(),
        storage: plan.paths.registries.join(name).join("storage"),
        credentials,
    };
    let credentials = images::registry::Credentials {
        user: REGISTRY_USER.to_owned(),
        password: REGISTRY_PASSWORD.to_owned(),
    };
    (
        registry("open", plan.ports.registry, None),
        registry("private", plan.ports.private_registry, Some(credentials)),
    )
}

/// `config.toml`.
fn config(plan: &Plan) -> String {
    let folder = plan.paths.containerd.display();
    let socket = plan.paths.containerd_socket.display();
    // Counts of gRPC calls by method: how benches see what any kubelet asks of its runtime.
    let metrics = format!("{}:{}", plan.addresses.node, plan.ports.containerd_metrics);
    let (cni, runc) = (plan.tools.cni.display(), plan.tools.runc.display());
    let pause = images::PAUSE;
    let (version, generation) = match plan.spec.runtime {
        Runtime::Containerd1 => (2, images::registry::Containerd::V1_6),
        Runtime::Containerd2 => (3, images::registry::Containerd::V2),
    };
    let runtime_plugin = match plan.spec.runtime {
        Runtime::Containerd1 => "io.containerd.grpc.v1.cri",
        Runtime::Containerd2 => "io.containerd.cri.v1.runtime",
    };
    let particular = match plan.spec.runtime {
        Runtime::Containerd1 => format!(
            "[plugins.\"{runtime_plugin}\"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  sandbox_image = \"{pause}\"

[plugins.\"{runtime_plugin}\".cni]
  bin_dir = \"{cni}\"
  conf_dir = \"{folder}/cni\"
"
        ),
        // NRI is off: its socket has a fixed place.
        Runtime::Containerd2 => format!(
            "[plugins.\"{runtime_plugin}\"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  cdi_spec_dirs = [\"{folder}/cdi\"]

[plugins.\"{runtime_plugin}\".cni]
  bin_dirs = [\"{cni}\"]
  conf_dir = \"{folder}/cni\"

[plugins.\"io.containerd.cri.v1.images\".pinned_images]
  sandbox = \"{pause}\"

[plugins.\"io.containerd.shim.v1.manager\"]
  socket_dir = \"{}/s\"

[plugins.\"io.containerd.nri.v1.nri\"]
  disable = true
",
            plan.paths.machine_dir.display()
        ),
    };
    let runtime = |name: &str, program: &str| {
        format!(
            "[plugins.\"{runtime_plugin}\".containerd.runtimes.{name}]
  runtime_type = \"io.containerd.runc.v2\"

[plugins.\"{runtime_plugin}\".containerd.runtimes.{name}.options]
  BinaryName = \"{program}\"
  Root = \"{folder}/{name}\"
  SystemdCgroup = false
"
        )
    };
    format!(
        "version = {version}
root = \"{folder}/root\"
state = \"{folder}/state\"
imports = []

[grpc]
  address = \"{socket}\"

[ttrpc]
  address = \"{socket}.ttrpc\"

[metrics]
  address = \"{metrics}\"

[plugins.\"io.containerd.internal.v1.opt\"]
  path = \"{folder}/opt\"

{particular}
[plugins.\"{runtime_plugin}\".containerd]
  default_runtime_name = \"runc\"

{}
{}
{}
{}",
        runtime("runc", &runc.to_string()),
        runtime(SCRIPTED_HANDLER, &scripted_runtime(plan).display().to_string()),
        runtime("crun", "/usr/bin/crun"),
        images::registry::containerd_config(generation, &plan.paths.containerd.join("hosts")),
    )
}

/// A bridge with addresses from a file, masquerading, and host ports.
fn cni(plan: &Plan) -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": format!("lab-{}", plan.spec.name),
        "plugins": [
            {
                "type": "bridge",
                "bridge": plan.bridge,
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": plan.paths.containerd.join("host-local"),
                    "ranges": [[{ "subnet": plan.addresses.pod_cidr }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

/// containerd's command line.
pub(crate) fn invocation(plan: &Plan) -> Invocation {
    let mut invocation = Invocation::new(
        &plan.tools.containerd,
        ["--config".into(), plan.paths.containerd.join("config.toml")],
    );
    // The shim is looked up here.
    let path = std::env::var("PATH").unwrap_or_default();
    invocation
        .environment
        .push(("PATH".to_owned(), format!("{}:{path}", plan.tools.shim_dir.display()).into()));
    invocation
}

/// A registry's command line.
pub(crate) fn registry_invocation(plan: &Plan, service: Service) -> Invocation {
    let name = if service == Service::PrivateRegistry { "private" } else { "open" };
    let config: PathBuf = plan.paths.registries.join(name).join("config.yml");
    Invocation::new("docker-registry", ["serve".into(), config])
}

/// Start containerd, wait for it, and import the images that pods start from without a pull.
///
/// # Errors
/// It does not start, or an image is refused.
pub fn up(plan: &Plan, archives: &[images::ImageArchive]) -> Result<()> {
    let daemon = Daemon::new(plan, Service::Containerd);
    daemon.start()?;
    daemon.ready(READY_BOUND, || match run::output(ctr(plan).arg("version")) {
        Ok(_) => wait::Look::Ready(()),
        Err(error) => wait::Look::NotYet(error.to_string()),
    })?;
    let wanted: Vec<_> = archives
        .iter()
        .filter(|archive| {
            [images::PAUSE, images::BUSYBOX, images::TESTBOX].contains(&archive.reference.as_str())
        })
        .cloned()
        .collect();
    images::import(&plan.tools.ctr, &plan.paths.containerd_socket, Some(&plan.netns), &wanted)
}

/// Start the registries and push every image into both. Into the private one without the pause image.
///
/// # Errors
/// One does not start, or refuses an image.
pub fn registries_up(plan: &Plan, archives: &[images::ImageArchive]) -> Result<()> {
    let (open, private) = registries(plan);
    for (service, registry) in [(Service::Registry, &open), (Service::PrivateRegistry, &private)] {
        let daemon = Daemon::new(plan, service);
        daemon.start()?;
        daemon.ready(READY_BOUND, || {
            match std::net::TcpStream::connect_timeout(&registry.address, Duration::from_secs(1)) {
                Ok(_) => wait::Look::Ready(()),
                Err(error) => wait::Look::NotYet(error.to_string()),
            }
        })?;
    }
    for archive in archives {
        let name = archive
            .reference
            .strip_prefix("registry.test/")
            .with_context(|| format!("image {} is not of {REGISTRY_HOST}", archive.reference))?;
        images::push(archive, &open.address.to_string(), name, None, Some(&plan.netns))?;
        if [images::BUSYBOX, images::TESTBOX].contains(&archive.reference.as_str()) {
            let auth = Some((REGISTRY_USER, REGISTRY_PASSWORD));
            images::push(archive, &private.address.to_string(), name, auth, Some(&plan.netns))?;
        }
    }
    Ok(())
}

/// `ctr` on the lab's socket, in the namespace of Kubernetes.
#[must_use]
pub fn ctr(plan: &Plan) -> std::process::Command {
    let mut command = enter(plan, &plan.tools.ctr);
    command.arg("--address").arg(&plan.paths.containerd_socket).args(["--namespace", "k8s.io"]);
    command
}

/// The sockets of running shims that lie outside the lab's folders: 1.6 puts them into `/run/containerd/s`.
#[must_use]
pub fn shim_sockets(plan: &Plan) -> Vec<PathBuf> {
    let bundles = plan.paths.containerd.join("state/io.containerd.runtime.v2.task/k8s.io");
    let Ok(entries) = fs::read_dir(bundles) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("address")).ok())
        .filter_map(|address| address.trim().strip_prefix("unix://").map(PathBuf::from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifacts::Tools,
        plan::Slot,
        spec::{Mode, Spec},
    };

    fn plan(runtime: Runtime) -> Plan {
        let mut spec = Spec::new("a", Mode::Standalone).unwrap();
        spec.state = "/s".into();
        spec.runtime = runtime;
        Plan::new(
            spec,
            Slot(1),
            Tools { cni: "/cni".into(), runc: "/runc".into(), ..Tools::default() },
            "/k".into(),
        )
        .unwrap()
    }

    #[test]
    fn each_generation_gets_its_plugins() {
        let one = config(&plan(Runtime::Containerd1));
        assert!(one.starts_with("version = 2\n") && !one.contains("io.containerd.cri.v1"), "{one}");
        let two = config(&plan(Runtime::Containerd2));
        assert!(two.starts_with("version = 3\n") && !two.contains("io.containerd.grpc.v1.cri"), "{two}");
        for text in [one, two] {
            assert!(text.contains("restrict_oom_score_adj = true"));
            assert!(text.contains("Root = \"/s/labs/a/containerd/runc\""), "{text}");
            assert!(text.contains("registry.test/pause:3.10"));
            assert!(text.contains("[metrics]\n  address = \"10.101.0.2:1338\""), "{text}");
        }
    }

    #[test]
    fn the_shims_folder_is_short_enough_for_the_longest_name() {
        let folder = format!("{}/{}/s", crate::plan::MACHINE_DIR, "n".repeat(crate::spec::LONGEST_NAME));
        assert!(folder.len() <= 42, "{folder}");
    }

    #[test]
    fn pods_are_bridged_from_the_nodes_range() {
        let cni = cni(&plan(Runtime::Containerd2));
        assert_eq!(cni["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], "10.101.64.0/24");
    }
}
