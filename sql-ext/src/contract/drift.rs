//! Whether a column's profile keeps a limit on drift: the function `ml_drift_limit`, and the plan that calls it.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Int64Builder, ListBuilder, StringBuilder, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{
    DFSchema, ExprSchema, Result, ScalarValue, exec_datafusion_err, exec_err, internal_datafusion_err,
};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::{Expr, lit};
use skewless_catalog::profile::Profile;
use skewless_catalog::validate::{Judgement, Limit};

use super::define::{Drift, Rule};
use super::validate::{Aggregates, Line, find, known};
use crate::validate::{profile_function, read, reading};

pub(super) const KIND: &str = "drift";

/// The line of a rule whose column is what it is promised to be.
pub(super) fn line(rule: &Rule, drift: &Drift, schema: &DFSchema, aggregates: &mut Aggregates) -> Result<Line> {
    let problem = |problem: String| known(rule.name.clone(), KIND, drift.column.clone(), Some(problem));
    let column = match find(schema, &drift.column) {
        Ok(column) => column,
        Err(missing) => return Ok(problem(missing)),
    };
    let data_type = ExprSchema::data_type(schema, &column)?.clone();
    let Some(reading) = reading(&data_type) else {
        return Ok(problem(format!("{data_type} has no distribution to compare")));
    };
    let profile = aggregates.add(profile_function()?.call(vec![read(Expr::Column(column), &data_type, &reading)]));
    let limit = serde_json::to_string(&drift.limit).unwrap_or_default();
    let base = ScalarValue::Binary(Some(drift.base.clone()));
    let judged = aggregates.derive(function().call(vec![profile, lit(base), lit(limit)]));
    Ok(Line {
        rule: rule.name.clone(),
        kind: KIND,
        columns: drift.column.clone(),
        violations: get_field(judged.clone(), "violations"),
        examples: get_field(judged, "examples"),
    })
}

/// The function that compares a profile with a base.
pub(super) fn function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::from(Within { signature: Signature::any(3, Volatility::Immutable) })));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Within {
    signature: Signature,
}

/// How many violations (none, one, or NULL where that is open), and what was found where there is one or it is open.
pub(super) fn fields() -> Fields {
    let texts = DataType::List(Field::new_list_field(DataType::Utf8, true).into());
    [Field::new("violations", DataType::Int64, true), Field::new("examples", texts, true)].into_iter().collect()
}

impl ScalarUDFImpl for Within {
    fn name(&self) -> &'static str {
        "ml_drift_limit"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [study, ColumnarValue::Scalar(ScalarValue::Binary(Some(base))), ColumnarValue::Scalar(limit)] =
            args.args.as_slice()
        else {
            return exec_err!("ml_drift_limit is called by ml_validate_data alone");
        };
        let limit = limit.try_as_str().flatten().and_then(|text| serde_json::from_str::<Limit>(text).ok());
        let limit = limit.ok_or_else(|| internal_datafusion_err!("ml_drift_limit has no limit"))?;
        let read = |bytes: &[u8]| Profile::from_bytes(bytes).map_err(|error| exec_datafusion_err!("{error}"));
        let base = read(base)?;
        let study = study.to_array(args.number_rows)?;
        let study = study.as_binary_opt::<i32>().ok_or_else(|| internal_datafusion_err!("a profile is no bytes"))?;
        let mut violations = Int64Builder::new();
        let mut examples = ListBuilder::new(StringBuilder::new());
        for row in 0..study.len() {
            // No row at all has no profile.
            let study = if study.is_valid(row) { read(study.value(row))? } else { Profile::new() };
            let Judgement { is_kept, reason } = limit.check(&base, &study);
            violations.append_option(is_kept.map(|is_kept| i64::from(!is_kept)));
            if is_kept != Some(true) {
                examples.values().append_value(reason);
            }
            examples.append(true);
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(violations.finish()), Arc::new(examples.finish())];
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(fields(), columns, None)?)))
    }
}
