//! What a model takes and gives, by name and type, and the one conversion of columns to tensors that SQL, HTTP and the
//! browser share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skewless_catalog::suggest::did_you_mean;

use crate::Error;
use crate::tensor::{Array, DataType, Tensor};

/// The typed, named inputs and outputs of a model, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Inputs in the graph's order.
    pub inputs: Vec<InputSpec>,
    /// Outputs in the graph's order.
    pub outputs: Vec<OutputSpec>,
}

/// How many scalars one row of an input or output has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Width {
    /// One.
    Scalar,
    /// So many, in order.
    Vector(usize),
}

impl Width {
    /// The number of scalars of one row.
    pub fn scalars(self) -> usize {
        match self {
            Self::Scalar => 1,
            Self::Vector(width) => width,
        }
    }
}

/// One input of a model: a scalar column, or a vector made of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// The name in the graph.
    pub name: String,
    /// The element type.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Scalars in one row.
    pub width: Width,
    /// Names of a vector's scalars, in order; empty for a scalar, whose column has the input's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The feature that a scalar is fed from, `view:feature`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// The features that a vector's columns are fed from, where they are known; as long as `columns`, or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Option<String>>,
}

/// What an output means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The predicted class.
    Label,
    /// One number per class, in the order of the classes.
    Probabilities,
    /// Anything else: a regression's value, a score, an embedding.
    Value,
}

/// The classes of a classifier, in the order of its probabilities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Classes {
    /// Integer labels.
    Int64(Vec<i64>),
    /// Text labels.
    String(Vec<String>),
}

impl Classes {
    /// The number of classes.
    pub fn len(&self) -> usize {
        match self {
            Self::Int64(labels) => labels.len(),
            Self::String(labels) => labels.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every label as text.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Int64(labels) => labels.iter().map(ToString::to_string).collect(),
            Self::String(labels) => labels.clone(),
        }
    }
}

/// One output of a model. Sessions give a scalar output as shape `[n]` and a vector as `[n, width]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// The name in the graph.
    pub name: String,
    /// The element type.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// What it means.
    pub role: Role,
    /// Scalars in one row.
    pub width: Width,
    /// The classes, of a label or of probabilities, where the graph or the bundle states them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Classes>,
}

/// One scalar column that a model reads: an input, or one place of a vector input.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSpec<'a> {
    /// The name that SQL columns, JSON fields and features are matched by.
    pub name: &'a str,
    /// The element type.
    pub data_type: DataType,
    /// The feature it is fed from, `view:feature`; a column named `view__feature` has one by its name.
    pub feature: Option<String>,
    /// The position of the input in [`Signature::inputs`].
    pub input: usize,
    /// The position within a vector input; 0 for a scalar.
    pub place: usize,
}

/// A column of values as the surfaces have them; `None` is NULL.
#[derive(Clone, Debug, PartialEq)]
pub enum InputColumn {
    /// Floats; also the numbers of JSON.
    Float64(Vec<Option<f64>>),
    /// Integers.
    Int64(Vec<Option<i64>>),
    /// Truth values.
    Bool(Vec<Option<bool>>),
    /// Text.
    String(Vec<Option<String>>),
}

impl InputColumn {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Float64(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::String(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::Float64(_) => "float64",
            Self::Int64(_) => "int64",
            Self::Bool(_) => "bool",
            Self::String(_) => "string",
        }
    }
}

/// `view:feature` of a column named `view__feature`.
pub(crate) fn feature_of(name: &str) -> Option<String> {
    let (view, feature) = name.split_once("__")?;
    (!view.is_empty() && !feature.is_empty()).then(|| format!("{view}:{feature}"))
}

impl Signature {
    /// Every scalar column that the model reads, in order.
    pub fn columns(&self) -> Vec<ColumnSpec<'_>> {
        let mut columns = Vec::new();
        for (index, input) in self.inputs.iter().enumerate() {
            match input.width {
                Width::Scalar => columns.push(ColumnSpec {
                    name: &input.name,
                    data_type: input.data_type,
                    feature: input.feature.clone().or_else(|| feature_of(&input.name)),
                    input: index,
                    place: 0,
                }),
                Width::Vector(_) => columns.extend(input.columns.iter().enumerate().map(|(place, name)| ColumnSpec {
                    name,
                    data_type: input.data_type,
                    feature: input.features.get(place).cloned().flatten().or_else(|| feature_of(name)),
                    input: index,
                    place,
                })),
            }
        }
        columns
    }

    /// The output of a role, where there is one.
    pub fn output(&self, role: Role) -> Option<(usize, &OutputSpec)> {
        self.outputs.iter().enumerate().find(|(_, output)| output.role == role)
    }

    /// The classes, where the model is a classifier that states them.
    pub fn classes(&self) -> Option<&Classes> {
        self.outputs.iter().find_map(|output| output.classes.as_ref())
    }

    /// Turns columns by name into the tensors that a session takes, in the order of the inputs.
    ///
    /// A float input takes floats, integers and truth values, rounded to its width; an integer input takes integers,
    /// truth values and floats that are whole numbers; text takes text. NULL is NaN for a float and the empty string
    /// for text; any other input refuses it. A missing, unknown or repeated column, a wrong type and columns of
    /// unequal length are errors that name the column.
    pub fn bind(&self, columns: &[(&str, InputColumn)]) -> Result<Vec<Tensor>, Error> {
        let specs = self.columns();
        let mut given = BTreeMap::new();
        let mut rows: Option<(&str, usize)> = None;
        for (name, column) in columns {
            known(name, &specs)?;
            if given.insert(*name, column).is_some() {
                return Err(Error::input(name, format!("input `{name}` is given twice; give it once")));
            }
            match rows {
                Some((first, count)) if count != column.len() => {
                    return Err(Error::input(
                        name,
                        format!(
                            "input `{name}` has {} rows and `{first}` has {count}; give every input the same number of rows",
                            column.len()
                        ),
                    ));
                }
                _ => rows = Some((name, column.len())),
            }
        }
        let rows = rows.map_or(0, |(_, count)| count);
        let mut parts: Vec<Vec<Tensor>> = self.inputs.iter().map(|_| Vec::new()).collect();
        for spec in &specs {
            let column =
                given.get(spec.name).ok_or_else(|| missing(spec.name, columns.iter().map(|(name, _)| *name)))?;
            if let Some(part) = parts.get_mut(spec.input) {
                part.push(coerce(spec.name, column, spec.data_type)?);
            }
        }
        parts.into_iter().map(|part| interleave(part, rows)).collect()
    }

    /// Checks and converts tensors by input name into the tensors that a session takes, in the order of the inputs.
    ///
    /// A scalar input takes the shapes `[n]` and `[n, 1]`, a vector `[n, width]`; a vector may be given by its columns
    /// instead, one tensor each. Types convert as in [`bind`](Self::bind).
    pub fn bind_tensors(&self, tensors: Vec<(&str, Tensor)>) -> Result<Vec<Tensor>, Error> {
        let specs = self.columns();
        let names: Vec<&str> = tensors.iter().map(|(name, _)| *name).collect();
        let mut whole: BTreeMap<&str, Tensor> = BTreeMap::new();
        let mut rows: Option<(&str, usize)> = None;
        for (name, tensor) in tensors {
            if !self.inputs.iter().any(|input| input.name == name) {
                known(name, &specs)?;
            }
            match rows {
                Some((first, count)) if count != tensor.batch() => {
                    return Err(Error::input(
                        name,
                        format!(
                            "input `{name}` has {} rows and `{first}` has {count}; give every input the same number of rows",
                            tensor.batch()
                        ),
                    ));
                }
                _ => rows = Some((name, tensor.batch())),
            }
            if whole.insert(name, tensor).is_some() {
                return Err(Error::input(name, format!("input `{name}` is given twice; give it once")));
            }
        }
        let rows = rows.map_or(0, |(_, count)| count);
        let mut bound = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            if let Some(tensor) = whole.remove(input.name.as_str()) {
                let width = input.width.scalars();
                if rows.checked_mul(width) != Some(tensor.len()) {
                    return Err(Error::input(
                        &input.name,
                        format!("input `{}` has shape {:?}; it takes [n, {width}]", input.name, tensor.shape()),
                    ));
                }
                let data = coerce_tensor(&input.name, tensor, input.data_type)?;
                bound.push(data.reshape(vec![rows, width])?);
                continue;
            }
            if matches!(input.width, Width::Scalar) {
                return Err(missing(&input.name, names.iter().copied()));
            }
            let mut part = Vec::with_capacity(input.columns.len());
            for column in &input.columns {
                let tensor = whole.remove(column.as_str()).ok_or_else(|| missing(column, names.iter().copied()))?;
                if tensor.len() != rows {
                    return Err(Error::input(
                        column,
                        format!("input `{column}` has shape {:?}; it takes [n]", tensor.shape()),
                    ));
                }
                part.push(coerce_tensor(column, tensor, input.data_type)?.reshape(vec![rows, 1])?);
            }
            bound.push(interleave(part, rows)?);
        }
        if let Some(name) = whole.keys().next() {
            return Err(Error::input(
                name,
                format!("input `{name}` is given both on its own and within its vector; give it once"),
            ));
        }
        Ok(bound)
    }
}

fn known(name: &str, specs: &[ColumnSpec<'_>]) -> Result<(), Error> {
    if specs.iter().any(|spec| spec.name == name) {
        return Ok(());
    }
    let hint = did_you_mean(name, specs.iter().map(|spec| spec.name));
    let list =
        if hint.is_empty() { format!("; the inputs are {}", list(specs.iter().map(|spec| spec.name))) } else { hint };
    Err(Error::input(name, format!("the model has no input `{name}`{list}")))
}

fn missing<'a>(name: &str, given: impl Iterator<Item = &'a str> + Clone) -> Error {
    let hint = did_you_mean(name, given.clone()).replace("did you mean", "is it");
    let hint = if hint.is_empty() { format!("; given are {}", list(given)) } else { hint };
    Error::input(name, format!("input `{name}` is missing{hint}"))
}

/// Names for a message, cut where there are many.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 20;
    let names: Vec<&str> = names.collect();
    match names.len() {
        0 => "none".to_owned(),
        count if count <= MOST => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        count => {
            let shown = names.iter().take(MOST).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            format!("{shown} and {} more", count - MOST)
        }
    }
}

fn wrong_type(name: &str, expected: DataType, found: &str) -> Error {
    Error::input(name, format!("input `{name}` takes {expected} and was given {found}; cast it"))
}

fn null(name: &str, expected: DataType, row: usize) -> Error {
    Error::input(
        name,
        format!(
            "input `{name}` is NULL in row {row} and {expected} has no missing value; replace it, for example with coalesce"
        ),
    )
}

/// A whole number within what a double holds exactly.
#[allow(clippy::float_cmp, reason = "a float is whole when it is its own integer part")]
fn whole(name: &str, value: f64, expected: DataType, row: usize) -> Result<i64, Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() {
        return Err(null(name, expected, row));
    }
    if libm::trunc(value) == value && value.abs() <= EXACT {
        return Ok(value as i64);
    }
    Err(Error::input(name, format!("input `{name}` takes {expected} and row {row} is {value}; round it or cast it")))
}

fn narrow(name: &str, value: i64, row: usize) -> Result<i32, Error> {
    i32::try_from(value).map_err(|_| {
        Error::input(name, format!("input `{name}` takes int32 and row {row} is {value}, out of its range"))
    })
}

fn present<T: Clone>(name: &str, value: Option<&T>, expected: DataType, row: usize) -> Result<T, Error> {
    value.cloned().ok_or_else(|| null(name, expected, row))
}

/// Integers of a column, NULL refused.
fn integers(name: &str, column: &InputColumn, expected: DataType) -> Result<Vec<i64>, Error> {
    match column {
        InputColumn::Int64(values) => {
            values.iter().enumerate().map(|(row, value)| present(name, value.as_ref(), expected, row)).collect()
        }
        InputColumn::Bool(values) => values
            .iter()
            .enumerate()
            .map(|(row, value)| present(name, value.as_ref(), expected, row).map(i64::from))
            .collect(),
        InputColumn::Float64(values) => values
            .iter()
            .enumerate()
            .map(|(row, value)| {
                present(name, value.as_ref(), expected, row).and_then(|value| whole(name, value, expected, row))
            })
            .collect(),
        InputColumn::String(_) => Err(wrong_type(name, expected, column.type_name())),
    }
}

/// Floats of a column, NULL as NaN. An integer or a double is rounded once, to the width of `T`.
fn floats<T>(
    name: &str,
    column: &InputColumn,
    expected: DataType,
    missing: T,
    from_float: fn(f64) -> T,
    from_integer: fn(i64) -> T,
) -> Result<Vec<T>, Error>
where
    T: Copy,
{
    Ok(match column {
        InputColumn::Float64(values) => values.iter().map(|value| value.map_or(missing, from_float)).collect(),
        InputColumn::Int64(values) => values.iter().map(|value| value.map_or(missing, from_integer)).collect(),
        InputColumn::Bool(values) => {
            values.iter().map(|value| value.map_or(missing, |value| from_integer(i64::from(value)))).collect()
        }
        InputColumn::String(_) => return Err(wrong_type(name, expected, column.type_name())),
    })
}

fn coerce(name: &str, column: &InputColumn, expected: DataType) -> Result<Tensor, Error> {
    Ok(match expected {
        DataType::Float32 => {
            Tensor::Float32(Array::column(floats(name, column, expected, f32::NAN, |v| v as f32, |v| v as f32)?))
        }
        DataType::Float64 => {
            Tensor::Float64(Array::column(floats(name, column, expected, f64::NAN, |v| v, |v| v as f64)?))
        }
        DataType::Int64 => Tensor::Int64(Array::column(integers(name, column, expected)?)),
        DataType::Int32 => Tensor::Int32(Array::column(
            integers(name, column, expected)?
                .into_iter()
                .enumerate()
                .map(|(row, value)| narrow(name, value, row))
                .collect::<Result<_, _>>()?,
        )),
        DataType::Bool => match column {
            InputColumn::Bool(values) => Tensor::Bool(Array::column(
                values
                    .iter()
                    .enumerate()
                    .map(|(row, value)| present(name, value.as_ref(), expected, row))
                    .collect::<Result<_, _>>()?,
            )),
            _ => return Err(wrong_type(name, expected, column.type_name())),
        },
        DataType::String => match column {
            InputColumn::String(values) => {
                Tensor::String(Array::column(values.iter().map(|value| value.clone().unwrap_or_default()).collect()))
            }
            _ => return Err(wrong_type(name, expected, column.type_name())),
        },
    })
}

/// A tensor's values in another element type, as `[n, 1]`; free where the type is right.
fn coerce_tensor(name: &str, tensor: Tensor, expected: DataType) -> Result<Tensor, Error> {
    if tensor.data_type() == expected {
        return Ok(tensor);
    }
    let column = match tensor {
        Tensor::Float32(array) => {
            InputColumn::Float64(array.into_data().into_iter().map(|value| Some(f64::from(value))).collect())
        }
        Tensor::Float64(array) => InputColumn::Float64(array.into_data().into_iter().map(Some).collect()),
        Tensor::Int32(array) => {
            InputColumn::Int64(array.into_data().into_iter().map(|value| Some(i64::from(value))).collect())
        }
        Tensor::Int64(array) => InputColumn::Int64(array.into_data().into_iter().map(Some).collect()),
        Tensor::Bool(array) => InputColumn::Bool(array.into_data().into_iter().map(Some).collect()),
        Tensor::String(array) => InputColumn::String(array.into_data().into_iter().map(Some).collect()),
    };
    coerce(name, &column, expected)
}

/// Columns of one type side by side: `[n, width]`.
fn interleave(mut parts: Vec<Tensor>, rows: usize) -> Result<Tensor, Error> {
    if parts.len() == 1
        && let Some(part) = parts.pop()
    {
        return Ok(part);
    }
    macro_rules! side_by_side {
        ($variant:ident) => {{
            let columns: Vec<_> = parts
                .iter()
                .filter_map(|part| if let Tensor::$variant(array) = part { Some(array.data()) } else { None })
                .collect();
            let mut data = Vec::with_capacity(rows * columns.len());
            for row in 0..rows {
                data.extend(columns.iter().filter_map(|column| column.get(row).cloned()));
            }
            Tensor::$variant(Array::new(vec![rows, columns.len()], data)?)
        }};
    }
    Ok(match parts.first() {
        Some(Tensor::Float64(_)) => side_by_side!(Float64),
        Some(Tensor::Int32(_)) => side_by_side!(Int32),
        Some(Tensor::Int64(_)) => side_by_side!(Int64),
        Some(Tensor::Bool(_)) => side_by_side!(Bool),
        Some(Tensor::String(_)) => side_by_side!(String),
        Some(Tensor::Float32(_)) | None => side_by_side!(Float32),
    })
}
