//! `skewless report`: what moved between two samples, as a page, as JSON and in the terminal.

mod drift;
mod shape;

use crate::Failure;

/// Compare samples, and show what moved
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Compare every column of a study sample with a base sample
    ///
    /// Exit code 0 when nothing drifts, 3 when a column does, 1 when they cannot be compared.
    Drift(drift::Args),
}

/// Runs the subcommand.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Drift(args) => drift::run(args),
    }
}
