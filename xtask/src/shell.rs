//! Other programs: started with what they are for, refused with their own words.

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// One program to run, with a message that fits a person when it fails.
pub(crate) struct Shell {
    program: PathBuf,
    command: Command,
    limit: Option<Duration>,
}

impl Shell {
    pub(crate) fn new(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let mut command = Command::new(&program);
        command.stdin(Stdio::null());
        Self { program, command, limit: None }
    }

    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Ends the program once it has run this long; for those that wait for a network that never answers.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Lets the program ask the user (sudo's password, the demo's keys).
    pub(crate) fn interactive(mut self) -> Self {
        self.command.stdin(Stdio::inherit());
        self
    }

    /// Runs with our stdout and stderr.
    pub(crate) fn run(mut self) -> Result<()> {
        let shown = self.shown();
        let mut child = self.command.spawn().with_context(|| self.cannot_start())?;
        let started = Instant::now();
        let status = loop {
            let Some(limit) = self.limit else { break child.wait()? };
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if started.elapsed() > limit {
                child.kill()?;
                child.wait()?;
                bail!("`{shown}` did not finish within {} seconds and was ended", limit.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        if !status.success() {
            bail!("`{shown}` failed ({status})");
        }
        Ok(())
    }

    /// Runs silently and gives stdout; the error carries the end of stderr.
    pub(crate) fn read(mut self) -> Result<String> {
        let output = self.command.output().with_context(|| self.cannot_start())?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = stderr.trim().lines().collect();
            let tail = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n");
            bail!("`{}` failed ({})\n{tail}", self.shown(), output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether the program starts and succeeds, silently.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn cannot_start(&self) -> String {
        format!("cannot start `{}`; is it installed and in PATH?", self.program.display())
    }

    fn shown(&self) -> String {
        let program = self.program.file_name().unwrap_or_else(|| self.program.as_os_str()).to_os_string();
        let words: Vec<OsString> =
            std::iter::once(program).chain(self.command.get_args().map(OsStr::to_os_string)).collect();
        let mut shown = words.join(OsStr::new(" ")).to_string_lossy().into_owned();
        if shown.chars().count() > 160 {
            shown = shown.chars().take(159).chain(['…']).collect();
        }
        shown
    }
}

/// The first of these programs that PATH has.
pub(crate) fn which(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}

/// Whether output should carry no colour (`NO_COLOR`, see no-color.org, or no terminal).
pub(crate) fn plain() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || !std::io::stderr().is_terminal()
}

/// Says on stderr what happens now.
pub(crate) fn say(message: impl std::fmt::Display) {
    let mut stderr = std::io::stderr().lock();
    // Nothing is left to do for a reader who has closed stderr.
    let _ =
        if plain() { writeln!(stderr, "xtask: {message}") } else { writeln!(stderr, "\x1b[1mxtask:\x1b[0m {message}") };
}

/// Runs one named step and says how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(format_args!("{name} …"));
    let started = Instant::now();
    let result = work();
    let seconds = started.elapsed().as_secs_f64();
    match &result {
        Ok(_) => say(format_args!("{name}: ok ({seconds:.1} s)")),
        Err(_) => say(format_args!("{name}: FAILED ({seconds:.1} s)")),
    }
    result
}
