//! `metav1.Status` answers: codes, reasons and messages as the real server has them.

use serde_json::{Value, json};

use super::resources::Served;

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) details: Value,
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    fn about(self, served: &Served, name: &str) -> Self {
        let details = json!({ "name": name, "group": served.group, "kind": served.plural });
        Self { details, ..self }
    }

    pub(super) fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(super) fn not_found(served: &Served, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} \"{name}\" not found", served.qualified())).about(served, name)
    }

    pub(super) fn already_exists(served: &Served, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", served.qualified());
        Self::new(409, "AlreadyExists", message).about(served, name)
    }

    pub(super) fn conflict(served: &Served, name: &str, cause: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {cause}", served.qualified());
        Self::new(409, "Conflict", message).about(served, name)
    }

    pub(super) fn invalid(served: &Served, name: &str, cause: &str) -> Self {
        Self::new(422, "Invalid", format!("{} \"{name}\" is invalid: {cause}", served.kind))
            .about(served, name)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    pub(super) fn unsupported_patch(content_type: &str) -> Self {
        let message = format!("the body of the request was in an unknown format: {content_type}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(super) fn gone(asked: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    /// The answer that a fault gives for a code.
    pub(super) fn injected(code: u16) -> Self {
        let reason = match code {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Expired",
            422 => "Invalid",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "",
        };
        Self::new(code, reason, format!("injected fault {code}"))
    }

    pub(super) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_null() {
            body["details"] = self.details.clone();
        }
        body
    }
}

/// The answer to a deletion that is done.
pub(super) fn success(served: &Served, name: &str, uid: &Value) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": { "name": name, "group": served.group, "kind": served.plural, "uid": uid },
    })
}
