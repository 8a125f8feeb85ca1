//! What one instance of a component owns, and the interfaces that the host gives it beside WASI.

mod log;

use std::sync::{Arc, Weak};
use std::time::Instant;

use skewless_catalog::suggest::did_you_mean;
use wasmtime::component::{Accessor, FutureReader, HasData, Linker, Resource, ResourceTable, StreamReader};
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
    default_send_request,
};

use self::bindings::spin::key_value::key_value;
use self::bindings::spin::variables::variables;
use crate::app::{App, Call, Setup};
use crate::key_value as kv;
use crate::outbound::Target;

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated code")]
    wasmtime::component::bindgen!({
        path: "wit",
        world: "spin",
        imports: { default: trappable },
        with: { "spin:key-value/key-value.store": crate::key_value::Store },
    });
}

/// The data of an instance's store.
pub(crate) struct Guest {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Outbound,
    setup: Arc<Setup>,
    memory: Memory,
    /// The request being answered, or the last one.
    call: Call,
}

impl Guest {
    /// A store for a new instance, whose start-up counts against the deadline of the request that needs it.
    pub(crate) fn store(engine: &Engine, setup: &Arc<Setup>) -> wasmtime::Result<Store<Self>> {
        let mut wasi = WasiCtx::builder();
        for (name, value) in &setup.environment {
            wasi.env(name, value);
        }
        for (folder, at) in &setup.mounts.folders {
            wasi.preopened_dir(folder, at, FsPerms::ReadOnly)?;
        }
        if !setup.quiet {
            wasi.stdout(log::Lines::new(&setup.id, "stdout"));
            wasi.stderr(log::Lines::new(&setup.id, "stderr"));
        }
        let call = Call { number: 0, depth: 0, deadline: Instant::now() + setup.limits.deadline };
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(setup.limits.header_bytes * 4);
        let guest = Self {
            table: ResourceTable::new(),
            wasi: wasi.build(),
            http,
            hooks: Outbound { setup: Arc::clone(setup), call },
            setup: Arc::clone(setup),
            memory: Memory { used: 0, limit: setup.limits.memory, refused: false },
            call,
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            if Instant::now() > store.data().call.deadline {
                return Ok(UpdateDeadline::Interrupt);
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        Ok(store)
    }

    pub(crate) fn start(&mut self, call: Call) {
        self.call = call;
        self.hooks.call = call;
    }

    pub(crate) fn call(&self) -> Call {
        self.call
    }

    pub(crate) fn ran_out_of_memory(&self) -> bool {
        self.memory.refused
    }
}

/// Everything a component may import; what is not here is refused when the app starts.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    key_value::add_to_linker::<_, Spin>(&mut linker, |guest| guest)?;
    variables::add_to_linker::<_, Spin>(&mut linker, |guest| guest)?;
    Ok(linker)
}

/// For messages: what [`linker`] offers.
pub(crate) const OFFERED: &str = "wasi 0.2 and 0.3, wasi:http, spin:key-value@3.0.0 and spin:variables@3.0.0";

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Memory of one instance.
struct Memory {
    used: usize,
    limit: usize,
    refused: bool,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        const ELEMENTS: usize = 1_000_000;
        Ok(desired <= ELEMENTS)
    }
}

/// Outgoing HTTP of a component.
struct Outbound {
    setup: Arc<Setup>,
    call: Call,
}

/// The future for errors that arise while a body is still on its way.
type Io = Box<dyn Future<Output = Result<(), HttpError>> + Send>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), HttpError>> + Send> {
        let Some(target) = Target::of(request.uri()) else {
            return Box::new(async { Err(HttpError::HttpRequestUriInvalid) });
        };
        if !self.setup.allowed_hosts.allow(&target) {
            tracing::warn!(
                component = %self.setup.id, %target,
                "outgoing request refused; to allow it, add it to allowed_outbound_hosts of the component"
            );
            return Box::new(async { Err(HttpError::HttpRequestDenied) });
        }
        let inside = target.component().map(str::to_owned);
        let app: Option<Arc<App>> = self.setup.app.get().and_then(Weak::upgrade);
        let call = self.call;
        Box::new(async move {
            let done: Io = Box::new(async { Ok(()) });
            if let Some(component) = inside {
                let app = app.ok_or(HttpError::DestinationUnavailable)?;
                return Ok((app.chain(&component, request, call).await?, done));
            }
            let (response, io) = default_send_request(request, options).await?;
            Ok((response.map(http_body_util::BodyExt::boxed_unsync), Box::new(io) as Io))
        })
    }
}

/// Marks the Spin interfaces, whose state is the whole guest.
struct Spin;

impl HasData for Spin {
    type Data<'a> = &'a mut Guest;
}

impl Guest {
    fn store_handle(&mut self, handle: &Resource<kv::Store>) -> wasmtime::Result<kv::Store> {
        Ok(self.table.get(handle)?.clone())
    }
}

/// Runs a store operation where it may block.
async fn blocking<T: Send + 'static>(
    store: kv::Store,
    work: impl FnOnce(&kv::Store) -> Result<T, kv::Error> + Send + 'static,
) -> wasmtime::Result<Result<T, key_value::Error>> {
    let result = tokio::task::spawn_blocking(move || work(&store)).await?;
    Ok(result.map_err(|error| {
        tracing::error!(%error, "key-value store");
        key_value::Error::Other("the host's key-value store failed; its log tells why".to_owned())
    }))
}

impl key_value::Host for Guest {}

impl key_value::HostStore for Guest {
    fn drop(&mut self, handle: Resource<kv::Store>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl<T> key_value::HostStoreWithStore<T> for Spin {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> wasmtime::Result<Result<Resource<kv::Store>, key_value::Error>> {
        accessor.with(|mut access| {
            let guest = access.get();
            if !guest.setup.key_value_stores.contains(&label) {
                tracing::warn!(
                    component = %guest.setup.id, label,
                    "key-value store refused; add its label to key_value_stores of the component"
                );
                return Ok(Err(key_value::Error::AccessDenied));
            }
            let store = guest.setup.key_value.labelled(&label);
            Ok(Ok(guest.table.push(store)?))
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        handle: Resource<kv::Store>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, key_value::Error>> {
        let store = accessor.with(|mut access| access.get().store_handle(&handle))?;
        blocking(store, move |store| store.get(&key)).await
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        handle: Resource<kv::Store>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), key_value::Error>> {
        let store = accessor.with(|mut access| access.get().store_handle(&handle))?;
        blocking(store, move |store| store.set(&key, &value)).await
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        handle: Resource<kv::Store>,
        key: String,
    ) -> wasmtime::Result<Result<(), key_value::Error>> {
        let store = accessor.with(|mut access| access.get().store_handle(&handle))?;
        blocking(store, move |store| store.delete(&key)).await
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        handle: Resource<kv::Store>,
        key: String,
    ) -> wasmtime::Result<Result<bool, key_value::Error>> {
        let store = accessor.with(|mut access| access.get().store_handle(&handle))?;
        blocking(store, move |store| store.exists(&key)).await
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        handle: Resource<kv::Store>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), key_value::Error>>)> {
        let store = accessor.with(|mut access| access.get().store_handle(&handle))?;
        let (keys, outcome) = match blocking(store, kv::Store::get_keys).await? {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            Ok((keys, FutureReader::new(&mut access, async move { wasmtime::error::Ok(outcome) })?))
        })
    }
}

impl variables::Host for Guest {}

impl<T> variables::HostWithStore<T> for Spin {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, variables::Error>> {
        accessor.with(|mut access| {
            let declared = &access.get().setup.variables;
            Ok(declared.get(&name).cloned().ok_or_else(|| {
                let hint = did_you_mean(&name, declared.keys().map(String::as_str));
                variables::Error::Undefined(format!("the component declares no variable `{name}`{hint}"))
            }))
        })
    }
}
