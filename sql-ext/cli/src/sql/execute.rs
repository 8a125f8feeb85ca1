//! Runs one statement and prints the rows of a query.

use std::sync::Arc;

use anyhow::Result;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use skewless_sql::{Outcome, SkewlessContext, Statement};

use crate::output::Sink;
use crate::progress::{QueryProgress, TICK};

/// What a statement did.
pub(super) enum Ran {
    /// A query: its rows are printed.
    Rows(usize),
    /// Anything else, in words.
    Done(String),
}

/// Runs one statement; the rows of a query go to the sink.
pub(super) async fn execute(context: &SkewlessContext, statement: Statement, sink: &mut Sink) -> Result<Ran> {
    let frame = match context.run(statement).await? {
        Outcome::Done(message) => return Ok(Ran::Done(message)),
        Outcome::Rows(frame) => frame,
    };
    // A statement such as SET has no columns to show.
    let silent = frame.schema().fields().is_empty();
    let task = Arc::new(frame.task_ctx());
    let plan = frame.create_physical_plan().await?;
    let mut progress = QueryProgress::new(Arc::clone(&plan), !sink.streams_to_stdout());
    let mut stream = execute_stream(plan, task)?;
    let (mut rows, mut started) = (0, false);
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            batch = stream.next() => {
                let Some(batch) = batch.transpose()? else { break };
                rows += batch.num_rows();
                if silent {
                    continue;
                }
                // Nothing of a result is printed before its first batch: a query that fails at once prints nothing.
                if !started {
                    sink.start(&stream.schema())?;
                    started = true;
                }
                sink.batch(&batch)?;
            }
            _ = ticks.tick() => progress.tick(),
        }
    }
    drop(progress);
    if silent {
        return Ok(Ran::Done("done".to_owned()));
    }
    if !started {
        sink.start(&stream.schema())?;
    }
    sink.end()?;
    Ok(Ran::Rows(rows))
}
