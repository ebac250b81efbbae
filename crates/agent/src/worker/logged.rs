//! What a pod's log files tell of containers that nobody else remembers.

use std::{collections::BTreeMap, path::PathBuf};

use lifecycle::ContainerName;

/// Highest attempt of each container below `<podLogsDir>/<namespace>_<name>_<uid>` that has written something: some
/// runtimes make the file with the container. Mostly there is no such directory yet; one that cannot be read tells
/// nothing.
pub(super) async fn attempts(pod: PathBuf) -> BTreeMap<ContainerName, u32> {
    tokio::task::spawn_blocking(move || read(&pod)).await.unwrap_or_default()
}

fn read(pod: &std::path::Path) -> BTreeMap<ContainerName, u32> {
    let Ok(containers) = std::fs::read_dir(pod) else { return BTreeMap::new() };
    let newest = containers.flatten().filter_map(|container| {
        let name = container.file_name().into_string().ok()?;
        let logs = std::fs::read_dir(container.path()).ok()?.flatten();
        let plain = logs.filter(|log| log.metadata().is_ok_and(|log| !log.is_dir() && log.len() > 0));
        let newest = plain.filter_map(|log| attempt(log.file_name().to_str()?)).max()?;
        Some((ContainerName::from(name), newest))
    });
    newest.collect()
}

/// `3.log`, and what rotation makes of it: `3.log.20260101-000000.gz`.
fn attempt(name: &str) -> Option<u32> {
    let (number, _) = name.split_once(".log")?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_highest_number_counts() {
        let dir = tempfile::tempdir().unwrap();
        let pod = dir.path().join("ns_p_u");
        assert!(attempts(pod.clone()).await.is_empty());
        let logs = ["c/0.log", "c/9.log.20260101-000000.gz", "c/10.log", "c/x.log", "c/77", "d/notes.txt"];
        for log in logs {
            let path = pod.join(log);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "line").unwrap();
        }
        std::fs::write(pod.join("c/88.log"), "").unwrap();
        std::fs::create_dir_all(pod.join("c/99.log")).unwrap();
        assert_eq!(attempts(pod).await, BTreeMap::from([(ContainerName::from("c"), 10)]));
    }
}
