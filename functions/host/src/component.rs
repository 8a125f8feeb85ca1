//! Components, compiled ahead of the first request and kept in the user's cache by digest.

use std::path::Path;

use wasmtime::component::{Component, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine};
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};

use crate::Error;
use crate::guest::{Guest, OFFERED};

/// An engine that interrupts guests, and that finds what it compiled before under the digest of the bytes, of its own
/// version and of its settings.
pub(crate) fn engine(cache: Option<&Path>) -> Result<Engine, Error> {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    config.epoch_interruption(true);
    if let Some(folder) = cache {
        let mut settings = CacheConfig::new();
        settings.with_directory(folder);
        match Cache::new(settings) {
            Ok(cache) => drop(config.cache(Some(cache))),
            // Starting slowly is better than not at all, as on a read-only file system.
            Err(error) => tracing::warn!(folder = %folder.display(), ?error, "no cache of compiled components"),
        }
    }
    Engine::new(&config).map_err(|error| Error::Engine(format!("{error:#}")))
}

/// Reads, compiles and links a component, and finds out which way it wants its requests.
pub(crate) fn prepare(
    engine: &Engine,
    linker: &Linker<Guest>,
    id: &str,
    bytes: &[u8],
) -> Result<ProxyPre<Guest>, Error> {
    let refuse = |reason: String| Error::Component { component: id.to_owned(), reason };
    // After the magic number: version 1 in layer 0 is a core module, layer 1 is a component.
    if bytes.starts_with(b"\0asm") && bytes.get(6..8) == Some(&[0, 0]) {
        return Err(refuse("is a core module, not a component; build it for the target wasm32-wasip2".to_owned()));
    }
    let component = Component::new(engine, bytes).map_err(|error| refuse(format!("cannot be compiled: {error:#}")))?;
    let pre = linker
        .instantiate_pre(&component)
        .map_err(|error| refuse(format!("needs what this host does not offer: {error:#}; it offers {OFFERED}")))?;
    let newer = match p3::bindings::ServicePre::new(pre.clone()) {
        Ok(pre) => return Ok(ProxyPre::P3(pre)),
        Err(error) => error,
    };
    p2::bindings::ProxyPre::new(pre).map(ProxyPre::P2).map_err(|older| {
        refuse(format!(
            "exports no HTTP handler: neither wasi:http/handler@0.3.0 ({newer}) nor wasi:http/incoming-handler@0.2 \
             ({older}); write one with #[http_service] of spin-sdk 7"
        ))
    })
}
