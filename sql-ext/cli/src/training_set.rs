//! `skewless training-set`: writes a training set with its manifest, and checks one against it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use skewless_sql::manifest::Manifest;

use crate::Failure;
use crate::context::{ContextArgs, runtime};
use crate::progress::{self, QueryProgress, TICK};

/// Build training sets with a manifest, and verify them
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Write the rows of a query over `ml_training_set` to a Parquet file, with a manifest beside it
    Build(Build),
    /// Make a training set anew from its manifest, and explain whatever differs
    ///
    /// Exit code 0 when nothing differs, 3 when something does, 1 when it cannot be checked.
    Verify(Verify),
}

/// How a result is told.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("statements").required(true)))]
pub(crate) struct Build {
    /// File whose last statement is the query; those before it run first
    #[arg(value_name = "FILE", group = "statements")]
    file: Option<PathBuf>,
    /// The statements themselves
    #[arg(short = 'c', long, value_name = "SQL", allow_hyphen_values = true, group = "statements")]
    command: Option<String>,
    /// The Parquet file to write
    #[arg(short = 'o', long, value_name = "FILE")]
    output: String,
    /// How the summary is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    context: ContextArgs,
}

#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The training set
    #[arg(value_name = "FILE")]
    file: String,
    /// How the differences are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    context: ContextArgs,
}

/// Runs the subcommand.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Build(args) => build(&args),
        Command::Verify(args) => verify(&args),
    }
}

fn build(args: &Build) -> Result<(), Failure> {
    let text = match (&args.command, &args.file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?,
        (None, None) => return Err(Failure::Usage("give a file of statements, or statements with --command".into())),
    };
    let runtime = runtime()?;
    let written = runtime.block_on(async {
        let context = args.context.open().await?;
        let writing = context.write_training_set(&text, &args.output).await?;
        let mut progress = QueryProgress::new(Arc::clone(writing.plan()), true);
        let mut ticks = tokio::time::interval(TICK);
        let run = writing.run();
        tokio::pin!(run);
        loop {
            tokio::select! {
                written = &mut run => return Ok::<_, Failure>(written?),
                _ = ticks.tick() => progress.tick(),
            }
        }
    })?;
    match args.format {
        Format::Json => {
            println!("{}", serde_json::to_string_pretty(&written.manifest).context("the manifest as JSON")?);
        }
        Format::Text => print!("{}", summary(&args.output, &written.location, &written.manifest)),
    }
    Ok(())
}

fn summary(file: &str, location: &str, manifest: &Manifest) -> String {
    let names = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let mut lines = vec![
        ("training set", format!("{file}, {} rows, {} columns", manifest.rows, manifest.columns.len())),
        ("manifest", location.to_owned()),
        ("content", manifest.content.clone()),
        ("views", names(manifest.views.iter().map(|view| view.name.as_str()).collect())),
    ];
    if !manifest.models.is_empty() {
        lines.push(("models", names(manifest.models.iter().map(|model| model.name.as_str()).collect())));
    }
    if !manifest.known_at.is_empty() {
        lines.push(("known at", manifest.known_at.join(", ")));
    }
    lines.push(("sources", names(manifest.sources.iter().map(|source| source.location.as_str()).collect())));
    let lines: Vec<String> = lines.into_iter().map(|(name, value)| format!("{name:<12}  {value}\n")).collect();
    lines.concat()
}

fn verify(args: &Verify) -> Result<(), Failure> {
    let runtime = runtime()?;
    let verification = runtime.block_on(async {
        let context = args.context.open().await?;
        let spinner = progress::spinner(&format!("{}: running its query again", args.file));
        let verification = context.verify_training_set(&args.file).await;
        spinner.finish_and_clear();
        Ok::<_, Failure>(verification?)
    })?;
    let same = verification.differences.is_empty();
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&verification).context("the differences as JSON")?),
        Format::Text if same => println!("{}: {} rows, the same", args.file, verification.rows),
        Format::Text => {
            for difference in &verification.differences {
                println!("{difference}");
            }
            if verification.created_by != Manifest::SOFTWARE {
                println!("it was built by {} and checked by {}", verification.created_by, Manifest::SOFTWARE);
            }
        }
    }
    if same { Ok(()) } else { Err(Failure::Different) }
}
