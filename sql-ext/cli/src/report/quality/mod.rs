//! `skewless report quality`: the measures of a model's predictions, overall and by slice, with their pictures, and the slices
//! that `ml_find_slices` finds.

mod limit;
mod measure;
mod show;
mod task;

use anyhow::Result;

use self::limit::Limit;
use self::task::Task;
use super::session::Session;
use crate::Failure;
use crate::context::runtime;
use crate::progress;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("predicted").required(true).args(["probability", "prediction", "value"]))]
pub(crate) struct Args {
    /// The labelled predictions: a query, a table, or a file
    #[arg(long, value_name = "SQL|TABLE|FILE")]
    data: String,
    /// The column of what came true
    #[arg(long, value_name = "COLUMN")]
    label: String,
    /// The column of the predicted probability that the label is true
    #[arg(long, value_name = "COLUMN")]
    probability: Option<String>,
    /// The column of the predicted class
    #[arg(long, value_name = "COLUMN")]
    prediction: Option<String>,
    /// The column of the predicted number
    #[arg(long, value_name = "COLUMN")]
    value: Option<String>,
    /// From which probability on the label is held to be true
    #[arg(long, default_value_t = 0.5, requires = "probability")]
    threshold: f64,
    /// Columns to measure each value of, and to search for slices [default: every other column is searched]
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    by: Vec<String>,
    /// The column of the groups that are to be treated alike
    #[arg(long, value_name = "COLUMN", conflicts_with = "value")]
    group: Option<String>,
    /// A measure that has to be at least this
    #[arg(long, value_name = "MEASURE=NUMBER", value_delimiter = ',')]
    min: Vec<Limit>,
    /// A measure that has to be at most this
    #[arg(long, value_name = "MEASURE=NUMBER", value_delimiter = ',')]
    max: Vec<Limit>,
    /// The rate of false alarms that is accepted over all slices searched
    #[arg(long, default_value_t = 0.05)]
    alpha: f64,
    /// A slice is of at most so many columns
    #[arg(long, default_value_t = 2)]
    max_columns: usize,
    /// A slice has at least so many rows
    #[arg(long, default_value_t = 30)]
    min_rows: u64,
    /// A slice with a smaller effect is not worse
    #[arg(long, default_value_t = 0.0)]
    min_effect: f64,
    #[command(flatten)]
    session: Session,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let task = Task::of(args);
    let limits = limit::all(args, &task)?;
    let findings = runtime()?.block_on(async {
        let context = args.session.open().await?;
        let spinner = progress::spinner("measuring the predictions");
        let findings = measure::findings(&context, args, &task, limits).await?;
        spinner.finish_and_clear();
        Ok::<_, Failure>(findings)
    })?;
    args.session.tell(|| show::document(args, &findings), &findings, || show::summary(&findings))?;
    if findings.is_well() { Ok(()) } else { Err(Failure::Different) }
}
