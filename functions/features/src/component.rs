//! The server as a Spin component.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{FullBody, IntoResponse, Request as Incoming};
use spin_sdk::http_service;
use spin_sdk::key_value::Store;

use crate::store::KeyValue;
use crate::{Request, Response, Server};

thread_local! {
    /// Kept for as long as the instance, which Spin uses for many requests.
    static SERVER: &'static Server = Box::leak(Box::default());
}

impl KeyValue for Store {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        Self::get(self, key).await.map_err(|error| error.to_string())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), String> {
        Self::set(self, key, value).await.map_err(|error| error.to_string())
    }

    async fn delete(&self, key: &str) -> Result<(), String> {
        Self::delete(self, key).await.map_err(|error| error.to_string())
    }
}

#[http_service]
async fn handle(request: Incoming) -> anyhow::Result<impl IntoResponse> {
    let server = SERVER.with(|server| *server);
    let (parts, body) = request.into_parts();
    let response = match Store::open_default().await {
        Err(error) => {
            crate::problem::Problem::new(503, format!("the key-value store cannot be opened: {error}")).into()
        }
        Ok(_) if announced(&parts.headers) > server.limits().body => {
            crate::server::too_long(server.limits().body).into()
        }
        Ok(store) => {
            let body = body.bytes().await.map_err(|error| anyhow::anyhow!("the body could not be read: {error}"))?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
            let request = Request {
                method: parts.method.as_str(),
                path: parts.uri.path(),
                content_type: parts.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()),
                body: &body,
                now,
            };
            server.handle(&store, request).await
        }
    };
    let Response { status, content_type, allow, body } = response;
    let mut builder = http::Response::builder().status(status).header(http::header::CONTENT_TYPE, content_type);
    if let Some(allow) = allow {
        builder = builder.header(http::header::ALLOW, allow);
    }
    Ok(builder.body(FullBody::new(Bytes::from(body)))?)
}

/// The length that the body is said to have. The host bounds a body that keeps its length to itself.
fn announced(headers: &http::HeaderMap) -> usize {
    let length = headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}
