use super::{HttpAnswer, Shared, Switches, grpc, http_routes};

#[test]
fn queries_are_decoded() {
    let query = http_routes::query("path=%2Fhealthz&body=a+b%&empty");
    assert_eq!(query["path"], "/healthz");
    assert_eq!(query["body"], "a b%");
    assert_eq!(query["empty"], "");
}

#[test]
fn a_limited_switch_wears_out() {
    let shared = Shared::new(Switches::default());
    let answer = HttpAnswer { times: Some(2), ..HttpAnswer::status(500) };
    shared.change(|now| {
        now.http.insert("/healthz".to_owned(), answer);
    });
    assert_eq!(shared.take_answer("/healthz").unwrap().status, 500);
    assert_eq!(shared.take_answer("/healthz").unwrap().status, 500);
    assert!(shared.take_answer("/healthz").is_none());
    assert_eq!(shared.read(|now| now.hits["/healthz"]), 3);
}

#[test]
fn health_messages_on_the_wire() {
    assert_eq!(&grpc::encode_response(grpc::SERVING)[..], [0, 0, 0, 0, 2, 8, 1]);
    assert_eq!(&grpc::encode_response(grpc::UNKNOWN)[..], [0, 0, 0, 0, 0]);
    let request = |bytes: &[u8]| grpc::decode_request(bytes.to_vec().into());
    assert_eq!(request(&[0, 0, 0, 0, 0]).as_deref(), Some(""));
    assert_eq!(request(&[0, 0, 0, 0, 5, 10, 3, b'a', b'b', b'c']).as_deref(), Some("abc"));
    // an unknown varint field before it
    assert_eq!(request(&[0, 0, 0, 0, 5, 16, 5, 10, 1, b'x']).as_deref(), Some("x"));
    assert!(request(&[0, 0, 0, 0, 9, 10, 3, b'a']).is_none());
    assert!(request(&[1, 0, 0, 0, 0]).is_none());
    assert!(request(&[0, 0, 0, 0, 2, 10, 200]).is_none());
}
