//! What the tests of several surfaces share: where the repository is, the built binary, and a served application.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// The built `skewless`: `$SKEWLESS_BIN`, else beside this test.
pub fn skewless() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SKEWLESS_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe().context("where this test is, is not known")?;
    let folder = test.parent().and_then(Path::parent).context("this test lies in no target folder")?;
    let binary = folder.join(format!("skewless{}", std::env::consts::EXE_SUFFIX));
    if !binary.is_file() {
        bail!("{} is missing: run `cargo build -p skewless`, or `cargo xtask test`", binary.display());
    }
    Ok(binary)
}

/// Runs `skewless` in the root of the repository: its exit code, stdout and stderr.
pub fn run(arguments: &[&str]) -> Result<(i32, String, String)> {
    let output = Command::new(skewless()?)
        .args(arguments)
        .current_dir(root())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .context("skewless cannot be started")?;
    let text = |bytes| String::from_utf8(bytes).context("skewless printed no UTF-8");
    Ok((output.status.code().unwrap_or(-1), text(output.stdout)?, text(output.stderr)?))
}

/// A project, materialized into a folder of its own and served by `skewless up`, until dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    /// Where it answers, without a slash at the end.
    pub url: String,
    _state: tempfile::TempDir,
}

impl Served {
    /// Materializes and serves the flights project.
    pub fn start() -> Result<Self> {
        Self::project(Path::new("tests/guide/flights"))
    }

    /// Materializes and serves; fails with what the process said when it does not answer within five minutes, which a
    /// busy machine may take to compile the components.
    pub fn project(project: &Path) -> Result<Self> {
        let state = tempfile::tempdir()?;
        let store = state.path().join("sqlite_key_value.db");
        let (project, file) = (project.to_string_lossy(), store.to_string_lossy());
        let (code, _, errors) = run(&["materialize", "--project", &project, "--store", &file])?;
        if code != 0 {
            bail!("skewless materialize failed: {errors}");
        }
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let url = format!("http://127.0.0.1:{port}");
        let child = Command::new(skewless()?)
            .args(["up", "--listen", &format!("127.0.0.1:{port}"), "--state-dir"])
            .arg(state.path())
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("skewless up cannot be started")?;
        let mut served = Self { child, url, _state: state };
        let patience = Instant::now() + Duration::from_mins(5);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = served.child.try_wait()? {
                bail!("skewless up ended with {status}; have the components been built (`cargo xtask component`)?");
            }
            if Instant::now() > patience {
                bail!("skewless up does not answer at {}", served.url);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself, which its requests have then told.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
