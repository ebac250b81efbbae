//! gRPC statuses to typed errors.
//!
//! A status that the runtime sent has no source; one that the transport made up carries the I/O error that it comes
//! from. That, not its text, tells "the runtime said no" from "there is no runtime".

use std::{error::Error, time::Duration};

use seams::RuntimeError;
use tonic::{Code, Status, TimeoutExpired};

/// Code names as Go prints them: they appear in events and statuses.
#[must_use]
pub fn go_code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// Whether "not found" means that the object of the call is gone, or is just one more way to fail: an image that a
/// registry does not have is not an object of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotFoundMeans {
    /// The container, sandbox or image that the call names is not there.
    Gone,
    /// An ordinary failure.
    Failure,
}

/// One call, for naming it in errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// CRI method.
    pub(crate) name: &'static str,
    /// `None` waits for ever.
    pub(crate) deadline: Option<Duration>,
    /// What [`Code::NotFound`] means.
    pub(crate) not_found: NotFoundMeans,
}

/// Maps a status.
pub(crate) fn from_status(call: Call, endpoint: &str, took: Duration, status: &Status) -> RuntimeError {
    let name = call.name;
    if let Some(source) = status.source() {
        return match call.deadline.filter(|_| is_timeout(source)) {
            Some(after) => RuntimeError::Deadline { call: name, after },
            None => RuntimeError::Unreachable { endpoint: endpoint.to_owned(), message: chain(source) },
        };
    }
    let message = status.message().to_owned();
    match status.code() {
        Code::NotFound if call.not_found == NotFoundMeans::Gone => {
            RuntimeError::NotFound { call: name, message }
        }
        Code::Unimplemented => RuntimeError::Unimplemented { call: name },
        // The runtime saw our deadline before we did; earlier ones are its own affair and keep its words.
        Code::DeadlineExceeded if call.deadline.is_some_and(|d| took >= d.mul_f32(0.9)) => {
            RuntimeError::Deadline { call: name, after: call.deadline.unwrap_or_default() }
        }
        code => RuntimeError::Failed { call: name, code: go_code(code), message },
    }
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The innermost two texts. The transport's own error only says that it is one.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if texts.last() != Some(&text) && !error.is::<tonic::transport::Error>() {
            texts.push(text);
        }
        next = error.source();
    }
    let from = texts.len().saturating_sub(2);
    texts.split_off(from).join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call = Call {
        name: "StartContainer",
        deadline: Some(Duration::from_secs(10)),
        not_found: NotFoundMeans::Gone,
    };

    fn map(call: Call, took: u64, status: &Status) -> RuntimeError {
        from_status(call, "unix:///x", Duration::from_secs(took), status)
    }

    #[test]
    fn runtime_errors_display_as_upstreams() {
        let error = map(CALL, 0, &Status::unknown("no such shim"));
        assert_eq!(error.to_string(), "rpc error: code = Unknown desc = no such shim");
        let error = map(CALL, 0, &Status::cancelled("x"));
        assert_eq!(error.to_string(), "rpc error: code = Canceled desc = x");
    }

    #[test]
    fn not_found_is_typed_only_for_objects_of_the_runtime() {
        let status = Status::not_found("nope");
        assert!(matches!(map(CALL, 0, &status), RuntimeError::NotFound { .. }));
        let pull = Call { not_found: NotFoundMeans::Failure, ..CALL };
        assert_eq!(map(pull, 0, &status).to_string(), "rpc error: code = NotFound desc = nope");
    }

    #[test]
    fn a_deadline_of_the_runtimes_own_keeps_its_words() {
        let status = Status::deadline_exceeded("registry is slow");
        assert!(matches!(map(CALL, 1, &status), RuntimeError::Failed { code: "DeadlineExceeded", .. }));
        assert!(matches!(map(CALL, 10, &status), RuntimeError::Deadline { .. }));
    }
}
