//! One column's values in order, slice after slice, each passed to the tests of its slice.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::partition;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, exec_datafusion_err, internal_datafusion_err, internal_err};
use datafusion::logical_expr::ColumnarValue;
use skewless_catalog::drift::{Given, RankPass, RankPassError};
use skewless_catalog::validate::needs_rows;

use super::node::Spec;
use crate::validate::drift::NAME;
use crate::validate::report::{Outcomes, Slice, Slices, profile};

/// The tests of a column's slices; those that are still to come wait.
pub(super) struct ColumnPass {
    name: String,
    waiting: BTreeMap<Slice, RankPass>,
    /// The slice that the last row was of, and its tests if there are any to make.
    current: Option<(Slice, Option<RankPass>)>,
    found: Vec<(Slice, Outcomes)>,
}

impl ColumnPass {
    /// The tests that a column needs its rows for; `None` where no slice has any.
    pub(super) fn new(spec: &Spec, slices: &Slices, column: usize) -> Result<Option<Self>> {
        let mut waiting = BTreeMap::new();
        for (slice, [base, study]) in slices {
            let (base, study) = (profile(base.as_ref(), column)?, profile(study.as_ref(), column)?);
            let tests = needs_rows(&base, &study, &spec.report.options);
            if !tests.is_empty() {
                waiting.insert(slice.clone(), RankPass::new(&tests, Given::of(&base), Given::of(&study)));
            }
        }
        let name = spec.name(column).to_owned();
        Ok((!waiting.is_empty()).then(|| Self { name, waiting, current: None, found: Vec::new() }))
    }

    /// Adds rows: the slices' columns, the flag of the base, and the value.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let [slices @ .., is_base, values] = batch.columns() else {
            return internal_err!("a sorted column came without its sample");
        };
        let (Some(is_base), Some(values)) = (is_base.as_boolean_opt(), values.as_primitive_opt::<Float64Type>()) else {
            return internal_err!("a sorted column came with other types");
        };
        for stretch in stretches(slices, batch.num_rows())? {
            let slice = texts(slices, stretch.start)?;
            if self.current.as_ref().is_none_or(|(current, _)| *current != slice) {
                self.close()?;
                let pass = self.waiting.remove(&slice);
                self.current = Some((slice, pass));
            }
            let Some((_, Some(pass))) = &mut self.current else { continue };
            for row in stretch {
                let value = values.value(row);
                if values.is_null(row) || value.is_nan() {
                    continue;
                }
                let base = is_base.value(row);
                pass.add(value, u64::from(base), u64::from(!base)).map_err(|error| refused(&self.name, &error))?;
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((slice, Some(pass))) = self.current.take() {
            let outcomes = pass.finish().map_err(|error| refused(&self.name, &error))?;
            self.found.push((slice, outcomes));
        }
        Ok(())
    }

    /// What was found, once all rows were added.
    pub(super) fn finish(mut self) -> Result<Vec<(Slice, Outcomes)>> {
        self.close()?;
        // Slices without a value that has a rank have no rows, and say so.
        for (slice, pass) in std::mem::take(&mut self.waiting) {
            self.current = Some((slice, Some(pass)));
            self.close()?;
        }
        Ok(self.found)
    }
}

fn refused(column: &str, error: &RankPassError) -> datafusion::error::DataFusionError {
    exec_datafusion_err!("{NAME}: `{column}`: {error}")
}

/// The stretches of rows of one slice.
fn stretches(slices: &[ArrayRef], rows: usize) -> Result<Vec<Range<usize>>> {
    if rows == 0 {
        return Ok(Vec::new());
    }
    if slices.is_empty() {
        return Ok(std::iter::once(0..rows).collect());
    }
    Ok(partition(slices)?.ranges())
}

/// The slice of a row, as the report tells it.
fn texts(slices: &[ArrayRef], row: usize) -> Result<Slice> {
    let text = |column: &ArrayRef| {
        let value = ColumnarValue::Array(column.slice(row, 1)).cast_to(&DataType::Utf8, None)?;
        let array: Arc<dyn Array> = value.into_array(1)?;
        let text = array.as_string_opt::<i32>().ok_or_else(|| internal_datafusion_err!("a slice is no text"))?;
        Ok(text.iter().next().flatten().map(str::to_owned))
    };
    slices.iter().map(text).collect()
}
