//! The interactive shell.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, anyhow};
use clap::ValueEnum;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use skewless_sql::SkewlessContext;
use tokio::runtime::Runtime;

use super::complete::Assistant;
use super::execute::{Ran, execute};
use super::meta::{self, Action};
use crate::Failure;
use crate::context::report;
use crate::output::{Format, Sink, is_broken_pipe};

const PROMPT: &str = "skewless> ";

/// Reads statements and runs them until the user leaves.
pub(super) fn run(
    runtime: &Runtime,
    context: SkewlessContext,
    format: Format,
    max_rows: Option<usize>,
) -> Result<(), Failure> {
    let config = Config::builder()
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .max_history_size(10_000)?
        .build();
    let mut editor: Editor<Assistant, FileHistory> = Editor::with_config(config)?;
    let mut assistant = Assistant::new();
    runtime.block_on(assistant.learn(&context));
    editor.set_helper(Some(assistant));
    let history = history_file();
    if let Some(file) = &history {
        // There is none the first time.
        let _ = editor.load_history(file);
    }
    println!("skewless {} — \\? for help, \\q to leave", env!("CARGO_PKG_VERSION"));
    let mut shell = Shell { runtime, context, format, max_rows, timing: true };
    loop {
        match editor.readline(PROMPT) {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => {
                editor.add_history_entry(line.trim())?;
                match shell.line(&line) {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) if is_broken_pipe(&error) => break,
                    Err(error) => report(&error),
                }
                if let Some(assistant) = editor.helper_mut() {
                    runtime.block_on(assistant.learn(&shell.context));
                }
            }
            // Ctrl-C gives up the line, not the shell.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
        if let Some(file) = &history
            && let Err(error) = editor.save_history(file)
        {
            tracing::warn!("{} cannot be written: {error}", file.display());
        }
    }
    Ok(())
}

struct Shell<'a> {
    runtime: &'a Runtime,
    context: SkewlessContext,
    format: Format,
    max_rows: Option<usize>,
    timing: bool,
}

impl Shell<'_> {
    /// Runs one entry; true where it asks to leave.
    fn line(&mut self, line: &str) -> Result<bool> {
        if meta::leaves(line) {
            return Ok(true);
        }
        if !line.trim_start().starts_with('\\') {
            self.statements(line)?;
            return Ok(false);
        }
        match meta::parse(line, &self.context)? {
            Action::Quit => return Ok(true),
            Action::Print(text) => print!("{text}"),
            Action::Run(text) => self.statements(&text)?,
            Action::Timing => {
                self.timing = !self.timing;
                eprintln!("timing is {}", if self.timing { "on" } else { "off" });
            }
            Action::Format(name) => {
                self.format = Format::from_str(&name, true)
                    .ok()
                    .filter(|format| *format != Format::Parquet)
                    .ok_or_else(|| anyhow!("\\format takes table, json, csv or ndjson"))?;
            }
        }
        Ok(false)
    }

    fn statements(&self, text: &str) -> Result<()> {
        for statement in self.context.parse(text)? {
            let started = Instant::now();
            let mut sink = Sink::new(self.format, None, self.max_rows)?;
            let ran = self.runtime.block_on(async {
                tokio::select! {
                    ran = execute(&self.context, statement, &mut sink) => ran,
                    _ = tokio::signal::ctrl_c() => Err(anyhow!("cancelled")),
                }
            })?;
            let took = if self.timing { format!("{:.3} s", started.elapsed().as_secs_f64()) } else { String::new() };
            match ran {
                Ran::Rows(1) => eprintln!("1 row  {took}"),
                Ran::Rows(rows) => eprintln!("{rows} rows  {took}"),
                Ran::Done(message) => eprintln!("{message}  {took}"),
            }
        }
        Ok(())
    }
}

/// Where the history is kept: the user's data folder.
fn history_file() -> Option<PathBuf> {
    let folder = data_folder()?.join("skewless");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

fn data_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if cfg!(windows) {
        return set("APPDATA");
    }
    let home = std::env::home_dir()?;
    if cfg!(target_os = "macos") {
        return Some(home.join("Library/Application Support"));
    }
    Some(set("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share")))
}
