use serde_json::json;

use crate::Response;

/// A refusal, as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {title}: {detail}")]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The status in words.
    pub title: &'static str,
    /// The thing, the reason and the remedy.
    pub detail: String,
}

impl Problem {
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self { status: 400, title: "Bad Request", detail: detail.into() }
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self { status: 404, title: "Not Found", detail: detail.into() }
    }

    pub(crate) fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self { status: 405, title: "Method Not Allowed", detail: detail.into() }
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self { status: 413, title: "Content Too Large", detail: detail.into() }
    }

    pub(crate) fn unsupported(detail: impl Into<String>) -> Self {
        Self { status: 415, title: "Unsupported Media Type", detail: detail.into() }
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self { status: 500, title: "Internal Server Error", detail: detail.into() }
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self { status: 503, title: "Service Unavailable", detail: detail.into() }
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let Problem { status, title, detail } = problem;
        let body = json!({ "type": "about:blank", "title": title, "status": status, "detail": detail });
        Self { status, content_type: "application/problem+json", allow: None, body: body.to_string().into_bytes() }
    }
}
