//! What only the system's package manager can bring.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::chromium;
use crate::shell::{say, which};
use crate::workspace::Workspace;

/// One thing that must be there, and the Debian packages that bring it.
struct Need {
    what: &'static str,
    packages: &'static [&'static str],
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need { what: "clang, which compiles zstd for wasm", packages: &["clang"], present: || which(&["clang"]).is_some() },
    Need {
        what: "a Vulkan driver, a software one where there is no GPU",
        packages: &["mesa-vulkan-drivers", "libvulkan1"],
        present: vulkan,
    },
    Need {
        what: "Chromium, which opens the page in tests and in the demo",
        packages: &["chromium"],
        present: || chromium().is_some(),
    },
    Need {
        what: "Node.js and npm, which drive Chromium",
        packages: &["nodejs", "npm"],
        present: || which(&["node"]).is_some() && which(&["npm"]).is_some(),
    },
    Need {
        what: "Python 3.11 or newer",
        packages: &["python3", "python3-venv"],
        present: || which(&["python3"]).is_some(),
    },
];

/// Whether Vulkan's loader and at least one driver are installed. macOS brings Metal instead.
fn vulkan() -> bool {
    if cfg!(target_os = "macos") {
        return true;
    }
    let has_entry = |folder: &str, is_wanted: &dyn Fn(&Path) -> bool| {
        std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| is_wanted(&entry.path())))
    };
    let driver = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let driver = std::env::var_os("VK_ICD_FILENAMES").is_some()
        || std::env::var_os("VK_DRIVER_FILES").is_some()
        || driver
            .iter()
            .any(|folder| has_entry(folder, &|file| file.extension().is_some_and(|extension| extension == "json")));
    let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let loader = [multiarch.as_str(), "/usr/lib64", "/usr/lib", "/usr/local/lib"];
    driver
        && loader.iter().any(|folder| {
            has_entry(folder, &|file| {
                file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libvulkan.so"))
            })
        })
}

/// Installs the packages of everything that is missing.
pub(super) fn ensure(workspace: &Workspace) -> Result<String> {
    let missing = || NEEDS.iter().filter(|need| !(need.present)()).collect::<Vec<_>>();
    let before = missing();
    if before.is_empty() {
        return Ok("clang, Vulkan, Chromium, Node.js and Python are here".to_owned());
    }
    for need in &before {
        say(format_args!("missing: {}", need.what));
    }
    let packages: Vec<&str> = before.iter().flat_map(|need| need.packages).copied().collect();
    let remedy = format!("install it, on Debian and Ubuntu by: sudo apt-get install {}", packages.join(" "));
    if which(&["apt-get"]).is_none() {
        bail!("no apt-get on this machine; {remedy}");
    }
    install(workspace, &packages).with_context(|| remedy.clone())?;
    let after = missing();
    if let Some(need) = after.first() {
        bail!("{} is still missing; {remedy}", need.what);
    }
    Ok(format!("installed {}", packages.join(", ")))
}

fn install(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| {
        // Files in /root can be listed by root only.
        let is_root = Path::new("/root").read_dir().is_ok();
        let shell = if is_root { workspace.command("env") } else { workspace.command("sudo").arg("env").interactive() };
        shell.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments)
    };
    say(format_args!("apt-get install {}", packages.join(" ")));
    let install: Vec<&str> =
        ["install", "--yes", "--no-install-recommends", "-qq"].into_iter().chain(packages.iter().copied()).collect();
    // The package lists of an image are often gone or stale: refresh them only when that shows.
    apt(&install).run().or_else(|_| {
        apt(&["update", "-qq"]).run()?;
        apt(&install).run()
    })
}
