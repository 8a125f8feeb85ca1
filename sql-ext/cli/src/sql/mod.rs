//! `skewless sql`: statements from the command line, from files, from a pipe, or typed into the shell.

mod complete;
mod execute;
mod meta;
mod shell;
mod text;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::Failure;
use crate::context::{ContextArgs, runtime};
use crate::output::{Format, Sink};
use execute::Ran;

/// Run SQL: an interactive shell, statements (-c) or files (-f)
///
/// Statements run in order, and the rows of the queries among them go to stdout; everything else goes to stderr. The
/// first statement that fails ends the run with exit code 1. Without -c and -f, statements are typed into the shell, or
/// read from stdin where that is not a terminal.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run these statements (may be given several times)
    #[arg(short = 'c', long = "command", value_name = "SQL", conflicts_with = "file", allow_hyphen_values = true)]
    command: Vec<String>,
    /// Run the statements of a file; `-` is stdin (may be given several times)
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Vec<PathBuf>,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write the rows to a file, which appears when every statement has succeeded
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How many rows of a result a table shows [default: 40 in the shell, else all]
    #[arg(long, value_name = "N")]
    max_rows: Option<usize>,
    /// Tell on stderr how long each statement took, from planning to the last row printed; a JSON line where --format is
    /// json or ndjson (in the shell, \timing turns it on and off)
    #[arg(long)]
    timing: bool,
    #[command(flatten)]
    context: ContextArgs,
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.format == Format::Parquet && args.output.is_none() {
        return Err(Failure::Usage("--format parquet needs --output FILE: a Parquet file cannot go to stdout".into()));
    }
    let interactive = args.command.is_empty() && args.file.is_empty() && std::io::stdin().is_terminal();
    if interactive && args.output.is_some() {
        return Err(Failure::Usage("--output needs --command or --file: the shell prints to the terminal".into()));
    }
    let texts = if interactive { Vec::new() } else { texts(args)? };
    let runtime = runtime()?;
    let context = runtime.block_on(args.context.open())?;
    if interactive {
        return shell::run(&runtime, context, args.format, args.max_rows.or(Some(40)));
    }
    let mut sink = Sink::new(args.format, args.output.as_deref(), args.max_rows)?;
    let run = async {
        let mut number = 0_usize;
        for text in &texts {
            for statement in context.parse(text)? {
                let started = Instant::now();
                let ran = execute::execute(&context, statement, &mut sink).await?;
                number += 1;
                if args.timing {
                    eprintln!("{}", timing(args.format, number, started.elapsed(), &ran));
                }
            }
        }
        Ok(())
    };
    runtime.block_on(async {
        tokio::select! {
            outcome = run => outcome,
            // Returning drops the sink, and with it an output file that is not whole.
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        }
    })?;
    Ok(sink.finish()?)
}

/// The line of `--timing`; a statement other than a query has no rows.
fn timing(format: Format, number: usize, elapsed: Duration, ran: &Ran) -> String {
    let elapsed_ms = elapsed.as_secs_f64() * 1e3;
    if !matches!(format, Format::Json | Format::Ndjson) {
        return format!("Time: {elapsed_ms:.3} ms");
    }
    let rows = match ran {
        Ran::Rows(rows) => rows.to_string(),
        Ran::Done(_) => "null".to_owned(),
    };
    format!(r#"{{"statement": {number}, "elapsed_ms": {elapsed_ms:.3}, "rows": {rows}}}"#)
}

/// Everything that is to be run, read before any of it runs.
fn texts(args: &Args) -> Result<Vec<String>, Failure> {
    if !args.command.is_empty() {
        return Ok(args.command.clone());
    }
    let stdin = || {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("stdin cannot be read as UTF-8 text")?;
        Ok(text)
    };
    if args.file.is_empty() {
        return Ok(vec![stdin()?]);
    }
    args.file
        .iter()
        .map(|file| {
            if file.as_os_str() == "-" {
                return stdin();
            }
            match std::fs::read_to_string(file) {
                Ok(text) => Ok(text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    Err(Failure::Usage(format!("--file {}: there is no such file", file.display())))
                }
                Err(error) => Err(anyhow!("{} cannot be read: {error}", file.display()).into()),
            }
        })
        .collect()
}
