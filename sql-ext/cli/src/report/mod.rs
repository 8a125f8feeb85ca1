//! `skewless report`: what moved between two samples, and how good a model is and for whom, as a page, as JSON and in the
//! terminal.

mod drift;
mod page;
mod quality;
mod session;
mod shape;

use crate::Failure;

/// Compare samples, and measure models
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Compare every column of a study sample with a base sample
    ///
    /// Exit code 0 when nothing drifts, 3 when a column does, 1 when they cannot be compared.
    Drift(drift::Args),
    /// Measure a model's predictions, overall and by slice, and find the slices that it is worse for
    ///
    /// Exit code 0 when no slice is worse and every limit holds, 3 when one is or does not, 1 when there is nothing to measure.
    Quality(quality::Args),
}

/// Runs the subcommand.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Drift(args) => drift::run(args),
        Command::Quality(args) => quality::run(args),
    }
}
