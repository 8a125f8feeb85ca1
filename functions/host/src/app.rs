//! A running app: its components, ready to be instantiated, and the way of a request to one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use skewless_catalog::suggest::did_you_mean;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, InstantiationError, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState,
    WorkerStatus,
};
use wasmtime_wasi_http::{Error as HttpError, WasiBody, WasiHttpView as _};

use crate::Limits;
use crate::files::Mounts;
use crate::guest::Guest;
use crate::key_value;
use crate::outbound::AllowedHosts;
use crate::problem::problem;
use crate::route::{Match, Router};

/// Components may call each other this deep within one request.
const MAX_DEPTH: u32 = 8;

/// What all instances of one component share.
pub(crate) struct Setup {
    pub(crate) id: Arc<str>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) mounts: Mounts,
    pub(crate) key_value_stores: BTreeSet<String>,
    pub(crate) key_value: key_value::Store,
    pub(crate) allowed_hosts: AllowedHosts,
    pub(crate) limits: Limits,
    pub(crate) quiet: bool,
    /// For requests from component to component.
    pub(crate) app: OnceLock<Weak<App>>,
}

/// One request on its way through the app; requests between components keep its number and deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) depth: u32,
    pub(crate) deadline: Instant,
}

pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    components: BTreeMap<String, ProxyHandler<Component>>,
    permits: Arc<Semaphore>,
    next_number: AtomicU64,
}

impl App {
    pub(crate) fn new(
        name: String,
        router: Router,
        limits: Limits,
        engine: &Engine,
        parts: Vec<(Arc<Setup>, ProxyPre<Guest>)>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|app: &Weak<Self>| {
            let components = parts.into_iter().map(|(setup, pre)| {
                let _ = setup.app.set(app.clone());
                (setup.id.to_string(), ProxyHandler::new(Component { engine: engine.clone(), setup, pre }))
            });
            Self {
                name,
                router,
                limits,
                components: components.collect(),
                permits: Arc::new(Semaphore::new(limits.concurrency)),
                next_number: AtomicU64::new(1),
            }
        })
    }

    pub(crate) fn call(&self) -> Call {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        Call { number, depth: 0, deadline: Instant::now() + self.limits.deadline }
    }

    /// A request from outside to the component of its route.
    pub(crate) async fn route(&self, found: &Match<'_>, request: Request<WasiBody>, call: Call) -> Response<WasiBody> {
        let deadline = tokio::time::Instant::from_std(call.deadline);
        let permit = Arc::clone(&self.permits).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout_at(deadline, permit).await else {
            let limit = self.limits.concurrency;
            return problem(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("{limit} requests are already being answered, as many as this host takes at once; try again"),
            );
        };
        self.dispatch(found.component, request, call).await.map(|body| {
            let body = body.map_err(move |error| {
                tracing::error!(request = call.number, %error, "the response body broke off");
                error
            });
            Guarded { body: body.boxed_unsync(), _permit: permit }.boxed_unsync()
        })
    }

    /// A request from one component to another, within the deadline and the permit of the first.
    pub(crate) async fn chain(
        &self,
        component: &str,
        mut request: Request<WasiBody>,
        from: Call,
    ) -> Result<Response<WasiBody>, HttpError> {
        if from.depth >= MAX_DEPTH {
            return Err(HttpError::LoopDetected);
        }
        if !self.components.contains_key(component) {
            let hint = did_you_mean(component, self.components.keys().map(String::as_str));
            tracing::warn!(component, "there is no such component to call{hint}");
            return Err(HttpError::DestinationNotFound);
        }
        let path = request.uri().path().to_owned();
        let found = Match { route: "/...", component, path_info: path, parameters: BTreeMap::new() };
        set_spin_headers(&mut request, &found, None);
        Ok(self.dispatch(component, request, Call { depth: from.depth + 1, ..from }).await)
    }

    async fn dispatch(&self, component: &str, request: Request<WasiBody>, call: Call) -> Response<WasiBody> {
        let Some(handler) = self.components.get(component) else {
            return problem(StatusCode::INTERNAL_SERVER_ERROR, "the route leads to no component");
        };
        // The instance interrupts itself at the deadline; this is for one that does not even do that.
        let patience = tokio::time::Instant::from_std(call.deadline + Duration::from_secs(1));
        let error = match tokio::time::timeout_at(patience, handler.handle(call, request)).await {
            Ok(Ok(response)) => return response,
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        if Instant::now() >= call.deadline {
            tracing::error!(request = call.number, component, "no response within the deadline");
            return problem(
                StatusCode::GATEWAY_TIMEOUT,
                &format!("the component `{component}` did not answer within {:?}", self.limits.deadline),
            );
        }
        if let Some(error) = error {
            let cause = error.downcast_ref::<InstantiationError<Call>>().map_or(&error, |failed| &*failed.error);
            tracing::error!(request = call.number, component, error = ?cause, "the component failed");
        }
        problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the component `{component}` failed; the host's log has the reason at request {}", call.number),
        )
    }
}

/// What Spin tells a component about the route; whatever a client sent under these names is removed.
pub(crate) fn set_spin_headers<B>(request: &mut Request<B>, found: &Match<'_>, client: Option<std::net::SocketAddr>) {
    let forged: Vec<HeaderName> =
        request.headers().keys().filter(|name| name.as_str().starts_with("spin-")).cloned().collect();
    for name in forged {
        request.headers_mut().remove(name);
    }
    let prefix = found.route.strip_suffix("/...").unwrap_or(found.route);
    let url = request.uri().to_string();
    let fixed = [
        ("spin-full-url", url),
        ("spin-path-info", found.path_info.clone()),
        ("spin-matched-route", found.route.to_owned()),
        ("spin-raw-component-route", found.route.to_owned()),
        ("spin-component-route", prefix.to_owned()),
        ("spin-base-path", "/".to_owned()),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
    let client = client.map(|client| ("spin-client-addr".to_owned(), client.to_string()));
    let parameters = found.parameters.iter().map(|(name, value)| (format!("spin-path-match-{name}"), value.clone()));
    for (name, value) in fixed.chain(client).chain(parameters) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            request.headers_mut().insert(name, value);
        }
    }
}

/// A response body that counts as a request in progress until it is read or dropped.
struct Guarded {
    body: WasiBody,
    _permit: OwnedSemaphorePermit,
}

impl http_body::Body for Guarded {
    type Data = bytes::Bytes;
    type Error = HttpError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<bytes::Bytes>, HttpError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Makes instances of a component as requests need them.
struct Component {
    engine: Engine,
    setup: Arc<Setup>,
    pre: ProxyPre<Guest>,
}

impl HandlerState for Component {
    type StoreData = Guest;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Guest, Expiration, Worker>> {
        let limits = self.setup.limits;
        let mut store = Guest::store(&self.engine, &self.setup)?;
        let proxy = tokio::time::timeout(limits.deadline, self.pre.instantiate_async(&mut store)).await??;
        tracing::debug!(component = %self.setup.id, "new instance");
        Ok(Instance {
            store,
            proxy,
            view: Guest::http,
            expiration: Expiration { limits, sleep: Box::pin(tokio::time::sleep(limits.idle)) },
            state: Worker { component: Arc::clone(&self.setup.id), limits },
        })
    }
}

/// The life of one instance: one request at a time, since a busy guest would hold up every other, and no longer than
/// it is of use.
struct Worker {
    component: Arc<str>,
    limits: Limits,
}

impl WorkerState for Worker {
    type StoreData = Guest;
    type RequestData = Call;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        match concurrent {
            _ if total >= self.limits.instance_requests => ShouldAccept::Never,
            0 => ShouldAccept::Yes,
            _ => ShouldAccept::No,
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, Guest>,
        call: Call,
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        store.data_mut().start(call);
        Box::pin(tokio::time::sleep_until(tokio::time::Instant::from_std(call.deadline)))
    }

    fn drop(&self, store: Store<Guest>, result: Result<(), wasmtime::Error>) {
        let guest = store.data();
        if let Err(error) = result {
            // What the handler says of a worker whose task was dropped: an idle instance when the app stops.
            if error.to_string() == "worker panicked" && !std::thread::panicking() {
                tracing::debug!(component = %self.component, "the instance ended with the app");
                return;
            }
            let out_of_memory = guest.ran_out_of_memory();
            let request = guest.call().number;
            tracing::error!(request, component = %self.component, out_of_memory, ?error, "the instance was ended");
        }
    }
}

/// Ends an instance that hangs or idles.
struct Expiration {
    limits: Limits,
    sleep: Pin<Box<Sleep>>,
}

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        let allowance = match status {
            WorkerStatus::Idle => self.limits.idle,
            // The request itself expires first.
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.limits.deadline + Duration::from_millis(100),
        };
        let end = tokio::time::Instant::from_std(start + allowance);
        if self.sleep.deadline() != end {
            self.sleep.as_mut().reset(end);
        }
        self.sleep.as_mut().poll(cx)
    }
}
