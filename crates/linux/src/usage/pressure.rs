//! Pressure stall information, in groups of v2 (`cpu.pressure`) and of the machine (`/proc/pressure/cpu`).

use seams::stats::{Pressure, Pressures, Stall};

use super::reader::{Directory, Reader};

/// Reads the three files of a group.
pub(super) fn of_group(reader: &mut Reader, group: &Directory) -> Pressures {
    let mut read = |name| reader.text(group, name).and_then(parse);
    Pressures { cpu: read("cpu.pressure"), memory: read("memory.pressure"), io: read("io.pressure") }
}

/// Reads those of the machine.
pub(super) fn of_machine(reader: &mut Reader, proc: &str) -> Pressures {
    let Some(directory) = reader.open(proc, "/pressure") else { return Pressures::default() };
    let mut read = |name| reader.text(&directory, name).and_then(parse);
    Pressures { cpu: read("cpu"), memory: read("memory"), io: read("io") }
}

/// `some avg10=0.12 avg60=0.05 avg300=0.01 total=53426` and a line `full …`, which older kernels lack for CPU.
fn parse(text: &str) -> Option<Pressure> {
    let mut pressure = Pressure::default();
    let mut lines = text.lines();
    let (kind, some) = lines.next()?.split_once(' ')?;
    if kind != "some" {
        return None;
    }
    pressure.some = stall(some)?;
    if let Some(("full", full)) = lines.next().and_then(|line| line.split_once(' ')) {
        pressure.full = stall(full)?;
    }
    Some(pressure)
}

fn stall(text: &str) -> Option<Stall> {
    let mut stall = Stall::default();
    for (name, value) in text.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
        match name {
            "avg10" => stall.avg10 = value.parse().ok()?,
            "avg60" => stall.avg60 = value.parse().ok()?,
            "avg300" => stall.avg300 = value.parse().ok()?,
            "total" => stall.total_us = value.parse().ok()?,
            _ => {}
        }
    }
    Some(stall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_one_line_and_none() {
        let both = parse(
            "some avg10=1.50 avg60=0.25 avg300=0.00 total=7\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=3",
        );
        let both = both.unwrap();
        assert_eq!(both.some, Stall { total_us: 7, avg10: 1.5, avg60: 0.25, avg300: 0.0 });
        assert_eq!(both.full, Stall { total_us: 3, avg10: 0.5, ..Stall::default() });
        let old = parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=9").unwrap();
        assert_eq!((old.some.total_us, old.full), (9, Stall::default()));
        assert_eq!((parse(""), parse("full avg10=0.00"), parse("some avg10=x")), (None, None, None));
    }

    #[test]
    fn a_kernel_without_it_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = Reader::default();
        let root = dir.path().to_str().unwrap();
        assert_eq!(of_machine(&mut reader, root), Pressures::default());
        std::fs::create_dir(dir.path().join("pressure")).unwrap();
        std::fs::write(dir.path().join("pressure/io"), "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n")
            .unwrap();
        let seen = of_machine(&mut reader, root);
        assert!(seen.cpu.is_none() && seen.memory.is_none());
        assert_eq!(seen.io.unwrap().some.total_us, 1);
    }
}
