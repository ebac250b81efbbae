//! `/containerLogs`: the query, upstream's refusals, and lines as they come.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    Response, StatusCode,
    body::{Body as HttpBody, Frame},
};
use jiff::{SignedDuration, Timestamp};
use seams::{
    logs::{LogError, LogOptions, LogStream},
    node_api::{LogRefusal, PodPath},
};
use tokio::sync::mpsc;

use super::{
    ApiParts,
    answer::{Body, TEXT, of_type, text},
    paths::Parameters,
    query::Query,
};

pub(super) async fn serve(parts: &ApiParts, path: &Parameters, query: &str) -> Response<Body> {
    let query = Query::parse(query);
    let wanted = match Wanted::read(&query, parts.clock.now().wall, parts.switches.split_streams) {
        Ok(wanted) => wanted,
        Err((status, message)) => return text(status, message),
    };
    let pod = PodPath { namespace: path.namespace.clone(), name: path.pod.clone(), uid: None };
    let source = match parts.node.log_source(&pod, &path.container, wanted.previous).await {
        Ok(source) => source,
        Err(refusal) => return refused(&refusal, path),
    };
    match parts.logs.read(source, wanted.options).await {
        Ok(lines) => of_type(StatusCode::OK, TEXT, Lines(lines).boxed_unsync()),
        Err(error) => text(StatusCode::BAD_REQUEST, told(&error)),
    }
}

fn refused(refusal: &LogRefusal, path: &Parameters) -> Response<Body> {
    let Parameters { pod, container, .. } = path;
    match refusal {
        LogRefusal::NoPod => text(StatusCode::NOT_FOUND, format!("pod {pod:?} does not exist")),
        LogRefusal::NoContainer => {
            text(StatusCode::NOT_FOUND, format!("container {container:?} not found in pod {pod:?}"))
        }
        LogRefusal::NoLog(message) => text(StatusCode::BAD_REQUEST, message.clone()),
        LogRefusal::Runtime { source, .. } => {
            tracing::error!(pod, container, error = %source, "The runtime does not tell where a log is");
            text(StatusCode::BAD_REQUEST, refusal.to_string())
        }
    }
}

/// An error with its causes.
fn told(error: &LogError) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        message.push_str(&format!(": {next}"));
        cause = next.source();
    }
    message
}

/// Lines on their way. An error in the middle is told in their place, as upstream does.
struct Lines(mpsc::Receiver<Result<Bytes, LogError>>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|lines| {
            let lines = lines?.unwrap_or_else(|error| Bytes::from(told(&error)));
            Some(Ok(Frame::data(lines)))
        })
    }
}

/// What the query asks for: `PodLogOptions` of the API.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    previous: bool,
    options: LogOptions,
}

const UNDECODABLE: (StatusCode, &str) =
    (StatusCode::BAD_REQUEST, "{\"message\": \"Unable to decode query.\"}");
const INVALID: (StatusCode, &str) = (StatusCode::UNPROCESSABLE_ENTITY, "{\"message\": \"Invalid request.\"}");

type Bad = (StatusCode, String);

impl Wanted {
    fn read(query: &Query, now: Timestamp, split_streams: bool) -> Result<Self, Bad> {
        let undecodable = || (UNDECODABLE.0, UNDECODABLE.1.to_owned());
        let invalid = || (INVALID.0, INVALID.1.to_owned());
        let number = |key: &str| -> Result<Option<i64>, Bad> {
            query.first(key).map(|text| text.parse::<i64>().map_err(|_| undecodable())).transpose()
        };
        // Anything but these two is true, also nothing at all.
        let is_on = |key: &str| {
            query.first(key).is_some_and(|text| !text.eq_ignore_ascii_case("false") && text != "0")
        };
        let tail = match query.first("tail") {
            Some("all") => None,
            None | Some("") => number("tailLines")?,
            Some(tail) => Some(tail.parse::<i64>().map_err(|_| undecodable())?),
        };
        let since_seconds = number("sinceSeconds")?;
        let limit = number("limitBytes")?;
        let since_time = match query.first("sinceTime") {
            None | Some("" | "null") => None,
            Some(time) => Some(time.parse::<Timestamp>().map_err(|_| undecodable())?),
        };
        let is_bad = tail.is_some_and(|lines| lines < 0)
            || limit.is_some_and(|bytes| bytes < 1)
            || since_seconds.is_some_and(|seconds| seconds < 1)
            || (since_seconds.is_some() && since_time.is_some());
        if is_bad {
            return Err(invalid());
        }
        let stream = match query.first("stream") {
            None | Some("" | "All") => LogStream::All,
            Some("Stdout") => LogStream::Stdout,
            Some("Stderr") => LogStream::Stderr,
            Some(_) => return Err(invalid()),
        };
        if stream != LogStream::All && tail.is_some() {
            return Err(invalid());
        }
        if stream != LogStream::All && !split_streams {
            let message = format!(
                "unable to return the given log stream: {:?}. Please enable PodLogsQuerySplitStreams feature gate in kubelet",
                query.first("stream").unwrap_or_default()
            );
            return Err((StatusCode::BAD_REQUEST, message));
        }
        // A span that leads to before time began asks for everything.
        let since = since_seconds
            .and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds)).ok())
            .or(since_time);
        let options = LogOptions {
            follow: is_on("follow"),
            since,
            timestamps: is_on("timestamps"),
            tail_lines: tail.and_then(|lines| u64::try_from(lines).ok()),
            limit_bytes: limit.and_then(|bytes| u64::try_from(bytes).ok()),
            stream,
        };
        Ok(Self { previous: is_on("previous"), options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, split: bool) -> Result<Wanted, Bad> {
        Wanted::read(&Query::parse(query), Timestamp::from_second(1_000).unwrap(), split)
    }

    #[test]
    fn queries_are_pod_log_options() {
        let options = |query: &str| read(query, false).unwrap().options;
        assert_eq!(read("", false).unwrap(), Wanted::default());
        assert!(read("previous=true", false).unwrap().previous);
        assert!(options("follow").follow && options("follow=yes").follow);
        assert!(!options("follow=0").follow && !options("follow=False").follow);
        assert_eq!(options("tailLines=5").tail_lines, Some(5));
        assert_eq!(options("tail=7&tailLines=5").tail_lines, Some(7));
        assert_eq!(options("tail=all&tailLines=5").tail_lines, None);
        assert_eq!(options("limitBytes=9").limit_bytes, Some(9));
        assert_eq!(options("sinceSeconds=10").since, Timestamp::from_second(990).ok());
        assert_eq!(options("sinceSeconds=9223372036854775807").since, None);
        let time = options("sinceTime=1970-01-01T00:00:05Z").since;
        assert_eq!(time, Timestamp::from_second(5).ok());
        let offset = options("sinceTime=1970-01-01T02:00:05%2B02:00").since;
        assert_eq!(offset, Timestamp::from_second(5).ok());
        assert_eq!(read("stream=Stderr", true).unwrap().options.stream, LogStream::Stderr);
    }

    #[test]
    fn bad_queries_are_refused_as_upstream_does() {
        let status = |query: &str, split| read(query, split).unwrap_err().0.as_u16();
        for query in ["tailLines=x", "tailLines=", "limitBytes=1.5", "sinceSeconds=-", "sinceTime=yesterday"]
        {
            assert_eq!(status(query, false), 400, "{query}");
        }
        for query in [
            "tailLines=-1",
            "limitBytes=0",
            "sinceSeconds=0",
            "sinceSeconds=1&sinceTime=1970-01-01T00:00:05Z",
            "stream=Nonsense",
            "stream=Stdout&tailLines=1",
        ] {
            assert_eq!(status(query, true), 422, "{query}");
        }
        assert!(
            read("stream=Stdout", false).unwrap_err().1.contains("Please enable PodLogsQuerySplitStreams")
        );
    }
}
