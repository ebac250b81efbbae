use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use node::log_rotation::{LogPolicy, LogStep, plan};
use proptest::prelude::*;
use seams::logs::LogStream;

use super::*;

/// Longest wait for anything; reached only when something is broken.
const BOUND: Duration = Duration::from_secs(20);

/// A runtime that says what it is told to.
#[derive(Default)]
struct Says {
    ended: AtomicBool,
    away: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait]
impl Alive for Says {
    async fn runs(&self, id: &ContainerId) -> Result<bool, RuntimeError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(RuntimeError::Unreachable { endpoint: "unix:///x".into(), message: id.to_string() });
        }
        Ok(!self.ended.load(Ordering::SeqCst))
    }
}

/// A log, its writer, and the runtime.
struct Log {
    root: tempfile::TempDir,
    dir: PathBuf,
    writer: Option<File>,
    says: Arc<Says>,
    second: i8,
    lines: usize,
}

impl Log {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("ns_p_u/c");
        fs::create_dir_all(&dir).unwrap();
        let mut log = Self { root, dir, writer: None, says: Arc::default(), second: 0, lines: 0 };
        log.reopen();
        log
    }

    fn path(&self) -> PathBuf {
        self.dir.join("0.log")
    }

    /// As runtimes do it: first the new file, then the old one is closed.
    fn reopen(&mut self) {
        let new = OpenOptions::new().append(true).create(true).open(self.path()).unwrap();
        self.writer = Some(new);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.writer.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Writes a line that there is only once, and gives what it reads as.
    fn line(&mut self, stream: &str, tag: &str) -> String {
        self.lines += 1;
        let text = format!("{}{}", self.lines, "x".repeat(self.lines % 7));
        self.bytes(format!("2026-01-02T03:04:05Z {stream} {tag} {text}\n").as_bytes());
        if tag == "P" { text } else { text + "\n" }
    }

    /// What rotation does before the runtime reopens: everything, and a second later each time.
    fn rotate(&mut self) {
        self.second += 1;
        let names: Vec<String> =
            fs::read_dir(&self.dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        let now = jiff::civil::date(2026, 1, 2).at(3, 4, self.second, 0);
        for step in plan(LogPolicy { max_size: 0, max_files: 60 }, "0.log", 0, &names, now) {
            match step {
                LogStep::Delete(name) => fs::remove_file(self.dir.join(name)).unwrap(),
                LogStep::Rotate(name) => fs::rename(self.path(), self.dir.join(name)).unwrap(),
                LogStep::Compress(name) => {
                    let (plain, tmp) = (self.dir.join(&name), self.dir.join(name.clone() + ".tmp"));
                    let mut gz = GzEncoder::new(File::create(&tmp).unwrap(), Compression::fast());
                    gz.write_all(&fs::read(&plain).unwrap()).unwrap();
                    gz.finish().unwrap();
                    fs::rename(&tmp, self.dir.join(name + ".gz")).unwrap();
                    fs::remove_file(plain).unwrap();
                }
            }
        }
    }

    fn end(&mut self) {
        self.writer = None;
        self.says.ended.store(true, Ordering::SeqCst);
    }

    async fn read(&self, options: LogOptions) -> Result<Pieces, LogError> {
        let source = LogSource { path: self.path(), container: ContainerId::from("c1") };
        let alive = Arc::clone(&self.says) as Arc<dyn Alive>;
        let receiver = read(self.root.path(), source, options, alive).await?;
        Ok(Pieces { receiver, seen: String::new() })
    }

    /// Waits until the runtime was asked so often, which is after a look at the log, and after the watch began.
    async fn asked(&self, times: usize) {
        tokio::time::timeout(BOUND, async {
            while self.says.asked.load(Ordering::SeqCst) < times {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the runtime is asked");
    }

    async fn follow(&self) -> Pieces {
        self.read(LogOptions { follow: true, ..LogOptions::default() }).await.unwrap()
    }
}

/// What comes out.
struct Pieces {
    receiver: mpsc::Receiver<Result<Bytes, LogError>>,
    seen: String,
}

impl Pieces {
    async fn next(&mut self) -> Option<()> {
        let piece = tokio::time::timeout(BOUND, self.receiver.recv()).await.expect("nothing came");
        self.seen.push_str(str::from_utf8(&piece?.expect("no error")).unwrap());
        Some(())
    }

    /// Waits until that much came.
    async fn until(&mut self, expected: &str) {
        while self.seen.len() < expected.len() {
            self.next().await.expect("it ended too early");
        }
        assert_eq!(self.seen, expected);
    }

    /// Waits for the end.
    async fn all(mut self) -> String {
        while self.next().await.is_some() {}
        self.seen
    }
}

#[tokio::test]
async fn without_following_what_is_there_is_sent() {
    let mut log = Log::new();
    let expected = log.line("stdout", "F") + &log.line("stderr", "P") + &log.line("stderr", "F");
    assert_eq!(log.read(LogOptions::default()).await.unwrap().all().await, expected);
    assert_eq!(log.says.asked.load(Ordering::SeqCst), 0, "the runtime has nothing to do with it");
    // Renamed and not yet reopened: this is still the log.
    log.rotate();
    assert_eq!(log.read(LogOptions::default()).await.unwrap().all().await, expected);
    log.reopen();
    assert_eq!(log.read(LogOptions::default()).await.unwrap().all().await, "");
}

#[tokio::test]
async fn the_last_lines_of_a_long_log() {
    let mut log = Log::new();
    let texts: Vec<String> = (0..5000).map(|_| log.line("stdout", "F")).collect();
    for (tail, limit, stream, expected) in [
        (10, None, LogStream::All, texts[4990..].concat()),
        (4999, None, LogStream::Stdout, texts[1..].concat()),
        (9000, None, LogStream::All, texts.concat()),
        (2, Some(3), LogStream::All, texts[4998][..3].to_owned()),
        (2, None, LogStream::Stderr, String::new()),
        (0, None, LogStream::All, String::new()),
    ] {
        let options =
            LogOptions { tail_lines: Some(tail), limit_bytes: limit, stream, ..LogOptions::default() };
        assert_eq!(log.read(options).await.unwrap().all().await, expected, "{tail} {limit:?}");
    }
    let options = LogOptions { tail_lines: Some(1), follow: true, ..LogOptions::default() };
    let mut pieces = log.read(options).await.unwrap();
    pieces.until(&texts[4999]).await;
    let more = log.line("stdout", "F");
    log.end();
    assert_eq!(pieces.all().await, texts[4999].clone() + &more);
}

#[tokio::test]
async fn logs_that_cannot_be_read() {
    let log = Log::new();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("0.log"), "x").unwrap();
    fs::create_dir(log.dir.join("2.log")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("0.log"), log.dir.join("1.log")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), log.root.path().join("ns_p_u/d")).unwrap();
    for path in [
        log.dir.join("3.log"),
        log.dir.join("2.log"),
        log.dir.join("1.log"),
        log.root.path().join("ns_p_u/d/0.log"),
        log.root.path().join("absent/c/0.log"),
        elsewhere.path().join("0.log"),
        log.root.path().join("x/../../x/0.log"),
        PathBuf::from("/"),
    ] {
        let source = LogSource { path: path.clone(), container: ContainerId::from("c1") };
        let alive = Arc::clone(&log.says) as Arc<dyn Alive>;
        let read = read(log.root.path(), source, LogOptions::default(), alive).await;
        assert!(matches!(read, Err(LogError::File { .. })), "{}", path.display());
    }
}

#[tokio::test]
async fn following_an_ended_container_ends_with_its_last_words() {
    let mut log = Log::new();
    let mut expected = log.line("stdout", "F");
    log.bytes(b"2026-01-02T03:04:05Z stdout F last words");
    expected.push_str("last words");
    log.end();
    assert_eq!(log.follow().await.all().await, expected);
}

#[tokio::test]
async fn a_line_is_sent_once_it_is_whole() {
    let mut log = Log::new();
    let first = log.line("stdout", "F");
    let mut pieces = log.follow().await;
    pieces.until(&first).await;
    log.bytes(b"2026-01-02T03:04:05Z stdou");
    log.bytes(b"t F ab");
    log.bytes(b"c\n");
    pieces.until(&(first.clone() + "abc\n")).await;
    let last = log.line("stderr", "F");
    log.end();
    assert_eq!(pieces.all().await, first + "abc\n" + &last);
}

#[tokio::test]
async fn a_slow_receiver_misses_no_rotation() {
    let mut log = Log::new();
    let mut expected = log.line("stdout", "F");
    let mut pieces = log.follow().await;
    pieces.until(&expected).await;
    // More than is on its way at once, so that the reader stands still.
    for _ in 0..20_000 {
        expected += &log.line("stdout", "F");
    }
    for _ in 0..5 {
        log.rotate();
        expected += &log.line("stderr", "P");
        log.reopen();
        expected += &log.line("stdout", "F");
    }
    log.end();
    assert!(log.dir.join("0.log.20260102-030403.gz").exists(), "older ones were compressed meanwhile");
    assert!(pieces.all().await == expected);
}

#[tokio::test]
async fn a_rotation_that_was_undone_changes_nothing() {
    let mut log = Log::new();
    let mut expected = log.line("stdout", "F");
    let mut pieces = log.follow().await;
    pieces.until(&expected).await;
    log.rotate();
    expected += &log.line("stdout", "F");
    pieces.until(&expected).await;
    fs::rename(log.dir.join("0.log.20260102-030401"), log.path()).unwrap();
    expected += &log.line("stdout", "F");
    pieces.until(&expected).await;
    log.end();
    assert_eq!(pieces.all().await, expected);
}

#[tokio::test]
async fn what_a_held_up_runtime_writes_into_the_old_file_is_not_lost() {
    let mut log = Log::new();
    let mut expected = log.line("stdout", "F");
    let mut pieces = log.follow().await;
    pieces.until(&expected).await;
    log.rotate();
    // The new file is there and the old one still written, as long as the runtime swaps them.
    let new = OpenOptions::new().append(true).create(true).open(log.path()).unwrap();
    expected += &log.line("stdout", "F");
    log.writer = Some(new);
    expected += &log.line("stdout", "F");
    pieces.until(&expected).await;
    log.end();
    assert_eq!(pieces.all().await, expected);
}

#[tokio::test]
async fn a_log_that_is_emptied_in_place_is_read_from_its_beginning() {
    let mut log = Log::new();
    let first = log.line("stdout", "F");
    let mut pieces = log.follow().await;
    pieces.until(&first).await;
    OpenOptions::new().write(true).open(log.path()).unwrap().set_len(0).unwrap();
    // Seen only when it is shorter than what was read of it: let the runtime be asked, which is after a look.
    let asked = log.says.asked.load(Ordering::SeqCst);
    log.asked(asked + 2).await;
    let second = log.line("stdout", "F");
    log.end();
    assert_eq!(pieces.all().await, first + &second);
}

#[tokio::test]
async fn a_runtime_that_is_away_ends_nothing() {
    let mut log = Log::new();
    log.says.away.store(true, Ordering::SeqCst);
    let mut expected = log.line("stdout", "F");
    let mut pieces = log.follow().await;
    pieces.until(&expected).await;
    log.asked(1).await;
    expected += &log.line("stdout", "F");
    pieces.until(&expected).await;
    log.says.away.store(false, Ordering::SeqCst);
    log.end();
    assert_eq!(pieces.all().await, expected);
}

#[tokio::test]
async fn the_end_is_noticed_by_the_closing_of_the_log() {
    let mut log = Log::new();
    let expected = log.line("stdout", "F");
    let mut pieces = log.follow().await;
    pieces.until(&expected).await;
    log.asked(1).await;
    // The runtime closes the log before it says that the container has ended.
    log.writer = None;
    let asked = log.says.asked.load(Ordering::SeqCst);
    log.asked(asked + 2).await;
    log.end();
    assert_eq!(pieces.all().await, expected);
}

#[tokio::test]
async fn nobody_reads_for_nobody() {
    let mut log = Log::new();
    let expected = log.line("stdout", "F");
    let mut pieces = log.follow().await;
    pieces.until(&expected).await;
    drop(pieces);
    tokio::time::timeout(BOUND, async {
        while Arc::strong_count(&log.says) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the reader ends with its receiver");
}

/// What happens to a log that is followed.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Line {
        stdout: bool,
        partial: bool,
    },
    /// Renamed; the runtime goes on in the old file.
    Rotate,
    Reopen,
    /// The reader comes to the end of what there is.
    Breathe,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        5 => (any::<bool>(), any::<bool>()).prop_map(|(stdout, partial)| Happening::Line { stdout, partial }),
        2 => Just(Happening::Rotate),
        2 => Just(Happening::Reopen),
        2 => Just(Happening::Breathe),
    ];
    prop::collection::vec(one, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_line_is_lost_or_doubled(happenings in happenings()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut log = Log::new();
            let mut pieces = log.follow().await;
            let mut expected = String::new();
            let mut renamed = false;
            for happening in happenings {
                match happening {
                    Happening::Line { stdout, partial } => {
                        let stream = if stdout { "stdout" } else { "stderr" };
                        expected += &log.line(stream, if partial { "P" } else { "F" });
                    }
                    Happening::Rotate if !renamed => {
                        log.rotate();
                        renamed = true;
                    }
                    Happening::Rotate => {}
                    Happening::Reopen => {
                        log.reopen();
                        renamed = false;
                    }
                    Happening::Breathe => pieces.until(&expected).await,
                }
            }
            log.end();
            assert_eq!(pieces.all().await, expected);
        });
    }
}
