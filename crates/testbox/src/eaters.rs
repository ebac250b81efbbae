//! Eaters of memory, disk, CPU and process ids: what limits and eviction are tested with.

use std::{fs::File, hint::black_box, io::Write as _, path::Path, time::Duration};

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep_until};

use crate::{args::Args, games::hold};

/// Size of one step: small enough that rates are smooth, large enough that 1 GiB is a thousand steps.
const STEP: u64 = 1 << 20;

/// Keeps a rate: says when the next step is due.
struct Pace {
    start: Instant,
    rate: Option<u64>,
}

impl Pace {
    fn new(rate: Option<u64>) -> Self {
        Self { start: Instant::now(), rate: rate.filter(|rate| *rate > 0) }
    }

    /// Bytes of one step: a tenth of a second's worth at most, so that small rates are not bursts.
    fn step(&self) -> u64 {
        self.rate.map_or(STEP, |rate| (rate / 10).clamp(1, STEP))
    }

    /// Wait until `done` bytes are allowed; gives signals a chance in any case.
    async fn until(&self, done: u64) {
        match self.rate {
            Some(rate) => sleep_until(self.start + Duration::from_secs_f64(done as f64 / rate as f64)).await,
            None => tokio::task::yield_now().await,
        }
    }
}

/// `eat-memory`.
pub(crate) async fn memory(args: Args) -> Result<u8> {
    let wanted = args.size("bytes")?.context("--bytes is wanted")?;
    let pace = Pace::new(args.size("rate")?);
    let mut held: Vec<Vec<u8>> = Vec::new();
    let mut done = 0;
    while done < wanted {
        let step = pace.step().min(wanted - done);
        let mut chunk = vec![0_u8; usize::try_from(step)?];
        // Every page is written: memory that is only reserved is not charged.
        chunk.fill(0x5a);
        held.push(black_box(chunk));
        done += step;
        pace.until(done).await;
    }
    println!("holding {done} bytes");
    hold(args.time("hold")?).await;
    black_box(&held);
    Ok(0)
}

/// `eat-disk`.
pub(crate) async fn disk(args: Args) -> Result<u8> {
    let path = Path::new(args.text("path").context("--path is wanted")?);
    let pace = Pace::new(args.size("rate")?);
    match args.parsed::<u64>("files")? {
        Some(files) => {
            let bytes = args.size("bytes")?.unwrap_or(0);
            std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
            for number in 0..files {
                fill(&path.join(format!("file-{number:08}")), bytes, number * bytes, &pace).await?;
            }
            println!("made {files} files");
        }
        None => {
            let bytes = args.size("bytes")?.context("--bytes is wanted")?;
            fill(path, bytes, 0, &pace).await?;
            println!("wrote {bytes} bytes");
        }
    }
    hold(args.time("hold")?).await;
    Ok(0)
}

async fn fill(path: &Path, bytes: u64, before: u64, pace: &Pace) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let block = vec![0x5a_u8; usize::try_from(STEP)?];
    let mut done = 0;
    while done < bytes {
        let step = pace.step().min(bytes - done);
        file.write_all(&block[..usize::try_from(step)?])
            .with_context(|| format!("cannot write {} after {done} bytes", path.display()))?;
        done += step;
        pace.until(before + done).await;
    }
    file.sync_all().with_context(|| format!("cannot sync {}", path.display()))
}

/// `eat-cpu`.
pub(crate) async fn cpu(args: Args) -> Result<u8> {
    let threads = args.parsed::<usize>("threads")?.unwrap_or(1);
    for _ in 0..threads {
        std::thread::Builder::new()
            .spawn(|| {
                let mut counter = 0_u64;
                loop {
                    counter = black_box(counter.wrapping_add(1));
                }
            })
            .context("cannot start a thread")?;
    }
    println!("{threads} threads busy");
    hold(args.time("hold")?).await;
    Ok(0)
}

/// `eat-pids`.
pub(crate) async fn pids(args: Args) -> Result<u8> {
    let wanted = args.parsed::<usize>("count")?.context("--count is wanted")?;
    let mut got = 0;
    while got < wanted {
        // 64 KiB of stack: the memory limit must not be what stops it.
        let spawned = std::thread::Builder::new().stack_size(64 << 10).spawn(|| {
            loop {
                std::thread::park();
            }
        });
        if let Err(error) = spawned {
            println!("got {got} threads: {error}");
            hold(args.time("hold")?).await;
            return Ok(1);
        }
        got += 1;
    }
    println!("got {got} threads");
    hold(args.time("hold")?).await;
    Ok(0)
}
