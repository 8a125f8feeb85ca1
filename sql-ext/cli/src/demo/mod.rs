//! `skewless demo`: a year of real flights through every surface, and the report that proves that they agree.
//!
//! Builds the training set of `tests/guide/flights`, scores it in SQL, materializes its feature views, serves the root
//! `spin.toml`, asks it about real flights over HTTP, runs the page in Chromium, and writes `report.html` and
//! `report.json`. `cargo xtask demo` builds what this needs first.

mod answers;
mod browser;
mod http;
mod metrics;
mod parity;
mod report;
mod sql;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use skewless_sql::{Options, Project, SkewlessContext};

use crate::Failure;
use crate::context::runtime;

/// Options of the demo.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder that holds spin.toml and tests/guide/flights
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
    /// Where the report, the training set and the online store go
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    output: PathBuf,
    /// How many flights are asked over HTTP and in the page
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    flights: u32,
    /// Leave the page out
    #[arg(long)]
    no_browser: bool,
    /// Keep serving when the report is written, until Ctrl-C
    #[arg(long)]
    serve: bool,
}

/// Runs the demo; fails where two surfaces disagree by more than the table allows.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    runtime()?.block_on(demo(args))?;
    Ok(())
}

async fn demo(args: &Args) -> Result<()> {
    let project = args.root.join("tests/guide/flights");
    if !project.join(Project::FILE).is_file() {
        bail!(
            "{} is not a project: run the demo in a clone of the repository, or name it with --root",
            project.display()
        );
    }
    std::fs::create_dir_all(&args.output).with_context(|| format!("{} cannot be made", args.output.display()))?;
    let mut steps = Steps::default();

    let context = SkewlessContext::new(Options { project: Some(project.clone()), ..Options::default() }).await?;
    let training_set = args.output.join("training_set.parquet");
    let rows = sql::build_training_set(&context, &project, &training_set).await?;
    steps.done(&format!("training set: {rows} flights as they looked one hour before departure"));

    let scored = sql::score(&context, &project, &args.output.join("scored.parquet")).await?;
    steps.done(&format!("scored in SQL: {} flights by two models", scored.rows()));
    let drift = sql::drift_by_month(&context, &project).await?;
    let moves = sql::drift_month_to_month(&context, &project).await?;
    steps.done("drift by month");

    let sample = scored.sample(args.flights as usize)?;
    let mut surfaces = vec![sample.answers("SQL")];
    match sql::score_on_gpu(&project, &sample).await {
        Ok(answers) => {
            surfaces.push(answers);
            steps.done("scored by wonnx on WebGPU");
        }
        Err(error) => steps.skipped(&format!("wonnx on WebGPU: {}", crate::context::message(&error))),
    }

    let state = args.output.join("state");
    let entities = crate::materialize::fill(&context, &state).await?;
    steps.done(&format!("materialized: {entities} entities into {}", state.display()));

    let mut options = skewless_host::Options::new(args.root.join("spin.toml"));
    options.listen = ([127, 0, 0, 1], 0).into();
    options.state_dir = Some(state);
    let app = skewless_host::up(options).await?;
    let url = format!("http://{}", app.addr());
    steps.done(&format!("serving spin.toml at {url}"));
    let (answers, latency) = http::ask(&url, &sample).await?;
    surfaces.push(answers);
    steps.done(&format!(
        "asked over HTTP: {} flights; median {:.1} ms for features, {:.1} ms for a prediction",
        sample.len(),
        latency.features_ms,
        latency.predict_ms
    ));
    if args.no_browser {
        steps.skipped("the page: --no-browser");
    } else {
        surfaces.push(browser::ask(&args.root, &url, &args.output, context.models(), &sample).await?);
        steps.done(&format!("scored in the page: {} flights", sample.len()));
    }

    let parity = parity::compare(&surfaces);
    let report =
        report::Report { rows, scored: &scored, drift: &drift, moves: &moves, latency: &latency, parity: &parity };
    let page = report.write(&args.output)?;
    println!("\n{}", parity.text());
    println!("report: {}", page.display());
    if args.serve {
        println!("serving {url} until Ctrl-C");
        tokio::signal::ctrl_c().await.context("Ctrl-C cannot be waited for")?;
    }
    app.shutdown().await;
    if let Some(first) = parity.violations().first() {
        bail!("the surfaces disagree: {first}");
    }
    Ok(())
}

/// Reads a statement of the project.
fn statement(project: &Path, name: &str) -> Result<String> {
    let path = project.join("sql").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Says on stderr what is done and how long it took.
struct Steps {
    started: Instant,
}

impl Default for Steps {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Steps {
    fn done(&mut self, what: &str) {
        eprintln!("{:>7.1} s  {what}", self.started.elapsed().as_secs_f64());
        self.started = Instant::now();
    }

    fn skipped(&mut self, what: &str) {
        eprintln!("  skipped  {what}");
        self.started = Instant::now();
    }
}
