//! Columns by name and type, with the type as text in JSON.

use arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An arrow type, stored as its text, e.g. `Timestamp(µs)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName(pub DataType);

impl Serialize for TypeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

impl<'de> Deserialize<'de> for TypeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(TypeName).map_err(|e| de::Error::custom(format!("`{text}` is not a type: {e}")))
    }
}

impl From<DataType> for TypeName {
    fn from(data_type: DataType) -> Self {
        Self(data_type)
    }
}

/// A column by name and type; every column can be NULL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnType {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: TypeName,
}

impl ColumnType {
    /// A column of this name and type.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type: TypeName(data_type) }
    }

    /// The same as an arrow field.
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.data_type.0.clone(), true)
    }

    /// The types of rows are stored plain: dictionary and run-end encodings are an accident of the file read.
    pub fn plain(data_type: &DataType) -> DataType {
        match data_type {
            DataType::Dictionary(_, value) => Self::plain(value),
            DataType::RunEndEncoded(_, value) => Self::plain(value.data_type()),
            other => other.clone(),
        }
    }
}
