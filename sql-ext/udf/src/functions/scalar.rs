//! Every scalar function of the catalog as a `ScalarUDF`.

use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{DataFusionError, Result, ScalarValue, internal_err, plan_err};
use datafusion_expr::{ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature};
use skewless_catalog::function::{Function, evaluate};
use skewless_catalog::{Column, Type};

use super::{aliases, convert, documentation, refused, types};

/// A scalar function of the catalog.
pub(super) struct Scalar {
    function: &'static dyn Function,
    aliases: Vec<String>,
    signature: Signature,
    documentation: Documentation,
}

impl Scalar {
    pub(super) fn new(function: &'static dyn Function) -> Self {
        Self {
            function,
            aliases: aliases(function),
            signature: types::plan_signature(function),
            documentation: documentation(function),
        }
    }

    /// Arguments as the arrays that the catalog reads, a constant as one row, with the types to read them as.
    fn arrays(&self, args: &[ColumnarValue]) -> Result<Vec<(ArrayRef, Type)>> {
        let prepared = self.function.args().iter().zip(args).map(|(arg, value)| {
            let Some(reading) = types::reading(arg.data_type, &value.data_type()) else {
                return internal_err!("{}: `{}` is {}", self.function.name(), arg.name, value.data_type());
            };
            let array = match value {
                ColumnarValue::Array(array) => convert::prepare(array, reading)?,
                ColumnarValue::Scalar(scalar) => convert::prepare(&scalar.to_array()?, reading)?,
            };
            Ok((array, reading))
        });
        prepared.collect()
    }

    fn evaluate(&self, args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
        let arrays = self.arrays(args)?;
        let columns: Vec<Column<'_>> = (self.function.args().iter().zip(&arrays))
            .map(|(arg, (array, reading))| convert::to_column(array, *reading, arg.name))
            .collect::<Result<_>>()?;
        convert::to_array(evaluate(self.function, &columns, rows).map_err(refused)?)
    }

    /// Refuses constants that no value of the first argument would make right, before the query runs.
    fn check_constants(&self, constants: &[Option<&ScalarValue>]) -> Result<()> {
        let (Some((first, options)), Some(arg)) = (constants.split_first(), self.function.args().first()) else {
            return Ok(());
        };
        let first = match (first, arg.data_type) {
            (Some(constant), _) => (*constant).clone(),
            (None, Type::Float64) => ScalarValue::Float64(Some(0.0)),
            (None, Type::Text | Type::Int64OrText) => ScalarValue::Utf8(Some(String::new())),
            (None, _) => return Ok(()),
        };
        let Some(options) = options.iter().copied().collect::<Option<Vec<_>>>() else { return Ok(()) };
        let args: Vec<ColumnarValue> =
            std::iter::once(first).chain(options.into_iter().cloned()).map(ColumnarValue::Scalar).collect();
        match self.evaluate(&args, 1) {
            Ok(_) => Ok(()),
            Err(DataFusionError::Execution(message)) => plan_err!("{message}"),
            Err(other) => Err(other),
        }
    }
}

impl ScalarUDFImpl for Scalar {
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

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let given: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = self.return_type(&given)?;
        self.check_constants(args.scalar_arguments)?;
        Ok(Field::new(self.function.name(), data_type, true).into())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let result = self.evaluate(&args.args, rows)?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

impl Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scalar").field(&self.function.name()).finish()
    }
}

// A function is its name: the catalog holds each once.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.function.name() == other.function.name()
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}
