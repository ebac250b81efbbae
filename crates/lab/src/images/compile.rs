//! The programs inside the images: compiled here, or taken from Debian, and static all of them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    oci::{hex, write_whole},
    run,
};

/// Source of the sandbox process.
const PAUSE_SOURCE: &str = include_str!("../../pause/pause.c");

/// The checkout that this program was built from.
fn checkout() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .context("the lab's crate lies outside a checkout")
}

/// The sandbox process, compiled with gcc; cached by the hash of its source.
pub(super) fn pause(cache: &Path) -> Result<Vec<u8>> {
    let program = cache.join(format!("pause-{}", &hex(PAUSE_SOURCE.as_bytes())[..16]));
    if !program.exists() {
        let source = cache.join(format!("pause-{}.c", std::process::id()));
        let output = source.with_extension("out");
        write_whole(&source, PAUSE_SOURCE.as_bytes())?;
        let compiled =
            run(Command::new("gcc").args(["-static", "-Os", "-s", "-Wall", "-o"]).arg(&output).arg(&source))
                .context("cannot compile pause\nhint: apt-get install gcc libc6-dev");
        let _ = std::fs::remove_file(&source);
        compiled?;
        std::fs::rename(&output, &program)
            .with_context(|| format!("cannot rename to {}", program.display()))?;
    }
    read(&program)
}

/// Debian's static busybox.
pub(super) struct Busybox {
    /// The program.
    pub(super) program: Vec<u8>,
    /// The names it goes by.
    pub(super) applets: Vec<String>,
}

/// Find it. Debian 12 has it in `/bin`, or `/usr/bin` where the two are one.
pub(super) fn busybox() -> Result<Busybox> {
    let Some(path) = ["/bin/busybox", "/usr/bin/busybox"].iter().map(Path::new).find(|path| path.exists())
    else {
        bail!("there is no /bin/busybox\nhint: apt-get install busybox-static");
    };
    let program = read(path)?;
    ensure!(is_static(&program), "{} is not static\nhint: apt-get install busybox-static", path.display());
    let applets: Vec<String> = run(Command::new(path).arg("--list"))?
        .lines()
        .map(str::trim)
        .filter(|name| !name.is_empty() && *name != "busybox" && !name.contains('/'))
        .map(str::to_owned)
        .collect();
    ensure!(applets.iter().any(|name| name == "sh"), "{} --list names no sh", path.display());
    Ok(Busybox { program, applets })
}

/// Whether an x86-64 or ARM64 ELF file names no interpreter: a program header of type `PT_INTERP` (elf(5)).
pub(super) fn is_static(elf: &[u8]) -> bool {
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return false;
    }
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2)) else {
        return false;
    };
    (0..count).all(|header| matches!(number(table.saturating_add(header * size), 4), Some(kind) if kind != 3))
}

/// The test program. Its inputs are its sources, the lock file and the toolchain; when none changed, the cached one is used
/// and cargo is not asked.
pub(super) fn testbox(state: &Path, cache: &Path) -> Result<Vec<u8>> {
    let checkout = checkout()?;
    let program = cache.join(format!("testbox-{}", testbox_key(&checkout)?));
    if !program.exists() {
        let state = std::path::absolute(state).context("the state folder has no absolute path")?;
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let folder = state.join("cache/testbox-target");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo)
            .args(["build", "--quiet", "--package", "testbox", "--profile", "testbox", "--target", &target])
            .arg("--target-dir")
            .arg(&folder)
            .current_dir(&checkout)
            // A target folder or flags of the caller's would give another program in another place.
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", "-C target-feature=+crt-static"))
        .context("cannot build testbox")?;
        let built = read(&folder.join(target).join("testbox/testbox"))?;
        ensure!(is_static(&built), "testbox was not linked statically\nhint: apt-get install libc6-dev");
        write_whole(&program, &built)?;
    }
    read(&program)
}

/// Hash of everything that decides what `testbox` becomes.
fn testbox_key(checkout: &Path) -> Result<String> {
    let mut files = vec![
        checkout.join("Cargo.lock"),
        checkout.join("Cargo.toml"),
        checkout.join("rust-toolchain.toml"),
        checkout.join("crates/testbox/Cargo.toml"),
    ];
    let mut folders = vec![checkout.join("crates/testbox/src")];
    while let Some(folder) = folders.pop() {
        for entry in
            std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            let entry = entry?;
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.sort();
    let mut sums = String::new();
    for file in files {
        let contents = match std::fs::read(&file) {
            Ok(contents) => contents,
            // A checkout without a toolchain file is built by the default toolchain.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let name = file.strip_prefix(checkout).unwrap_or(&file);
        sums.push_str(&format!("{} {}\n", hex(&contents), name.display()));
    }
    Ok(hex(sums.as_bytes())[..16].to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
