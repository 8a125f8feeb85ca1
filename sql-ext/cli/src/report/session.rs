//! What every report shares: its session, where it is written, and how it is told.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use skewless_sql::{Outcome, SkewlessContext};

use crate::Failure;
use crate::context::ContextArgs;

/// How the findings are told.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// As JSON
    Json,
}

/// The options of every report.
#[derive(clap::Args)]
pub(super) struct Session {
    /// Statements that run first
    #[arg(short = 'c', long, value_name = "SQL", allow_hyphen_values = true)]
    command: Option<String>,
    /// Write one self-contained page
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How the findings are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    context: ContextArgs,
}

impl Session {
    /// Starts the session and runs the statements that come first.
    pub(super) async fn open(&self) -> Result<SkewlessContext, Failure> {
        let context = self.context.open().await?;
        if let Some(text) = &self.command {
            for outcome in context.sql(text).await? {
                if let Outcome::Rows(frame) = outcome {
                    frame.collect().await?;
                }
            }
        }
        Ok(context)
    }

    /// Writes the page, where one is asked for, and prints the findings.
    pub(super) fn tell(
        &self,
        page: impl FnOnce() -> Result<String>,
        findings: &impl Serialize,
        summary: impl FnOnce() -> String,
    ) -> Result<()> {
        if let Some(path) = &self.output {
            std::fs::write(path, page()?).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        match self.format {
            Format::Json => {
                println!("{}", serde_json::to_string_pretty(findings).context("the findings as JSON")?);
            }
            Format::Text => print!("{}", summary()),
        }
        Ok(())
    }
}

/// A list of texts in SQL.
pub(super) fn texts(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
    format!("[{}]", quoted.join(", "))
}

/// A column's name in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
