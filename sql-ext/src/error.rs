//! What a refused or failed statement says: where it is, what is wrong with it, and the remedy.

use std::path::{Path, PathBuf};

use datafusion::common::{Column, SchemaError, Span};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use skewless_catalog::suggest::did_you_mean;

use crate::SkewlessContext;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a statement was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement was refused or failed.
    #[error("{}{message}", prefix(file.as_deref(), *line, *column))]
    Statement {
        /// The file of definitions that holds the statement, if it is not from the caller's text.
        file: Option<PathBuf>,
        /// Line in the text, from 1; 0 where it is not known.
        line: u64,
        /// Column in that line, from 1; 0 where it is not known.
        column: u64,
        /// What is wrong and the remedy.
        message: String,
        /// The error behind the message.
        #[source]
        source: Box<DataFusionError>,
    },
    /// A project's folder or file cannot be used.
    #[error("{}: {reason}", path.display())]
    Project {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it and the remedy.
        reason: String,
    },
    /// A manifest cannot be read, or a training set not be written with one.
    #[error(transparent)]
    Manifest(#[from] crate::manifest::ManifestError),
    /// A session could not be made, or a query failed while its rows were read.
    #[error("{}", describe(.0).0)]
    DataFusion(#[from] DataFusionError),
}

fn prefix(file: Option<&Path>, line: u64, column: u64) -> String {
    match (file, line) {
        (Some(file), 0) => format!("{}: ", file.display()),
        (Some(file), _) => format!("{}:{line}:{column}: ", file.display()),
        (None, 0) => String::new(),
        (None, _) => format!("line {line}, column {column}: "),
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        match error {
            Error::DataFusion(error) => error,
            error => DataFusionError::External(Box::new(error)),
        }
    }
}

/// A place in a text of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Self { line: span.start.line, column: span.start.column }
    }
}

/// The message of an error without DataFusion's prefixes, and its place where the error knows it.
pub(crate) fn describe(error: &DataFusionError) -> (String, Option<Place>) {
    match error {
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let (message, place) = describe(inner);
            (message, diagnostic.span.map(Place::from).or(place))
        }
        DataFusionError::Context(_, inner) => describe(inner),
        DataFusionError::Shared(inner) => describe(inner),
        DataFusionError::Collection(errors) => {
            errors.first().map_or_else(|| ("several errors".to_owned(), None), describe)
        }
        DataFusionError::SQL(error, _) => match error.as_ref() {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => cut_place(message),
            ParserError::RecursionLimitExceeded => {
                ("the statement is nested too deeply; raise datafusion.sql_parser.recursion_limit".to_owned(), None)
            }
        },
        DataFusionError::SchemaError(error, _) => (schema_message(error), None),
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::Configuration(message)
        | DataFusionError::NotImplemented(message)
        | DataFusionError::ResourcesExhausted(message) => {
            (message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default().to_owned(), None)
        }
        DataFusionError::External(error) => (error.to_string(), None),
        DataFusionError::ParquetError(error) => (error.to_string(), None),
        DataFusionError::ArrowError(error, _) => (error.to_string(), None),
        DataFusionError::ObjectStore(error) => (error.to_string(), None),
        DataFusionError::IoError(error) => (error.to_string(), None),
        other => (other.strip_backtrace(), None),
    }
}

/// Takes sqlparser's " at Line: 1, Column: 8" off the end of its message.
fn cut_place(message: &str) -> (String, Option<Place>) {
    let place = message.rsplit_once(" at Line: ").and_then(|(text, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((text, Place { line: line.parse().ok()?, column: column.parse().ok()? }))
    });
    match place {
        Some((text, place)) => (text.to_owned(), Some(place)),
        None => (message.to_owned(), None),
    }
}

fn schema_message(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<String> = valid_fields.iter().map(|column| column.name.clone()).collect();
            let hint = did_you_mean(&field.name, names.iter().map(String::as_str));
            let columns: Vec<String> = valid_fields.iter().map(Column::quoted_flat_name).collect();
            let columns = match columns.as_slice() {
                [] => "there is no column to name here".to_owned(),
                columns => format!("the columns are {}", columns.join(", ")),
            };
            format!("there is no column `{}`{hint}; {columns}", field.flat_name())
        }
        SchemaError::DuplicateQualifiedField { qualifier, name } => {
            format!("two columns are called `{qualifier}.{name}`; give one of the tables another name with AS")
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            format!("two columns are called `{name}`; give one another name with AS")
        }
        SchemaError::AmbiguousReference { field } => {
            format!("`{field}` may be a column of several tables; write table.{}", field.name)
        }
    }
}

impl SkewlessContext {
    /// [`describe`], with the names this session knows where a table or function was not found.
    pub(crate) fn explain(&self, error: &DataFusionError) -> (String, Option<Place>) {
        let (message, place) = describe(error);
        let missing = |prefix: &str, suffix: &str| Some(message.strip_prefix(prefix)?.strip_suffix(suffix)?.to_owned());
        let table = missing("table '", "' not found")
            .or_else(|| missing("Table '", "' doesn't exist."))
            .or_else(|| missing("View '", "' doesn't exist."));
        let message = if let Some(table) = table {
            self.no_table(&table)
        } else if let Some(function) = missing("table function '", "' not found") {
            crate::relation::no_function(&function, self.session().state().table_functions().keys().map(String::as_str))
        } else {
            message
        };
        (message, place)
    }

    fn no_table(&self, table: &str) -> String {
        let state = self.session().state();
        let defaults = &state.config().options().catalog;
        let prefix = format!("{}.{}.", defaults.default_catalog, defaults.default_schema);
        let name = table.strip_prefix(&prefix).unwrap_or(table);
        let names = state
            .catalog_list()
            .catalog(&defaults.default_catalog)
            .and_then(|catalog| catalog.schema(&defaults.default_schema))
            .map(|schema| schema.table_names())
            .unwrap_or_default();
        let hint = did_you_mean(name, names.iter().map(String::as_str));
        let remedy = if hint.is_empty() { "; CREATE EXTERNAL TABLE makes one, SHOW TABLES lists them" } else { "" };
        format!("there is no table `{name}`{hint}{remedy}")
    }
}
