//! Every detector of the catalog as a `WindowUDF`: it sees the rows of a partition in the order of the window.

use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::{Result, exec_err, internal_datafusion_err};
use datafusion_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::{ColumnarValue, Documentation, LimitEffect, PartitionEvaluator, Signature, WindowUDFImpl};
use datafusion_physical_expr::PhysicalExpr;
use skewless_catalog::function::{Function, evaluate};
use skewless_catalog::{Column, Type};

use super::{aggregate, aliases, convert, documentation, refused, types};

/// A detector of the catalog.
pub(super) struct Window {
    function: &'static dyn Function,
    aliases: Vec<String>,
    signature: Signature,
    documentation: Documentation,
}

impl Window {
    pub(super) fn new(function: &'static dyn Function) -> Self {
        Self {
            function,
            aliases: aliases(function),
            signature: types::plan_signature(function),
            documentation: documentation(function),
        }
    }
}

impl WindowUDFImpl for Window {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        let readings = self.function.args().iter().zip(args.input_fields()).map(|(arg, field)| {
            types::reading(arg.data_type, field.data_type()).ok_or_else(|| {
                internal_datafusion_err!("{}: `{}` is {}", self.function.name(), arg.name, field.data_type())
            })
        });
        let readings: Vec<Type> = readings.collect::<Result<_>>()?;
        let empty = RecordBatch::new_empty(Schema::empty().into());
        let specification = self.function.args().iter().zip(&readings).zip(args.input_exprs());
        let options = specification.filter(|((arg, _), _)| arg.default.is_some()).map(|((arg, reading), expr)| {
            match expr.evaluate(&empty) {
                Ok(ColumnarValue::Scalar(constant)) => {
                    aggregate::option(self.function.name(), arg, *reading, &constant)
                }
                _ => {
                    exec_err!("{}: option `{}` has to be a constant, but is {expr}", self.function.name(), arg.name)
                }
            }
        });
        let options = options.collect::<Result<_>>()?;
        Ok(Box::new(Partition { function: self.function, readings, options }))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        let given: Vec<DataType> = args.input_fields().iter().map(|field| field.data_type().clone()).collect();
        types::check(self.function, &given)?;
        Ok(Field::new(args.name(), types::arrow_type(self.function.returns()), true).into())
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn limit_effect(&self, _args: &[std::sync::Arc<dyn PhysicalExpr>]) -> LimitEffect {
        // A row's value is made of the rows before it.
        LimitEffect::None
    }
}

impl Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Window").field(&self.function.name()).finish()
    }
}

// A function is its name: the catalog holds each once.
impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.function.name() == other.function.name()
    }
}

impl Eq for Window {}

impl Hash for Window {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}

/// The rows of one partition.
struct Partition {
    function: &'static dyn Function,
    readings: Vec<Type>,
    options: Vec<Column<'static>>,
}

impl PartitionEvaluator for Partition {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let columns = self.function.args().iter().filter(|arg| arg.default.is_none()).count();
        let prepared = values.iter().zip(&self.readings).take(columns);
        let arrays: Vec<ArrayRef> =
            prepared.map(|(array, reading)| convert::prepare(array, *reading)).collect::<Result<_>>()?;
        let named = arrays.iter().zip(&self.readings).zip(self.function.args());
        let mut columns: Vec<Column<'_>> = named
            .map(|((array, reading), arg)| convert::to_column(array, *reading, arg.name))
            .collect::<Result<_>>()?;
        columns.extend(self.options.iter().cloned());
        convert::to_array(evaluate(self.function, &columns, rows).map_err(refused)?)
    }
}

impl Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition").field("function", &self.function.name()).finish_non_exhaustive()
    }
}
