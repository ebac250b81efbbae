//! Programs that the lab runs and Debian does not have: built once from the Go module proxy, kept in `STATE/cache`.
//!
//! Each artifact is a folder whose name ends in a hash of its recipe (versions, flags, where there is a module of ours also
//! its `go.mod` and `go.sum`), so a changed recipe is another folder and a folder that exists is whole: it is built beside
//! and renamed.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    plan::{make_dir, write},
    run,
    spec::{KubeletBinary, MetricsApi, Mode, Runtime, Spec, checkout},
};

/// A module without source of its own: it names programs and every version that they are made of.
struct Module {
    go_mod: &'static str,
    go_sum: &'static str,
}

/// How one artifact is built.
struct Recipe {
    /// What messages and the folder's name say.
    name: &'static str,
    /// Version, for the same.
    version: &'static str,
    /// `CGO_ENABLED`.
    cgo: &'static str,
    /// Arguments of `go`, before the packages.
    flags: &'static [&'static str],
    /// What `go build` builds from; `go install` wants none.
    module: Option<Module>,
    /// Packages: with `@version` for `go install`, without for `go build` of the module.
    packages: &'static [&'static str],
    /// How long it takes from a cold cache on two cores, for the message.
    cold: &'static str,
}

/// Kubernetes' programs and etcd (whose program comes out as `server`).
const CONTROL_PLANE: Recipe = Recipe {
    name: "controlplane",
    version: "1.37.2",
    cgo: "0",
    flags: &[
        "build",
        "-trimpath",
        "-tags",
        "selinux,notest,grpcnotrace",
        "-ldflags",
        "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1 \
         -X k8s.io/component-base/version.gitMinor=37",
    ],
    module: Some(Module {
        go_mod: include_str!("../controlplane/go.mod"),
        go_sum: include_str!("../controlplane/go.sum"),
    }),
    packages: &[
        "go.etcd.io/etcd/server/v3",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        "k8s.io/kubernetes/cmd/kubelet",
        "k8s.io/kubernetes/cmd/kubeadm",
        "k8s.io/kubernetes/cmd/kubectl",
    ],
    cold: "10 minutes",
};

/// What `kubectl top` asks. Built after the control plane, and with the same tags and versions, it compiles thirty packages
/// in place of a thousand.
const METRICS_SERVER: Recipe = Recipe {
    name: "metrics-server",
    version: "0.9.0",
    cgo: "0",
    flags: &[
        "build",
        "-trimpath",
        "-tags",
        "selinux,notest,grpcnotrace",
        "-ldflags",
        "-s -w -X k8s.io/client-go/pkg/version.gitVersion=v0.9.0",
    ],
    module: Some(Module {
        go_mod: include_str!("../metrics-server/go.mod"),
        go_sum: include_str!("../metrics-server/go.sum"),
    }),
    packages: &["sigs.k8s.io/metrics-server/cmd/metrics-server"],
    cold: "4 minutes",
};

/// containerd 2, its shim and client.
const CONTAINERD: Recipe = Recipe {
    name: "containerd",
    version: "2.4.2",
    cgo: "0",
    flags: &[
        "install",
        "-trimpath",
        "-tags",
        "no_btrfs",
        "-ldflags",
        "-s -w -X github.com/containerd/containerd/v2/version.Version=2.4.2",
    ],
    module: None,
    packages: &[
        "github.com/containerd/containerd/v2/cmd/containerd@v2.4.2",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2@v2.4.2",
        "github.com/containerd/containerd/v2/cmd/ctr@v2.4.2",
    ],
    cold: "3 minutes",
};

/// The OCI runtime. Needs Debian's libseccomp-dev and pkg-config.
const RUNC: Recipe = Recipe {
    name: "runc",
    version: "1.5.2",
    cgo: "1",
    flags: &["install", "-trimpath", "-tags", "seccomp"],
    module: None,
    packages: &["github.com/opencontainers/runc@v1.5.2"],
    cold: "30 seconds",
};

/// CNI plugins.
const CNI: Recipe = Recipe {
    name: "cni",
    version: "1.9.1",
    cgo: "0",
    flags: &["install", "-trimpath"],
    module: None,
    packages: &[
        "github.com/containernetworking/plugins/plugins/main/bridge@v1.9.1",
        "github.com/containernetworking/plugins/plugins/main/loopback@v1.9.1",
        "github.com/containernetworking/plugins/plugins/ipam/host-local@v1.9.1",
        "github.com/containernetworking/plugins/plugins/meta/portmap@v1.9.1",
    ],
    cold: "20 seconds",
};

impl Recipe {
    /// Folder name: `containerd-2.4.2-1a2b3c4d`.
    fn folder_name(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.name, self.version, self.cgo].iter().chain(self.flags).chain(self.packages) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        if let Some(module) = &self.module {
            hash.update(module.go_mod);
            hash.update(module.go_sum);
        }
        let digest: String = hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{digest}", self.name, self.version)
    }

    /// The artifact's folder, built if it is not there.
    fn ensure(&self, cache: &Path) -> Result<PathBuf> {
        kept(cache, self.name, &self.folder_name(), |partial| {
            check_go()?;
            eprintln!(
                "lab: building {} {} (about {} when nothing is cached) …",
                self.name, self.version, self.cold
            );
            self.build(cache, partial).with_context(|| format!("cannot build {} {}", self.name, self.version))
        })
    }

    fn build(&self, cache: &Path, into: &Path) -> Result<()> {
        let mut go = Command::new("go");
        go.args(self.flags).env("CGO_ENABLED", self.cgo).env_remove("GOFLAGS").env("GOBIN", into);
        if let Some(module) = &self.module {
            // A copy, so that go never writes into the repository.
            let folder = cache.join(format!("{}-module", self.name));
            make_dir(&folder)?;
            write(&folder.join("go.mod"), module.go_mod)?;
            write(&folder.join("go.sum"), module.go_sum)?;
            go.current_dir(&folder).arg("-o").arg(format!("{}/", into.display()));
        } else {
            go.current_dir(cache);
        }
        run::shown_to_user(go.args(self.packages))
    }
}

/// A folder of the cache, made if it is not there: beside, and then renamed. Two processes that want the same wait for each
/// other.
///
/// # Errors
/// It cannot be made.
pub(crate) fn kept(
    cache: &Path,
    lock: &str,
    name: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = cache.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    make_dir(cache)?;
    let lock_file = cache.join(format!("{lock}.lock"));
    let lock = File::create(&lock_file).with_context(|| format!("cannot make {}", lock_file.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_file.display()))?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = cache.join(format!("{name}.partial"));
    let _ = std::fs::remove_dir_all(&partial);
    make_dir(&partial)?;
    make(&partial)?;
    std::fs::rename(&partial, &folder).with_context(|| format!("cannot rename to {}", folder.display()))?;
    Ok(folder)
}

/// Whether there is a Go that can build Kubernetes 1.37: 1.26, or 1.21 and up, which fetches the toolchain it needs.
///
/// # Errors
/// There is none; the error says how to get one.
pub fn check_go() -> Result<()> {
    const HINT: &str = "hint: Go 1.26 is at https://go.dev/dl/ (tar -C /usr/local -xzf go1.26.*.linux-amd64.tar.gz, then put \
                        /usr/local/go/bin into PATH); `apt-get install golang-1.21` from bookworm-backports also does: it \
                        fetches 1.26 itself";
    let Ok(text) = run::output(Command::new("go").args(["env", "GOVERSION"])) else {
        bail!("there is no Go toolchain\n{HINT}");
    };
    let minor: Option<u32> = text
        .trim()
        .strip_prefix("go1.")
        .and_then(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok());
    match minor {
        Some(minor) if minor >= 26 => Ok(()),
        Some(minor) if minor >= 21 && std::env::var("GOTOOLCHAIN").as_deref() != Ok("local") => Ok(()),
        _ => bail!("the Go toolchain is {}, and 1.26 is needed\n{HINT}", text.trim()),
    }
}

/// Programs of the runtime and the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// containerd.
    pub containerd: PathBuf,
    /// Its client.
    pub ctr: PathBuf,
    /// Folder of its shim.
    pub shim_dir: PathBuf,
    /// The OCI runtime.
    pub runc: PathBuf,
    /// Folder of the CNI plugins.
    pub cni: PathBuf,
    /// Folder of etcd (`server`), the control plane, `kubectl`, `kubeadm` and upstream's `kubelet`; only where needed.
    pub control_plane: Option<PathBuf>,
    /// metrics-server; only where it is asked for.
    pub metrics_server: Option<PathBuf>,
}

impl Tools {
    /// A program of the control plane.
    ///
    /// # Errors
    /// The lab has no control plane.
    pub fn control_plane_program(&self, name: &str) -> Result<PathBuf> {
        let folder = self.control_plane.as_ref().with_context(|| {
            format!("this lab has no {name}: it was started without a control plane\nhint: --mode cluster")
        })?;
        Ok(folder.join(name))
    }
}

/// Find or build what a lab needs, and the path of its kubelet.
///
/// # Errors
/// A build fails, Go is missing, or the kubelet is not there.
pub fn ensure(spec: &Spec) -> Result<(Tools, PathBuf)> {
    let cache = spec.state.join("cache");
    let control_plane = if spec.mode == Mode::Cluster || spec.kubelet == KubeletBinary::Upstream {
        Some(CONTROL_PLANE.ensure(&cache)?)
    } else {
        None
    };
    let metrics_server = match spec.metrics_api {
        MetricsApi::MetricsServer => Some(METRICS_SERVER.ensure(&cache)?.join("metrics-server")),
        MetricsApi::Nobody => None,
    };
    let tools = match spec.runtime {
        Runtime::Containerd2 => {
            let containerd = CONTAINERD.ensure(&cache)?;
            Tools {
                containerd: containerd.join("containerd"),
                ctr: containerd.join("ctr"),
                shim_dir: containerd,
                runc: RUNC.ensure(&cache)?.join("runc"),
                cni: CNI.ensure(&cache)?,
                control_plane,
                metrics_server,
            }
        }
        Runtime::Containerd1 => Tools {
            containerd: "/usr/bin/containerd".into(),
            ctr: "/usr/bin/ctr".into(),
            shim_dir: "/usr/bin".into(),
            runc: "/usr/sbin/runc".into(),
            cni: "/usr/lib/cni".into(),
            control_plane,
            metrics_server,
        },
    };
    for program in [&tools.containerd, &tools.ctr, &tools.runc, &tools.cni.join("bridge")] {
        if !program.exists() {
            bail!("there is no {}\nhint: `lab prerequisites` installs Debian's packages", program.display());
        }
    }
    let kubelet = kubelet(&spec.kubelet, &tools)?;
    Ok((tools, kubelet))
}

/// Path of a kubelet.
///
/// # Errors
/// It is not there.
pub fn kubelet(choice: &KubeletBinary, tools: &Tools) -> Result<PathBuf> {
    let path = match choice {
        KubeletBinary::Ours => {
            let target =
                std::env::var_os("CARGO_TARGET_DIR").map_or(checkout()?.join("target"), PathBuf::from);
            target.join("release/kubelet")
        }
        KubeletBinary::Upstream => tools.control_plane_program("kubelet")?,
        KubeletBinary::Path(path) => path.clone(),
    };
    let path = std::path::absolute(&path).context("the kubelet's path cannot be made absolute")?;
    if !path.exists() {
        let hint = match choice {
            KubeletBinary::Ours => "cargo build --release -p kubelet",
            KubeletBinary::Upstream => "lab build",
            KubeletBinary::Path(_) => "KUBELET_BIN and --kubelet take `ours`, `upstream` or a path",
        };
        bail!("there is no kubelet at {}\nhint: {hint}", path.display());
    }
    Ok(path)
}

/// Build everything, for `lab build`.
///
/// # Errors
/// A build fails, or Go is missing.
pub fn ensure_all(state: &Path) -> Result<Vec<PathBuf>> {
    // What shares most of its packages with the control plane comes behind it.
    let all = [CONTAINERD, RUNC, CNI, CONTROL_PLANE, METRICS_SERVER];
    all.iter().map(|recipe| recipe.ensure(&state.join("cache"))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_folder_that_is_there_is_not_built_again() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join(RUNC.folder_name());
        std::fs::create_dir(&there).unwrap();
        assert_eq!(RUNC.ensure(folder.path()).unwrap(), there);
    }

    #[test]
    fn another_flag_is_another_folder() {
        let other = Recipe { flags: &["install"], ..RUNC };
        assert_ne!(other.folder_name(), RUNC.folder_name());
        assert!(RUNC.folder_name().starts_with("runc-1.5.2-"));
    }

    #[test]
    fn a_module_names_what_is_built() {
        for recipe in [CONTROL_PLANE, METRICS_SERVER] {
            let module = recipe.module.as_ref().unwrap();
            for package in recipe.packages {
                assert!(module.go_mod.contains(package), "{package}");
            }
        }
    }

    /// Only then does what is compiled for one serve the other.
    #[test]
    fn metrics_server_is_made_of_the_control_planes_versions() {
        let versions = |recipe: &Recipe| -> BTreeMap<String, String> {
            let lines = recipe.module.as_ref().unwrap().go_mod.lines();
            // What replaces a version stands behind it, and counts.
            let named =
                lines.filter_map(|line| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                    [name, "=>", _, version] => Some((*name, *version)),
                    [name, version, ..] if version.starts_with('v') => Some((*name, *version)),
                    _ => None,
                });
            named.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
        };
        let control_plane = versions(&CONTROL_PLANE);
        let shared: Vec<_> = versions(&METRICS_SERVER)
            .into_iter()
            .filter_map(|(name, version)| Some((control_plane.get(&name)?.clone(), version, name)))
            .collect();
        assert!(shared.len() > 80, "{}", shared.len());
        assert_eq!(shared.iter().find(|(theirs, ours, _)| theirs != ours), None);
    }

    #[test]
    fn a_missing_kubelet_is_answered_with_how_to_get_it() {
        let error = kubelet(&KubeletBinary::Path("/nowhere/kubelet".into()), &Tools::default()).unwrap_err();
        assert!(error.to_string().contains("hint:"), "{error}");
    }
}
