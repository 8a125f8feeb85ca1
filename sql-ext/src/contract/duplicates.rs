//! How often keys come more than once: the aggregate `ml_duplicates` of a struct, whose fields are the columns of the key.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, ListBuilder, StringBuilder, StructArray};
use arrow::compute::{filter, is_not_null, kernels::boolean::and};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, internal_datafusion_err, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, ReversedUDAF, Signature, Volatility,
};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::drift::fields as result_fields;

/// The aggregate: how many rows there are beyond the first of each key, and the least and the greatest text of a key that
/// comes again. As in SQL, a row with a NULL in its key is different from all others.
pub(super) fn function() -> Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| {
        Arc::new(AggregateUDF::from(Duplicates { signature: Signature::any(1, Volatility::Immutable) }))
    });
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Duplicates {
    signature: Signature,
}

fn key_fields(argument: Option<&FieldRef>) -> Result<Fields> {
    match argument.map(|field| field.data_type()) {
        Some(DataType::Struct(fields)) if !fields.is_empty() => Ok(fields.clone()),
        _ => internal_err!("ml_duplicates takes a struct of the key's columns"),
    }
}

impl AggregateUDFImpl for Duplicates {
    fn name(&self) -> &'static str {
        "ml_duplicates"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(result_fields()))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let fields = key_fields(args.expr_fields.first())?;
        let keys = new_group_values(Arc::new(Schema::new(fields.clone())), &GroupOrdering::None)?;
        Ok(Box::new(Seen { fields, keys: Mutex::new(keys), again: Vec::new(), rows: 0, groups: Vec::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let keys = Field::new_list_field(DataType::Struct(key_fields(args.input_fields.first())?), true);
        let again = Field::new_list_field(DataType::Boolean, true);
        let field = |name: &str, data_type| Arc::new(Field::new(format_state_name(args.name, name), data_type, true));
        Ok(vec![
            field("keys", DataType::List(keys.into())),
            field("again", DataType::List(again.into())),
            field("rows", DataType::Int64),
        ])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

struct Seen {
    fields: Fields,
    /// Never contended: an accumulator has to be `Sync`, and `GroupValues` is not.
    keys: Mutex<Box<dyn GroupValues>>,
    /// Of each key, whether it came more than once.
    again: Vec<bool>,
    /// The rows with a key.
    rows: i64,
    /// The keys of the rows at hand; kept for its memory.
    groups: Vec<usize>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("fields", &self.fields).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Seen {
    /// Adds keys; `again` says of a key that is not known yet whether it came more than once where it comes from.
    fn add(&mut self, columns: &[ArrayRef], again: impl Fn(usize) -> bool) -> Result<()> {
        let keys = self.keys.get_mut().unwrap_or_else(PoisonError::into_inner);
        keys.intern(columns, &mut self.groups)?;
        for (row, group) in self.groups.iter().enumerate() {
            match self.again.get_mut(*group) {
                Some(known) => *known = true,
                None => self.again.push(again(row)),
            }
        }
        Ok(())
    }

    fn emit(&mut self) -> Result<(StructArray, BooleanArray)> {
        let keys = self.keys.get_mut().unwrap_or_else(PoisonError::into_inner);
        let columns = keys.emit(EmitTo::All)?;
        let again = BooleanArray::from(std::mem::take(&mut self.again));
        Ok((StructArray::try_new(self.fields.clone(), columns, None)?, again))
    }

    /// The least and the greatest text of the keys that came more than once.
    fn examples(&self, keys: &StructArray, again: &BooleanArray) -> Result<Vec<String>> {
        let columns = keys.columns().iter().map(|column| Ok(filter(column, again)?)).collect::<Result<Vec<_>>>()?;
        let options = FormatOptions::default();
        let formatters =
            columns.iter().map(|column| Ok(ArrayFormatter::try_new(column, &options)?)).collect::<Result<Vec<_>>>()?;
        let mut ends: Option<(String, String)> = None;
        for row in 0..again.true_count() {
            let values = self.fields.iter().zip(&formatters).map(|(field, formatter)| {
                let value = formatter.value(row).try_to_string()?;
                Ok(if formatters.len() == 1 { value } else { format!("{} = {value}", field.name()) })
            });
            let text = values.collect::<Result<Vec<_>>>()?.join(", ");
            match &mut ends {
                None => ends = Some((text.clone(), text)),
                Some((least, _)) if text < *least => *least = text,
                Some((_, greatest)) if text > *greatest => *greatest = text,
                Some(_) => {}
            }
        }
        Ok(match ends {
            None => Vec::new(),
            Some((least, greatest)) if least == greatest => vec![least],
            Some((least, greatest)) => vec![least, greatest],
        })
    }
}

impl Accumulator for Seen {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(rows) = values.first().and_then(|values| values.as_struct_opt()) else {
            return internal_err!("ml_duplicates takes a struct of the key's columns");
        };
        let mut has_key = BooleanArray::from(vec![true; rows.len()]);
        for column in rows.columns() {
            has_key = and(&has_key, &is_not_null(column)?)?;
        }
        let columns = if has_key.true_count() == rows.len() {
            rows.columns().to_vec()
        } else {
            rows.columns().iter().map(|column| Ok(filter(column, &has_key)?)).collect::<Result<Vec<_>>>()?
        };
        self.rows += has_key.true_count() as i64;
        self.add(&columns, |_| false)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let read = || {
            let [keys, again, rows] = states else { return None };
            let (keys, again) = (keys.as_list_opt::<i32>()?, again.as_list_opt::<i32>()?);
            Some((keys, again, rows.as_primitive_opt::<Int64Type>()?))
        };
        let Some((keys, again, rows)) = read() else {
            return internal_err!("the state of ml_duplicates is none");
        };
        for state in (0..keys.len()).filter(|state| keys.is_valid(*state)) {
            let (keys, again): (ArrayRef, ArrayRef) = (keys.value(state), again.value(state));
            let (Some(keys), Some(again)) = (keys.as_struct_opt(), again.as_boolean_opt()) else {
                return internal_err!("the state of ml_duplicates is none");
            };
            self.rows += rows.value(state);
            self.add(keys.columns(), |row| again.value(row))?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (keys, again) = self.emit()?;
        let list = |array: ArrayRef| SingleRowListArrayBuilder::new(array).build_list_scalar();
        let rows = std::mem::take(&mut self.rows);
        Ok(vec![list(Arc::new(keys)), list(Arc::new(again)), ScalarValue::Int64(Some(rows))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let violations = self.rows - self.again.len() as i64;
        let (keys, again) = self.emit()?;
        let mut examples = ListBuilder::new(StringBuilder::new());
        for example in self.examples(&keys, &again)? {
            examples.values().append_value(example);
        }
        examples.append(true);
        let examples: ListArray = examples.finish();
        let violations = ScalarValue::Int64(Some(violations)).to_array()?;
        let result = StructArray::try_new(result_fields(), vec![violations, Arc::new(examples)], None)?;
        ScalarValue::try_from_array(&result, 0).map_err(|error| internal_datafusion_err!("ml_duplicates: {error}"))
    }

    fn size(&self) -> usize {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner).size();
        size_of_val(self) + keys + self.again.capacity() + self.groups.capacity() * size_of::<usize>()
    }
}
