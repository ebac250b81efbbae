//! Interfaces, addresses and default routes of the calling thread's network namespace.
//!
//! Addresses come from getifaddrs(3), routes from the text tables of /proc: no netlink code of our own for three
//! questions that are asked a few times a minute.
#![expect(unsafe_code, reason = "getifaddrs(3) hands out a linked list of C structures")]

use std::{
    ffi::CStr,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use node::addresses::{Family, HostNetwork, Interface};
use seams::HostError;

use crate::files;

/// Route flags of linux/route.h.
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;

/// Reads everything that the choice of node addresses needs.
///
/// # Errors
/// [`HostError::Path`].
pub fn host_network() -> Result<HostNetwork, HostError> {
    let interfaces =
        interfaces().map_err(|source| files::failed("read", Path::new("network interfaces"), source))?;
    let table = |name: &str| files::read_if_there(&Path::new("/proc/thread-self/net").join(name));
    let mut default_routes = v4_defaults(&table("route")?.unwrap_or_default());
    default_routes.extend(v6_defaults(&table("ipv6_route")?.unwrap_or_default()));
    Ok(HostNetwork { interfaces, default_routes })
}

/// Interfaces in the kernel's order, each with its addresses in the kernel's order.
fn interfaces() -> io::Result<Vec<Interface>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the argument is a valid place for a pointer; on success it owns a list that freeifaddrs takes below.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found: Vec<Interface> = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: `next` is an element of the list, which lives until freeifaddrs.
        let entry = unsafe { &*next };
        // SAFETY: every element has a name that ends with a zero byte.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy();
        let has = |flag: libc::c_int| u32::try_from(flag).is_ok_and(|flag| entry.ifa_flags & flag != 0);
        let index = found.iter().position(|known| known.name == name).unwrap_or_else(|| {
            found.push(Interface {
                name: name.clone().into_owned(),
                up: has(libc::IFF_UP),
                loopback: has(libc::IFF_LOOPBACK),
                addresses: Vec::new(),
            });
            found.len() - 1
        });
        // SAFETY: the address is null or points to a structure that its family names.
        if let (Some(address), Some(interface)) = (unsafe { address(entry.ifa_addr) }, found.get_mut(index)) {
            interface.addresses.push(address);
        }
        next = entry.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and nothing refers to it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// # Safety
/// `address` is null or points to a socket address that is as long as its family says.
unsafe fn address(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: not null; every socket address begins with its family. The list does not promise more alignment.
    match i32::from(unsafe { std::ptr::addr_of!((*address).sa_family).read_unaligned() }) {
        libc::AF_INET => {
            // SAFETY: an address of this family is a sockaddr_in.
            let v4 = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))))
        }
        libc::AF_INET6 => {
            // SAFETY: an address of this family is a sockaddr_in6.
            let v6 = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
        }
        _ => None,
    }
}

/// Default routes of `/proc/net/route`: `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, in hexadecimal.
/// Least metric first.
fn v4_defaults(table: &str) -> Vec<(Family, String)> {
    let mut routes: Vec<(u64, String)> = table
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, destination, _, flags, _, _, metric, mask, ..] = words.as_slice() else { return None };
            let flags = u32::from_str_radix(flags, 16).ok()?;
            let default = *destination == "00000000" && *mask == "00000000";
            (default && flags & UP != 0 && flags & REJECT == 0)
                .then(|| Some((metric.parse().ok()?, (*name).to_owned())))?
        })
        .collect();
    routes.sort_by_key(|(metric, _)| *metric);
    routes.into_iter().map(|(_, name)| (Family::V4, name)).collect()
}

/// Default routes of `/proc/net/ipv6_route`: destination, prefix length, source, its length, next hop, metric,
/// references, use, flags, interface. The kernel always has a rejecting one on `lo`.
fn v6_defaults(table: &str) -> Vec<(Family, String)> {
    let mut routes: Vec<(u64, String)> = table
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [destination, length, _, _, _, metric, _, _, flags, name] = words.as_slice() else {
                return None;
            };
            let flags = u32::from_str_radix(flags, 16).ok()?;
            let default = destination.bytes().all(|byte| byte == b'0') && *length == "00";
            (default && flags & UP != 0 && flags & REJECT == 0 && *name != "lo")
                .then(|| Some((u64::from_str_radix(metric, 16).ok()?, (*name).to_owned())))?
        })
        .collect();
    routes.sort_by_key(|(metric, _)| *metric);
    routes.into_iter().map(|(_, name)| (Family::V6, name)).collect()
}

#[cfg(test)]
mod tests;
