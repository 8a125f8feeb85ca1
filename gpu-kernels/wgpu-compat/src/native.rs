//! The back end over wgpu 29, for native targets. Called by wonnx, and by `skewless-gpu` for [`connect`] and
//! [`take_faults`].

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

pub use wgpu29::{
    AdapterInfo, Backends, BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindingResource, Buffer,
    BufferAddress, BufferAsyncError, BufferBinding, BufferDescriptor, BufferSlice, BufferUsages, BufferView,
    CommandBuffer, CommandEncoderDescriptor, ComputePass, ComputePipeline, DeviceType, Features, Label, Limits,
    MapMode, PipelineLayout, Queue, ShaderModule, ShaderModuleDescriptor, ShaderSource, SubmissionIndex,
};

/// How long one read-back may take before the device counts as hung.
const DEADLINE: Duration = Duration::from_mins(2);

/// More faults than this say nothing that the first ones did not.
const MAX_FAULTS: usize = 8;

thread_local! {
    static FAULTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Read-backs of this thread that have not been answered.
    static WAITING: RefCell<Vec<Weak<dyn Waiting>>> = const { RefCell::new(Vec::new()) };
}

/// A read-back that waits for its answer.
trait Waiting {
    /// Answers with an error, unless it has been answered.
    fn fail(&self);
}

/// The adapter and device that the whole process shares.
static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

#[derive(Clone)]
struct Shared {
    wanted: Wanted,
    adapter: wgpu29::Adapter,
    device: wgpu29::Device,
    queue: Queue,
    lost: Arc<AtomicBool>,
}

/// What a caller asked for; another wish opens another device.
#[derive(Clone, PartialEq)]
struct Wanted {
    backends: Backends,
    name: Option<String>,
}

/// Why there is no GPU to work on.
#[derive(Clone, Debug)]
pub struct RequestDeviceError(String);

impl std::fmt::Display for RequestDeviceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RequestDeviceError {}

/// Opens the shared adapter and device, or says why it cannot be done. Not in wgpu 0.16: wonnx panics where there is
/// no GPU, so its callers ask here first.
///
/// `WGPU_BACKEND` (a comma-separated list: `vulkan`, `metal`, `dx12`) and `WGPU_ADAPTER_NAME` (part of a name, case
/// ignored) choose among several.
pub fn connect() -> Result<AdapterInfo, RequestDeviceError> {
    let shared = shared(util::backend_bits_from_env().unwrap_or(Backends::PRIMARY))?;
    Ok(shared.adapter.get_info())
}

/// The limits of the shared device, once [`connect`] has succeeded.
pub fn limits() -> Result<Limits, RequestDeviceError> {
    let shared = shared(util::backend_bits_from_env().unwrap_or(Backends::PRIMARY))?;
    Ok(shared.device.limits())
}

/// Takes the errors that GPU calls of this thread have caused since the last call, oldest first. Not in wgpu 0.16,
/// where such an error panics.
///
/// The GPU reports an error on the thread whose call caused it, so a caller that takes the faults before and after a
/// piece of work knows which are its own.
pub fn take_faults() -> Vec<String> {
    FAULTS.with_borrow_mut(std::mem::take)
}

fn fault(message: String) {
    log::warn!("GPU: {message}");
    FAULTS.with_borrow_mut(|faults| {
        if faults.len() < MAX_FAULTS {
            faults.push(message);
        }
    });
}

fn faulty() -> bool {
    FAULTS.with_borrow(|faults| !faults.is_empty())
}

fn shared(backends: Backends) -> Result<Shared, RequestDeviceError> {
    let name = std::env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty());
    let wanted = Wanted { backends, name };
    let mut slot = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(open) = slot.as_ref()
        && open.wanted == wanted
        && !open.lost.load(Ordering::Acquire)
    {
        return Ok(open.clone());
    }
    let opened = block_on(open(wanted))?;
    *slot = Some(opened.clone());
    Ok(opened)
}

async fn open(wanted: Wanted) -> Result<Shared, RequestDeviceError> {
    let mut descriptor = wgpu29::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wanted.backends;
    descriptor.flags = wgpu29::InstanceFlags::empty().with_env();
    let instance = wgpu29::Instance::new(descriptor);
    let adapter = if let Some(name) = &wanted.name {
        let adapters = instance.enumerate_adapters(wanted.backends).await;
        let names: Vec<String> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
        let name_lower = name.to_lowercase();
        adapters.into_iter().find(|adapter| adapter.get_info().name.to_lowercase().contains(&name_lower)).ok_or_else(
            || {
                RequestDeviceError(format!(
                    "no GPU adapter has `{name}` (from WGPU_ADAPTER_NAME) in its name; there is {}",
                    if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
                ))
            },
        )?
    } else {
        let options = wgpu29::RequestAdapterOptions {
            power_preference: wgpu29::PowerPreference::HighPerformance,
            ..wgpu29::RequestAdapterOptions::default()
        };
        instance
            .request_adapter(&options)
            .await
            .map_err(|error| RequestDeviceError(format!("no GPU adapter for {:?}: {error}", wanted.backends)))?
    };
    let descriptor = wgpu29::DeviceDescriptor {
        label: Some("skewless"),
        required_limits: adapter.limits(),
        ..wgpu29::DeviceDescriptor::default()
    };
    let (device, queue) = adapter.request_device(&descriptor).await.map_err(|error| {
        RequestDeviceError(format!("the GPU adapter `{}` gave no device: {error}", adapter.get_info().name))
    })?;
    device.on_uncaptured_error(Arc::new(|error: wgpu29::Error| fault(error.to_string())));
    let lost = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&lost);
    device.set_device_lost_callback(move |reason, message| {
        // Dropping the last handle of a device reports it as destroyed, which is no loss to anyone.
        if !matches!(reason, wgpu29::DeviceLostReason::Destroyed) {
            log::error!("GPU: the device was lost: {message}");
        }
        flag.store(true, Ordering::Release);
    });
    Ok(Shared { wanted, adapter, device, queue, lost })
}

/// Runs a future of wgpu's, which on native targets never waits for another task.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// Which DirectX shader compiler to use; accepted and ignored.
#[derive(Clone, Debug, Default)]
pub enum Dx12Compiler {
    /// The old compiler.
    #[default]
    Fxc,
}

/// What to open; see [`Instance::new`].
#[derive(Clone, Debug)]
pub struct InstanceDescriptor {
    /// The back ends to look for adapters on.
    pub backends: Backends,
    /// Accepted and ignored.
    pub dx12_shader_compiler: Dx12Compiler,
}

impl Default for InstanceDescriptor {
    fn default() -> Self {
        Self { backends: Backends::all(), dx12_shader_compiler: Dx12Compiler::default() }
    }
}

/// A wish for adapters on some back ends. Nothing is opened until one is asked for.
#[derive(Debug)]
pub struct Instance {
    backends: Backends,
}

impl Instance {
    /// Remembers the back ends of the descriptor.
    #[expect(clippy::needless_pass_by_value, reason = "the signature of wgpu 0.16")]
    pub fn new(descriptor: InstanceDescriptor) -> Self {
        Self { backends: descriptor.backends }
    }
}

/// The surface of a window, of which there is none here.
#[derive(Debug)]
pub enum Surface {}

/// The shared adapter.
pub struct Adapter(Shared);

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Adapter").field(&self.0.adapter).finish()
    }
}

impl Adapter {
    /// The shared device and its queue. The descriptor's limits give way to the adapter's own, and the trace path is
    /// ignored.
    #[expect(clippy::unused_async, reason = "the signature of wgpu 0.16")]
    pub async fn request_device(
        &self,
        _descriptor: &DeviceDescriptor<'_>,
        _trace_path: Option<&Path>,
    ) -> Result<(Device, Queue), RequestDeviceError> {
        let shared = &self.0;
        let device =
            Device { inner: shared.device.clone(), queue: shared.queue.clone(), lost: Arc::clone(&shared.lost) };
        Ok((device, shared.queue.clone()))
    }

    /// Name, vendor, type and back end.
    pub fn get_info(&self) -> AdapterInfo {
        self.0.adapter.get_info()
    }

    /// The adapter's limits, which are the device's too.
    pub fn limits(&self) -> Limits {
        self.0.adapter.limits()
    }
}

/// What a device should have; see [`Adapter::request_device`].
#[derive(Clone, Debug, Default)]
pub struct DeviceDescriptor<'a> {
    /// A name for debuggers.
    pub label: Label<'a>,
    /// Accepted and ignored.
    pub features: Features,
    /// Accepted and ignored.
    pub limits: Limits,
}

/// A program for the GPU: the shape that wgpu 0.16 gave it.
#[derive(Clone, Debug)]
pub struct ComputePipelineDescriptor<'a> {
    /// A name for debuggers.
    pub label: Label<'a>,
    /// The bindings; derived from the shader where absent.
    pub layout: Option<&'a PipelineLayout>,
    /// The compiled shader.
    pub module: &'a ShaderModule,
    /// The function in it to run.
    pub entry_point: &'a str,
}

/// A pass of computations: the shape that wgpu 0.16 gave it.
#[derive(Clone, Debug, Default)]
pub struct ComputePassDescriptor<'a> {
    /// A name for debuggers.
    pub label: Label<'a>,
}

/// How to wait for the GPU; the `Maintain` of wgpu 0.16.
#[derive(Clone, Debug, Default)]
pub enum Maintain {
    /// Until all that was submitted is done.
    #[default]
    Wait,
    /// Not at all.
    Poll,
}

/// A handle on the shared device.
#[derive(Clone, Debug)]
pub struct Device {
    inner: wgpu29::Device,
    queue: Queue,
    lost: Arc<AtomicBool>,
}

impl Device {
    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.inner.limits()
    }

    /// A buffer on the GPU. One that could not be made is a fault, and whatever uses it becomes one.
    pub fn create_buffer(&self, descriptor: &BufferDescriptor<'_>) -> Buffer {
        self.inner.create_buffer(descriptor)
    }

    /// Compiles WGSL.
    pub fn create_shader_module(&self, descriptor: ShaderModuleDescriptor<'_>) -> ShaderModule {
        self.inner.create_shader_module(descriptor)
    }

    /// Makes a program of a shader's function.
    pub fn create_compute_pipeline(&self, descriptor: &ComputePipelineDescriptor<'_>) -> ComputePipeline {
        self.inner.create_compute_pipeline(&wgpu29::ComputePipelineDescriptor {
            label: descriptor.label,
            layout: descriptor.layout,
            module: descriptor.module,
            entry_point: Some(descriptor.entry_point),
            compilation_options: wgpu29::PipelineCompilationOptions::default(),
            cache: None,
        })
    }

    /// Ties buffers to a program's bindings.
    pub fn create_bind_group(&self, descriptor: &BindGroupDescriptor<'_>) -> BindGroup {
        self.inner.create_bind_group(descriptor)
    }

    /// Starts recording commands.
    pub fn create_command_encoder(&self, descriptor: &CommandEncoderDescriptor<'_>) -> CommandEncoder {
        CommandEncoder { inner: self.inner.create_command_encoder(descriptor) }
    }

    /// Waits for the GPU, for two minutes at most, and runs the callbacks that have become due. True where nothing is
    /// left to do.
    #[expect(clippy::needless_pass_by_value, reason = "the signature of wgpu 0.16")]
    pub fn poll(&self, maintain: Maintain) -> bool {
        if self.lost.load(Ordering::Acquire) {
            fault("the GPU device was lost; run the statement again on a fresh one".to_owned());
            return true;
        }
        let how = match maintain {
            Maintain::Wait => wgpu29::PollType::Wait { submission_index: None, timeout: Some(DEADLINE) },
            Maintain::Poll => wgpu29::PollType::Poll,
        };
        match self.inner.poll(how) {
            Ok(status) => {
                WAITING.with_borrow_mut(|waiting| waiting.retain(|answer| answer.strong_count() > 0));
                status.is_queue_empty()
            }
            Err(error) => {
                fault(format!("the GPU did not finish within {} seconds ({error})", DEADLINE.as_secs()));
                self.lost.store(true, Ordering::Release);
                for waiting in WAITING.take().iter().filter_map(Weak::upgrade) {
                    waiting.fail();
                }
                false
            }
        }
    }
}

/// Commands being recorded.
#[derive(Debug)]
pub struct CommandEncoder {
    inner: wgpu29::CommandEncoder,
}

impl CommandEncoder {
    /// Starts a pass of computations.
    pub fn begin_compute_pass(&mut self, descriptor: &ComputePassDescriptor<'_>) -> ComputePass<'_> {
        self.inner
            .begin_compute_pass(&wgpu29::ComputePassDescriptor { label: descriptor.label, timestamp_writes: None })
    }

    /// Copies bytes between buffers.
    pub fn copy_buffer_to_buffer(
        &mut self,
        source: &Buffer,
        source_offset: BufferAddress,
        destination: &Buffer,
        destination_offset: BufferAddress,
        size: BufferAddress,
    ) {
        self.inner.copy_buffer_to_buffer(source, source_offset, destination, destination_offset, size);
    }

    /// Ends the recording.
    pub fn finish(self) -> CommandBuffer {
        self.inner.finish()
    }
}

/// What wgpu 0.16 has in its module of the same name.
pub mod util {
    use std::sync::{Arc, Mutex, PoisonError, Weak};

    use super::{
        Adapter, Backends, Buffer, BufferAsyncError, BufferDescriptor, BufferSlice, BufferUsages, Device, Instance,
        Label, Queue, Surface, WAITING, Waiting, faulty, shared,
    };

    /// The back ends named by `WGPU_BACKEND`, or nothing where it is not set.
    pub fn backend_bits_from_env() -> Option<Backends> {
        Backends::from_env()
    }

    /// The shared adapter; `WGPU_ADAPTER_NAME` chooses among several. Nothing where there is none, upon which wonnx
    /// panics: ask [`connect`](super::connect) first.
    #[expect(clippy::unused_async, reason = "the signature of wgpu 0.16")]
    pub async fn initialize_adapter_from_env_or_default(
        instance: &Instance,
        backends: Backends,
        _compatible_surface: Option<&Surface>,
    ) -> Option<Adapter> {
        match shared(backends & instance.backends) {
            Ok(shared) => Some(Adapter(shared)),
            Err(error) => {
                log::error!("{error}");
                None
            }
        }
    }

    /// A buffer and what it holds at first.
    #[derive(Clone, Debug)]
    pub struct BufferInitDescriptor<'a> {
        /// A name for debuggers.
        pub label: Label<'a>,
        /// The bytes; padded with zeros to a multiple of four.
        pub contents: &'a [u8],
        /// What the buffer is for.
        pub usage: BufferUsages,
    }

    /// Conveniences on [`Device`].
    pub trait DeviceExt {
        /// Makes a buffer and fills it.
        fn create_buffer_init(&self, descriptor: &BufferInitDescriptor<'_>) -> Buffer;
    }

    impl DeviceExt for Device {
        /// Written through the queue, not mapped: mapping a buffer that could not be made panics in wgpu, writing to
        /// it is a fault.
        fn create_buffer_init(&self, descriptor: &BufferInitDescriptor<'_>) -> Buffer {
            let mut contents = std::borrow::Cow::Borrowed(descriptor.contents);
            let padded = contents.len().next_multiple_of(4);
            if padded != contents.len() {
                contents.to_mut().resize(padded, 0);
            }
            let buffer = self.create_buffer(&BufferDescriptor {
                label: descriptor.label,
                size: padded as u64,
                usage: descriptor.usage | BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            if !contents.is_empty() {
                self.queue.write_buffer(&buffer, 0, &contents);
            }
            buffer
        }
    }

    /// Bytes read back from the GPU.
    pub struct DownloadBuffer(wgpu29::util::DownloadBuffer);

    impl DownloadBuffer {
        /// Copies a slice of a buffer and hands it to the callback, which is always called: with an error where this
        /// thread has caused a fault, or where the GPU never answers.
        pub fn read_buffer(
            device: &Device,
            queue: &Queue,
            buffer: &BufferSlice<'_>,
            callback: impl FnOnce(Result<Self, BufferAsyncError>) + Send + 'static,
        ) {
            let answer = Arc::new(Answer(Mutex::new(Some(callback))));
            if faulty() {
                return;
            }
            let waiting: Weak<dyn Waiting> = Arc::downgrade(&answer) as _;
            WAITING.with_borrow_mut(|all| all.push(waiting));
            wgpu29::util::DownloadBuffer::read_buffer(&device.inner, queue, buffer, move |read| {
                answer.give(read.map(DownloadBuffer));
            });
        }
    }

    impl std::ops::Deref for DownloadBuffer {
        type Target = [u8];

        fn deref(&self) -> &[u8] {
            &self.0
        }
    }

    /// A callback, called once: with an error when it is dropped before.
    struct Answer<F: FnOnce(Result<DownloadBuffer, BufferAsyncError>)>(Mutex<Option<F>>);

    impl<F: FnOnce(Result<DownloadBuffer, BufferAsyncError>)> Answer<F> {
        fn give(&self, read: Result<DownloadBuffer, BufferAsyncError>) {
            let callback = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(callback) = callback {
                callback(read);
            }
        }
    }

    impl<F: FnOnce(Result<DownloadBuffer, BufferAsyncError>)> Waiting for Answer<F> {
        fn fail(&self) {
            self.give(Err(BufferAsyncError));
        }
    }

    impl<F: FnOnce(Result<DownloadBuffer, BufferAsyncError>)> Drop for Answer<F> {
        fn drop(&mut self) {
            self.fail();
        }
    }
}
