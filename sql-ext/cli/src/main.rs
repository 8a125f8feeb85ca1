//! The one binary: `sql`, `training-set`, `materialize`, `up`, `model`, `functions`,
//! `report`, `contract`, `demo`.
//!
//! Exit codes: 0 when everything asked for was done, 1 when a statement or an operation was refused or failed (the
//! reason is on stderr), 2 for wrong usage, 3 when a check found a difference.

mod context;
mod contract;
mod demo;
mod functions;
mod materialize;
mod model;
mod output;
mod plot;
mod progress;
mod report;
mod sample;
mod sql;
mod training_set;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Columns are large and short-lived; the system's allocator gives their pages back and faults them in anew each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One definition of every feature, model and drift statistic: in SQL, over HTTP and in the browser.
#[derive(Parser)]
#[command(name = "skewless", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run SQL: an interactive shell, statements (-c) or files (-f)
    Sql(sql::Args),
    /// Build training sets with a manifest, and verify them
    #[command(subcommand)]
    TrainingSet(training_set::Command),
    /// Fill the key-value store that serves features online
    Materialize(materialize::Args),
    /// Serve the application of spin.toml on this machine
    Up(up::Args),
    /// Build and inspect model bundles
    #[command(subcommand)]
    Model(model::Command),
    /// List the functions of the catalog, or explain one
    Functions(functions::Args),
    /// Infer data contracts, and check data against them
    #[command(subcommand)]
    Contract(contract::Command),
    /// Compare samples, and measure models
    #[command(subcommand)]
    Report(Box<report::Command>),
    /// Run everything on real flights, and report how far the surfaces agree
    Demo(demo::Args),
    /// Print a completion script for a shell
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
}

/// Why the process ends with a code other than 0.
enum Failure {
    /// The command line asks for something that cannot be; exit code 2.
    Usage(String),
    /// A check found a difference, and has printed it; exit code 3.
    Different,
    /// Exit code 1.
    Failed(anyhow::Error),
    /// The user pressed Ctrl-C; exit code 130, as a shell has it for SIGINT.
    Interrupted,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(output::colour(&std::io::stderr()))
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SKEWLESS_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .init();
    let outcome = match cli.command {
        Command::Sql(args) => sql::run(&args),
        Command::TrainingSet(command) => training_set::run(command),
        Command::Materialize(args) => materialize::run(&args),
        Command::Up(args) => up::run(&args),
        Command::Model(command) => model::run(command),
        Command::Functions(args) => functions::run(&args),
        Command::Contract(command) => contract::run(&command),
        Command::Report(command) => report::run(&command),
        Command::Demo(args) => demo::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "skewless", &mut std::io::stdout());
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}\n\nFor more information, try '--help'.");
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(Failure::Different) => ExitCode::from(3),
        Err(Failure::Interrupted) => {
            eprintln!("cancelled");
            ExitCode::from(130)
        }
        Err(Failure::Failed(error)) => {
            context::report(&error);
            ExitCode::FAILURE
        }
    }
}
