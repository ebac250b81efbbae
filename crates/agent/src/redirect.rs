//! Where a redirect leads: a `Location` is mostly a whole URL or a path, but may be anything that is to be understood
//! beside the URL that was asked for (RFC 3986, section 5.2).

use http::{Response, Uri, header::LOCATION};

/// Requests of one GET: the redirect that would make for another is its failure, as for Go's client.
pub const REQUESTS: usize = 10;

/// The `Location` of an answer that is a redirect and has one. What a URL may not hold is escaped, as Go does.
#[must_use]
pub fn location<B>(answer: &Response<B>) -> Option<String> {
    let location = answer.headers().get(LOCATION).map(|value| escaped(value.as_bytes()));
    let is_redirect = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    location.filter(|location| is_redirect && !location.is_empty())
}

/// The URL that a `Location` means; `None`: it means nothing. Of a name and a password in the URL that was asked for, what
/// leads to the same host keeps both, unless it is a whole URL itself.
#[must_use]
pub fn target(asked: &Uri, location: &str) -> Option<Uri> {
    // What follows `#` is for whoever shows the answer.
    let location = location.split('#').next().unwrap_or_default();
    resolved(asked, location)?.parse().ok()
}

/// Host and port of a URL as they are sent: without a name and a password before them.
#[must_use]
pub fn host_and_port(url: &Uri) -> &str {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// The URL that a `Location` means, if it is on the host of the one that was asked for; `None`: it is on another, or means
/// nothing.
pub(crate) fn same_host(asked: &str, location: &str) -> Option<String> {
    let base: Uri = asked.parse().ok()?;
    let target = target(&base, location)?;
    let is_web = matches!(target.scheme_str(), Some("http" | "https"));
    (is_web && target.host() == base.host()).then(|| target.to_string())
}

/// A text with the bytes that a URL may not hold as `%XX`.
pub(crate) fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn resolved(base: &Uri, location: &str) -> Option<String> {
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    if has_scheme(location) {
        return Some(location.to_owned());
    }
    if location.starts_with("//") {
        return Some(format!("{scheme}:{location}"));
    }
    let (path, query) = match location.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (location, None),
    };
    let (path, query) = match path {
        "" => (base.path().to_owned(), query.or(base.query())),
        path if path.starts_with('/') => (without_dots(path), query),
        path => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            (without_dots(&format!("{folder}/{path}")), query)
        }
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{scheme}://{authority}{path}{query}"))
}

/// A colon before anything that belongs into a path or a query ends a scheme.
fn has_scheme(location: &str) -> bool {
    let end = location.find([':', '/', '?']);
    let scheme = end.filter(|at| location.as_bytes().get(*at) == Some(&b':')).map(|at| &location[..at]);
    scheme.is_some_and(|scheme| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// A path from the root without `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let dots = match part {
            "." => true,
            ".." => {
                kept.pop();
                true
            }
            part => {
                kept.push(part);
                false
            }
        };
        // What ends with dots names a folder.
        if dots && parts.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_understood_beside_what_was_asked() {
        let asked = "http://h.test:8080/b/c/d?q=1";
        let cases = [
            ("login", "http://h.test:8080/b/c/login"),
            ("./login?to=/x", "http://h.test:8080/b/c/login?to=/x"),
            ("../x", "http://h.test:8080/b/x"),
            ("../../../x/./y/..", "http://h.test:8080/x/"),
            ("..", "http://h.test:8080/b/"),
            ("/x/../y", "http://h.test:8080/y"),
            ("?q=2", "http://h.test:8080/b/c/d?q=2"),
            ("#part", "http://h.test:8080/b/c/d?q=1"),
            ("x#part", "http://h.test:8080/b/c/x"),
            ("x?next=http://other.test/", "http://h.test:8080/b/c/x?next=http://other.test/"),
            ("//h.test/x", "http://h.test/x"),
            ("https://h.test:8443/x", "https://h.test:8443/x"),
            ("1:2", "http://h.test:8080/b/c/1:2"),
        ];
        for (location, expected) in cases {
            assert_eq!(same_host(asked, location).as_deref(), Some(expected), "{location}");
        }
        assert_eq!(same_host("http://h.test:1", "x").as_deref(), Some("http://h.test:1/x"));
        assert_eq!(same_host("http://[::1]:1/a", "b").as_deref(), Some("http://[::1]:1/b"));
    }

    #[test]
    fn other_hosts_are_not_asked() {
        for location in
            ["http://other.test/", "//other.test/x", "ftp://h.test/", "mailto:a@h.test", "http://"]
        {
            assert_eq!(same_host("http://h.test/", location), None, "{location}");
        }
    }
}
