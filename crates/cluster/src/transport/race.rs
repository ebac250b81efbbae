//! Connecting to one of several addresses, where some may be dead (RFC 8305, as Go's dialer does) or accept connections
//! without ever saying a word.
//!
//! One after the other, a dead first address would use up the deadline of every call: the lease is not renewed and the
//! node is taken for lost, although its API server answers at the next address.
//!
//! Invariants:
//! * an address gets its turn when the one before has failed, or has not answered within its head start;
//! * the first that is ready for requests wins, and the others are dropped.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// How long an address is tried before the next one is tried beside it: RFC 8305's recommendation (Go waits 300 ms).
const HEAD_START: Duration = Duration::from_millis(250);
/// The same from when TCP stands: a busy server takes its time for TLS, and must not get more handshakes for that. Two
/// that hang leave time for the third within the deadline of a heartbeat (10 s).
const SHAKE_START: Duration = Duration::from_secs(2);

/// The first connection that `connect` makes to one of the addresses, or why each of them failed. Each attempt tells
/// once TCP stands.
pub(super) async fn first<S, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr, Arc<Notify>) -> F,
) -> Result<S, Vec<String>>
where
    S: Send + 'static,
    F: Future<Output = Result<S, String>> + Send + 'static,
{
    let mut waiting = families_in_turn(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut failed = Vec::new();
    let connected = Arc::new(Notify::new());
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(connect(address, Arc::clone(&connected)));
        } else if attempts.is_empty() {
            return Err(failed);
        }
        let mut next_at = Instant::now() + HEAD_START;
        loop {
            // Cancel-safe: `join_next` loses no attempt, `notified` no news, and a head start that is cut short is over.
            tokio::select! {
                // In this order: the news of an attempt that ended is none of the next one.
                biased;
                () = connected.notified() => next_at = Instant::now() + SHAKE_START,
                Some(ended) = attempts.join_next() => {
                    match ended {
                        Ok(Ok(connection)) => return Ok(connection),
                        Ok(Err(error)) => failed.push(error),
                        Err(error) => failed.push(error.to_string()),
                    }
                    break;
                }
                () = sleep_until(next_at), if waiting.len() > 0 => break,
            }
        }
    }
}

/// The resolver's order, but with IPv6 and IPv4 in turn: it is mostly a whole family that leads nowhere.
fn families_in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (liked, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut liked, mut other) = (liked.into_iter(), other.into_iter());
    let mut ordered = Vec::new();
    loop {
        let before = ordered.len();
        ordered.extend(liked.next());
        ordered.extend(other.next());
        if ordered.len() == before {
            return ordered;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Port 1 never answers, port 2 refuses, port 3 is late, port 4 accepts and says nothing, port 5 accepts and hangs
    /// up, any other connects.
    async fn connect(address: SocketAddr, connected: Arc<Notify>) -> Result<u16, String> {
        match address.port() {
            1 => pending().await,
            2 => return Err(format!("{address} refused")),
            3 => sleep(Duration::from_secs(1)).await,
            4 => {
                connected.notify_one();
                pending().await
            }
            5 => {
                connected.notify_one();
                return Err(format!("{address} hung up"));
            }
            _ => {}
        }
        Ok(address.port())
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_holds_the_next_up_for_its_head_start_only() {
        let began = Instant::now();
        let dead = addresses(&["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:7"]);
        assert_eq!(first(dead, connect).await, Ok(7));
        assert_eq!(began.elapsed(), 2 * HEAD_START, "of the paused clock");

        let began = Instant::now();
        let refusing = addresses(&["192.0.2.1:2", "192.0.2.2:7"]);
        assert_eq!(first(refusing, connect).await, Ok(7));
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_accepts_and_says_nothing_is_given_longer_but_not_for_ever() {
        let began = Instant::now();
        assert_eq!(first(addresses(&["192.0.2.1:4", "192.0.2.2:4", "192.0.2.3:7"]), connect).await, Ok(7));
        assert_eq!(began.elapsed(), 2 * SHAKE_START);

        let began = Instant::now();
        assert_eq!(first(addresses(&["192.0.2.1:5", "192.0.2.2:1", "192.0.2.3:7"]), connect).await, Ok(7));
        assert_eq!(began.elapsed(), HEAD_START, "the second one did not connect");
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_address_may_win_after_the_others_began() {
        assert_eq!(first(addresses(&["192.0.2.1:3", "192.0.2.2:1", "192.0.2.3:2"]), connect).await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn every_failure_is_told() {
        let failed = first(addresses(&["192.0.2.1:2", "[2001:db8::1]:2"]), connect).await;
        assert_eq!(failed.unwrap_err(), ["192.0.2.1:2 refused", "[2001:db8::1]:2 refused"]);
        assert_eq!(first(Vec::new(), connect).await, Err(Vec::new()));
    }

    #[test]
    fn families_take_turns_from_the_first_one_on() {
        let order = |texts: &[&str]| {
            let ordered = families_in_turn(addresses(texts));
            ordered.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(order(&["[::1]:1", "[::2]:1", "10.0.0.1:1"]), "[::1]:1 10.0.0.1:1 [::2]:1");
        assert_eq!(order(&["10.0.0.1:1", "10.0.0.2:1", "[::1]:1"]), "10.0.0.1:1 [::1]:1 10.0.0.2:1");
        assert_eq!(order(&["10.0.0.2:1", "10.0.0.1:1"]), "10.0.0.2:1 10.0.0.1:1");
    }
}
