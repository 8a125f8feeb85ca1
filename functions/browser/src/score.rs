//! Rows of the page to a model's inputs, and its outputs back to rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use skewless_model::{Bundle, CpuEngine, DataType, Engine as _, InputColumn, Role, Session, Signature, Tensor, Width};

use crate::{Cell, Error};

/// A model that is ready to score.
pub struct Scorer {
    bundle: Bundle,
    session: Arc<dyn Session>,
}

/// The outputs of one row: `label` and `probabilities` of a classifier, other outputs by their names.
pub type Prediction = Vec<(String, Cell)>;

impl Scorer {
    /// Opens the bytes of a `.skew` archive and verifies them.
    pub fn open(archive: &[u8]) -> Result<Self, Error> {
        Self::load(Bundle::from_archive(archive)?)
    }

    /// Prepares a bundle.
    pub fn load(bundle: Bundle) -> Result<Self, Error> {
        let session = CpuEngine.load(&bundle)?;
        Ok(Self { bundle, session })
    }

    /// The model's file.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// What it takes and gives.
    pub fn signature(&self) -> &Signature {
        self.bundle.signature()
    }

    /// One prediction a row, in order.
    ///
    /// A row holds its inputs by name. A value that is null is a missing value; a name that a row lacks and others have
    /// is one, too; a name that no row has is an error, as is a name that the model does not know.
    pub fn predict(&self, rows: &[Vec<(String, Cell)>]) -> Result<Vec<Prediction>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns: BTreeMap<&str, Vec<&Cell>> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            for (name, cell) in row {
                let column = columns.entry(name).or_default();
                column.resize(index, &Cell::Null);
                column.push(cell);
            }
        }
        let types: BTreeMap<&str, DataType> =
            self.signature().columns().iter().map(|column| (column.name, column.data_type)).collect();
        let mut bound = Vec::with_capacity(columns.len());
        for (name, mut cells) in columns {
            cells.resize(rows.len(), &Cell::Null);
            // A name that the model does not know is refused below, with the names that it does know.
            let data_type = types.get(name).copied().unwrap_or(DataType::Float64);
            bound.push((name, column(name, &cells, data_type)?));
        }
        let outputs = self.session.run(&self.signature().bind(&bound)?)?;
        let mut predictions = vec![Prediction::new(); rows.len()];
        for (spec, tensor) in self.signature().outputs.iter().zip(&outputs) {
            let name = if spec.role == Role::Value { &spec.name } else { role(spec.role) };
            let mut cells = cells(tensor).into_iter();
            for prediction in &mut predictions {
                let cell = match spec.width {
                    Width::Scalar => cells.next().unwrap_or(Cell::Null),
                    Width::Vector(width) => Cell::List(cells.by_ref().take(width).collect()),
                };
                prediction.push((name.to_owned(), cell));
            }
        }
        Ok(predictions)
    }
}

/// The name of a role; of those but `value` there is one output each.
pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Label => "label",
        Role::Probabilities => "probabilities",
        Role::Value => "value",
    }
}

/// The column of an input; its first value that is not null decides its type.
fn column(name: &str, cells: &[&Cell], data_type: DataType) -> Result<InputColumn, Error> {
    let reads_words = data_type.is_float();
    let kind = |cell: &Cell| match cell {
        Cell::Text(_) if reads_words && cell.to_float().is_some() => "a number",
        Cell::Integer(_) if reads_words => "a number",
        other => other.kind(),
    };
    let first = cells.iter().find(|cell| ***cell != Cell::Null).map_or("null", |cell| kind(cell));
    let mixed =
        |row: usize, cell: &Cell| Error::Mixed { input: name.to_owned(), row, found: kind(cell), expected: first };
    let boolean = |cell: &Cell| if let Cell::Boolean(value) = cell { Some(*value) } else { None };
    let text = |cell: &Cell| if let Cell::Text(value) = cell { Some(value.clone()) } else { None };
    let number = |cell: &Cell| if matches!(cell, Cell::Text(_)) && !reads_words { None } else { cell.to_float() };
    let integer = |cell: &Cell| cell.to_integer();
    match first {
        "null" if data_type == DataType::String => Ok(InputColumn::String(vec![None; cells.len()])),
        "null" | "a number" => Ok(InputColumn::Float64(collect(cells, number, mixed)?)),
        "a BigInt" => Ok(InputColumn::Int64(collect(cells, integer, mixed)?)),
        "a boolean" => Ok(InputColumn::Bool(collect(cells, boolean, mixed)?)),
        "a string" => Ok(InputColumn::String(collect(cells, text, mixed)?)),
        other => Err(Error::Value {
            what: format!("input `{name}`"),
            found: other.to_owned(),
            expected: "a number, a string, a boolean or null",
        }),
    }
}

/// Each value as `read` gives it; null is none, and what `read` does not take is refused with its row.
fn collect<T>(
    cells: &[&Cell],
    read: impl Fn(&Cell) -> Option<T>,
    refuse: impl Fn(usize, &Cell) -> Error,
) -> Result<Vec<Option<T>>, Error> {
    let read = |(row, cell): (usize, &&Cell)| match cell {
        Cell::Null => Ok(None),
        cell => read(cell).map(Some).ok_or_else(|| refuse(row, cell)),
    };
    cells.iter().enumerate().map(read).collect()
}

fn cells(tensor: &Tensor) -> Vec<Cell> {
    match tensor {
        Tensor::Float32(array) => array.data().iter().map(|value| Cell::Number(f64::from(*value))).collect(),
        Tensor::Float64(array) => array.data().iter().map(|value| Cell::Number(*value)).collect(),
        Tensor::Int32(array) => array.data().iter().map(|value| Cell::Number(f64::from(*value))).collect(),
        Tensor::Int64(array) => array.data().iter().map(|value| Cell::from_integer(*value)).collect(),
        Tensor::Bool(array) => array.data().iter().map(|value| Cell::Boolean(*value)).collect(),
        Tensor::String(array) => array.data().iter().map(|value| Cell::Text(value.clone())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn a_column_takes_missing_values_and_words_for_numbers_json_lacks() {
        let cells = [Cell::Null, Cell::Number(1.5), text("NaN"), text("-Infinity")];
        let cells: Vec<&Cell> = cells.iter().collect();
        let InputColumn::Float64(values) = column("x", &cells, DataType::Float32).expect("floats") else {
            panic!("not floats")
        };
        assert_eq!((values[0], values[1], values[3]), (None, Some(1.5), Some(f64::NEG_INFINITY)));
        assert!(values[2].is_some_and(f64::is_nan));
    }

    #[test]
    fn text_is_text_where_the_model_takes_text() {
        let cells = [&text("NaN"), &Cell::Null, &text("SEA")];
        let got = column("origin", &cells, DataType::String).expect("texts");
        assert_eq!(got, InputColumn::String(vec![Some("NaN".into()), None, Some("SEA".into())]));
        let nulls = column("origin", &[&Cell::Null], DataType::String).expect("nulls");
        assert_eq!(nulls, InputColumn::String(vec![None]));
    }

    #[test]
    fn values_of_two_types_are_refused_by_name_and_row() {
        let message =
            column("x", &[&Cell::Number(1.0), &text("one")], DataType::Float32).expect_err("mixed").to_string();
        assert_eq!(message, "input `x`: row 1 is a string where a row before it is a number; give one type");
        let message = column("x", &[&Cell::List(vec![])], DataType::Float32).expect_err("a list").to_string();
        assert!(message.contains("input `x` is an array"), "{message}");
    }
}
