//! `/logs/`: files below `/var/log`, as Go's file server shows them, and lines of services.

use std::{io, path::Path};

use hyper::{
    Method, Response, StatusCode,
    header::{HeaderMap, HeaderValue, LOCATION},
    http::request::Parts,
};
use seams::{NodeLogs, node_logs::NodeLog};

use self::query::Asked;
use super::{
    answer::{Body, HTML, full, not_allowed, not_found, of_type, text},
    paths::Parameters,
    query::Query,
};

mod file;
mod query;
mod services;

/// What is asked for, where queries are on; the file of the path otherwise.
pub(super) async fn serve(
    logs: &dyn NodeLogs,
    head: &Parts,
    parameters: &Parameters,
    queries: bool,
) -> Response<Body> {
    let asked = if queries {
        query::asked(&Query::parse(head.uri.query().unwrap_or_default()), &parameters.rest)
    } else {
        Ok(Asked::Nothing)
    };
    match asked {
        Ok(Asked::Nothing) if head.method != Method::GET => not_allowed("GET", "Method Not Allowed"),
        Ok(Asked::Nothing) => tree(logs, head.uri.path(), &parameters.rest, &head.headers).await,
        Ok(Asked::File(file)) => match logs.open(Path::new(&file)).await {
            Err(error) => text(StatusCode::NOT_ACCEPTABLE, format!("query: {file:?}: {error}\n")),
            // With a slash behind, a directory is shown in its place.
            Ok(_) => tree(logs, "/", &file, &head.headers).await,
        },
        Ok(Asked::Services(query)) => services::serve(logs.services(query), &head.headers),
        Err((status, message)) => text(status, message + "\n"),
    }
}

async fn tree(logs: &dyn NodeLogs, path: &str, below: &str, asked: &HeaderMap) -> Response<Body> {
    match logs.open(Path::new(below)).await {
        Ok(NodeLog::Directory(names)) => {
            if path.ends_with('/') {
                of_type(StatusCode::OK, HTML, full(index(&names)))
            } else {
                to_directory(path)
            }
        }
        Ok(NodeLog::File(file, size)) => file::serve(file, size, asked),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => not_found(),
            io::ErrorKind::PermissionDenied => text(StatusCode::FORBIDDEN, "403 Forbidden\n"),
            _ => {
                tracing::warn!(%error, "Could not read below the log directory");
                text(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error\n")
            }
        },
    }
}

/// Links in a page of a directory are relative, so that its address ends with a slash.
fn to_directory(path: &str) -> Response<Body> {
    let last = path.rsplit('/').next().unwrap_or_default();
    let mut response = text(StatusCode::MOVED_PERMANENTLY, "");
    if let Ok(location) = HeaderValue::from_str(&format!("{last}/")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn index(names: &[String]) -> String {
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n".to_owned();
    for name in names {
        page.push_str(&format!("<a href=\"./{}\">{}</a>\n", encoded(name), escaped(name)));
    }
    page.push_str("</pre>\n");
    page
}

fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let one = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(one).collect()
}

fn escaped(name: &str) -> String {
    let name = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    name.replace('"', "&#34;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_write_html() {
        let page = index(&["a&b<script>.log".to_owned(), "dir/".to_owned()]);
        assert!(page.contains("<a href=\"./a%26b%3Cscript%3E.log\">a&amp;b&lt;script&gt;.log</a>"), "{page}");
        assert!(page.contains("<a href=\"./dir/\">dir/</a>"), "{page}");
        assert!(!page.contains("<script>"));
    }
}
