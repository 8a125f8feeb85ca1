//! Runs the app of a Spin manifest on this machine: `skewless up`, the demo and the tests call [`up`].
//!
//! It offers the part of Spin that Skewless needs, so that a fresh machine needs no `spin`, and keeps Spin's formats:
//! the manifest (version 2), the routes and their `spin-*` headers, `files`, variables, `allowed_outbound_hosts`,
//! calls between components (`http://<component>.spin.internal`), and the key-value store in SQLite, which stock Spin
//! reads as well. Components export `wasi:http/handler@0.3.0`, as spin-sdk 7 makes them, or
//! `wasi:http/incoming-handler@0.2`.
//!
//! What one request may take is bounded by [`Limits`]; whatever the host itself refuses is an
//! `application/problem+json`. An instance answers one request at a time and is used again for the next, so that a
//! model is loaded once.

mod app;
mod component;
mod error;
mod files;
mod guest;
pub mod key_value;
mod manifest;
mod outbound;
mod problem;
mod route;
mod server;
mod variables;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wasmtime_wasi_http::handler::ProxyPre;

use crate::app::{App, Setup};
pub use crate::error::Error;
use crate::files::Mounts;
use crate::guest::Guest;
use crate::manifest::Manifest;
use crate::outbound::AllowedHosts;
pub use crate::route::Route;
use crate::variables::Values;

/// How often a guest looks whether its time is up.
const TICK: Duration = Duration::from_millis(10);

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `spin.toml`.
    pub manifest: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// For the key-value database; `None` is `.spin` beside the manifest.
    pub state_dir: Option<PathBuf>,
    /// For compiled components; `None` is [`default_cache_dir`].
    pub cache_dir: Option<PathBuf>,
    /// Values of variables, before `SPIN_VARIABLE_X` of the environment and the manifest's defaults.
    pub variables: BTreeMap<String, String>,
    /// Drops what components print.
    pub quiet: bool,
    /// What one request may take.
    pub limits: Limits,
}

impl Options {
    /// The defaults: `127.0.0.1:3000`, state beside the manifest.
    pub fn new(manifest: impl Into<PathBuf>) -> Self {
        Self {
            manifest: manifest.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)),
            state_dir: None,
            cache_dir: None,
            variables: BTreeMap::new(),
            quiet: false,
            limits: Limits::default(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new("spin.toml")
    }
}

/// What one request, and one instance, may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request body; more is a 413. Default 16 MiB.
    pub body: u64,
    /// For the body to arrive; longer is a 408. Default 60 s.
    pub body_time: Duration,
    /// Bytes of the header fields; more is a 431. Default 32 KiB.
    pub header_bytes: usize,
    /// For a component to answer; longer is a 504. Default 30 s.
    pub deadline: Duration,
    /// Bytes of memory of one instance. Default 1 GiB.
    pub memory: usize,
    /// Requests being answered at once; others wait, and get a 503 at their deadline. Default 64.
    pub concurrency: usize,
    /// Requests that one instance answers before a fresh one takes its place. Default 10,000.
    pub instance_requests: usize,
    /// How long an instance without requests is kept. Default 30 s.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 16 << 20,
            body_time: Duration::from_mins(1),
            header_bytes: 32 << 10,
            deadline: Duration::from_secs(30),
            memory: 1 << 30,
            concurrency: 64,
            instance_requests: 10_000,
            idle: Duration::from_secs(30),
        }
    }
}

/// Where the state of an app is kept unless told otherwise: `.spin` beside its manifest.
pub fn state_dir(manifest: &Path) -> PathBuf {
    manifest.with_file_name(".spin")
}

/// Where compiled components are kept: `skewless/components` in the user's cache; `None` without a home.
pub fn default_cache_dir() -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(absolute);
    let home = || std::env::var_os("HOME").map(PathBuf::from).filter(absolute).map(|home| home.join(".cache"));
    cache.or_else(home).map(|cache| cache.join("skewless").join("components"))
}

/// A running app. Dropping it stops the app at once; [`Running::shutdown`] lets requests end.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    routes: Vec<Route>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Running {
    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The public routes, most specific first.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Takes no more requests, and returns once those in progress have ended, or after ten seconds.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let _ = (&mut self.server).await;
    }

    /// Runs until the process is told to stop (SIGINT or SIGTERM), then shuts down.
    pub async fn wait(self) -> std::io::Result<()> {
        #[cfg(unix)]
        {
            let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            tokio::select! {
                interrupted = tokio::signal::ctrl_c() => interrupted?,
                _ = terminate.recv() => {}
            }
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await?;
        tracing::info!("shutting down");
        self.shutdown().await;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Starts the app: everything that can be wrong with it is refused here, before the first request.
pub async fn up(options: Options) -> Result<Running, Error> {
    let address = options.listen;
    let listen = |source| Error::Listen { address, source };
    let app = tokio::task::spawn_blocking(move || load(&options))
        .await
        .map_err(|error| Error::Engine(error.to_string()))??;
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let routes: Vec<_> = app.router.routes().cloned().collect();
    tracing::info!(app = app.name, %address, "serving");
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(server::serve(app, listener, stopped));
    Ok(Running { address, routes, stop, server })
}

fn load(options: &Options) -> Result<Arc<App>, Error> {
    let manifest = Manifest::read(&options.manifest)?;
    let fault = |(field, reason)| Error::Manifest { path: manifest.path.clone(), field, reason };
    let environment = |name: &str| std::env::var(name).ok();
    let values = Values::resolve(&manifest.variables, &options.variables, environment).map_err(fault)?;
    let wasm = manifest.components.values().map(|component| read_wasm(&manifest, component));
    let wasm = wasm.collect::<Result<Vec<_>, _>>()?;

    let state = options.state_dir.clone().unwrap_or_else(|| state_dir(&options.manifest));
    std::fs::create_dir_all(&state).map_err(|source| Error::State { path: state.clone(), source })?;
    let key_value = key_value::Store::open(state.join("sqlite_key_value.db"))?;

    let engine = component::engine(options.cache_dir.clone().or_else(default_cache_dir).as_deref())?;
    let linker = guest::linker(&engine).map_err(|error| Error::Engine(format!("{error:#}")))?;
    let mut parts: Vec<(Arc<Setup>, ProxyPre<Guest>)> = Vec::new();
    for (component, wasm) in manifest.components.values().zip(wasm) {
        let at = |field: &str| format!("component.{}.{field}", component.id);
        let fill = |field: &str, text: &str| values.fill(text).map_err(|reason| fault((at(field), reason)));
        let mounts = Mounts::prepare(component, &manifest.root)
            .map_err(|(index, reason)| fault((at(&format!("files[{index}]")), reason)))?;
        let hosts = component.allowed_outbound_hosts.iter().map(|host| fill("allowed_outbound_hosts", host));
        let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
        let allowed_hosts = AllowedHosts::parse(hosts.iter().map(String::as_str))
            .map_err(|reason| fault((at("allowed_outbound_hosts"), reason)))?;
        let variables = component
            .variables
            .iter()
            .map(|(name, template)| Ok((name.clone(), fill(&format!("variables.{name}"), template)?)))
            .collect::<Result<BTreeMap<_, _>, Error>>()?;
        let started = std::time::Instant::now();
        let pre = component::prepare(&engine, &linker, &component.id, &wasm)?;
        let ms = started.elapsed().as_millis() as u64;
        tracing::info!(component = component.id, bytes = wasm.len(), ms, "compiled or found in the cache");
        let setup = Setup {
            id: component.id.as_str().into(),
            environment: component.environment.clone(),
            variables,
            mounts,
            key_value_stores: component.key_value_stores.iter().cloned().collect(),
            key_value: key_value.clone(),
            allowed_hosts,
            limits: options.limits,
            quiet: options.quiet,
            app: OnceLock::new(),
        };
        parts.push((Arc::new(setup), pre));
    }
    tick(&engine)?;
    Ok(App::new(manifest.name, manifest.router, options.limits, &engine, parts))
}

fn read_wasm(manifest: &Manifest, component: &manifest::Component) -> Result<Vec<u8>, Error> {
    let path = manifest.root.join(&component.source);
    std::fs::read(&path).map_err(|error| {
        let id = component.id.clone();
        if error.kind() == std::io::ErrorKind::NotFound {
            let remedy = match &component.build {
                Some(command) => format!("`{command}` (`cargo xtask component {id}`, or `spin build`)"),
                None => format!("`cargo xtask component {id}`"),
            };
            Error::NotBuilt { component: id, path, remedy }
        } else {
            Error::Component { component: id, reason: format!("cannot read `{}`: {error}", path.display()) }
        }
    })
}

/// Advances the clock that guests are interrupted by, as long as the engine lives.
fn tick(engine: &wasmtime::Engine) -> Result<(), Error> {
    let engine = engine.weak();
    let run = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new()
        .name("skewless-epoch".to_owned())
        .spawn(run)
        .map(drop)
        .map_err(|error| Error::Engine(error.to_string()))
}
