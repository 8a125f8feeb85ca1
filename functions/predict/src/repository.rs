//! The models that can be asked: files in one folder, each loaded and verified when it is first needed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use skewless_catalog::suggest::did_you_mean;
use skewless_model::{Bundle, CpuEngine, Engine, Session};

use crate::Problem;

/// A model that is ready to score.
pub struct Model {
    /// Its bundle, verified.
    pub bundle: Bundle,
    /// What runs it.
    pub session: Arc<dyn Session>,
}

/// A folder of models: `<name>.skew`, `<name>/` or `<name>.onnx`.
pub struct Repository {
    folder: PathBuf,
    engine: Box<dyn Engine>,
    loaded: Mutex<BTreeMap<String, Arc<Model>>>,
}

impl Repository {
    /// The models of a folder, on the CPU. Nothing is read yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), engine: Box::new(CpuEngine), loaded: Mutex::default() }
    }

    /// The names of all models, loaded or not.
    pub fn names(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut names: Vec<_> = entries.flatten().filter_map(|entry| model_name(&entry.path())).collect();
        names.sort();
        names.dedup();
        names
    }

    /// A model by name; the first call reads and checks its bundle.
    pub fn model(&self, name: &str) -> Result<Arc<Model>, Problem> {
        if let Some(model) = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(model));
        }
        let names = self.names();
        // Only a listed name becomes a path, so that no name can lead out of the folder.
        if !names.iter().any(|known| known == name) {
            let hint = did_you_mean(name, names.iter().map(String::as_str));
            let hint = match hint.as_str() {
                "" if names.is_empty() => "; there are no models, mount some at /models".to_owned(),
                "" => format!("; the models are {}", names.join(", ")),
                hint => hint.to_owned(),
            };
            return Err(Problem::not_found(format!("there is no model `{name}`{hint}")));
        }
        let load = || {
            let bundle = Bundle::open(&self.path(name))?;
            let session = self.engine.load(&bundle)?;
            bundle.verify(session.as_ref())?;
            Ok::<_, skewless_model::Error>(Model { bundle, session })
        };
        let model = Arc::new(load().map_err(|error| Problem::internal(format!("model `{name}`: {error}")))?);
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::clone(&model));
        Ok(model)
    }

    fn path(&self, name: &str) -> PathBuf {
        let archive = self.folder.join(format!("{name}.skew"));
        let folder = self.folder.join(name);
        if archive.is_file() {
            archive
        } else if folder.is_dir() {
            folder
        } else {
            self.folder.join(format!("{name}.onnx"))
        }
    }
}

/// The name of a model, if that is what a path is.
fn model_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    if path.is_dir() {
        return path.join("bundle.json").is_file().then(|| name.to_owned());
    }
    name.strip_suffix(".skew").or_else(|| name.strip_suffix(".onnx")).map(str::to_owned)
}
