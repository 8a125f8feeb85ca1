//! HTTP from outside: connections, the size of heads and bodies, the way to the app.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use wasmtime_wasi_http::WasiBody;

use crate::app::{App, set_spin_headers};
use crate::problem::{problem, text, whole};

/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// Of a body over the limit, how much more is read so that the client gets to see the refusal.
const DRAIN: u64 = 64 << 20;
/// How long requests in progress may take once the host is told to stop.
const GRACE: Duration = Duration::from_secs(10);
const MAX_CONNECTIONS: usize = 1024;
/// Answered by the host itself, as by Spin.
const HEALTH: &str = "/.well-known/spin/health";

/// Accepts connections until `stop` turns true, then lets requests in progress end.
pub(crate) async fn serve(app: Arc<App>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let to_connections = stop.clone();
    let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
    let mut stopped = std::pin::pin!(stopped);
    loop {
        let accept = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (listener.accept().await, permit)
        };
        tokio::select! {
            (accepted, permit) = accept => match accepted {
                Ok((stream, client)) => {
                    let connection = connection(Arc::clone(&app), stream, client, to_connections.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: give others time to close.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = stopped.as_mut() => break,
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!(open = connections.len(), "closing connections with requests in progress");
        connections.shutdown().await;
    }
}

async fn connection(app: Arc<App>, stream: TcpStream, client: SocketAddr, mut stop: watch::Receiver<bool>) {
    let local = stream.local_addr().ok();
    let limits = app.limits;
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(answer(&app, request, client, local).await) }
    });
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(limits.header_bytes.max(8192))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%client, %error, "connection ended");
    }
}

async fn answer(
    app: &App,
    request: Request<Incoming>,
    client: SocketAddr,
    local: Option<SocketAddr>,
) -> Response<WasiBody> {
    let start = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let call = app.call();
    let (component, response) = if path == HEALTH {
        (None, text(StatusCode::OK, "text/plain", "OK".to_owned()))
    } else {
        match app.router.matching(&path) {
            None => (None, unknown_route(app, &path)),
            Some(found) => {
                let response = match receive(app, request, local).await {
                    Err(Refusal(status, detail)) => problem(status, &detail),
                    Ok(mut request) => {
                        set_spin_headers(&mut request, &found, Some(client));
                        // What the client needed to send its body does not count.
                        let call = crate::app::Call { deadline: Instant::now() + app.limits.deadline, ..call };
                        app.route(&found, request, call).await
                    }
                };
                (Some(found.component), response)
            }
        }
    };
    tracing::info!(
        request = call.number, %client, %method, path, component, status = response.status().as_u16(),
        ms = start.elapsed().as_secs_f64() * 1e3,
        "request"
    );
    response
}

fn unknown_route(app: &App, path: &str) -> Response<WasiBody> {
    let routes: Vec<_> = app.router.routes().map(|route| route.route.as_str()).collect();
    problem(StatusCode::NOT_FOUND, &format!("no route matches {path:?}; the routes are {}", routes.join(", ")))
}

/// Why a request does not reach its component.
struct Refusal(StatusCode, String);

/// The request with an absolute address and its whole body.
async fn receive(
    app: &App,
    request: Request<Incoming>,
    local: Option<SocketAddr>,
) -> Result<Request<WasiBody>, Refusal> {
    let limits = app.limits;
    let (mut parts, body) = request.into_parts();
    let fields: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if fields > limits.header_bytes {
        let detail = format!("the header fields have {fields} bytes, over the limit of {}", limits.header_bytes);
        return Err(Refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail));
    }
    parts.uri = absolute(&parts, local)?;
    let too_large = || {
        let detail = format!("the request body is over the limit of {} bytes; send it in parts", limits.body);
        Refusal(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limits.body) && parts.headers.contains_key(header::EXPECT) {
        // The client waits for leave before it sends the body.
        return Err(too_large());
    }
    let body = match tokio::time::timeout(limits.body_time, read(body, limits.body)).await {
        Ok(Ok(Some(body))) => body,
        Ok(Ok(None)) => return Err(too_large()),
        Ok(Err(error)) => {
            return Err(Refusal(StatusCode::BAD_REQUEST, format!("the request body broke off: {error}")));
        }
        Err(_) => {
            let detail = format!("the request body did not arrive within {:?}", limits.body_time);
            return Err(Refusal(StatusCode::REQUEST_TIMEOUT, detail));
        }
    };
    Ok(Request::from_parts(parts, whole(body)))
}

/// The whole body; `None` if it is over the limit.
async fn read(mut body: Incoming, limit: u64) -> Result<Option<Bytes>, hyper::Error> {
    let mut bytes = BytesMut::new();
    let mut length = 0u64;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        length += data.len() as u64;
        if length <= limit {
            bytes.extend_from_slice(&data);
        } else {
            bytes = BytesMut::new();
            if length > limit.saturating_add(DRAIN) {
                break;
            }
        }
    }
    Ok((length <= limit).then(|| bytes.freeze()))
}

fn absolute(parts: &http::request::Parts, local: Option<SocketAddr>) -> Result<Uri, Refusal> {
    let named = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok().map(str::to_owned));
    let authority = named.or(host).or_else(|| local.map(|local| local.to_string())).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Uri::builder()
        .scheme("http")
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|error| Refusal(StatusCode::BAD_REQUEST, format!("the Host header or the path is malformed: {error}")))
}
