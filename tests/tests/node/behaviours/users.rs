//! The groups of a process: those of the pod, and those that the image gives its user.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use super::{seen::Seen, stage::Case};

/// The image's user is `tester` (1001), a member of `extra` (2000).
fn groups(name: &'static str, policy: &str, want: &'static [u32]) -> Case {
    let spec = format!(
        "
terminationGracePeriodSeconds: 1
securityContext: {{supplementalGroups: [3000], fsGroup: 4000{policy}}}
containers: [{{name: main, image: $NAMED, args: [print-self, --stay]}}]
"
    );
    Case::pod(&[35], name, &spec).must(move |seen| {
        seen.ready()?;
        has(seen, want)
    })
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        groups("groups", "", &[1001, 2000, 3000, 4000]),
        groups("groups-merged", ", supplementalGroupsPolicy: Merge", &[1001, 2000, 3000, 4000]),
        groups("groups-strict", ", supplementalGroupsPolicy: Strict", &[1001, 3000, 4000]),
    ]
}

/// The process has these groups, and the status says the same.
fn has(seen: &Seen<'_>, want: &[u32]) -> Result<()> {
    let log = seen.log("main");
    let line = |key: &str| log.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    ensure!(line("Uid:") == Some("1001 1001 1001 1001"), "it is {log}");
    let numbers = line("Groups:").with_context(|| format!("no groups in {log}"))?;
    let known: Result<BTreeSet<u32>, _> = numbers.split_whitespace().map(str::parse).collect();
    let want: BTreeSet<u32> = want.iter().copied().collect();
    ensure!(known? == want, "the groups are {numbers}");
    let user = &seen.container("main")["user"]["linux"];
    ensure!(user["uid"] == 1001 && user["gid"] == 1001, "{user}");
    let told = user["supplementalGroups"].as_array().into_iter().flatten();
    let told: BTreeSet<u32> = told.filter_map(|group| u32::try_from(group.as_u64()?).ok()).collect();
    ensure!(told == want, "the status says {user}");
    Ok(())
}
