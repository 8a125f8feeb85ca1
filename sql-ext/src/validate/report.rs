//! The function that reads the profiles of all columns, slices and samples and gives the rows of `ml_validate_drift`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, ListBuilder, StringArray,
    StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, exec_datafusion_err, exec_err, internal_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use serde::{Deserialize, Serialize};
use skewless_catalog::drift::{Outcome, RankTest};
use skewless_catalog::profile::Profile;
use skewless_catalog::validate::{self, Finding, Options};

/// The fields of a row that goes in.
pub(super) const SLICE: &str = "slice";
pub(super) const IS_BASE: &str = "is_base";
pub(super) const PROFILES: &str = "profiles";

/// The columns of the result, after those of the slices.
pub(super) const COLUMNS: [&str; 11] = [
    "feature",
    "metric",
    "statistic",
    "effect_size",
    "p_value",
    "p_adjusted",
    "threshold",
    "is_drift",
    "n_base",
    "n_study",
    "note",
];

/// One column of the samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Feature {
    pub(super) name: String,
    /// Why it has no profile.
    pub(super) problem: Option<String>,
}

/// What is reported; it travels through the plan as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(super) features: Vec<Feature>,
    pub(super) options: Options,
}

impl Spec {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Report::new())));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Report {
    signature: Signature,
}

impl Report {
    fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

/// The columns of the result after the texts of the slice.
pub(super) fn fields() -> Fields {
    let texts = DataType::List(Field::new_list_field(DataType::Utf8, true).into());
    let data_type = |name: &str| match name {
        "feature" | "metric" | "note" => DataType::Utf8,
        "is_drift" => DataType::Boolean,
        "n_base" | "n_study" => DataType::Int64,
        _ => DataType::Float64,
    };
    let columns = COLUMNS.iter().map(|name| Field::new(*name, data_type(name), true));
    std::iter::once(Field::new(SLICE, texts, true)).chain(columns).collect()
}

impl ScalarUDFImpl for Report {
    fn name(&self) -> &'static str {
        "ml_drift_report"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Field::new_list_field(DataType::Struct(fields()), true).into()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [given, ColumnarValue::Scalar(spec)] = args.args.as_slice() else {
            return exec_err!("ml_drift_report is called by ml_validate_drift alone");
        };
        let spec = spec.try_as_str().flatten().and_then(|text| serde_json::from_str::<Spec>(text).ok());
        let spec = spec.ok_or_else(|| internal_datafusion_err!("ml_drift_report has no specification"))?;
        let given = given.to_array(rows)?;
        let lists = given.as_list_opt::<i32>().ok_or_else(|| internal_datafusion_err!("the profiles are no list"))?;
        let mut found = Vec::new();
        let mut lengths = Vec::with_capacity(rows);
        for row in 0..rows {
            let before = found.len();
            let slices = sides(lists.is_valid(row).then(|| lists.value(row)))?;
            found.extend(report(&spec, slices, &OfRows::new())?);
            lengths.push(found.len() - before);
        }
        let items = build(&found)?;
        let item = Field::new_list_field(items.data_type().clone(), true);
        let list = ListArray::try_new(item.into(), OffsetBuffer::from_lengths(lengths), Arc::new(items), None)?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

/// The values of the columns in `by`, as text.
pub(super) type Slice = Vec<Option<String>>;

/// The profiles of all columns of the base and of the study sample, by slice; slices in the order of their texts, so that no
/// plan changes the result.
pub(super) type Slices = BTreeMap<Slice, [Option<ArrayRef>; 2]>;

/// What a second pass found of a column.
pub(super) type Outcomes = Vec<(RankTest, Outcome)>;

/// What it found of a slice's columns, by their places among those with a profile.
pub(super) type OfRows = BTreeMap<Slice, BTreeMap<usize, Outcomes>>;

/// The profiles out of the rows that go in.
pub(super) fn sides(rows: impl IntoIterator<Item = ArrayRef>) -> Result<Slices> {
    let mut slices = Slices::new();
    let shape = || internal_datafusion_err!("the profiles are not of ml_validate_drift");
    for rows in rows {
        let rows = rows.as_struct_opt().ok_or_else(shape)?;
        let field = |name: &str| rows.column_by_name(name).ok_or_else(shape);
        let texts = field(SLICE)?.as_list_opt::<i32>().ok_or_else(shape)?;
        let is_base = field(IS_BASE)?.as_boolean_opt().ok_or_else(shape)?;
        let profiles = field(PROFILES)?.as_list_opt::<i32>().ok_or_else(shape)?;
        for row in 0..rows.len() {
            let slice = texts.value(row);
            let slice: Slice = match slice.as_string_opt::<i32>() {
                Some(texts) => texts.iter().map(|text| text.map(str::to_owned)).collect(),
                None => Vec::new(),
            };
            let side = usize::from(!is_base.value(row));
            if let Some(place) = slices.entry(slice).or_default().get_mut(side) {
                *place = Some(profiles.value(row));
            }
        }
    }
    Ok(slices)
}

/// Every test of every slice and column, corrected for how many there are.
pub(super) fn report(spec: &Spec, mut slices: Slices, of_rows: &OfRows) -> Result<Vec<(Slice, Finding)>> {
    if slices.is_empty() {
        slices.insert(Vec::new(), [None, None]);
    }
    let mut found = Vec::new();
    for (slice, [base, study]) in slices {
        let mut at = 0;
        for feature in &spec.features {
            let tests = if let Some(problem) = &feature.problem {
                vec![Finding::untestable(&feature.name, problem)]
            } else {
                let [base, study] = [&base, &study].map(|side| profile(side.as_ref(), at));
                let of_rows = of_rows.get(&slice).and_then(|columns| columns.get(&at)).map_or(&[][..], Vec::as_slice);
                at += 1;
                validate::compare(&feature.name, &base?, &study?, &spec.options, of_rows)
            };
            found.extend(tests.into_iter().map(|test| (slice.clone(), test)));
        }
    }
    let mut findings: Vec<&mut Finding> = found.iter_mut().map(|(_, finding)| finding).collect();
    validate::decide(&mut findings, &spec.options);
    Ok(found)
}

/// A side's profile of a column; of no rows where the side has none.
pub(super) fn profile(side: Option<&ArrayRef>, at: usize) -> Result<Profile> {
    let Some(bytes) = side.and_then(|profiles| profiles.as_binary_opt::<i32>()).filter(|side| at < side.len()) else {
        return Ok(Profile::new());
    };
    Profile::from_bytes(bytes.value(at)).map_err(|error| exec_datafusion_err!("ml_validate_drift: {error}"))
}

pub(super) fn build(found: &[(Slice, Finding)]) -> Result<StructArray> {
    let mut slices = ListBuilder::new(StringBuilder::new());
    for (slice, _) in found {
        for text in slice {
            slices.values().append_option(text.as_deref());
        }
        slices.append(true);
    }
    let findings = || found.iter().map(|(_, finding)| finding);
    let text =
        |get: &dyn Fn(&Finding) -> Option<&str>| -> ArrayRef { Arc::new(findings().map(get).collect::<StringArray>()) };
    let float =
        |get: &dyn Fn(&Finding) -> Option<f64>| -> ArrayRef { Arc::new(findings().map(get).collect::<Float64Array>()) };
    let count = |get: &dyn Fn(&Finding) -> u64| -> ArrayRef {
        Arc::new(findings().map(|finding| get(finding) as i64).map(Some).collect::<Int64Array>())
    };
    let is_drift: BooleanArray = findings().map(|finding| finding.is_drift).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(slices.finish()),
        text(&|finding| Some(&finding.feature)),
        text(&|finding| finding.metric.as_deref()),
        float(&|finding| finding.statistic),
        float(&|finding| finding.effect_size),
        float(&|finding| finding.p_value),
        float(&|finding| finding.p_adjusted),
        float(&|finding| finding.threshold),
        Arc::new(is_drift),
        count(&|finding| finding.n_base),
        count(&|finding| finding.n_study),
        text(&|finding| finding.note.as_deref()),
    ];
    Ok(StructArray::try_new(fields(), columns, None)?)
}
