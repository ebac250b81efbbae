//! TCP ports that the kubelet listens on.
//!
//! "All addresses" means those of both families, whichever family's word for it stands in the configuration: as Go, one
//! socket takes IPv6, and IPv4 as mapped addresses. A machine without IPv6 gets a socket of IPv4.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind as bind_socket, listen, socket_with, sockopt,
};
use tokio::net::TcpListener;

/// Connections that wait to be accepted; the kernel's own limit (`net.core.somaxconn`) may be lower.
const BACKLOG: i32 = 1024;
/// Silence on a connection before the peer's kernel is asked whether it is still there, and between two such questions;
/// after the kernel's number of them (9) without an answer the connection ends. Go's periods.
const SILENCE: Duration = Duration::from_secs(15);

/// Listens on an address. Must be called within a tokio runtime. A port whose former owner has ended is free at once.
///
/// # Errors
/// Those of socket(2), bind(2) and listen(2).
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let any = |ip: IpAddr| SocketAddr::new(ip, address.port());
    if !address.ip().is_unspecified() {
        return open(address);
    }
    match open(any(Ipv6Addr::UNSPECIFIED.into())) {
        // Neither is a matter of the family.
        Err(error) if !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
            open(any(Ipv4Addr::UNSPECIFIED.into()))
        }
        opened => opened,
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    if address.is_ipv6() {
        // Whatever `net.ipv6.bindv6only` says.
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    // Connections of a former process that wait for their end do not keep its port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // Accepted connections inherit it (tcp(7)).
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, SILENCE)?;
    sockopt::set_tcp_keepintvl(&socket, SILENCE)?;
    bind_socket(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    TcpListener::from_std(std::net::TcpListener::from(socket))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn all_addresses_are_those_of_both_families() {
        for any in ["0.0.0.0:0", "[::]:0"] {
            let listener = bind(any.parse().unwrap()).unwrap();
            let port = listener.local_addr().unwrap().port();
            for own in ["127.0.0.1", "::1"] {
                let own: IpAddr = own.parse().unwrap();
                let Ok(probe) = std::net::UdpSocket::bind((own, 0)) else { continue };
                drop(probe);
                let connecting = TcpStream::connect((own, port));
                let (stream, accepted) = tokio::join!(connecting, listener.accept());
                assert_eq!(accepted.unwrap().1.ip().to_canonical(), own, "{any}");
                drop(stream.unwrap());
            }
        }
    }

    #[tokio::test]
    async fn one_address_is_that_one() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(address.ip(), IpAddr::from([127, 0, 0, 1]));
        let taken = bind(address).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let taken = bind((Ipv4Addr::UNSPECIFIED, address.port()).into()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse, "not by the other family behind its back");
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_noticed() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (_stream, accepted) = tokio::join!(connecting, listener.accept());
        let (accepted, _) = accepted.unwrap();
        assert!(sockopt::socket_keepalive(&accepted).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&accepted).unwrap(), SILENCE);
        assert_eq!(sockopt::tcp_keepintvl(&accepted).unwrap(), SILENCE);
    }
}
