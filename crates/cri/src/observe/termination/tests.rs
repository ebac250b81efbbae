use std::{fs, os::unix::fs::symlink};

use proto::cri::Mount;
use rustix::fs::FileType;

use super::*;

struct Case {
    dir: tempfile::TempDir,
    status: ContainerStatus,
}

impl Case {
    /// A container that exited with `exit_code`, with a termination file and a log.
    fn new(exit_code: i32, policy: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let status = ContainerStatus {
            exit_code,
            log_path: path("0.log"),
            annotations: [
                (annotations::TERMINATION_PATH.to_owned(), "/dev/termination-log".to_owned()),
                (annotations::TERMINATION_POLICY.to_owned(), policy.to_owned()),
            ]
            .into(),
            mounts: vec![Mount {
                container_path: "/dev/termination-log".into(),
                host_path: path("message"),
                ..Default::default()
            }],
            ..Default::default()
        };
        fs::write(path("0.log"), "2024-01-01T00:00:00.1Z stderr F from the log\n").unwrap();
        Self { dir, status }
    }

    fn with_message(self, message: impl AsRef<[u8]>) -> Self {
        fs::write(self.dir.path().join("message"), message).unwrap();
        self
    }

    async fn read(&self) -> String {
        MessageReader::new(self.dir.path().to_owned()).read(&self.status).await
    }
}

#[tokio::test]
async fn the_file_wins() {
    assert_eq!(Case::new(1, "FallbackToLogsOnError").with_message("bye").read().await, "bye");
    assert_eq!(Case::new(0, "File").with_message("bye").read().await, "bye");
}

#[tokio::test]
async fn the_log_only_after_a_failure_and_only_when_asked() {
    let fallback = "FallbackToLogsOnError";
    assert_eq!(Case::new(1, fallback).with_message("").read().await, "from the log\n");
    assert_eq!(Case::new(1, fallback).read().await, "from the log\n", "no file");
    assert_eq!(Case::new(0, fallback).with_message("").read().await, "");
    assert_eq!(Case::new(1, "File").with_message("").read().await, "");
    let mut never_ran = Case::new(128, fallback);
    never_ran.status.reason = CANNOT_RUN.into();
    assert_eq!(never_ran.read().await, "");
}

#[tokio::test]
async fn the_last_4_kib_whatever_the_bytes() {
    let mut bytes = vec![b'a'; 5000];
    bytes.extend([0xff, b'z']);
    let message = Case::new(1, "File").with_message(bytes).read().await;
    assert!(message.ends_with("a\u{fffd}z"), "{message:?}");
    assert_eq!(message.chars().count(), 4096);
}

#[tokio::test]
async fn links_and_pipes_are_not_read() {
    let case = Case::new(1, "File");
    symlink("/etc/passwd", case.dir.path().join("message")).unwrap();
    let message = case.read().await;
    assert!(message.starts_with("Error on reading termination log"), "{message}");
    assert!(!message.contains("root:"), "{message}");

    let case = Case::new(1, "File");
    let pipe = case.dir.path().join("message");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert!(case.read().await.contains("not a regular file"));
}

#[tokio::test]
async fn no_log_outside_of_the_log_directory() {
    let mut case = Case::new(1, "FallbackToLogsOnError").with_message("");
    case.status.log_path = "/etc/passwd".into();
    let message = case.read().await;
    assert!(message.starts_with("Error on reading termination message from logs"), "{message}");
}

#[test]
fn the_last_mount_on_the_path_counts() {
    let mut case = Case::new(1, "File");
    let mut hidden = case.status.mounts[0].clone();
    hidden.host_path = "/etc/passwd".into();
    case.status.mounts.insert(0, hidden);
    let plan = Plan::of(&case.status).unwrap();
    assert_eq!(plan.file, Some(case.dir.path().join("message")));
}
