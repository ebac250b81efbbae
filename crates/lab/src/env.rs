//! The shell file with names of everything (`LAB/env`, and `STATE/env` for the lab that the user brought up last).

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    control_plane,
    plan::{Plan, write},
    spec::Mode,
};

/// The variables, in the order of the file.
fn variables(plan: &Plan) -> Vec<(&'static str, String)> {
    let paths = &plan.paths;
    let shown = |path: &Path| path.display().to_string();
    let mut all = vec![
        ("LAB_NAME", plan.spec.name.clone()),
        ("LAB_DIR", shown(&paths.dir)),
        ("LAB_NETNS", plan.netns.clone()),
        ("CONTAINERD_SOCKET", shown(&paths.containerd_socket)),
        // The two that ctr reads.
        ("CONTAINERD_ADDRESS", shown(&paths.containerd_socket)),
        ("CONTAINERD_NAMESPACE", "k8s.io".to_owned()),
        // The one that crictl reads.
        ("CONTAINER_RUNTIME_ENDPOINT", format!("unix://{}", paths.containerd_socket.display())),
        ("CTR", shown(&plan.tools.ctr)),
        ("KUBELET_BIN", shown(&plan.kubelet)),
        ("KUBELET_CONFIG", shown(&paths.kubelet_config)),
        ("KUBELET_ROOT", shown(&paths.kubelet_root)),
        ("KUBELET_PORT", plan.ports.kubelet.to_string()),
        ("KUBELET_HEALTHZ_PORT", plan.ports.kubelet_healthz.to_string()),
        ("MANIFESTS", shown(&paths.manifests)),
        ("POD_LOGS", shown(&paths.pod_logs)),
        ("LOGS", shown(&paths.logs)),
        ("CGROUP_ROOT", plan.cgroup_root.clone()),
        ("NODE_NAME", plan.node_name.clone()),
        ("NODE_IP", plan.addresses.node.to_string()),
        ("REGISTRY", format!("{}:{}", plan.addresses.node, plan.ports.registry)),
        ("PRIVATE_REGISTRY", format!("{}:{}", plan.addresses.node, plan.ports.private_registry)),
        ("CA_CERT", shown(&paths.pki_file("ca.crt"))),
        ("ADMIN_CERT", shown(&paths.pki_file("admin.crt"))),
        ("ADMIN_KEY", shown(&paths.pki_file("admin.key"))),
    ];
    if plan.spec.mode == Mode::Cluster {
        all.push(("KUBECONFIG", shown(&paths.kubeconfig)));
        all.push(("API_SERVER", plan.api_server()));
        all.push(("API_SERVER_PORT", plan.ports.api_server.to_string()));
        if let Some(folder) = control_plane::programs(plan) {
            all.push(("KUBECTL", shown(&folder.join("kubectl"))));
        }
    }
    all
}

/// Write the lab's file.
///
/// # Errors
/// It cannot be written.
pub fn write_file(plan: &Plan) -> Result<()> {
    let mut text = String::new();
    for (name, value) in variables(plan) {
        // Quoted for a POSIX shell: a quote inside ends the string, stands escaped, and begins it again.
        let _ = writeln!(text, "export {name}='{}'", value.replace('\'', "'\\''"));
    }
    let folders: Vec<String> = control_plane::programs(plan)
        .into_iter()
        .chain([plan.tools.shim_dir.as_path()])
        .map(|path| path.display().to_string())
        .collect();
    let _ = writeln!(text, "export PATH='{}':\"$PATH\"", folders.join(":").replace('\'', "'\\''"));
    write(&plan.paths.env, &text)
}

/// Make `STATE/env`, and in cluster mode `STATE/kubeconfig`, lead to this lab's.
///
/// # Errors
/// A link cannot be made.
pub fn point_here(plan: &Plan) -> Result<Vec<PathBuf>> {
    let mut links = vec![(plan.spec.state.join("env"), &plan.paths.env)];
    if plan.spec.mode == Mode::Cluster {
        links.push((plan.spec.state.join("kubeconfig"), &plan.paths.kubeconfig));
    }
    for (link, target) in &links {
        let _ = fs::remove_file(link);
        symlink(target, link).with_context(|| format!("cannot make the link {}", link.display()))?;
    }
    Ok(links.into_iter().map(|(link, _)| link).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{artifacts::Tools, plan::Slot, run, spec::Spec};

    #[test]
    fn a_shell_reads_the_values_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = Spec::new("a", Mode::Cluster).unwrap();
        spec.state = folder.path().join("it's");
        spec.node_name = Some("n".to_owned());
        let plan = Plan::new(spec, Slot(3), Tools::default(), "/k".into()).unwrap();
        crate::plan::make_dir(&plan.paths.dir).unwrap();
        write_file(&plan).unwrap();
        let said = run::output(
            std::process::Command::new("sh")
                .args(["-c", ". \"$0\"; echo \"$NODE_NAME $NODE_IP $MANIFESTS\""])
                .arg(&plan.paths.env),
        )
        .unwrap();
        assert_eq!(said.trim(), format!("n 10.103.0.2 {}", plan.paths.manifests.display()));
    }
}
