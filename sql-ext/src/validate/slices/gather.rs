//! The aggregate that sums the losses of every slice: the same bytes for any partitions and order of the rows.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt32Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, internal_datafusion_err, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Signature, Volatility};
use skewless_catalog::validate::slices::{Losses, TooMany};

use super::plan::NAME;

/// `ml_slice_losses(loss, codes, max_columns)`: the bytes of the losses.
pub(super) fn function() -> Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> =
        LazyLock::new(|| Arc::new(AggregateUDF::from(Gather { signature: Signature::any(3, Volatility::Immutable) })));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Gather {
    signature: Signature,
}

impl AggregateUDFImpl for Gather {
    fn name(&self) -> &'static str {
        "ml_slice_losses"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::LargeBinary)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let empty = RecordBatch::new_empty(Arc::new(args.schema.clone()));
        let columns = args.exprs.get(2).map(|expr| expr.evaluate(&empty)).transpose()?;
        let Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(columns)))) = columns else {
            return internal_err!("{NAME} calls ml_slice_losses");
        };
        Ok(Box::new(Gathered(Losses::new(columns as usize))))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Field::new(format_state_name(args.name, "state"), DataType::LargeBinary, true).into()])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

#[derive(Debug)]
struct Gathered(Losses);

fn refused(error: TooMany) -> datafusion::error::DataFusionError {
    exec_datafusion_err!("{NAME}: {error}")
}

impl Accumulator for Gathered {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [losses, codes, _] = values else { return internal_err!("{NAME} calls ml_slice_losses") };
        let wrong = || internal_datafusion_err!("{NAME} calls ml_slice_losses");
        let losses = losses.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
        let codes = codes.as_fixed_size_list_opt().ok_or_else(wrong)?;
        let width = codes.value_length() as usize;
        let all = codes.values().as_primitive_opt::<UInt32Type>().ok_or_else(wrong)?.values();
        for (row, loss) in losses.iter().enumerate() {
            let from = (codes.offset() + row) * width;
            self.0.add(loss, all.get(from..from + width).ok_or_else(wrong)?).map_err(refused)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::LargeBinary(Some(self.0.to_bytes())))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.heap_size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let bytes = states.first().and_then(|states| states.as_binary_opt::<i64>());
        let bytes = bytes.ok_or_else(|| internal_datafusion_err!("a state of ml_slice_losses is no bytes"))?;
        for bytes in bytes.iter().flatten() {
            let other = Losses::from_bytes(bytes).map_err(|error| exec_datafusion_err!("{NAME}: {error}"))?;
            self.0.merge(other).map_err(refused)?;
        }
        Ok(())
    }
}
