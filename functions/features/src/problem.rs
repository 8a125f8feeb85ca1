//! What is refused, as `application/problem+json` (RFC 9457).

use serde_json::Value;

use crate::server::Response;

/// A refusal: a status and a message for whoever sent the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) detail: String,
    /// What the path takes, for a 405.
    pub(crate) allow: Option<&'static str>,
    /// What breaks the contracts of a feature view, for a 422.
    pub(crate) violations: Option<Value>,
}

/// The result of everything that a request can get wrong.
pub(crate) type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    /// The request is wrong.
    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(400, detail)
    }

    /// What the request names is not there.
    pub(crate) fn missing(detail: impl Into<String>) -> Self {
        Self::new(404, detail)
    }

    /// The store or what it holds is wrong.
    pub(crate) fn broken(detail: impl Into<String>) -> Self {
        Self::new(500, detail)
    }

    pub(crate) fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), allow: None, violations: None }
    }

    fn title(&self) -> &'static str {
        match self.status {
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            422 => "Unprocessable Content",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        }
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let mut body = serde_json::json!({
            "type": "about:blank", "title": problem.title(), "status": problem.status, "detail": problem.detail,
        });
        if let Some(violations) = problem.violations {
            body["violations"] = violations;
        }
        Self {
            status: problem.status,
            content_type: "application/problem+json",
            allow: problem.allow,
            body: body.to_string().into_bytes(),
        }
    }
}
