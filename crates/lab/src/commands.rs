//! What each command of `lab` does, and says.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use lab::{
    Lab, Mode, Service, Spec, artifacts, direction, env, host, images, kubelet::Seen, machine::Machine,
    prerequisites, spec::KubeletBinary, wait::Since,
};

use crate::options::{Command, Existing, KubeletStart, MachineVerb, Verb};

/// Longest for a pod to be seen running: a pull and a start take seconds, a loaded machine more.
const POD_BOUND: Duration = Duration::from_secs(120);

/// Do it.
pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Up { spec, existing, kubelet } => up(*spec, existing, kubelet),
        Command::Down { state, name } => down(&state, name.as_deref()),
        Command::Kubelet { state, name, verb, binary } => kubelet(&state, &name, verb, binary.as_ref()),
        Command::WaitPod { state, name, namespace, pod } => wait_pod(&state, &name, &namespace, &pod),
        Command::Status { state } => status(&state),
        Command::Build { state } => {
            for folder in artifacts::ensure_all(&state)? {
                println!("{}", folder.display());
            }
            for image in images::build_all(&state)? {
                println!("{} {}", image.reference, image.tar.display());
            }
            Ok(())
        }
        Command::Machine { state, name, verb } => machine(&state, &name, &verb),
        Command::Bench(options) => {
            let file = lab::bench::run(&options)?;
            println!("every sample is in {}", file.display());
            Ok(())
        }
        Command::Prerequisites => {
            prerequisites::ensure()?;
            println!("everything that the lab needs is installed");
            Ok(())
        }
        Command::CheckDependencies => {
            direction::check()?;
            println!("dependencies point the right way");
            Ok(())
        }
    }
}

fn up(spec: Spec, existing: Existing, kubelet: KubeletStart) -> Result<()> {
    let start = Since::now();
    let (state, name) = (spec.state.clone(), spec.name.clone());
    if existing == Existing::Replace && Lab::list(&state)?.contains(&name) {
        Lab::open(&state, &name)?.down()?;
    }
    let brought = match kubelet {
        KubeletStart::Now => Lab::up(spec),
        KubeletStart::Later => Lab::up_without_kubelet(spec),
    };
    let lab = brought.with_context(|| {
        format!(
            "lab {name:?} did not come up (its logs: {}; `lab down --name {name}` removes it)",
            logs(&state, &name)
        )
    })?;
    let links = env::point_here(lab.plan())?;
    let plan = lab.plan();
    match (plan.spec.mode, kubelet) {
        (Mode::Cluster, KubeletStart::Now) => println!("node {} is Ready", plan.node_name),
        (Mode::Standalone, KubeletStart::Now) => println!("kubelet {} is healthy", plan.node_name),
        (_, KubeletStart::Later) => println!("everything but the kubelet is up"),
    }
    println!("  after    {:.1} s", start.elapsed().as_secs_f32());
    println!("  kubelet  {}", plan.kubelet.display());
    println!("  logs     {}", plan.paths.logs.display());
    println!("  pods     put manifests into {}", plan.paths.manifests.display());
    if plan.spec.mode == Mode::Cluster {
        println!("  admin    {}", state.join("kubeconfig").display());
    }
    for link in links.iter().filter(|link| link.ends_with("env")) {
        println!("  names    . {}", link.display());
    }
    Ok(())
}

fn logs(state: &Path, name: &str) -> String {
    state.join("labs").join(name).join("logs").display().to_string()
}

fn down(state: &Path, name: Option<&str>) -> Result<()> {
    let there = Lab::list(state)?;
    let names: Vec<String> = match name {
        None => there,
        Some(name) if there.iter().any(|other| other == name) => vec![name.to_owned()],
        Some(name) => {
            println!("there is no lab {name:?}; nothing to do");
            Vec::new()
        }
    };
    let mut problems = Vec::new();
    for name in names {
        match Lab::open(state, &name).and_then(Lab::down) {
            Ok(()) => {
                println!("lab {name:?} is gone: no process, mount, interface, cgroup or file of it is left")
            }
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    // A lab that was cut off before it had a folder is in the register only.
    for (name, _) in host::labs()?.into_iter().filter(|(_, entry)| entry.state == state) {
        if Lab::open(state, &name).is_err() {
            host::leave(&name)?;
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}

fn kubelet(state: &Path, name: &str, verb: Verb, binary: Option<&KubeletBinary>) -> Result<()> {
    let mut lab = Lab::open(state, name)?;
    let mut kubelet = lab.kubelet();
    if let Some(binary) = binary {
        kubelet.set_binary(binary)?;
    }
    match verb {
        Verb::Stop => kubelet.stop()?,
        Verb::Kill => kubelet.kill()?,
        Verb::Start => kubelet.start()?,
        Verb::Restart => {
            kubelet.stop()?;
            kubelet.start()?;
        }
    }
    match kubelet.pid() {
        Some(pid) => println!("kubelet of {name:?} runs, process {}", pid.as_raw_nonzero()),
        None => println!("kubelet of {name:?} does not run"),
    }
    Ok(())
}

fn machine(state: &Path, name: &str, verb: &MachineVerb) -> Result<()> {
    let lab = Lab::open(state, name)?;
    match verb {
        MachineVerb::Start => {
            lab.start_machine()?;
            println!("the machine of {name:?} runs, at {}", lab.plan().addresses.machine());
            Ok(())
        }
        MachineVerb::Kubelet(which) => Machine::open(lab.plan())?.run_kubelet(which),
        MachineVerb::Shell(words) => Machine::open(lab.plan())?.shell(words),
    }
}

fn wait_pod(state: &Path, name: &str, namespace: &str, pod: &str) -> Result<()> {
    let lab = Lab::open(state, name)?;
    let Seen { pod, container, log_line } = lab.wait_pod_seen(namespace, pod, POD_BOUND)?;
    println!("pod {namespace}/{pod} is Running");
    println!("  {container} says: {log_line}");
    println!("  put your own manifests into {}", lab.paths().manifests.display());
    Ok(())
}

fn status(state: &Path) -> Result<()> {
    let names = Lab::list(state)?;
    if names.is_empty() {
        println!("no labs in {}", state.display());
    }
    for name in names {
        let lab = Lab::open(state, &name)?;
        let plan = lab.plan();
        println!("{name}  node {} at {}, {}", plan.node_name, plan.addresses.node, plan.paths.dir.display());
        for service in Service::ALL {
            if plan.paths.log(service).exists() {
                let state = match lab.service(service).pid() {
                    Some(pid) => format!("process {}", pid.as_raw_nonzero()),
                    None => "not running".to_owned(),
                };
                println!("  {service:<24} {state}");
            }
        }
        match lab.ctr(&["tasks", "list", "--quiet"]) {
            Ok(tasks) => println!("  {:<24} {}", "containers and sandboxes", tasks.lines().count()),
            Err(_) => println!("  {:<24} unknown: containerd does not answer", "containers and sandboxes"),
        }
    }
    Ok(())
}
