//! The TCP port: bound while the switch is on, and sending back what it gets.

use std::{net::IpAddr, time::Duration};

use tokio::{
    io,
    net::{TcpListener, TcpStream},
};

use super::{Shared, bind};

/// Between attempts to bind a port that is taken.
const RETRY: Duration = Duration::from_millis(200);

/// Serve for ever. A closed switch drops the listener, so that a connection is refused, not accepted and ignored.
pub(super) async fn serve(address: Option<IpAddr>, port: u16, switches: Shared) {
    let mut changes = switches.subscribe();
    loop {
        if changes.wait_for(|now| now.tcp_open).await.is_err() {
            return;
        }
        let listener = match bind(address, port).await {
            Ok(listener) => listener,
            Err(error) => {
                eprintln!("testbox: {error:#}; trying again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        println!("tcp open");
        // Cancel-safe: accepted connections live in tasks of their own.
        tokio::select! {
            () = accept(listener) => {}
            _ = changes.wait_for(|now| !now.tcp_open) => println!("tcp closed"),
        }
    }
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) {
    let (mut reader, mut writer) = stream.split();
    // A connection that breaks is the client's matter.
    let _ = io::copy(&mut reader, &mut writer).await;
}
