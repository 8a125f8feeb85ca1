//! `files` of a component, as read-only folders in its sandbox.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::manifest::{Component, Mount};

/// The index of a mount, and what is wrong with it.
type Fault = (usize, String);

/// Where each folder lies, and where the component sees it.
type Folders = Vec<(PathBuf, String)>;

/// Folders to open for a component.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    pub(crate) folders: Folders,
    /// Copies of single files and globs; removed with the app.
    _staging: Option<TempDir>,
}

impl Mounts {
    /// Whole folders are opened where they lie; as soon as files must be picked, everything is copied together, as
    /// Spin does it.
    pub(crate) fn prepare(component: &Component, root: &Path) -> Result<Self, Fault> {
        if component.files.is_empty() {
            return Ok(Self::default());
        }
        let root = root.canonicalize().map_err(|error| (0, format!("cannot resolve `{}`: {error}", root.display())))?;
        if let Some(folders) = whole_folders(component, &root)? {
            return Ok(Self { folders, _staging: None });
        }
        let staging = tempfile::tempdir().map_err(|error| (0, format!("cannot make a folder: {error}")))?;
        let exclude = Exclude::parse(&component.exclude_files).map_err(|reason| (0, reason))?;
        for (index, mount) in component.files.iter().enumerate() {
            stage(mount, &root, staging.path(), &exclude).map_err(|reason| (index, reason))?;
        }
        Ok(Self { folders: vec![(staging.path().to_path_buf(), "/".to_owned())], _staging: Some(staging) })
    }
}

fn whole_folders(component: &Component, root: &Path) -> Result<Option<Folders>, Fault> {
    let mut folders = Folders::new();
    for (index, mount) in component.files.iter().enumerate() {
        let Mount::Placement { source, destination } = mount else { return Ok(None) };
        let source = resolve(root, source).map_err(|reason| (index, reason))?;
        let destination = match destination.trim_end_matches('/') {
            "" => "/",
            destination => destination,
        };
        if !source.is_dir() || folders.iter().any(|(_, other)| other == destination) {
            return Ok(None);
        }
        folders.push((source, destination.to_owned()));
    }
    Ok(component.exclude_files.is_empty().then_some(folders))
}

/// A path of the manifest, which must exist and lie inside the app's folder, links followed.
fn resolve(root: &Path, path: &Path) -> Result<PathBuf, String> {
    let resolved = root
        .join(path)
        .canonicalize()
        .map_err(|error| format!("`{}` cannot be mounted: {error}; create it or remove the entry", path.display()))?;
    if resolved.starts_with(root) {
        Ok(resolved)
    } else {
        Err(format!("`{}` lies outside the folder of the manifest; copy it inside", path.display()))
    }
}

struct Exclude(Vec<glob::Pattern>);

impl Exclude {
    fn parse(patterns: &[String]) -> Result<Self, String> {
        let parse = |pattern: &String| {
            glob::Pattern::new(pattern).map_err(|error| format!("exclude_files: {pattern:?} is no glob: {error}"))
        };
        patterns.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

fn stage(mount: &Mount, root: &Path, staging: &Path, exclude: &Exclude) -> Result<(), String> {
    match mount {
        Mount::Placement { source, destination } => {
            let source = resolve(root, source)?;
            let destination = staging.join(destination.trim_start_matches('/'));
            if source.is_dir() {
                stage_glob(&source.join("**/*"), &source, root, &destination, exclude)
            } else {
                copy(&source, &destination)
            }
        }
        Mount::Pattern(pattern) => {
            let path = root.join(pattern);
            if path.is_dir() {
                stage_glob(&path.join("**/*"), root, root, staging, exclude)
            } else if path.exists() {
                copy(&resolve(root, Path::new(pattern))?, &staging.join(pattern))
            } else if pattern.contains(['*', '?', '[']) {
                stage_glob(&path, root, root, staging, exclude)
            } else {
                Err(format!("{pattern:?} does not exist and is no glob; create it or remove the entry"))
            }
        }
    }
}

fn stage_glob(pattern: &Path, prefix: &Path, root: &Path, to: &Path, exclude: &Exclude) -> Result<(), String> {
    let text = pattern.to_str().ok_or_else(|| format!("`{}` is not UTF-8", pattern.display()))?;
    let found = glob::glob(text).map_err(|error| format!("{text:?} is no glob: {error}"))?;
    for path in found {
        let path = path.map_err(|error| error.to_string())?;
        let inside = path.strip_prefix(root).unwrap_or(&path);
        if !path.is_file() || exclude.0.iter().any(|pattern| pattern.matches_path(inside)) {
            continue;
        }
        let relative = path.strip_prefix(prefix).map_err(|error| error.to_string())?;
        copy(&resolve(root, inside)?, &to.join(relative))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let copy = || {
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::copy(from, to)
    };
    copy().map(drop).map_err(|error| format!("cannot copy `{}`: {error}", from.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn app(files: &str) -> (TempDir, Result<Mounts, Fault>) {
        let folder = tempfile::tempdir().unwrap();
        for file in ["models/a.skew", "models/deep/b.skew", "static/x.js", "static/x.map", "one.txt"] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        let text = format!(
            "spin_manifest_version = 2\napplication.name = \"a\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"c\"\n\
             [component.c]\nsource = \"c.wasm\"\n{files}"
        );
        let manifest = Manifest::parse(&folder.path().join("spin.toml"), &text).unwrap();
        let mounts = Mounts::prepare(&manifest.components["c"], &manifest.root);
        (folder, mounts)
    }

    fn seen(mounts: &Mounts) -> Vec<String> {
        let mut seen = Vec::new();
        for (folder, at) in &mounts.folders {
            for path in glob::glob(folder.join("**/*").to_str().unwrap()).unwrap() {
                let path = path.unwrap();
                if path.is_file() {
                    let relative = path.strip_prefix(folder).unwrap().display().to_string();
                    seen.push(format!("{}/{relative}", at.trim_end_matches('/')));
                }
            }
        }
        seen.sort();
        seen
    }

    #[test]
    fn whole_folders_are_opened_in_place() {
        let (folder, mounts) = app("files = [{ source = \"models\", destination = \"/models/\" }]");
        let mounts = mounts.unwrap();
        assert_eq!(mounts.folders, [(folder.path().join("models").canonicalize().unwrap(), "/models".to_owned())]);
        assert_eq!(seen(&mounts), ["/models/a.skew", "/models/deep/b.skew"]);
    }

    #[test]
    fn globs_files_and_exclusions_are_copied_together() {
        let (_folder, mounts) = app("files = [\"static/*\", { source = \"one.txt\", destination = \"/etc/1\" }, \
             { source = \"models\", destination = \"/m\" }]\nexclude_files = [\"**/*.map\", \"models/deep/*\"]");
        assert_eq!(seen(&mounts.unwrap()), ["/etc/1", "/m/a.skew", "/static/x.js"]);
        let (_folder, mounts) = app("files = [\"static\"]");
        assert_eq!(seen(&mounts.unwrap()), ["/static/x.js", "/static/x.map"]);
    }

    #[test]
    fn missing_and_outside_paths_are_refused() {
        let refusal = |files: &str| app(files).1.unwrap_err();
        let (index, reason) = refusal("files = [\"static\", \"nope.txt\"]");
        assert!(index == 1 && reason.contains("does not exist"), "{reason}");
        let (_, reason) = refusal("files = [{ source = \"nope\", destination = \"/\" }]");
        assert!(reason.contains("cannot be mounted"), "{reason}");
        let (_, reason) = refusal("files = [{ source = \"/etc\", destination = \"/\" }]");
        assert!(reason.contains("outside"), "{reason}");
    }
}
