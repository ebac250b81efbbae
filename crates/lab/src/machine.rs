//! A virtual machine as the node of a lab: Debian with systemd as its first process, journald, and all controllers in one
//! cgroup v2 hierarchy. Machines that build and test software often have none of these; nodes have all.
//!
//! ```text
//! machine ── veth ── lab's network namespace: control plane, registries ── tap ── Debian: containerd, kubelet, pods
//! ```
//!
//! The processor is emulated, which takes no more than a process of the machine's user, and a tenth of the speed. The disks
//! are thrown away in the end.

mod image;
mod payload;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use self::image::Image;
use crate::{
    daemon::{Daemon, Invocation},
    network,
    plan::{Plan, Service},
    run,
    spec::{Credentials, Runtime},
    wait,
};

/// Longest to boot: half a minute on an idle machine.
const BOOT_BOUND: Duration = Duration::from_secs(240);
/// Its memory.
const MEMORY_MIB: u32 = 3072;

/// The machine of a lab, running.
#[derive(Debug)]
pub struct Machine<'lab> {
    plan: &'lab Plan,
    image: Image,
}

impl<'lab> Machine<'lab> {
    /// Start it, with containerd and the images, and with kubelets to choose from: names and programs. None of them runs.
    ///
    /// # Errors
    /// The lab is not one of containerd 2 with certificates, the disk cannot be made, or the machine does not boot.
    pub fn start(plan: &'lab Plan, kubelets: &[(String, PathBuf)]) -> Result<Self> {
        ensure!(
            plan.spec.runtime == Runtime::Containerd2 && plan.spec.credentials == Credentials::Certificate,
            "a machine runs containerd 2, and its kubelet has a certificate"
        );
        let image = Image::ensure(&plan.spec.state)?;
        payload::make(plan, kubelets, &payload_disk(plan))?;
        network::tap_up(plan)?;
        Daemon::new(plan, Service::Machine).start()?;
        let machine = Self { plan, image };
        machine.booted()?;
        machine.run(&format!(
            "mkdir {0}; mount -o ro /dev/vdb {0}; cp -a {0}/files/. /; systemctl daemon-reload
             systemctl restart systemd-modules-load systemd-sysctl; systemctl enable --quiet --now containerd
             for image in {0}/images/*; do ctr -n k8s.io images import --local $image; done",
            payload::MOUNTED
        ))?;
        Ok(machine)
    }

    /// That of a lab whose machine was started before.
    ///
    /// # Errors
    /// It does not run.
    pub fn open(plan: &'lab Plan) -> Result<Self> {
        ensure!(
            Daemon::new(plan, Service::Machine).is_running(),
            "lab {:?} has no machine\nhint: lab machine start",
            plan.spec.name
        );
        Ok(Self { plan, image: Image::there(&plan.spec.state) })
    }

    /// Wait until it lets somebody in.
    fn booted(&self) -> Result<()> {
        Daemon::new(self.plan, Service::Machine).ready(BOOT_BOUND, || match self.run("true") {
            Ok(_) => wait::Look::Ready(()),
            Err(error) => wait::Look::NotYet(format!("{error:#}")),
        })
    }

    /// Run lines of a shell (`sh -e`) on it as root, and give what they print.
    ///
    /// # Errors
    /// One fails; the error shows what they said.
    pub fn run(&self, lines: &str) -> Result<String> {
        run::output_with_input(self.ssh().arg("sh -e"), lines)
    }

    /// A shell on the terminal, or one command.
    ///
    /// # Errors
    /// ssh cannot be run, or the command fails.
    pub fn shell(&self, words: &[String]) -> Result<()> {
        let status = self.ssh().args(words).stdin(Stdio::inherit()).status().context("cannot run ssh")?;
        ensure!(status.success(), "ssh: {status}");
        Ok(())
    }

    fn ssh(&self) -> Command {
        let mut command = network::enter(self.plan, "ssh".as_ref());
        command
            .arg("-i")
            .arg(self.image.key())
            // Each machine has a host key of its own, made for it and gone with it.
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
                "-o",
                "LogLevel=ERROR",
            ])
            .args(["-o", "ConnectTimeout=10"])
            .arg(format!("root@{}", self.plan.addresses.machine()));
        command
    }

    /// Let one of the kubelets be the node's, and (re)start it; returns when systemd has heard that it is ready.
    ///
    /// # Errors
    /// There is none of that name, or it does not get ready.
    pub fn run_kubelet(&self, name: &str) -> Result<()> {
        // A copy: the program of a running process cannot be written to, but it can be replaced.
        self.run(&format!(
            "cp {0}/kubelets/{name} {1}.new; mv {1}.new {1}; systemctl enable --quiet kubelet; systemctl restart kubelet",
            payload::MOUNTED,
            payload::KUBELET
        ))?;
        Ok(())
    }

    /// Boot it anew; its disk stays. Returns when it lets somebody in again.
    ///
    /// # Errors
    /// It does not come back.
    pub fn reboot(&self) -> Result<()> {
        let boot = || self.run("cat /proc/sys/kernel/random/boot_id");
        let before = boot()?;
        // The connection breaks.
        let _ = self.run("systemctl reboot");
        wait::until("the machine to boot again", BOOT_BOUND, || match boot() {
            Ok(now) if now != before => Ok(wait::Look::Ready(())),
            other => Ok(wait::Look::NotYet(format!("{other:?}"))),
        })?;
        self.run(&format!("mount -o ro /dev/vdb {}", payload::MOUNTED)).map(drop)
    }
}

fn payload_disk(plan: &Plan) -> PathBuf {
    plan.paths.dir.join("payload.ext4")
}

/// The emulator's command line.
pub(crate) fn invocation(plan: &Plan) -> Invocation {
    let image = Image::there(&plan.spec.state);
    let shown = |path: PathBuf| path.display().to_string();
    let (machine, gateway) = (plan.addresses.machine(), plan.addresses.machine_gateway());
    let kernel = format!(
        "root=/dev/vda rw console=ttyS0 quiet psi=1 mitigations=off \
         net.ifnames=0 ip={machine}::{gateway}:255.255.255.0:{}:eth0:off",
        plan.node_name
    );
    let mut invocation = Invocation::new(
        "qemu-system-x86_64",
        [
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            &MEMORY_MIB.to_string(),
            "-kernel",
            &shown(image.kernel()),
            "-initrd",
            &shown(image.initrd()),
            "-append",
            &kernel,
            "-drive",
            &format!("file={},if=virtio,format=raw,snapshot=on,cache=unsafe", shown(image.disk())),
            "-drive",
            &format!("file={},if=virtio,format=raw,readonly=on", shown(payload_disk(plan))),
            "-netdev",
            &format!("tap,id=net,ifname={},script=no,downscript=no", network::TAP),
            "-device",
            "virtio-net-pci,netdev=net,romfile=",
            "-display",
            "none",
            "-serial",
            &format!("file:{}", shown(plan.paths.logs.join("machine-console.log"))),
        ],
    );
    // Where what is written to the disks goes.
    invocation.environment.push(("TMPDIR".to_owned(), plan.paths.dir.clone().into()));
    invocation
}
