//! What every subcommand that runs SQL shares: the options of a session, the runtime, and how an error is shown.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result};
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use skewless_sql::{Device, Options, Project, SkewlessContext};

use crate::Failure;

/// The options of a session.
#[derive(clap::Args)]
pub(crate) struct ContextArgs {
    /// Folder with skewless.toml and definitions/*.sql [default: this folder or the nearest one above that is a project]
    #[arg(long, value_name = "DIR", env = "SKEWLESS_PROJECT")]
    project: Option<PathBuf>,
    /// Where models run that do not say so themselves
    #[arg(long, value_enum, default_value_t = DeviceArg::Cpu)]
    device: DeviceArg,
    /// How many partitions a query runs in [default: one per processor]
    #[arg(long, value_name = "N")]
    partitions: Option<NonZeroUsize>,
    /// Rows per batch
    #[arg(long, value_name = "ROWS")]
    batch_size: Option<NonZeroUsize>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum DeviceArg {
    Cpu,
    Gpu,
}

impl ContextArgs {
    /// The project folder: the one named, else the one we are in.
    pub(crate) fn project(&self) -> Result<Option<PathBuf>, Failure> {
        match &self.project {
            Some(folder) if !folder.join(Project::FILE).is_file() => Err(Failure::Usage(format!(
                "--project {0}: there is no {1} in it; a project is a folder with {1} and definitions/*.sql",
                folder.display(),
                Project::FILE
            ))),
            Some(folder) => Ok(Some(folder.clone())),
            None => {
                let here = std::env::current_dir().context("the current folder cannot be read")?;
                Ok(Project::find(&here))
            }
        }
    }

    /// Starts a session and loads the project's definitions.
    pub(crate) async fn open(&self) -> Result<SkewlessContext, Failure> {
        let mut options = Options { project: self.project()?, ..Options::default() };
        options.device = match self.device {
            DeviceArg::Cpu => Device::Cpu,
            DeviceArg::Gpu => Device::Gpu,
        };
        options.target_partitions = self.partitions.map(NonZeroUsize::get);
        options.batch_size = self.batch_size.map(NonZeroUsize::get);
        Ok(SkewlessContext::new(options).await?)
    }
}

/// The runtime that queries run on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Planning recurses over expressions, deepest in a debug build.
        .thread_stack_size(16 << 20)
        .build()
        .context("the runtime cannot be started")
}

/// Shows an error on stderr: the message, and each cause that says more than the message above it.
pub(crate) fn report(error: &anyhow::Error) {
    let (red, reset) = if crate::output::colour(&std::io::stderr()) { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    eprintln!("{red}error:{reset} {}", message(error));
}

/// The message of an error and of each cause that says more than the message above it.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let datafusion = cause.downcast_ref::<DataFusionError>();
        let text = datafusion.map_or_else(|| cause.to_string(), datafusion_message);
        if message.is_empty() {
            message = text;
        } else if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        // These tell their causes themselves.
        if datafusion.is_some() || cause.is::<skewless_sql::Error>() {
            break;
        }
    }
    message
}

/// The message of an error while a query runs, without the prefixes that say which layer it passed.
fn datafusion_message(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => datafusion_message(inner),
        DataFusionError::Shared(inner) => datafusion_message(inner),
        DataFusionError::External(inner) => inner.downcast_ref().map_or_else(|| inner.to_string(), datafusion_message),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ExternalError(inner) => {
                inner.downcast_ref().map_or_else(|| inner.to_string(), datafusion_message)
            }
            other => other.to_string(),
        },
        DataFusionError::Execution(message) | DataFusionError::Plan(message) => {
            message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default().to_owned()
        }
        other => other.strip_backtrace(),
    }
}
