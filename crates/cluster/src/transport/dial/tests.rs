use std::future::{pending, ready};

use tokio::{net::TcpListener, time::Instant};

use super::*;
use crate::{
    stub::{Stub, ok, until},
    transport::tls::TlsFiles,
};

#[tokio::test(start_paused = true)]
async fn a_look_up_has_its_limit() {
    let began = Instant::now();
    let hung = pending::<io::Result<std::vec::IntoIter<SocketAddr>>>();
    let error = looked_up("api.example", hung).await.unwrap_err().to_string();
    assert_eq!(error, "look up api.example: no answer within 10s");
    assert_eq!(began.elapsed(), LOOK_UP);
    let nothing = ready(Ok(Vec::new().into_iter()));
    assert_eq!(looked_up("h", nothing).await.unwrap_err().to_string(), "h has no address");
}

#[tokio::test]
async fn an_address_that_hangs_in_tls_is_raced_against_the_next() {
    let stub = Stub::start(|_: &_| ok(().into())).await;
    // The kernel accepts for it, and nobody answers.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = vec![mute.local_addr().unwrap(), stub.address];
    let config = TlsFiles::new(Arc::new(stub.access())).current().unwrap();
    let tls = Tls { name: ServerName::try_from("127.0.0.1").unwrap(), config };
    let dialled = timeout(HANDSHAKE, any_of(addresses, Some(tls), CancellationToken::new())).await;
    assert!(matches!(dialled, Ok(Ok(Dialled::Http2 { .. }))));
    until("the server has it too", || stub.connections() == 1).await;
}
