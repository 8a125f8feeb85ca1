//! A project: a folder with `skewless.toml` and `definitions/*.sql`, loaded in name order.
//!
//! Every subcommand of the shell that runs inside one starts with its tables, feature views and models.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A project folder and its definitions.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
    name: String,
}

/// What `skewless.toml` may say.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// The project's name; the folder's where it is left out.
    name: Option<String>,
}

impl Project {
    /// The name of the file that makes a folder a project.
    pub const FILE: &str = "skewless.toml";

    /// The folder of the project that `start` lies in: itself or the nearest above it that holds `skewless.toml`.
    pub fn find(start: &Path) -> Option<PathBuf> {
        start.ancestors().find(|folder| folder.join(Self::FILE).is_file()).map(Path::to_owned)
    }

    /// Opens the project in the folder `root`.
    pub fn open(root: &Path) -> Result<Self> {
        let file = root.join(Self::FILE);
        let text = std::fs::read_to_string(&file).map_err(|error| Error::Project {
            path: file.clone(),
            reason: format!("cannot be read ({error}); a project is a folder that holds {}", Self::FILE),
        })?;
        let manifest: Manifest = toml::from_str(&text)
            .map_err(|error| Error::Project { path: file.clone(), reason: error.to_string().trim_end().to_owned() })?;
        let root = std::path::absolute(root)
            .map_err(|error| Error::Project { path: root.to_owned(), reason: error.to_string() })?;
        let name = manifest
            .name
            .or_else(|| Some(root.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_else(|| "project".to_owned());
        Ok(Self { root, name })
    }

    /// The project's folder, an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The project's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files of definitions and their texts, in name order.
    pub(crate) fn definitions(&self) -> Result<Vec<(PathBuf, String)>> {
        let folder = self.root.join("definitions");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let unreadable = |path: &Path, error: &dyn std::fmt::Display| Error::Project {
            path: path.to_owned(),
            reason: format!("cannot be read: {error}"),
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))? {
            let path = entry.map_err(|error| unreadable(&folder, &error))?.path();
            if path.is_file() && path.extension().is_some_and(|extension| extension == "sql") {
                files.push(path);
            }
        }
        files.sort();
        files
            .into_iter()
            .map(|path| match std::fs::read_to_string(&path) {
                Ok(text) => Ok((path, text)),
                Err(error) => Err(unreadable(&path, &error)),
            })
            .collect()
    }
}

/// A location as it is used: a URL or an absolute path as it is, a relative path under `base`.
pub(crate) fn resolve(base: &Path, location: &str) -> String {
    if location.contains("://") || Path::new(location).is_absolute() {
        return location.to_owned();
    }
    // Joining drops a trailing slash, which is what tells a folder of files from a file.
    let joined = base.join(location);
    let mut joined = joined.to_string_lossy().into_owned();
    if location.ends_with('/') && !joined.ends_with('/') {
        joined.push('/');
    }
    joined
}
