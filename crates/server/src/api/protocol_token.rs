//! Tokens where browsers can show them: they cannot set `Authorization` on a WebSocket, but name its protocols.
//!
//! The entry is for this server alone: it is neither chosen nor handed on to the runtime.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use super::websocket;

/// What stands before the token, which is base64 for URLs, without padding.
const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// An entry that is no token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoToken;

/// The token of a request for a WebSocket; an empty one is none. As upstream, one that stands alone is refused: there would
/// be no protocol left to speak.
pub(super) fn token(headers: &HeaderMap) -> Option<Result<String, NoToken>> {
    if !websocket::is_websocket(headers) {
        return None;
    }
    let (tokens, others): (Vec<_>, Vec<_>) =
        websocket::protocols(headers).partition(|name| name.starts_with(PREFIX));
    let [entry] = tokens.as_slice() else { return (!tokens.is_empty()).then_some(Err(NoToken)) };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(entry.strip_prefix(PREFIX)?);
    match bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(token) if token.is_empty() => None,
        Some(token) if others.iter().any(|name| !name.is_empty()) => Some(Ok(token)),
        _ => Some(Err(NoToken)),
    }
}

/// Takes the token out of what is handed on.
pub(super) fn remove(headers: &mut HeaderMap) {
    let (tokens, others): (Vec<_>, Vec<_>) =
        websocket::protocols(headers).partition(|name| name.starts_with(PREFIX));
    if tokens.is_empty() {
        return;
    }
    // Made of a header's values, it is one.
    let others = HeaderValue::from_str(&others.join(", ")).ok();
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Some(others) = others.filter(|others| !others.is_empty()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{CONNECTION, UPGRADE};

    use super::*;

    fn asking(protocols: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        for protocol in protocols {
            headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(protocol).unwrap());
        }
        headers
    }

    fn entry(token: &str) -> String {
        format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(token))
    }

    #[test]
    fn a_token_is_one_of_the_protocols() {
        let good = entry("t-admin");
        let of = |protocols: &[&str]| token(&asking(protocols));
        assert_eq!(of(&["v4.channel.k8s.io", &good]), Some(Ok("t-admin".to_owned())));
        assert_eq!(of(&[&format!("{good}, v4.channel.k8s.io")]), Some(Ok("t-admin".to_owned())));
        assert_eq!(of(&["v4.channel.k8s.io"]), None);
        assert_eq!(of(&["v4.channel.k8s.io", PREFIX]), None, "an empty one is none");
        for bad in [&[&*good][..], &[&*good, &*good, "v4"], &["v4", &format!("{PREFIX}!")]] {
            assert_eq!(of(bad), Some(Err(NoToken)), "{bad:?}");
        }
        let mut plain = asking(&["v4.channel.k8s.io", &good]);
        plain.remove(UPGRADE);
        assert_eq!(token(&plain), None, "only WebSockets have protocols");
    }

    #[test]
    fn it_is_not_handed_on() {
        let mut headers = asking(&["v4.channel.k8s.io", &format!("{}, channel.k8s.io", entry("t-admin"))]);
        remove(&mut headers);
        let left: Vec<_> = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().collect();
        assert_eq!(left, ["v4.channel.k8s.io, channel.k8s.io"]);
        let mut alone = asking(&[&entry("t-admin")]);
        remove(&mut alone);
        assert!(!alone.contains_key(SEC_WEBSOCKET_PROTOCOL));
        let mut none = asking(&["v4.channel.k8s.io", "channel.k8s.io"]);
        remove(&mut none);
        assert_eq!(none, asking(&["v4.channel.k8s.io", "channel.k8s.io"]));
    }
}
