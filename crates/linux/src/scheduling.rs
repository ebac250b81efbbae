//! How soon this process gets to run on a machine whose processors are all busy.
//!
//! The kubelet computes little and often: it hears that a call to the runtime has ended and makes the next one. While the
//! runtime starts pods on every processor, each such step waited for others' slices to end, which cost more than the step.
//! Since Linux 6.12 a thread may ask for short slices: its deadlines come sooner, and its share of the processors does not
//! grow, so nobody loses by it (sched(7), `sched_setattr(2)`). Older kernels ignore it.
#![expect(unsafe_code, reason = "no library has sched_setattr(2) with the fields that are needed")]

use std::{io, time::Duration};

/// The shortest slice that the kernel grants.
const SLICE: Duration = Duration::from_micros(100);

/// `struct sched_attr` of linux/sched/types.h, as it was first: what later kernels added is not used.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Asks for short slices for the calling thread, and those that it starts from then on.
///
/// # Errors
/// The system's; a policy other than the usual one, which somebody has chosen, is left alone.
pub fn ask_for_short_slices() -> io::Result<()> {
    let size = u32::try_from(size_of::<Attributes>()).map_err(io::Error::other)?;
    let mut attributes = Attributes::default();
    // SAFETY: `attributes` is valid for writes of `size` bytes, which the kernel does not exceed; 0 is the calling thread.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    if i64::from(attributes.policy) != i64::from(libc::SCHED_OTHER) {
        return Ok(());
    }
    attributes.size = size;
    attributes.runtime = u64::try_from(SLICE.as_nanos()).map_err(io::Error::other)?;
    // SAFETY: `attributes` is valid for reads of the size that it names; nice and policy are those that were there.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_it_and_nothing_else_changes() {
        std::thread::spawn(|| {
            let nice = rustix::process::getpriority_process(None).unwrap();
            ask_for_short_slices().unwrap();
            assert_eq!(rustix::process::getpriority_process(None).unwrap(), nice);
        })
        .join()
        .unwrap();
    }
}
