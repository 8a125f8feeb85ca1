//! What one surface answers about the sampled flights, in a form in which surfaces can be compared bit by bit.

use anyhow::{Context, Result, bail};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use serde_json::Value;

/// A value of a feature, as every surface can say it.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Null,
    Number(f64),
    Text(String),
}

impl Cell {
    /// Of a JSON answer, where NaN and the infinities are strings.
    pub(super) fn from_json(value: &Value) -> Result<Self> {
        Ok(match value {
            Value::Null => Self::Null,
            Value::Number(number) => Self::Number(number.as_f64().context("a number does not fit 64 bits")?),
            Value::String(text) => match text.as_str() {
                "NaN" => Self::Number(f64::NAN),
                "Infinity" => Self::Number(f64::INFINITY),
                "-Infinity" => Self::Number(f64::NEG_INFINITY),
                _ => Self::Text(text.clone()),
            },
            other => bail!("{other} is not a value of a feature"),
        })
    }

    /// For a request.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Number(number) if number.is_nan() => "NaN".into(),
            Self::Number(number) if number.is_infinite() && *number > 0.0 => "Infinity".into(),
            Self::Number(number) if number.is_infinite() => "-Infinity".into(),
            // A whole number is sent as one, since an integer column takes no fraction.
            Self::Number(number)
                if number.fract() == 0.0 && number.abs() < 2f64.powi(53) && number.to_bits() != (-0.0f64).to_bits() =>
            {
                (*number as i64).into()
            }
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
        }
    }

    /// How far apart two values are: 0 for the same bits, infinity for different kinds.
    pub(super) fn distance(&self, other: &Self) -> f64 {
        match (self, other) {
            (Self::Null, Self::Null) => 0.0,
            (Self::Text(a), Self::Text(b)) if a == b => 0.0,
            (Self::Number(a), Self::Number(b)) => distance(*a, *b),
            _ => f64::INFINITY,
        }
    }
}

/// 0 for the same bits, else the absolute difference, infinity where there is none.
pub(super) fn distance(a: f64, b: f64) -> f64 {
    if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    // Two zeros of different sign differ in a bit and in no digit.
    let difference = (a - b).abs();
    if difference.is_nan() { f64::INFINITY } else { difference.max(f64::MIN_POSITIVE) }
}

/// A model's answer about one flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prediction {
    pub(super) label: i64,
    /// Of being late.
    pub(super) probability: f32,
}

/// What one surface says; an empty list where it was not asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    pub(super) surface: &'static str,
    /// Per flight, in the order of [`Sample::feature_names`].
    pub(super) features: Vec<Vec<Cell>>,
    /// Per flight, the features that the page computes itself ([`Sample::PAGE_FEATURES`]).
    pub(super) functions: Vec<Vec<Cell>>,
    pub(super) late: Vec<Prediction>,
    pub(super) late_mlp: Vec<Prediction>,
}

/// One sampled flight.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// Request columns: the entity keys and the request-time inputs.
    pub(super) request: Vec<(&'static str, Cell)>,
    pub(super) scheduled_us: i64,
    pub(super) prediction_time_us: i64,
    pub(super) features: Vec<Cell>,
    pub(super) late: Prediction,
    pub(super) late_mlp: Prediction,
}

/// Flights spread evenly over the year, with SQL's answers.
pub(super) struct Sample {
    pub(super) feature_names: Vec<String>,
    pub(super) flights: Vec<Flight>,
    pub(super) rows: RecordBatch,
}

impl Sample {
    /// Features that the page computes from the request alone, by the catalog's functions.
    pub(super) const PAGE_FEATURES: [&'static str; 6] = [
        "flight_plan__hour_sin",
        "flight_plan__hour_cos",
        "flight_plan__month_sin",
        "flight_plan__month_cos",
        "flight_plan__log_distance",
        "flight_plan__route_bucket",
    ];

    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    /// `rows` of the scored table.
    pub(super) fn new(rows: RecordBatch) -> Result<Self> {
        let feature_names: Vec<String> = rows
            .schema()
            .fields()
            .iter()
            .map(|field| field.name())
            .filter(|name| name.contains("__") && !name.ends_with("__status"))
            .cloned()
            .collect();
        let features = feature_names.iter().map(|name| cells(&rows, name)).collect::<Result<Vec<_>>>()?;
        let request = ["carrier", "tailnum", "origin", "dest", "distance"]
            .into_iter()
            .map(|name| Ok((name, cells(&rows, name)?)))
            .collect::<Result<Vec<_>>>()?;
        let (scheduled, predicted) = (micros(&rows, "scheduled")?, micros(&rows, "prediction_time")?);
        let late = predictions(&rows, "late")?;
        let late_mlp = predictions(&rows, "late_mlp")?;
        let flights = (0..rows.num_rows())
            .map(|row| Flight {
                request: request.iter().map(|(name, column)| (*name, column[row].clone())).collect(),
                scheduled_us: scheduled[row],
                prediction_time_us: predicted[row],
                features: features.iter().map(|column| column[row].clone()).collect(),
                late: late[row],
                late_mlp: late_mlp[row],
            })
            .collect();
        Ok(Self { feature_names, flights, rows })
    }

    /// SQL's own answers.
    pub(super) fn answers(&self, surface: &'static str) -> Answers {
        Answers {
            surface,
            features: self.flights.iter().map(|flight| flight.features.clone()).collect(),
            functions: self.flights.iter().map(|flight| self.page_features(&flight.features)).collect(),
            late: self.flights.iter().map(|flight| flight.late).collect(),
            late_mlp: self.flights.iter().map(|flight| flight.late_mlp).collect(),
        }
    }

    /// Of all features of a flight, those that the page computes itself.
    pub(super) fn page_features(&self, features: &[Cell]) -> Vec<Cell> {
        Self::PAGE_FEATURES
            .iter()
            .map(|name| {
                let at = self.feature_names.iter().position(|feature| feature == name);
                at.and_then(|at| features.get(at).cloned()).unwrap_or(Cell::Null)
            })
            .collect()
    }
}

/// A column by name.
pub(super) fn column(rows: &RecordBatch, name: &str) -> Result<ArrayRef> {
    rows.column_by_name(name).cloned().with_context(|| format!("the scored table has no column {name}"))
}

/// A column as 64-bit floats.
pub(super) fn floats(rows: &RecordBatch, name: &str) -> Result<Vec<Option<f64>>> {
    Ok(cast(&column(rows, name)?, &DataType::Float64)?.as_primitive::<Float64Type>().iter().collect())
}

/// A column as 64-bit integers.
pub(super) fn integers(rows: &RecordBatch, name: &str) -> Result<Vec<Option<i64>>> {
    Ok(cast(&column(rows, name)?, &DataType::Int64)?.as_primitive::<Int64Type>().iter().collect())
}

fn cells(rows: &RecordBatch, name: &str) -> Result<Vec<Cell>> {
    let array = column(rows, name)?;
    if array.data_type().is_numeric() || array.data_type() == &DataType::Boolean {
        return Ok(floats(rows, name)?.into_iter().map(|value| value.map_or(Cell::Null, Cell::Number)).collect());
    }
    let text = cast(&array, &DataType::Utf8)?;
    Ok(text
        .as_string::<i32>()
        .iter()
        .map(|value| value.map_or(Cell::Null, |text| Cell::Text(text.to_owned())))
        .collect())
}

fn micros(rows: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let array = cast(&column(rows, name)?, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let array = array.as_primitive::<TimestampMicrosecondType>();
    if array.null_count() > 0 {
        bail!("a sampled flight has no {name}");
    }
    Ok(array.values().to_vec())
}

fn predictions(rows: &RecordBatch, model: &str) -> Result<Vec<Prediction>> {
    let labels = integers(rows, &format!("{model}_label"))?;
    let probabilities = floats(rows, &format!("{model}_probability"))?;
    labels
        .into_iter()
        .zip(probabilities)
        .map(|(label, probability)| {
            Ok(Prediction {
                label: label.with_context(|| format!("model {model} gave no label"))?,
                probability: probability.with_context(|| format!("model {model} gave no probability"))? as f32,
            })
        })
        .collect()
}
