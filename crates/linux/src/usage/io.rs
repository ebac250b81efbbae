//! IO of groups and of block devices.

use std::collections::HashMap;

use seams::stats::{DeviceIo, DiskCounters};

use super::reader::{Directory, Reader};

/// `major:minor` to what the device is called and did.
pub(super) type Devices = HashMap<String, (String, DiskCounters)>;

/// Reads `/proc/diskstats`.
pub(super) fn devices(reader: &mut Reader, proc: &str) -> Devices {
    let directory = reader.open(proc, "/");
    let text = directory.and_then(|directory| reader.text(&directory, "diskstats")).unwrap_or_default();
    text.lines().filter_map(device).collect()
}

/// `8 0 sda reads merged sectors ms writes merged sectors ms under-way busy-ms weighted-ms …`
fn device(line: &str) -> Option<(String, (String, DiskCounters))> {
    let mut words = line.split_ascii_whitespace();
    let number = format!("{}:{}", words.next()?, words.next()?);
    let name = format!("/dev/{}", words.next()?);
    let mut next = || words.next()?.parse().ok();
    let counters = DiskCounters {
        reads: next()?,
        reads_merged: next()?,
        sectors_read: next()?,
        read_ms: next()?,
        writes: next()?,
        writes_merged: next()?,
        sectors_written: next()?,
        write_ms: next()?,
        in_progress: next()?,
        busy_ms: next()?,
        weighted_ms: next()?,
    };
    Some((number, (name, counters)))
}

/// What names of devices are made from, read at most once a pass.
#[derive(Debug, Default)]
pub(super) struct Names(Option<Devices>);

impl Names {
    fn of(&mut self, reader: &mut Reader, proc: &str, number: &str) -> String {
        let devices = self.0.get_or_insert_with(|| devices(reader, proc));
        devices.get(number).map_or_else(|| number.to_owned(), |(name, _)| name.clone())
    }
}

/// `io.stat` of v2: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
pub(super) fn of_v2(reader: &mut Reader, proc: &str, group: &Directory, names: &mut Names) -> Vec<DeviceIo> {
    let text = reader.text(group, "io.stat").unwrap_or_default();
    let mut found: Vec<DeviceIo> = text.lines().filter_map(line_of_v2).collect();
    for io in &mut found {
        io.device = names.of(reader, proc, &io.number);
    }
    found
}

fn line_of_v2(line: &str) -> Option<DeviceIo> {
    let (device, figures) = line.split_once(' ')?;
    let mut io = DeviceIo { number: device.to_owned(), ..DeviceIo::default() };
    for (name, value) in figures.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
        let value = value.parse().ok()?;
        match name {
            "rbytes" => io.read_bytes = value,
            "wbytes" => io.written_bytes = value,
            "rios" => io.reads = value,
            "wios" => io.writes = value,
            _ => {}
        }
    }
    Some(io)
}

/// The two files of v1, lines of `8:0 Read 123` and a total.
pub(super) fn of_v1(reader: &mut Reader, proc: &str, group: &Directory, names: &mut Names) -> Vec<DeviceIo> {
    let mut found = Vec::new();
    if let Some(text) = reader.text(group, "blkio.throttle.io_service_bytes_recursive") {
        add_v1(&mut found, text, |io| (&mut io.read_bytes, &mut io.written_bytes));
    }
    // Nothing moved: then nothing was counted either.
    if found.is_empty() {
        return found;
    }
    if let Some(text) = reader.text(group, "blkio.throttle.io_serviced_recursive") {
        add_v1(&mut found, text, |io| (&mut io.reads, &mut io.writes));
    }
    for io in &mut found {
        io.device = names.of(reader, proc, &io.number);
    }
    found
}

fn add_v1(found: &mut Vec<DeviceIo>, text: &str, of: impl Fn(&mut DeviceIo) -> (&mut u64, &mut u64)) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(device), Some(way), Some(value)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Ok(value) = value.parse() else { continue };
        let at = found.iter().position(|io| io.number == device).unwrap_or_else(|| {
            found.push(DeviceIo { number: device.to_owned(), ..DeviceIo::default() });
            found.len() - 1
        });
        let Some(io) = found.get_mut(at) else { continue };
        let (read, written) = of(io);
        match way {
            "Read" => *read = value,
            "Write" => *written = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISKS: &str = "   8       0 sda 10 1 200 5 20 2 400 8 1 12 14 0 0 0 0\n   8 1 sda1 bad\n";

    fn fixture(files: &[(&str, &str)]) -> (tempfile::TempDir, Reader, Directory, String) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("diskstats"), DISKS).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let mut reader = Reader::default();
        let proc = dir.path().to_str().unwrap().to_owned();
        let group = reader.open(&proc, "/").unwrap();
        (dir, reader, group, proc)
    }

    #[test]
    fn devices_have_names_and_counters() {
        let (_dir, mut reader, _, proc) = fixture(&[]);
        let devices = devices(&mut reader, &proc);
        assert_eq!(devices.len(), 1);
        let (name, counters) = &devices["8:0"];
        assert_eq!((name.as_str(), counters.sectors_read, counters.weighted_ms), ("/dev/sda", 200, 14));
    }

    #[test]
    fn v2_has_one_line_a_device() {
        let text = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n9:9 rbytes=7\n";
        let (_dir, mut reader, group, proc) = fixture(&[("io.stat", text)]);
        let seen = of_v2(&mut reader, &proc, &group, &mut Names::default());
        let first = DeviceIo {
            device: "/dev/sda".to_owned(),
            number: "8:0".to_owned(),
            read_bytes: 1,
            written_bytes: 2,
            reads: 3,
            writes: 4,
        };
        assert_eq!(seen[0], first);
        assert_eq!((seen[1].device.as_str(), seen[1].read_bytes), ("9:9", 7));
    }

    #[test]
    fn v1_has_a_line_for_each_way() {
        let bytes = "8:0 Read 1\n8:0 Write 2\n8:0 Sync 0\n8:0 Total 3\nTotal 3\n";
        let counts = "8:0 Read 3\n8:0 Write 4\nTotal 7\n";
        let (_dir, mut reader, group, proc) = fixture(&[
            ("blkio.throttle.io_service_bytes_recursive", bytes),
            ("blkio.throttle.io_serviced_recursive", counts),
        ]);
        let seen = of_v1(&mut reader, &proc, &group, &mut Names::default());
        let only = DeviceIo {
            device: "/dev/sda".to_owned(),
            number: "8:0".to_owned(),
            read_bytes: 1,
            written_bytes: 2,
            reads: 3,
            writes: 4,
        };
        assert_eq!(seen, [only]);
        let (_dir, mut reader, group, proc) =
            fixture(&[("blkio.throttle.io_service_bytes_recursive", "Total 0\n")]);
        assert!(of_v1(&mut reader, &proc, &group, &mut Names::default()).is_empty());
    }
}
