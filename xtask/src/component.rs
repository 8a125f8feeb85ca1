//! Builds for wasm: the Spin components, and the browser package with the page around it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum as _;
use wasm_bindgen_cli_support::Bindgen;

use crate::shell::{Shell, say};
use crate::toolchain::{Source, Toolchain};
use crate::workspace::Workspace;

/// What can be built for wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Component {
    /// Online features (Feast's feature server)
    Features,
    /// Inference (Open Inference Protocol v2)
    Predict,
    /// Static files of the web page
    Page,
    /// The web page's own wasm, and the page
    Browser,
    /// What the host's tests put their questions to
    Probe,
}

impl Component {
    fn name(self) -> &'static str {
        match self {
            Self::Features => "features",
            Self::Predict => "predict",
            Self::Page => "page",
            Self::Browser => "browser",
            Self::Probe => "probe",
        }
    }

    fn target(self) -> &'static str {
        if self == Self::Browser { "wasm32-unknown-unknown" } else { "wasm32-wasip2" }
    }
}

/// Every component, with whichever toolchain there is: what tests, the demo and benchmarks need.
pub(crate) fn build_all(workspace: &Workspace) -> Result<()> {
    build(workspace, &[], Source::Auto)
}

/// Builds these components, or all.
pub(crate) fn build(workspace: &Workspace, components: &[Component], source: Source) -> Result<()> {
    let toolchain = Toolchain::ensure(workspace, source)?;
    let all = if components.is_empty() { Component::value_variants() } else { components };
    for component in all {
        let wasm = compile(workspace, &toolchain, *component)?;
        if *component == Component::Browser {
            let page = workspace.page();
            bind(&wasm, &page.join("pkg"))?;
            assemble(workspace, &page)?;
            report(&page.join("pkg/skewless_bg.wasm"))?;
        } else {
            let finished = workspace.components().join(component.name()).with_extension("wasm");
            copy_if_changed(&wasm, &finished)?;
            report(&finished)?;
        }
    }
    Ok(())
}

fn compile(workspace: &Workspace, toolchain: &Toolchain, component: Component) -> Result<PathBuf> {
    let folder = workspace.wasm_target();
    let package = format!("skewless-{}", component.name());
    let cargo: Shell = workspace
        .cargo()
        .args(["build", "--package", &package, "--lib", "--profile", "component", "--target", component.target()])
        .arg("--target-dir")
        .arg(&folder);
    let cargo = match component {
        // wasm-bindgen reads from the custom sections what the wasm may use, and strips it itself.
        Component::Browser => cargo.env("CARGO_PROFILE_COMPONENT_STRIP", "none"),
        _ => cargo,
    };
    toolchain.apply(cargo).run()?;
    Ok(folder.join(component.target()).join("component").join(package.replace('-', "_")).with_extension("wasm"))
}

/// JavaScript and TypeScript around the browser's wasm.
fn bind(wasm: &Path, folder: &Path) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(wasm)
        .out_name("skewless")
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .omit_default_module_path(false);
    bindgen.web(true)?;
    bindgen.generate(folder).context("wasm-bindgen cannot process skewless_browser.wasm")
}

/// The page: its own files, the models of the guide's project, and a list of them.
fn assemble(workspace: &Workspace, page: &Path) -> Result<()> {
    let source = workspace.root.join("functions/browser/www");
    for file in files(&source)? {
        copy_if_changed(&file, &page.join(file.strip_prefix(&source)?))?;
    }
    let models = page.join("models");
    if models.exists() {
        std::fs::remove_dir_all(&models)?;
    }
    std::fs::create_dir_all(&models)?;
    let mut names = Vec::new();
    for file in files(&workspace.root.join("tests/guide/flights/models")).unwrap_or_default() {
        if file.extension() == Some(OsStr::new("skew")) {
            let (name, stem) = (file.file_name().unwrap_or_default(), file.file_stem().unwrap_or_default());
            copy_if_changed(&file, &models.join(name))?;
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    std::fs::write(models.join("index.json"), serde_json::to_string(&names)?)?;
    Ok(())
}

/// Every file below a folder, in name order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}

/// A file that did not change keeps its time, by which others know that they need not read it again.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if std::fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A host that serves the old file keeps it until it opens the new one.
    let partial = to.with_extension("partial");
    std::fs::write(&partial, bytes)?;
    std::fs::rename(&partial, to).with_context(|| format!("cannot write {}", to.display()))
}

fn report(file: &Path) -> Result<()> {
    let megabytes = std::fs::metadata(file)?.len() as f64 / 1e6;
    say(format_args!("{} ({megabytes:.1} MB)", file.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_file_keeps_its_time_and_a_changed_one_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("a.wasm"), folder.path().join("deep/b.wasm"));
        std::fs::write(&from, "one").expect("written");
        copy_if_changed(&from, &to).expect("copied");
        let before = std::fs::metadata(&to).and_then(|meta| meta.modified()).expect("a time");
        copy_if_changed(&from, &to).expect("left alone");
        assert_eq!(std::fs::metadata(&to).and_then(|meta| meta.modified()).expect("a time"), before);
        std::fs::write(&from, "two").expect("written");
        copy_if_changed(&from, &to).expect("copied");
        assert_eq!(std::fs::read_to_string(&to).expect("read"), "two");
        assert_eq!(files(folder.path()).expect("listed").len(), 2);
    }
}
