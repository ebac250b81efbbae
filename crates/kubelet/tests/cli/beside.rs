//! Two kubelets on one machine: the second ends, with a word about why, and a successor does not.

use super::*;

#[test]
fn a_second_kubelet_does_not_run_beside_the_first() {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = first.local_addr().unwrap().port();
    for (flags, setting) in [
        (["--enable-server=true".to_owned(), format!("--port={port}")], "port"),
        (["--address=127.0.0.1".to_owned(), format!("--read-only-port={port}")], "readOnlyPort"),
    ] {
        let mut second = Node::start(&[&flags[0], &flags[1]], &[]);
        assert_eq!(second.ended(), Some(1), "{setting}");
        let told = second.seen.iter().find(|line| line.contains("command failed")).unwrap();
        for part in [format!(":{port}, {setting}"), "in use".to_owned(), format!("stop it, or set {setting}")]
        {
            assert!(told.contains(&part), "{part}: {told}");
        }
    }
}

#[test]
fn a_port_that_its_owner_gives_up_is_taken() {
    let owner = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = owner.local_addr().unwrap().port();
    let mut node = Node::start(&["--address=127.0.0.1", &format!("--read-only-port={port}")], &[]);
    node.wait_for("Kubelet version");
    drop(owner);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let until = Instant::now() + DEADLINE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < until, "{:?}", node.ended());
        std::thread::yield_now();
    }
    node.signal(rustix::process::Signal::TERM);
    assert_eq!(node.ended(), Some(0));
}

#[test]
fn two_kubelets_do_not_share_a_root_directory() {
    let root = tempfile::tempdir().unwrap();
    let flag = format!("--root-dir={}", root.path().display());
    let mut first = Node::start(&[&flag], &[]);
    let socket = root.path().join("kubelet-rs.sock");
    let until = Instant::now() + DEADLINE;
    while !socket.exists() {
        assert!(Instant::now() < until, "no socket");
        std::thread::yield_now();
    }
    let mut second = Node::start(&[&flag], &[]);
    assert_eq!(second.ended(), Some(1));
    let told = second.seen.iter().find(|line| line.contains("command failed")).unwrap();
    assert!(
        told.contains("another kubelet runs on the root directory") && told.contains("--root-dir"),
        "{told}"
    );
    // Killed, it leaves its socket behind, which keeps nobody away.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let mut third = Node::start(&[&flag], &[]);
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < until, "{:?}", third.ended());
        std::thread::yield_now();
    }
}
