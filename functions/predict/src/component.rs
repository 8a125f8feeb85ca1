//! The component: what Spin hands over, and back.

use std::sync::LazyLock;

use bytes::Bytes;
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{FullBody, HeaderValue, IntoResponse, Response, StatusCode};
use spin_sdk::http_service;

use crate::{Repository, Request, handle};

/// Lives as long as the instance, so that its models are loaded once.
static REPOSITORY: LazyLock<Repository> = LazyLock::new(|| Repository::new("/models"));

#[http_service]
async fn predict(request: spin_sdk::http::Request) -> spin_sdk::http::Result<impl IntoResponse> {
    let (parts, body) = request.into_parts();
    let body = body.bytes().await?;
    let content_type = parts.headers.get("content-type").and_then(|value| value.to_str().ok());
    let answer = handle(
        Request { method: parts.method.as_str(), path: parts.uri.path(), content_type, body: &body },
        &REPOSITORY,
    );
    let mut response = Response::new(FullBody::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", HeaderValue::from_static(answer.content_type));
    if let Some(allow) = answer.allow {
        response.headers_mut().insert("allow", HeaderValue::from_static(allow));
    }
    Ok(response)
}
