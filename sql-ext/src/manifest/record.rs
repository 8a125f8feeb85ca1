//! The manifest as it is stored: JSON beside the training set, the same bytes whenever the same set is built.
//!
//! It holds no time of writing and no name of a machine. `digest` is the SHA-256 of the JSON without it.

use arrow::datatypes::{DataType, Schema};
use serde::{Deserialize, Serialize};

use super::content::sha256;
use super::error::ManifestError;

/// The version of the form.
pub(super) const VERSION: u64 = 1;

/// What a training set was made from, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the form.
    pub version: u64,
    /// The software that wrote it.
    pub created_by: String,
    /// The statements that ran before the query, in order.
    pub setup: Vec<String>,
    /// The query whose rows the training set is.
    pub query: String,
    /// What the query takes as known, where it says so.
    pub known_at: Vec<String>,
    /// The feature views that it reads.
    pub views: Vec<View>,
    /// The models that it scores with.
    pub models: Vec<Model>,
    /// The tables and views that it names.
    pub tables: Vec<Table>,
    /// The files that it reads.
    pub sources: Vec<Source>,
    /// How many rows there are.
    pub rows: u64,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The columns that are folders of the target, `COPY … PARTITIONED BY`.
    pub partitioned_by: Vec<String>,
    /// The hash of the rows; it does not depend on their order.
    pub content: String,
    /// The hash of all of the above.
    pub digest: String,
}

/// A feature view as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its canonical JSON.
    pub sha256: String,
    /// Its canonical JSON.
    pub definition: serde_json::Value,
}

/// A model as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// The digest of its bundle.
    pub sha256: String,
}

/// A table or view that is read by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The statement that makes it; `None` for one that was filled by a session, which nothing can make again.
    pub definition: Option<String>,
}

/// A file that is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    /// Its path or URL.
    pub location: String,
    /// Its length in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes.
    pub sha256: String,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, where differences of layout are none: every text is `Utf8`, every instant a `Timestamp`.
    pub data_type: String,
}

impl Column {
    /// The columns of a schema.
    pub(super) fn of(schema: &Schema) -> Vec<Self> {
        schema
            .fields()
            .iter()
            .map(|field| Self { name: field.name().clone(), data_type: type_name(field.data_type()) })
            .collect()
    }
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.data_type)
    }
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        t if t.is_string() => DataType::Utf8.to_string(),
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary.to_string(),
        DataType::Dictionary(_, value) => type_name(value),
        DataType::RunEndEncoded(_, value) => type_name(value.data_type()),
        DataType::Timestamp(_, None) => "Timestamp".to_owned(),
        DataType::Timestamp(_, Some(zone)) => format!("Timestamp({zone})"),
        DataType::Time32(_) | DataType::Time64(_) => "Time".to_owned(),
        DataType::Duration(_) => "Duration".to_owned(),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            format!("List({})", type_name(item.data_type()))
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| format!("{} {}", field.name(), type_name(field.data_type())));
            format!("Struct({})", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

impl Manifest {
    /// This software, as a manifest names it.
    pub const SOFTWARE: &str = concat!("skewless ", env!("CARGO_PKG_VERSION"));

    /// The file beside a training set: its location with `.manifest.json` behind it.
    pub fn location(target: &str) -> String {
        format!("{}.manifest.json", target.trim_end_matches('/'))
    }

    /// The digest that the manifest must have.
    pub(super) fn own_digest(&self) -> Result<String, serde_json::Error> {
        let bare = Self { digest: String::new(), ..self.clone() };
        Ok(format!("sha256:{}", sha256(&serde_json::to_vec(&bare)?)))
    }

    /// The manifest as text.
    pub(super) fn to_text(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Reads the text of the manifest at `location`.
    pub(super) fn from_text(text: &[u8], location: &str) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let malformed = |error: serde_json::Error| ManifestError::Malformed {
            location: location.to_owned(),
            reason: error.to_string(),
        };
        let Version { version } = serde_json::from_slice(text).map_err(malformed)?;
        if version != VERSION {
            return Err(ManifestError::Version { location: location.to_owned(), found: version });
        }
        serde_json::from_slice(text).map_err(malformed)
    }
}
