//! Connecting to one of several addresses, where some may be dead (RFC 8305, as Go's dialer does).
//!
//! One after the other, a dead first address would use up the deadline of every call: the lease is not renewed and the
//! node is taken for lost, although its API server answers at the next address.
//!
//! Invariants:
//! * an address gets its turn when the one before has failed, or has not answered within its head start;
//! * the first to connect wins, and the others are dropped.

use std::{net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time::sleep};

/// How long an address is tried before the next one is tried beside it: RFC 8305's recommendation (Go waits 300 ms).
const HEAD_START: Duration = Duration::from_millis(250);

/// The first connection that `connect` makes to one of the addresses, or why each of them failed.
pub(super) async fn first<S, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<S, Vec<String>>
where
    S: Send + 'static,
    F: Future<Output = Result<S, String>> + Send + 'static,
{
    let mut waiting = families_in_turn(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut failed = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(connect(address));
        } else if attempts.is_empty() {
            return Err(failed);
        }
        // Cancel-safe: `join_next` loses no attempt, and a head start that is cut short is over.
        tokio::select! {
            Some(ended) = attempts.join_next() => match ended {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => failed.push(error),
                Err(error) => failed.push(error.to_string()),
            },
            () = sleep(HEAD_START), if waiting.len() > 0 => {}
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

    use tokio::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Port 1 never answers, port 2 refuses, port 3 is late, any other connects.
    async fn connect(address: SocketAddr) -> Result<u16, String> {
        match address.port() {
            1 => pending().await,
            2 => return Err(format!("{address} refused")),
            3 => sleep(Duration::from_secs(1)).await,
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
