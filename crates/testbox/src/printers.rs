//! Printers: environment, arguments, files, and this process itself.

use std::{
    collections::BTreeMap,
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{args::Args, games::stay};

/// `print-env`.
pub(crate) async fn env(args: Args) -> Result<u8> {
    print!("{}", environment(args.positional()));
    stay(&args).await;
    Ok(0)
}

/// `NAME=VALUE` lines, sorted; all of them, or the named ones in that order, those that are not set left out.
pub(crate) fn environment(names: &[String]) -> String {
    let all: BTreeMap<String, String> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let line = |name: &String, value: &String| format!("{name}={value}\n");
    if names.is_empty() {
        all.iter().map(|(name, value)| line(name, value)).collect()
    } else {
        names.iter().filter_map(|name| all.get(name).map(|value| line(name, value))).collect()
    }
}

/// `print-args`.
pub(crate) fn arguments(args: Args) -> Result<u8> {
    for word in args.positional() {
        println!("{word}");
    }
    Ok(0)
}

/// Lines of `/proc/self/status` that security contexts decide.
const STATUS_LINES: [&str; 10] =
    ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"];

/// `print-self`.
pub(crate) async fn this_process(args: Args) -> Result<u8> {
    print!("{}", this_process_text());
    stay(&args).await;
    Ok(0)
}

/// `KEY: VALUE` lines about this process.
pub(crate) fn this_process_text() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut text = format!("Hostname: {}\nPid: {}\n", hostname(), std::process::id());
    let uname = rustix::system::uname();
    text.push_str(&format!("Domainname: {}\n", uname.domainname().to_string_lossy()));
    if let Ok(folder) = std::env::current_dir() {
        text.push_str(&format!("Cwd: {}\n", folder.display()));
    }
    for line in read("/proc/self/status").lines() {
        if let Some((key, value)) = line.split_once(':')
            && STATUS_LINES.contains(&key)
        {
            text.push_str(&format!("{key}: {}\n", value.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    text.push_str(&format!("OomScoreAdj: {}\n", read("/proc/self/oom_score_adj").trim()));
    for line in read("/proc/self/cgroup").lines() {
        text.push_str(&format!("Cgroup: {line}\n"));
    }
    text
}

/// The host name as the kernel says it.
pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// `print-file`.
pub(crate) async fn files(args: Args) -> Result<u8> {
    let every = args.time("every")?;
    let mut printed: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    loop {
        let mut now = BTreeMap::new();
        for path in args.positional() {
            describe(Path::new(path), &mut now);
        }
        // What was printed and is no longer there is news too.
        for gone in printed.keys().filter(|path| !now.contains_key(*path)).cloned().collect::<Vec<_>>() {
            let text = format!("== {} missing\n", gone.display()).into_bytes();
            now.insert(gone, text);
        }
        let mut out = std::io::stdout().lock();
        for (path, text) in &now {
            if printed.get(path) != Some(text) {
                out.write_all(text)?;
            }
        }
        out.flush()?;
        drop(out);
        printed = now;
        match every {
            Some(every) => tokio::time::sleep(every).await,
            None => return Ok(0),
        }
    }
}

/// What is to be printed for a path; for a folder, of each file in it. Names that start with `..` are left out there:
/// they are the atomic writer's own.
fn describe(path: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let names: Vec<_> = match std::fs::read_dir(path) {
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect(),
        Err(_) => {
            into.insert(path.to_owned(), file_text(path));
            return;
        }
    };
    for name in names.iter().filter(|name| !name.to_string_lossy().starts_with("..")) {
        describe(&path.join(name), into);
    }
}

/// Header and contents of one file.
fn file_text(path: &Path) -> Vec<u8> {
    let found =
        std::fs::metadata(path).and_then(|metadata| std::fs::read(path).map(|contents| (metadata, contents)));
    match found {
        Ok((metadata, contents)) => {
            let mut text = format!(
                "== {} mode={:04o} uid={} gid={} size={}\n",
                path.display(),
                metadata.mode() & 0o7777,
                metadata.uid(),
                metadata.gid(),
                contents.len()
            )
            .into_bytes();
            text.extend_from_slice(&contents);
            if !contents.is_empty() && !contents.ends_with(b"\n") {
                text.push(b'\n');
            }
            text
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("== {} missing\n", path.display()).into_bytes()
        }
        Err(error) => format!("== {} error: {error}\n", path.display()).into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_in_the_atomic_writers_layout_shows_each_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("..2026");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("key"), "value").unwrap();
        std::fs::set_permissions(data.join("key"), std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("..2026", folder.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/key", folder.path().join("key")).unwrap();
        let mut seen = BTreeMap::new();
        describe(folder.path(), &mut seen);
        assert_eq!(seen.len(), 1);
        let text = String::from_utf8(seen[&folder.path().join("key")].clone()).unwrap();
        assert!(text.contains(" mode=0640 "), "{text}");
        assert!(text.ends_with("size=5\nvalue\n"), "{text}");
    }

    #[test]
    fn a_missing_file_is_said_to_be_missing() {
        assert_eq!(file_text(Path::new("/nowhere/at/all")), b"== /nowhere/at/all missing\n");
    }
}
