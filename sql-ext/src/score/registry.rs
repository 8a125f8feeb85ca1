//! The models of a session by name: loaded and verified once, when CREATE MODEL runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, plan_datafusion_err, plan_err};
use datafusion::datasource::listing::ListingTableUrl;
use object_store::ObjectStoreExt;
use skewless_catalog::suggest::did_you_mean;
use skewless_model::{Bundle, CpuEngine, Engine};

use super::loaded::Model;
use crate::ddl::CreateModel;
use crate::{Device, SkewlessContext};

/// The options of CREATE MODEL.
const OPTIONS: &[&str] = &["device"];

/// The models of a session by name. Clones share their models.
#[derive(Clone, Debug, Default)]
pub struct ModelRegistry {
    models: Arc<RwLock<BTreeMap<String, Arc<Model>>>>,
    gpu: Arc<OnceLock<Gpu>>,
}

/// The adapter is opened once, by the first model that asks for it.
struct Gpu(std::result::Result<Arc<dyn Engine>, String>);

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_ok() { "Gpu" } else { "no Gpu" })
    }
}

impl ModelRegistry {
    /// Every name, in order.
    pub fn names(&self) -> Vec<String> {
        self.read(|models| models.keys().cloned().collect())
    }

    /// The model of that name, in the case it was created with or in lower case.
    ///
    /// `name@sha256:<digest>` asks for just these bytes; the first eight or more digits of the digest are enough.
    pub fn get(&self, name: &str) -> Result<Arc<Model>> {
        let (name, digest) = match name.split_once("@sha256:") {
            Some((name, digest)) => (name, Some(digest)),
            None => (name, None),
        };
        let model = self.read(|models| models.get(name).or_else(|| models.get(&name.to_lowercase())).cloned());
        let Some(model) = model else {
            let names = self.names();
            let hint = did_you_mean(&name.to_lowercase(), names.iter().map(String::as_str));
            let remedy = if names.is_empty() {
                format!("; CREATE MODEL {name} FROM '…' makes one")
            } else if hint.is_empty() {
                format!("; the models are {}", quoted(&names))
            } else {
                hint
            };
            return plan_err!("there is no model `{name}`{remedy}");
        };
        match digest {
            Some(digest) if digest.len() < 8 || !model.digest().starts_with(digest) => plan_err!(
                "model `{name}` is {}@sha256:{}, not sha256:{digest}; leave the digest out, or create the model that has it",
                model.location(),
                model.digest()
            ),
            _ => Ok(model),
        }
    }

    /// CREATE MODEL: reads, verifies and compiles the bundle. The model keeps these bytes whatever becomes of the file.
    pub(crate) async fn create(
        &self,
        statement: &CreateModel,
        context: &SkewlessContext,
        base: &Path,
    ) -> Result<String> {
        let CreateModel { name, or_replace, if_not_exists, from, options } = statement;
        if self.read(|models| models.contains_key(name)) {
            if *if_not_exists {
                return Ok(format!("model {name} is there already"));
            }
            if !or_replace {
                return plan_err!("there is a model `{name}` already; CREATE OR REPLACE MODEL {name} … replaces it");
            }
        }
        let device = device(name, options)?.unwrap_or_else(|| context.device());
        let (bundle, location) = open(name, from, context, base).await?;
        let registry = self.clone();
        let model = name.clone();
        // Compiling a graph, and opening an adapter the more so, takes long for an async task.
        let model = tokio::task::spawn_blocking(move || {
            let engine = registry.engine(device).map_err(|reason| plan_datafusion_err!("model `{model}`: {reason}"))?;
            Model::load(model, location, device, &bundle, engine.as_ref())
        })
        .await
        .map_err(|error| exec_datafusion_err!("model `{name}` could not be loaded: {error}"))??;
        let message = format!("model {} created", model.describe());
        self.write(|models| models.insert(name.clone(), Arc::new(model)));
        Ok(message)
    }

    /// DROP MODEL.
    pub(crate) fn drop_model(&self, name: &str, if_exists: bool) -> Result<String> {
        if self.write(|models| models.remove(name)).is_some() {
            return Ok(format!("model {name} dropped"));
        }
        if if_exists {
            return Ok(format!("there is no model {name}"));
        }
        self.get(name).map(|model| format!("model {} stays", model.name()))
    }

    /// SHOW MODELS: one row a model, by name.
    pub(crate) fn show(&self) -> Result<RecordBatch> {
        let models: Vec<Arc<Model>> = self.read(|models| models.values().cloned().collect());
        let column = |value: &dyn Fn(&Model) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(models.iter().map(|model| value(model))))
        };
        table(vec![
            ("name", column(&|model| model.name().to_owned())),
            ("digest", column(&|model| model.digest().to_owned())),
            ("location", column(&|model| model.location().to_owned())),
            ("inputs", column(&Model::inputs_text)),
            ("outputs", column(&Model::outputs_text)),
            ("device", column(&|model| device_name(model.device()).to_owned())),
        ])
    }

    /// DESCRIBE MODEL: one row an input, then one an output.
    pub(crate) fn describe(&self, name: &str) -> Result<RecordBatch> {
        let model = self.get(name)?;
        let rows = model.description();
        let column = |index: usize| -> ArrayRef {
            Arc::new(rows.iter().map(|row| row.get(index).cloned().flatten()).collect::<StringArray>())
        };
        table(vec![("role", column(0)), ("name", column(1)), ("type", column(2)), ("note", column(3))])
    }

    /// What runs models on a device, or why nothing can.
    fn engine(&self, device: Device) -> std::result::Result<Arc<dyn Engine>, String> {
        match device {
            Device::Cpu => Ok(Arc::new(CpuEngine)),
            Device::Gpu => {
                let gpu = self.gpu.get_or_init(|| {
                    Gpu(match skewless_gpu::WonnxEngine::new() {
                        Ok(engine) => Ok(Arc::new(engine)),
                        Err(error) => Err(error.to_string()),
                    })
                });
                gpu.0.clone()
            }
        }
    }

    // A panic under the lock leaves the map as it was: each change is one call.
    fn read<T>(&self, read: impl FnOnce(&BTreeMap<String, Arc<Model>>) -> T) -> T {
        read(&self.models.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut BTreeMap<String, Arc<Model>>) -> T) -> T {
        write(&mut self.models.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn device_name(device: Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Gpu => "gpu",
    }
}

/// The device that the options name.
fn device(model: &str, options: &[(String, String)]) -> Result<Option<Device>> {
    let mut device = None;
    for (key, value) in options {
        let lower = key.to_lowercase();
        if lower != "device" {
            let hint = did_you_mean(&lower, OPTIONS.iter().copied());
            return plan_err!(
                "CREATE MODEL {model} has no option `{key}`{hint}; the options are {}",
                OPTIONS.join(", ")
            );
        }
        if device.is_some() {
            return plan_err!("CREATE MODEL {model}: option `device` is given twice");
        }
        device = Some(match value.to_lowercase().as_str() {
            "cpu" => Device::Cpu,
            "gpu" => Device::Gpu,
            _ => return plan_err!("CREATE MODEL {model}: device is 'cpu' or 'gpu', not '{value}'"),
        });
    }
    Ok(device)
}

/// Reads and verifies the bundle; says where it lies.
async fn open(name: &str, from: &str, context: &SkewlessContext, base: &Path) -> Result<(Bundle, String)> {
    let refuse = |error: &dyn std::fmt::Display| plan_datafusion_err!("CREATE MODEL {name} FROM '{from}': {error}");
    let path = match from.strip_prefix("file://") {
        Some(path) => PathBuf::from(path),
        None if from.contains("://") => {
            crate::object_stores::register(context.session(), from)?;
            let url = ListingTableUrl::parse(from).map_err(|error| refuse(&error))?;
            let store =
                context.session().runtime_env().object_store(url.object_store()).map_err(|error| refuse(&error))?;
            let read = async { store.get(url.prefix()).await?.bytes().await };
            let bytes = read.await.map_err(|error| refuse(&error))?;
            let bundle = if Path::new(from).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
            {
                Bundle::from_onnx(name, &bytes)
            } else {
                Bundle::from_archive(&bytes)
            };
            return Ok((bundle.map_err(|error| refuse(&error))?, from.to_owned()));
        }
        None => base.join(from),
    };
    if !path.exists() {
        return Err(refuse(&format_args!("there is no file or folder {}", path.display())));
    }
    let location = path.display().to_string();
    let bundle = tokio::task::spawn_blocking(move || Bundle::open(&path))
        .await
        .map_err(|error| exec_datafusion_err!("{location} could not be read: {error}"))?
        .map_err(|error| refuse(&error))?;
    Ok((bundle, location))
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn table(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(DataFusionError::from)
}
