//! Debian testing's rustc in a private folder, for machines where rustup cannot download.
//!
//! That suite carries one matched set: the compiler and its standard library for the host and for wasm. Its packages are
//! fetched from the machine's own mirror, checked by apt against the mirror's keyring, unpacked into the cache (never
//! into `/`), and run through the C library that came with them, by wrapper scripts that cargo takes for rustc and for
//! the linkers.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{component_linker, linkers};
use crate::shell::{Shell, say, which};
use crate::workspace::Workspace;

/// The wrapper scripts.
pub(crate) struct Wrappers {
    pub(crate) prefix: PathBuf,
    pub(crate) rustc: PathBuf,
    pub(crate) linker: PathBuf,
    pub(crate) component_linker: PathBuf,
}

impl Wrappers {
    fn of(prefix: &Path) -> Self {
        let bin = prefix.join("bin");
        Self {
            prefix: prefix.to_path_buf(),
            rustc: bin.join("rustc"),
            // rustc reads the flavour of a linker from its name.
            linker: bin.join("rust-lld"),
            component_linker: bin.join("wasm-component-ld"),
        }
    }

    fn run(&self) -> bool {
        [&self.rustc, &self.component_linker].iter().all(|program| Shell::new(program).arg("--version").succeeds())
    }
}

fn prefix(workspace: &Workspace) -> PathBuf {
    workspace.cache.join("toolchain")
}

/// Says which packages a complete prefix was made of; written last.
fn stamp(prefix: &Path) -> PathBuf {
    prefix.join("packages")
}

/// The private toolchain, if it is there and runs.
pub(super) fn find(workspace: &Workspace) -> Option<Wrappers> {
    let prefix = prefix(workspace);
    let wrappers = Wrappers::of(&prefix);
    (stamp(&prefix).is_file() && wrappers.run()).then_some(wrappers)
}

/// Fetches what is missing; `sysroot` is the active toolchain's, whose linkers are used.
pub(super) fn fetch(workspace: &Workspace, sysroot: &Path) -> Result<Wrappers> {
    let component = component_linker(sysroot).context("no wasm-component-ld; run `cargo install wasm-component-ld`")?;
    let linkers = linkers(sysroot);
    let lld = linkers.as_ref().map(|folder| folder.join("rust-lld"));
    let lld = lld.or_else(|| which(&["rust-lld"])).context("no rust-lld beside rustc")?;
    let wasm_ld = linkers.map(|folder| folder.join("gcc-ld/wasm-ld")).filter(|file| file.is_file());
    let wasm_ld = wasm_ld.or_else(|| which(&["wasm-ld"])).context("no wasm-ld; install the package lld")?;

    let prefix = prefix(workspace);
    if !stamp(&prefix).is_file() {
        unpack(workspace, &prefix)?;
    }
    let loader = Loader::of(&prefix)?;
    let wrappers = Wrappers::of(&prefix);
    std::fs::create_dir_all(prefix.join("bin"))?;
    let rustc = loader.line(&prefix.join("usr/bin/rustc"));
    script(&wrappers.rustc, &format!("{rustc} --sysroot {} \"$@\"", quoted(&prefix.join("usr"))))?;
    script(&wrappers.linker, &format!("{} \"$@\"", quoted(&lld)))?;
    // rustc names a wasm-ld of its own, which Debian's set lacks; the last one counts.
    let component = loader.line(&component);
    script(&wrappers.component_linker, &format!("{component} \"$@\" --wasm-ld-path {}", quoted(&wasm_ld)))?;
    if !wrappers.run() {
        bail!("the toolchain in {0} does not run; remove that folder and try again", prefix.display());
    }
    Ok(wrappers)
}

/// The C library that came with the packages, as a program that starts other programs.
struct Loader {
    program: PathBuf,
    libraries: PathBuf,
}

impl Loader {
    fn of(prefix: &Path) -> Result<Self> {
        let folders = std::fs::read_dir(prefix.join("usr/lib"))?.flatten().map(|entry| entry.path());
        for libraries in folders.filter(|folder| folder.join("libc.so.6").is_file()) {
            let names = std::fs::read_dir(&libraries)?.flatten().map(|entry| entry.file_name());
            let mut loaders = names.filter(|name| name.to_string_lossy().starts_with("ld-linux"));
            if let Some(name) = loaders.next() {
                return Ok(Self { program: libraries.join(name), libraries });
            }
        }
        bail!("no C library in {}", prefix.display())
    }

    fn line(&self, program: &Path) -> String {
        format!("{} --library-path {} {}", quoted(&self.program), quoted(&self.libraries), quoted(program))
    }
}

fn script(path: &Path, line: &str) -> Result<()> {
    std::fs::write(path, format!("#!/bin/sh\nexec {line}\n"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

fn unpack(workspace: &Workspace, prefix: &Path) -> Result<()> {
    let fresh = prefix.with_extension("fetching");
    let mut refusals = Vec::new();
    // A vendor's repository may use Debian's suite names; the archive is the source that has the suite.
    for archive in Archive::of_this_machine()? {
        if fresh.exists() {
            std::fs::remove_dir_all(&fresh)?;
        }
        say(format_args!("fetching rustc and its wasm targets from {} ({SUITE}); 200 MB", archive.uris));
        match download(workspace, &fresh, &archive) {
            Ok(packages) => {
                std::fs::write(stamp(&fresh), packages.join("\n"))?;
                if prefix.exists() {
                    std::fs::remove_dir_all(prefix)?;
                }
                std::fs::rename(&fresh, prefix)?;
                return Ok(());
            }
            Err(error) => refusals.push(format!("{}: {error:#}", archive.uris)),
        }
    }
    bail!("no source of apt has the suite {SUITE}: {}", refusals.join("\n"))
}

fn download(workspace: &Workspace, folder: &Path, archive: &Archive) -> Result<Vec<String>> {
    let apt = Apt::new(&folder.join("apt"), archive)?;
    apt.get(workspace).arg("update").read()?;
    let packages = apt.packages(workspace)?;
    let files = folder.join("apt/packages");
    std::fs::create_dir_all(&files)?;
    apt.get(workspace).folder(&files).arg("download").args(&packages).read()?;
    for file in std::fs::read_dir(&files)? {
        workspace.command("dpkg").arg("-x").arg(file?.path()).arg(folder).read()?;
    }
    std::fs::remove_dir_all(folder.join("apt"))?;
    Ok(packages)
}

const SUITE: &str = "testing";

/// apt with lists, cache and sources of its own.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(folder: &Path, archive: &Archive) -> Result<Self> {
        let (lists, cache, sources) = (folder.join("lists"), folder.join("cache"), folder.join("suite.sources"));
        std::fs::create_dir_all(lists.join("partial"))?;
        std::fs::create_dir_all(cache.join("archives/partial"))?;
        std::fs::write(&sources, archive.stanza(SUITE))?;
        let options = [
            format!("Dir::Etc::sourcelist={}", sources.display()),
            "Dir::Etc::sourceparts=-".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State::Lists={}", lists.display()),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::Cache={}", cache.display()),
            "APT::Default-Release=".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            // apt forgives a list it cannot fetch; here there is only the one.
            "APT::Update::Error-Mode=any".to_owned(),
        ];
        Ok(Self { options: options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect() })
    }

    fn get(&self, workspace: &Workspace) -> Shell {
        workspace.command("apt-get").args(&self.options)
    }

    fn depends(&self, workspace: &Workspace, arguments: &[&str]) -> Result<String> {
        workspace.command("apt-cache").args(&self.options).arg("depends").args(arguments).read()
    }

    /// The compiler, its standard libraries, and every library that it loads.
    fn packages(&self, workspace: &Workspace) -> Result<Vec<String>> {
        let of_dev = self.depends(workspace, &["libstd-rust-dev"])?;
        let runtime = runtime_of(&of_dev).context("libstd-rust-dev names no libstd-rust-1.NN")?;
        let closure = self.depends(
            workspace,
            &["--recurse", "--important", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances", runtime],
        )?;
        let compiler = ["rustc", "libstd-rust-dev", "libstd-rust-dev-wasm32"];
        Ok(compiler.into_iter().chain(real_packages(&closure)).map(str::to_owned).collect())
    }
}

/// The package of the compiler's own library, whose name carries its version.
fn runtime_of(depends: &str) -> Option<&str> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("libstd-rust-1."))
}

/// The heads of `apt-cache depends --recurse`, virtual packages (`<…>`) left out.
fn real_packages(closure: &str) -> impl Iterator<Item = &str> {
    closure.lines().filter(|line| !line.starts_with([' ', '|', '<']) && !line.is_empty())
}

/// Where this machine's Debian packages come from.
#[derive(Debug, PartialEq, Eq)]
struct Archive {
    uris: String,
    signed_by: Option<String>,
}

impl Archive {
    /// Every source of the machine's own release, and those that follow a moving suite, in apt's order.
    fn of_this_machine() -> Result<Vec<Self>> {
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let field = |name: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        if field("ID").as_deref() != Some("debian") {
            bail!("this machine does not run Debian");
        }
        let codename = field("VERSION_CODENAME").unwrap_or_else(|| SUITE.to_owned());
        let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
        if let Ok(parts) = std::fs::read_dir("/etc/apt/sources.list.d") {
            let mut parts: Vec<PathBuf> = parts.flatten().map(|part| part.path()).collect();
            parts.sort();
            files.extend(parts);
        }
        let mut archives = Vec::new();
        for file in files {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("list") => archives.extend(Self::in_lines(&text, &codename)),
                Some("sources") => archives.extend(Self::in_stanzas(&text, &codename)),
                _ => {}
            }
        }
        if archives.is_empty() {
            bail!("no source of the suite {codename} in /etc/apt/sources.list or /etc/apt/sources.list.d");
        }
        Ok(archives)
    }

    /// `deb [signed-by=…] uri suite component…`
    fn in_lines(text: &str, codename: &str) -> Vec<Self> {
        let source = |line: &str| {
            let rest = line.trim().strip_prefix("deb")?;
            let rest = rest.strip_prefix([' ', '\t'])?.trim();
            let (options, rest) = match rest.strip_prefix('[') {
                Some(rest) => rest.split_once(']')?,
                None => ("", rest),
            };
            let words: Vec<&str> = rest.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
            let (uri, suite) = (words.first()?, words.get(1)?);
            if !serves(suite, codename)
                || !words.iter().skip(2).any(|component| *component == "main")
                || uri.starts_with("cdrom:")
            {
                return None;
            }
            let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
            Some(Self { uris: (*uri).to_owned(), signed_by: signed_by.map(str::to_owned) })
        };
        text.lines().filter_map(source).collect()
    }

    /// deb822 paragraphs, as in `debian.sources`.
    fn in_stanzas(text: &str, codename: &str) -> Vec<Self> {
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let source = |stanza: &[&str]| {
            let field = |name: &str| field(stanza, name);
            let has =
                |name: &str, word: &str| field(name).is_some_and(|value| value.split_whitespace().any(|w| w == word));
            let suites = field("Suites")?;
            let enabled = !field("Enabled").is_some_and(|value| value.trim().eq_ignore_ascii_case("no"));
            let serves = suites.split_whitespace().any(|suite| serves(suite, codename));
            if !enabled || !serves || !has("Types", "deb") || !has("Components", "main") {
                return None;
            }
            Some(Self { uris: field("URIs")?.trim().to_owned(), signed_by: field("Signed-By") })
        };
        lines.split(|line| line.trim().is_empty()).filter_map(source).collect()
    }

    /// The same archive, another suite.
    fn stanza(&self, suite: &str) -> String {
        let mut stanza = format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n", self.uris);
        if let Some(key) = &self.signed_by {
            // A key may stand in the file itself: further lines keep their indentation.
            let _ = writeln!(stanza, "Signed-By: {key}");
        }
        stanza
    }
}

/// Whether a source's suite is the release itself: its security and backport suites lie in other archives.
fn serves(suite: &str, codename: &str) -> bool {
    suite == codename || ["stable", "testing", "unstable", "sid"].contains(&suite)
}

/// One field of a deb822 paragraph, continuation lines included.
fn field(stanza: &[&str], name: &str) -> Option<String> {
    let is_field = |line: &&str| {
        line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name) && !line.starts_with([' ', '\t']))
    };
    let start = stanza.iter().position(is_field)?;
    let (_, first) = stanza.get(start)?.split_once(':')?;
    let mut value = first.trim().to_owned();
    for line in stanza.iter().skip(start + 1).take_while(|line| line.starts_with([' ', '\t'])) {
        value.push('\n');
        value.push_str(line);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(uris: &str, signed_by: Option<&str>) -> Archive {
        Archive { uris: uris.to_owned(), signed_by: signed_by.map(str::to_owned) }
    }

    #[test]
    fn the_archive_is_read_from_a_deb822_file_and_keeps_its_keyring() {
        let text = "# a mirror\nTypes: deb\nURIs: http://mirror.test/security\nSuites: bookworm-security\nComponents: main\n\n\
                    Types: deb deb-src\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main contrib\nSigned-By: /usr/share/keyrings/debian.gpg\n";
        let expected = archive("http://mirror.test/debian", Some("/usr/share/keyrings/debian.gpg"));
        assert_eq!(Archive::in_stanzas(text, "bookworm"), [expected]);
        assert_eq!(
            archive("http://mirror.test/debian", Some("/usr/share/keyrings/debian.gpg")).stanza("testing"),
            "Types: deb\nURIs: http://mirror.test/debian\nSuites: testing\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian.gpg\n"
        );
    }

    #[test]
    fn a_key_inside_the_file_and_a_disabled_paragraph_are_understood() {
        let text = "Enabled: no\nTypes: deb\nURIs: http://off.test/\nSuites: trixie\nComponents: main\n\n\
                    Types: deb\nURIs: http://on.test/\nSuites: trixie\nComponents: main\nSigned-By:\n -----BEGIN-----\n .\n key\n";
        let expected = archive("http://on.test/", Some("\n -----BEGIN-----\n .\n key"));
        assert_eq!(Archive::in_stanzas(text, "trixie"), [archive("http://on.test/", expected.signed_by.as_deref())]);
        assert!(expected.stanza("testing").ends_with("Signed-By: \n -----BEGIN-----\n .\n key\n"));
    }

    #[test]
    fn the_archive_is_read_from_one_line_sources() {
        let text = "# deb http://commented.test/ bookworm main\ndeb cdrom:[Debian]/ bookworm main\n\
                    deb-src http://mirror.test/debian bookworm main\ndeb http://vendor.test/ stable-vendor main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main non-free # ours\n";
        assert_eq!(Archive::in_lines(text, "bookworm"), [archive("http://mirror.test/debian", Some("/k.gpg"))]);
        assert_eq!(Archive::in_lines("deb http://mirror.test/debian bookworm contrib\n", "bookworm"), []);
    }

    #[test]
    fn the_packages_of_the_compiler_follow_its_version() {
        let depends = "libstd-rust-dev\n  Depends: libc6\n  Depends: libstd-rust-1.97\n  Depends: gcc\n";
        assert_eq!(runtime_of(depends), Some("libstd-rust-1.97"));
        let closure =
            "libstd-rust-1.97\n  Depends: libc6\nlibc6\n  Depends: <virtual>\n<virtual>\n |Depends: other\nlibllvm22\n";
        assert_eq!(real_packages(closure).collect::<Vec<_>>(), ["libstd-rust-1.97", "libc6", "libllvm22"]);
    }

    #[test]
    fn a_path_with_a_quote_survives_the_shell() {
        assert_eq!(quoted(Path::new("/it's here")), r"'/it'\''s here'");
    }
}
