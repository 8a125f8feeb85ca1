//! The functions that divide columns by their profiles, and give each row the codes of its cells.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, internal_datafusion_err, internal_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use serde::{Deserialize, Serialize};
use skewless_catalog::profile::Profile;
use skewless_catalog::validate::slices::{Coder, Division, Literal, Options};

use super::plan::NAME;

/// A column that is profiled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Searched {
    /// Its name, as a condition writes it.
    pub(super) name: String,
    pub(super) literal: Literal,
}

/// What is searched; it travels through the plan as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) columns: Vec<Searched>,
    /// Columns of a type that has no cells, and why.
    pub(super) others: Vec<(String, String)>,
    pub(super) options: Options,
}

impl Spec {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn of(value: &ColumnarValue) -> Result<Self> {
        let ColumnarValue::Scalar(value) = value else { return internal_err!("{NAME} has no specification") };
        let spec = value.try_as_str().flatten().and_then(|text| serde_json::from_str(text).ok());
        spec.ok_or_else(|| internal_datafusion_err!("{NAME} has no specification"))
    }
}

/// The divisions that [`divide`] made.
pub(super) fn divisions(value: &ColumnarValue) -> Result<Vec<Division>> {
    let value = match value {
        ColumnarValue::Scalar(value) => value.clone(),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(array, 0)?,
    };
    let divisions = value.try_as_str().flatten().and_then(|text| serde_json::from_str(text).ok());
    divisions.ok_or_else(|| internal_datafusion_err!("{NAME} has no cells"))
}

/// The function that makes divisions of profiles.
pub(super) fn divide() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::from(Divide { signature: Signature::any(2, Volatility::Immutable) })));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Divide {
    signature: Signature,
}

impl ScalarUDFImpl for Divide {
    fn name(&self) -> &'static str {
        "ml_slice_cells"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [profiles, spec] = args.args.as_slice() else { return internal_err!("{NAME} calls ml_slice_cells") };
        let spec = Spec::of(spec)?;
        let profiles = profiles.to_array(args.number_rows)?;
        let lists = profiles.as_list_opt::<i32>().ok_or_else(|| internal_datafusion_err!("profiles are a list"))?;
        let divided: Vec<String> =
            (0..lists.len()).map(|row| divided(&spec, &lists.value(row))).collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(StringArray::from(divided))))
    }
}

fn divided(spec: &Spec, profiles: &ArrayRef) -> Result<String> {
    let bytes = profiles.as_binary_opt::<i32>().ok_or_else(|| internal_datafusion_err!("a profile is no bytes"))?;
    let mut profiles = bytes.iter();
    let division = |column: &Searched| {
        let profile = profiles.next().flatten().map_or_else(|| Ok(Profile::new()), Profile::from_bytes);
        let profile = profile.map_err(|error| exec_datafusion_err!("{NAME}: {error}"))?;
        Ok(Division::of(&column.name, column.literal, &profile, &spec.options))
    };
    let divisions: Vec<Division> = spec.columns.iter().map(division).collect::<Result<_>>()?;
    serde_json::to_string(&divisions).map_err(|error| internal_datafusion_err!("cells as JSON: {error}"))
}

/// The function that gives the codes of the cells of a row, one for each column that is profiled.
pub(super) fn code() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::from(Code { signature: Signature::variadic_any(Volatility::Immutable) })));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Code {
    signature: Signature,
}

fn item() -> FieldRef {
    Field::new_list_field(DataType::UInt32, false).into()
}

impl ScalarUDFImpl for Code {
    fn name(&self) -> &'static str {
        "ml_slice_codes"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::FixedSizeList(item(), arguments.len() as i32 - 1))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((cells, columns)) = args.args.split_first() else {
            return internal_err!("{NAME} calls ml_slice_codes");
        };
        let rows = args.number_rows;
        let mut codes = vec![0; rows * columns.len()];
        if rows > 0 {
            let divisions = divisions(cells)?;
            for (at, (column, division)) in columns.iter().zip(&divisions).enumerate() {
                let places = codes.iter_mut().skip(at).step_by(columns.len());
                fill(places, &column.to_array(rows)?, &division.coder())?;
            }
        }
        let values = Arc::new(UInt32Array::from(codes));
        let list = FixedSizeListArray::try_new(item(), columns.len() as i32, values, None)?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

fn fill<'a>(places: impl Iterator<Item = &'a mut u32>, column: &ArrayRef, coder: &Coder<'_>) -> Result<()> {
    if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
        places.zip(numbers).for_each(|(place, number)| *place = coder.number(number));
    } else if let Some(texts) = column.as_string_opt::<i32>() {
        places.zip(texts).for_each(|(place, text)| *place = coder.text(text));
    } else {
        return internal_err!("{NAME}: a column is read as {}", column.data_type());
    }
    Ok(())
}
