//! Every aggregate of the catalog as an `AggregateUDF`. One that has a state of its own updates and merges it; the others
//! collect their columns and evaluate them at the end. Neither result depends on partitioning.

use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::utils::SingleRowListArrayBuilder;
use datafusion_common::{Result, ScalarValue, exec_err, internal_datafusion_err, internal_err, not_impl_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{
    Accumulator, AggregateUDFImpl, ColumnarValue, Documentation, GroupsAccumulator, ReversedUDAF, Signature,
};
use skewless_catalog::function::{self, Function, State, evaluate};
use skewless_catalog::{Arg, Column, Type};

use super::grouped::{Grouped, Reading, finish};
use super::{aliases, convert, documentation, refused, types};

/// An aggregate of the catalog.
pub(super) struct Aggregate {
    function: &'static dyn Function,
    aliases: Vec<String>,
    signature: Signature,
    documentation: Documentation,
    /// Whether the catalog keeps a state that is smaller than the rows.
    has_state: bool,
}

impl Aggregate {
    pub(super) fn new(function: &'static dyn Function) -> Self {
        Self {
            function,
            aliases: aliases(function),
            signature: types::plan_signature(function),
            documentation: documentation(function),
            has_state: matches!(function::state(function, &[]), Ok(Some(_))),
        }
    }

    /// The arguments that are collected row by row; the others are options.
    fn collected(&self) -> impl Iterator<Item = &'static Arg> {
        self.function.args().iter().filter(|arg| arg.default.is_none())
    }

    /// How the arguments of a call are read.
    fn reading(&self, args: &AccumulatorArgs<'_>) -> Result<Reading> {
        let name = self.function.name();
        if args.is_distinct {
            return not_impl_err!("{name} does not take DISTINCT; select the distinct rows in a subquery");
        }
        let types = self.readings(args.expr_fields)?;
        let collected = self.collected().count();
        let empty = RecordBatch::new_empty(Arc::new(args.schema.clone()));
        let specification = self.function.args().iter().zip(&types).zip(args.exprs).skip(collected);
        let options = specification
            .map(|((arg, reading), expr)| match expr.evaluate(&empty)? {
                ColumnarValue::Scalar(constant) => option(name, arg, *reading, &constant),
                ColumnarValue::Array(_) => {
                    exec_err!("{name}: option `{}` has to be a constant, but is {expr}", arg.name)
                }
            })
            .collect::<Result<_>>()?;
        Ok(Reading { function: self.function, types, collected, options })
    }

    fn readings(&self, fields: &[FieldRef]) -> Result<Vec<Type>> {
        let readings = self.function.args().iter().zip(fields).map(|(arg, field)| {
            types::reading(arg.data_type, field.data_type()).ok_or_else(|| {
                internal_datafusion_err!("{}: `{}` is {}", self.function.name(), arg.name, field.data_type())
            })
        });
        readings.collect()
    }
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        types::check(self.function, given)?;
        Ok(types::arrow_type(self.function.returns()))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let reading = self.reading(&args)?;
        if self.has_state {
            return Ok(Box::new(Stateful { state: reading.empty()?, reading, slides: false }));
        }
        let Reading { types: readings, collected, options, .. } = reading;
        let mut columns: Vec<Column<'static>> =
            readings.iter().take(collected).map(|reading| Column::empty(*reading)).collect();
        columns.extend(options);
        Ok(Box::new(Collecting { function: self.function, readings, collected, columns }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let reading = self.reading(&args)?;
        if self.has_state {
            let mut state = reading.empty()?;
            if state.slide() {
                return Ok(Box::new(Stateful { state, reading, slides: true }));
            }
        }
        not_impl_err!(
            "{} takes no frame that slides, since rows cannot be taken back from what it keeps; begin the frame with UNBOUNDED \
             PRECEDING, or join each row with the rows of its frame and GROUP BY",
            self.function.name()
        )
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.has_state && !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Grouped::new(self.reading(&args)?)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        if self.has_state {
            let name = format_state_name(args.name, "state");
            return Ok(vec![Field::new(name, DataType::LargeBinary, true).into()]);
        }
        let readings = self.readings(args.input_fields)?;
        let fields = self.collected().zip(readings).map(|(arg, reading)| {
            let item = Field::new_list_field(types::arrow_type(reading), true);
            Field::new(format_state_name(args.name, arg.name), DataType::List(item.into()), true).into()
        });
        Ok(fields.collect())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

impl Debug for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Aggregate").field(&self.function.name()).finish()
    }
}

// A function is its name: the catalog holds each once.
impl PartialEq for Aggregate {
    fn eq(&self, other: &Self) -> bool {
        self.function.name() == other.function.name()
    }
}

impl Eq for Aggregate {}

impl Hash for Aggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}

/// A constant option as a column of one row.
pub(super) fn option(name: &str, arg: &Arg, reading: Type, constant: &ScalarValue) -> Result<Column<'static>> {
    let array = convert::prepare(&constant.to_array()?, reading)?;
    let mut column = Column::empty(reading);
    if column.append(&convert::to_column(&array, reading, arg.name)?) {
        Ok(column)
    } else {
        internal_err!("{name}: option `{}` cannot be read", arg.name)
    }
}

/// The state of one group.
struct Stateful {
    reading: Reading,
    state: Box<dyn State>,
    /// Whether rows may be taken back.
    slides: bool,
}

impl Accumulator for Stateful {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.reading.update(self.state.as_mut(), values)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.reading.retract(self.state.as_mut(), values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.slides
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        finish(self.state.as_ref())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.state.heap_size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::LargeBinary(Some(self.state.to_bytes()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states.first().map_or(Ok(()), |states| self.reading.merge(self.state.as_mut(), states))
    }
}

impl Debug for Stateful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stateful").field("function", &self.reading.function.name()).finish_non_exhaustive()
    }
}

/// The rows of one group.
struct Collecting {
    function: &'static dyn Function,
    readings: Vec<Type>,
    /// The collected columns, of which there are so many, and after them the options, of one row.
    collected: usize,
    columns: Vec<Column<'static>>,
}

impl Collecting {
    fn append(&mut self, index: usize, array: &ArrayRef) -> Result<()> {
        let (Some(column), Some(reading), Some(arg)) =
            (self.columns.get_mut(index), self.readings.get(index), self.function.args().get(index))
        else {
            return internal_err!("{} has no column {index}", self.function.name());
        };
        let array = convert::prepare(array, *reading)?;
        if column.append(&convert::to_column(&array, *reading, arg.name)?) {
            Ok(())
        } else {
            internal_err!("{}: `{}` changed its type", self.function.name(), arg.name)
        }
    }
}

impl Accumulator for Collecting {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for (index, array) in values.iter().enumerate().take(self.collected) {
            self.append(index, array)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let rows = self.columns.first().map_or(0, Column::len);
        let result = evaluate(self.function, &self.columns, rows).map_err(refused)?;
        ScalarValue::try_from_array(&convert::to_array(result)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.columns.iter().map(|column| size_of::<Column<'_>>() + column.heap_size()).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let readings = self.readings.clone();
        let columns = self.columns.iter_mut().zip(readings).take(self.collected);
        columns
            .map(|(column, reading)| {
                let values = convert::to_array(std::mem::replace(column, Column::empty(reading)))?;
                Ok(SingleRowListArrayBuilder::new(values).with_nullable(true).build_list_scalar())
            })
            .collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, Array::len);
        for row in 0..rows {
            for (index, column) in states.iter().enumerate() {
                if let Some(values) = convert::list_row(column, row)? {
                    self.append(index, &values)?;
                }
            }
        }
        Ok(())
    }
}

impl Debug for Collecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collecting")
            .field("function", &self.function.name())
            .field("rows", &self.columns.first().map_or(0, Column::len))
            .finish_non_exhaustive()
    }
}
