//! Statuses of calls as the errors that the edge makes of them.

use seams::RuntimeError;
use tonic::{Code, Status};

/// As the CRI edge maps statuses.
pub(super) fn error(call: &'static str) -> impl Fn(Status) -> RuntimeError {
    move |status| {
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound if call != "PullImage" => RuntimeError::NotFound { call, message },
            Code::Unimplemented => RuntimeError::Unimplemented { call },
            Code::Unavailable => RuntimeError::Unreachable { endpoint: "unix:///fake.sock".into(), message },
            code => RuntimeError::Failed { call, code: code_name(code), message },
        }
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::AlreadyExists => "AlreadyExists",
        Code::Cancelled => "Canceled",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Internal => "Internal",
        Code::InvalidArgument => "InvalidArgument",
        Code::NotFound => "NotFound",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        _ => "Unknown",
    }
}
