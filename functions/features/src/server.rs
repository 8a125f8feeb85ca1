//! Requests in, responses out: paths, methods, media types and limits.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use skewless_catalog::suggest::did_you_mean;

use crate::problem::{Problem, Result};
use crate::store::{KeyValue, Views, names};
use crate::{online, push};

/// What one request may ask for; more is refused with a message that names the limit.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the body. Default 8 MiB.
    pub body: usize,
    /// Rows of entities, or rows pushed. Default 10,000.
    pub rows: usize,
    /// Features. Default 1,000.
    pub features: usize,
    /// Values in the answer, that is rows times features. Default 1,000,000.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 8 << 20, rows: 10_000, features: 1_000, values: 1_000_000 }
    }
}

/// A request as the server needs it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// The media type, where there is one.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// The time of the request, microseconds since 1970 in UTC: the as-of time of a request without one.
    pub now: i64,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The media type.
    pub content_type: &'static str,
    /// The methods that the path takes, for a 405.
    pub allow: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

/// The feature server. One instance keeps the views that it has read.
#[derive(Default)]
pub struct Server {
    views: Views,
    limits: Limits,
}

impl Server {
    /// A server with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { views: Views::default(), limits }
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Answers a request; what is wrong with it is in the response.
    pub async fn handle(&self, store: &impl KeyValue, request: Request<'_>) -> Response {
        match self.route(store, request).await {
            Ok(value) => Response {
                status: 200,
                content_type: "application/json",
                allow: None,
                body: value.to_string().into_bytes(),
            },
            Err(problem) => problem.into(),
        }
    }

    async fn route(&self, store: &impl KeyValue, request: Request<'_>) -> Result<serde_json::Value> {
        let path = match request.path.trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        match path {
            "/get-online-features" => {
                let body = self.body(&request, "POST")?;
                online::get(store, &self.views, &self.limits, &body, request.now).await
            }
            "/push" => {
                let body = self.body(&request, "POST")?;
                push::push(store, &self.views, &self.limits, &body).await
            }
            "/health" => {
                method(&request, "GET, HEAD")?;
                health(store).await
            }
            other => {
                let known = ["/get-online-features", "/push", "/health"];
                let path = Cow::from(crate::store::shown(other));
                Err(Problem::missing(format!("there is nothing at {path}{}", did_you_mean(other, known))))
            }
        }
    }

    /// The body as JSON, after the checks that come before it is read.
    fn body<T: DeserializeOwned>(&self, request: &Request<'_>, allow: &'static str) -> Result<T> {
        method(request, allow)?;
        // Feast's own client names no media type.
        let media = request.content_type.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let json = media.is_none_or(|kind| {
            kind.eq_ignore_ascii_case("application/json")
                || kind.to_ascii_lowercase().strip_prefix("application/").is_some_and(|kind| kind.ends_with("+json"))
        });
        if !json {
            return Err(Problem::new(
                415,
                format!(
                    "the body is `{}`; send JSON with the header `Content-Type: application/json`",
                    crate::store::shown(media.unwrap_or_default())
                ),
            ));
        }
        if request.body.len() > self.limits.body {
            return Err(too_long(self.limits.body));
        }
        serde_json::from_slice(request.body).map_err(|error| Problem::bad(format!("the body is not valid: {error}")))
    }
}

/// The refusal of a body that is longer than the limit.
pub(crate) fn too_long(limit: usize) -> Problem {
    Problem::new(413, format!("the body is longer than {limit} bytes; send fewer rows in one request"))
}

fn method(request: &Request<'_>, allow: &'static str) -> Result<()> {
    if allow.split(", ").any(|method| method == request.method) {
        return Ok(());
    }
    let detail = format!("{} takes {allow}, not {}", request.path, crate::store::shown(request.method));
    Err(Problem { allow: Some(allow), ..Problem::new(405, detail) })
}

async fn health(store: &impl KeyValue) -> Result<serde_json::Value> {
    match names(store).await? {
        Some(names) => Ok(serde_json::json!({"status": "ok", "feature_views": names})),
        None => Err(Problem::new(503, "no feature views are stored; run `skewless materialize`")),
    }
}
