use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use super::{super::answer::full, *};

fn host_of(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn young(places: &Places) -> usize {
    all(&places.young.of_host.lock())
}

fn is_ousted(connection: &Connection) -> bool {
    connection.youth.ticket.ousted.is_cancelled()
}

async fn lives(connection: &Connection) -> Duration {
    let begun = Instant::now();
    connection.outlived().await;
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_young_connection_ends_by_its_age_busy_or_not() {
    let places = Places::default();
    assert_eq!(lives(&places.take(host_of(1)).unwrap()).await, YOUNG_TIME);
    let busy = places.take(host_of(1)).unwrap();
    // Never read: the answer is never over.
    let _request = busy.busy();
    assert_eq!(lives(&busy).await, YOUNG_TIME + REVIEW_TIME);
    let proven = places.take(host_of(1)).unwrap();
    proven.proven();
    assert_eq!(lives(&proven).await, IDLE);
    let request = proven.busy();
    let hour = tokio::time::timeout(Duration::from_secs(3600), lives(&proven)).await;
    assert!(hour.is_err(), "who is known may take its time");
    drop(request);
}

#[tokio::test(start_paused = true)]
async fn clients_that_keep_all_places_busy_make_room() {
    let places = Places::default();
    let held: Vec<_> = (0..YOUNG_OF_HOST).map(|_| places.take(host_of(1)).unwrap()).collect();
    let requests: Vec<_> = held.iter().map(|connection| connection.busy()).collect();
    tokio::time::advance(GRACE).await;
    let _newcomer = places.take(host_of(1)).unwrap();
    assert!(is_ousted(&held[0]) && !is_ousted(&held[1]), "the oldest");
    drop(requests);
    let _newcomer = places.take(host_of(1)).unwrap();
    assert!(is_ousted(&held[1]), "all others became idle, the oldest goes");
    // Others are not concerned.
    let _other = places.take(host_of(2)).unwrap();
    assert_eq!(held.iter().filter(|connection| is_ousted(connection)).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_nothing_goes_first() {
    let places = Places::default();
    let held: Vec<_> = (0..YOUNG_OF_HOST).map(|_| places.take(host_of(1)).unwrap()).collect();
    let _requests: Vec<_> = held.iter().take(5).map(|connection| connection.busy()).collect();
    tokio::time::advance(GRACE).await;
    let _newcomer = places.take(host_of(1)).unwrap();
    assert!(is_ousted(&held[5]) && !is_ousted(&held[0]));
}

#[tokio::test(start_paused = true)]
async fn a_burst_gets_in_and_is_thinned_out_later() {
    let places = Places::default();
    let burst: Vec<_> = (0..MOST_YOUNG).map(|_| places.take(host_of(1)).unwrap()).collect();
    assert!(!burst.iter().any(|connection| is_ousted(connection)), "handshakes are under way");
    let _newcomer = places.take(host_of(2)).unwrap();
    assert!(is_ousted(&burst[0]) && !is_ousted(&burst[1]), "another host gets in even so");
    assert_eq!(young(&places), MOST_YOUNG);
    tokio::time::advance(GRACE).await;
    let _newcomer = places.take(host_of(1)).unwrap();
    assert_eq!(young(&places), YOUNG_OF_HOST + 1, "of the first host no more than its places");
    // Who has proven itself meanwhile takes none of them.
    burst.iter().for_each(|connection| connection.proven());
    assert_eq!(young(&places), 2);
}

#[tokio::test(start_paused = true)]
async fn many_hosts_together_have_a_limit_too() {
    let places = Places::default();
    let mut held = Vec::new();
    for last in 0..6 {
        held.extend((0..YOUNG_OF_HOST - usize::from(last)).map(|_| places.take(host_of(last)).unwrap()));
    }
    tokio::time::advance(GRACE).await;
    let newcomer = places.take(host_of(99)).unwrap();
    assert_eq!(young(&places), YOUNG);
    assert!(is_ousted(&held[0]) && !is_ousted(&newcomer), "the biggest crowd's oldest go");
}

#[tokio::test(start_paused = true)]
async fn a_network_of_ipv6_is_one_host() {
    let places = Places::default();
    let address = |last: u128| IpAddr::from(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + last));
    let held: Vec<_> = (0..YOUNG_OF_HOST as u128).map(|last| places.take(address(last)).unwrap()).collect();
    tokio::time::advance(GRACE).await;
    let _newcomer = places.take(address(1 << 40)).unwrap();
    assert!(is_ousted(&held[0]));
}

#[tokio::test(start_paused = true)]
async fn who_may_be_served_without_proof_stays_longer_and_makes_room() {
    let places = Places::default();
    let held: Vec<_> = (0..YOUNG_OF_HOST).map(|_| places.take(host_of(1)).unwrap()).collect();
    held.iter().for_each(|connection| connection.served());
    assert_eq!(lives(&held[0]).await, IDLE);
    assert_eq!(young(&places), YOUNG_OF_HOST);
    let _newcomer = places.take(host_of(1)).unwrap();
    assert!(is_ousted(&held[0]) && !held[0].is_proven());
}

#[tokio::test]
async fn an_answer_comes_in_pieces_and_is_the_same() {
    let connection = Places::default().take(host_of(1)).unwrap();
    let mut answer = connection.busy().until_end_of(full(vec![b'x'; 40_000]), Patience::default());
    assert_eq!(answer.size_hint().exact(), Some(40_000));
    let mut lengths = Vec::new();
    while !answer.is_end_stream() {
        lengths.push(answer.frame().await.unwrap().unwrap().into_data().unwrap().len());
        assert_eq!(answer.size_hint().exact(), Some(40_000 - lengths.iter().sum::<usize>() as u64));
    }
    assert_eq!(lengths, [16_384, 16_384, 7_232]);
    assert!(answer.frame().await.is_none());
    drop(answer);
    let used = connection.youth.ticket.use_.lock();
    assert!(used.busy == 0 && used.answers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_is_let_go_and_its_connection_ends() {
    let connection = Places::default().take(host_of(1)).unwrap();
    connection.proven();
    let mut answer = connection.busy().until_end_of(full(vec![b'x'; 40_000]), Patience::default());
    let begun = Instant::now();
    let taking = async {
        // As slow as may be, but it goes on.
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            answer.frame().await.unwrap().unwrap();
        }
        begun.elapsed()
    };
    let (taken, lived) = tokio::join!(taking, lives(&connection));
    assert_eq!((taken.as_secs(), lived.as_secs()), (100, 160));
    assert!(answer.frame().await.unwrap().is_err(), "nobody takes it for the whole");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_does_not_end_what_else_is_under_way() {
    let connection = Places::default().take(host_of(1)).unwrap();
    connection.proven();
    let other = connection.busy();
    let patient = connection.busy().until_end_of(full("log"), Patience(None));
    let untaken = connection.busy().until_end_of(full("page"), Patience::default());
    let hour = tokio::time::timeout(Duration::from_secs(3600), lives(&connection)).await;
    assert!(hour.is_err());
    assert_eq!(connection.youth.ticket.use_.lock().busy, 2, "the page's request is over");
    drop((other, patient));
    assert!(lives(&connection).await <= IDLE);
    drop(untaken);
}
