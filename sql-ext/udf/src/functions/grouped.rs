//! The states of many groups at once: a batch is put in the order of its groups and each group's state updated with its
//! own stretch of it; a batch of one group is used as it is.

use std::fmt::{self, Debug};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, LargeBinaryArray, UInt32Array, new_empty_array};
use arrow::compute::{filter, take_arrays};
use datafusion_common::{Result, ScalarValue, exec_datafusion_err, internal_datafusion_err, internal_err};
use datafusion_expr::{EmitTo, GroupsAccumulator};
use skewless_catalog::function::{self, Function, State};
use skewless_catalog::{Column, Type};

use super::{convert, refused, types};

/// What adds rows to a state or takes them back.
type Change = fn(&dyn Function, &mut dyn State, &[Column<'_>], usize) -> Result<(), skewless_catalog::Error>;

/// How a function's arguments are read.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) function: &'static dyn Function,
    pub(super) types: Vec<Type>,
    /// So many arguments are columns; the options come after them.
    pub(super) collected: usize,
    pub(super) options: Vec<Column<'static>>,
}

impl Reading {
    /// A state of no rows.
    pub(super) fn empty(&self) -> Result<Box<dyn State>> {
        let state = function::state(self.function, &self.options).map_err(refused)?;
        state.ok_or_else(|| internal_datafusion_err!("{} keeps its rows", self.function.name()))
    }

    /// The columns among the arguments, as the catalog reads them.
    fn prepare(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let columns = values.iter().zip(&self.types).take(self.collected);
        columns.map(|(array, reading)| convert::prepare(array, *reading)).collect()
    }

    /// Adds prepared rows to a state.
    fn add(&self, state: &mut dyn State, prepared: &[ArrayRef]) -> Result<()> {
        self.apply(state, prepared, function::update)
    }

    /// Does with a state and prepared rows what the catalog does with columns.
    fn apply(&self, state: &mut dyn State, prepared: &[ArrayRef], change: Change) -> Result<()> {
        let rows = prepared.first().map_or(0, Array::len);
        let named = prepared.iter().zip(&self.types).zip(self.function.args());
        let mut columns: Vec<Column<'_>> = named
            .map(|((array, reading), arg)| convert::to_column(array, *reading, arg.name))
            .collect::<Result<_>>()?;
        columns.extend(self.options.iter().cloned());
        change(self.function, state, &columns, rows).map_err(refused)
    }

    /// Adds rows to a state.
    pub(super) fn update(&self, state: &mut dyn State, values: &[ArrayRef]) -> Result<()> {
        self.add(state, &self.prepare(values)?)
    }

    /// Takes rows back from a state that slides.
    pub(super) fn retract(&self, state: &mut dyn State, values: &[ArrayRef]) -> Result<()> {
        self.apply(state, &self.prepare(values)?, function::retract)
    }

    /// Adds states, as bytes, to a state.
    pub(super) fn merge(&self, state: &mut dyn State, states: &ArrayRef) -> Result<()> {
        let Some(states) = states.as_binary_opt::<i64>() else {
            return internal_err!("{}: the state is {}, not bytes", self.function.name(), states.data_type());
        };
        for bytes in states.iter().flatten() {
            state.merge(bytes).map_err(|error| exec_datafusion_err!("{}: {error}", self.function.name()))?;
        }
        Ok(())
    }
}

/// The result of a state.
pub(super) fn finish(state: &dyn State) -> Result<ScalarValue> {
    ScalarValue::try_from_array(&convert::to_array(state.finish().map_err(refused)?)?, 0)
}

/// A state for each group.
pub(super) struct Grouped {
    reading: Reading,
    states: Vec<Box<dyn State>>,
    /// Bytes held by the states.
    held: usize,
}

impl Grouped {
    pub(super) fn new(reading: Reading) -> Self {
        Self { reading, states: Vec::new(), held: 0 }
    }

    /// Calls `f` once for each group that has rows, with its state and its rows.
    fn each_group(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        total: usize,
        f: impl Fn(&Reading, &mut dyn State, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        while self.states.len() < total {
            self.states.push(self.reading.empty()?);
        }
        let Some(first) = groups.first() else { return Ok(()) };
        if groups.iter().all(|group| group == first) {
            return self.one_group(*first, values, &f);
        }
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        order.sort_by_key(|row| groups.get(*row as usize));
        let order = UInt32Array::from(order);
        let values = take_arrays(values, &order, None)?;
        let sorted: Vec<usize> = order.values().iter().filter_map(|row| groups.get(*row as usize).copied()).collect();
        let mut start = 0;
        for stretch in sorted.chunk_by(|a, b| a == b) {
            let rows: Vec<ArrayRef> = values.iter().map(|array| array.slice(start, stretch.len())).collect();
            start += stretch.len();
            if let Some(group) = stretch.first() {
                self.one_group(*group, &rows, &f)?;
            }
        }
        Ok(())
    }

    fn one_group(
        &mut self,
        group: usize,
        values: &[ArrayRef],
        f: impl Fn(&Reading, &mut dyn State, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        let Some(state) = self.states.get_mut(group) else {
            return internal_err!("{} has no group {group}", self.reading.function.name());
        };
        let before = state.heap_size();
        f(&self.reading, state.as_mut(), values)?;
        self.held = (self.held + state.heap_size()).saturating_sub(before);
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> Vec<Box<dyn State>> {
        let states = emit_to.take_needed(&mut self.states);
        self.held = self.held.saturating_sub(states.iter().map(|state| state.heap_size()).sum());
        states
    }
}

/// The rows that a filter lets through, with their groups.
fn filtered(
    values: &[ArrayRef],
    groups: &[usize],
    opt_filter: Option<&BooleanArray>,
) -> Result<Option<(Vec<ArrayRef>, Vec<usize>)>> {
    let Some(mask) = opt_filter else { return Ok(None) };
    let passes = |row: usize| mask.is_valid(row) && mask.value(row);
    if (0..mask.len()).all(passes) {
        return Ok(None);
    }
    let values = values.iter().map(|array| Ok(filter(array, mask)?)).collect::<Result<_>>()?;
    let groups = groups.iter().enumerate().filter(|(row, _)| passes(*row)).map(|(_, group)| *group).collect();
    Ok(Some((values, groups)))
}

impl GroupsAccumulator for Grouped {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let kept = filtered(values, group_indices, opt_filter)?;
        let (values, groups) =
            kept.as_ref().map_or((values, group_indices), |(values, groups)| (values.as_slice(), groups.as_slice()));
        let prepared = self.reading.prepare(values)?;
        self.each_group(&prepared, groups, total_num_groups, |reading, state, rows| reading.add(state, rows))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let results = self.emit(emit_to);
        if results.is_empty() {
            return Ok(new_empty_array(&types::arrow_type(self.reading.function.returns())));
        }
        let results: Vec<ScalarValue> = results.iter().map(|state| finish(state.as_ref())).collect::<Result<_>>()?;
        ScalarValue::iter_to_array(results)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let states = self.emit(emit_to);
        Ok(vec![Arc::new(LargeBinaryArray::from_iter_values(states.iter().map(|state| state.to_bytes())))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.each_group(values, group_indices, total_num_groups, |reading, state, rows| {
            rows.first().map_or(Ok(()), |states| reading.merge(state, states))
        })
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let prepared = self.reading.prepare(values)?;
        let rows = prepared.first().map_or(0, Array::len);
        let passes = |row: usize| opt_filter.is_none_or(|mask| mask.is_valid(row) && mask.value(row));
        let states: Vec<Vec<u8>> = (0..rows)
            .map(|row| {
                let mut state = self.reading.empty()?;
                if passes(row) {
                    let row: Vec<ArrayRef> = prepared.iter().map(|array| array.slice(row, 1)).collect();
                    self.reading.add(state.as_mut(), &row)?;
                }
                Ok(state.to_bytes())
            })
            .collect::<Result<_>>()?;
        Ok(vec![Arc::new(LargeBinaryArray::from_iter_values(states))])
    }

    fn size(&self) -> usize {
        self.held + self.states.capacity() * size_of::<Box<dyn State>>()
    }
}

impl Debug for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grouped").field("function", &self.reading.function.name()).finish_non_exhaustive()
    }
}
