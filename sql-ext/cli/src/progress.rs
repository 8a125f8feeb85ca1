//! A progress bar on stderr, for a person who waits: nothing is drawn where stderr is not a terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a query runs before it gets a bar.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the bar is drawn.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// A bar of `total` steps; hidden where stderr is not a terminal.
pub(crate) fn bar(total: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), target());
    let template = format!("{{prefix}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit} {{elapsed}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

/// Says on stderr that something of unknown length is being done.
pub(crate) fn spinner(what: &str) -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, target());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.set_message(what.to_owned());
    spinner.enable_steady_tick(TICK);
    spinner
}

fn target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

/// Follows a running plan by what its scans have read.
pub(crate) struct QueryProgress {
    plan: Arc<dyn ExecutionPlan>,
    started: Instant,
    enabled: bool,
    bar: Option<ProgressBar>,
}

impl QueryProgress {
    /// `enabled` is false where rows are printed to the same terminal meanwhile.
    pub(crate) fn new(plan: Arc<dyn ExecutionPlan>, enabled: bool) -> Self {
        let enabled = enabled && std::io::stderr().is_terminal();
        Self { plan, started: Instant::now(), enabled, bar: None }
    }

    /// Draws the bar once the query has taken a while.
    pub(crate) fn tick(&mut self) {
        if !self.enabled || self.started.elapsed() < PATIENCE {
            return;
        }
        let plan = self.plan.as_ref();
        let bar = self.bar.get_or_insert_with(|| match total(plan) {
            Some(total) if total > 0 => bar(total as u64, "rows"),
            _ => {
                let bar = ProgressBar::with_draw_target(None, target());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} rows {elapsed}") {
                    bar.set_style(style);
                }
                bar
            }
        });
        bar.set_position(read(plan) as u64);
        bar.tick();
    }
}

impl Drop for QueryProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The rows that the leaves of a plan have produced.
fn read(plan: &dyn ExecutionPlan) -> usize {
    let children = plan.children();
    if children.is_empty() {
        return plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or_default();
    }
    children.into_iter().map(|child| read(child.as_ref())).sum()
}

/// The rows that the leaves of a plan will produce, where all of them know.
fn total(plan: &dyn ExecutionPlan) -> Option<usize> {
    let children = plan.children();
    if children.is_empty() {
        let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::default()).ok()?;
        return statistics.num_rows.get_value().copied();
    }
    children.into_iter().map(|child| total(child.as_ref())).sum()
}
