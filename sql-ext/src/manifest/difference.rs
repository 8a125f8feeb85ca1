//! What is not as the manifest says, told so that one knows where to look.

use std::fmt;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use serde::Serialize;
use serde_json::Value;

use super::record::Source;

/// One thing that is not as the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "difference", rename_all = "snake_case")]
pub enum Difference {
    /// The manifest was edited: its digest is not that of its text.
    Manifest {
        /// The digest that it states.
        stated: String,
        /// The digest that it has.
        found: String,
    },
    /// The training set was changed after it was written.
    File {
        /// Its hash and rows as the manifest has them.
        expected: Content,
        /// As they are.
        found: Content,
        /// The first rows that only the file or only the query has, where the query still gives what it gave.
        first: Vec<Row>,
    },
    /// A file that the query reads was changed, is gone (`found` is none) or is read in addition (`expected` is none).
    Source {
        /// Its path or URL.
        location: String,
        /// As the manifest has it.
        expected: Option<Source>,
        /// As it is.
        found: Option<Source>,
    },
    /// A feature view is defined otherwise now.
    View {
        /// Its name.
        name: String,
        /// What of it, before and after.
        changes: Vec<String>,
    },
    /// A model holds other bytes now.
    Model {
        /// Its name.
        name: String,
        /// The digest of its bundle as the manifest has it.
        expected: String,
        /// As it is; `None` where there is no such model.
        found: Option<String>,
    },
    /// The columns are others.
    Columns {
        /// Of what: the file, or what the query gives now.
        of: Side,
        /// What of them.
        changes: Vec<String>,
    },
    /// The query gives other rows now.
    Rows {
        /// Hash and number as the manifest has them.
        expected: Content,
        /// As the query gives them.
        found: Content,
        /// The first rows that only the file or only the query has.
        first: Vec<Row>,
    },
    /// The query does not run any more.
    Query {
        /// Why.
        reason: String,
    },
}

/// Rows by number and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Content {
    /// How many rows.
    pub rows: u64,
    /// Their hash.
    pub content: String,
}

/// One of the two that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The training set as it is stored.
    File,
    /// What the query gives now.
    Query,
}

/// A row that the file and the query do not share. Where both have one at the same place, only the cells that differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its place, from 1.
    pub row: u64,
    /// The cells of the file's row as (column, value); `None` where the file has none.
    pub file: Option<Vec<(String, Option<String>)>>,
    /// The cells of the query's row; `None` where the query has none.
    pub query: Option<Vec<(String, Option<String>)>>,
}

fn cells(cells: &[(String, Option<String>)]) -> String {
    let texts = cells.iter().map(|(name, value)| format!("{name} = {}", value.as_deref().unwrap_or("NULL")));
    texts.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, &self.query) {
            (Some(file), Some(query)) => {
                write!(f, "row {}: {} in the file, {} by the query", self.row, cells(file), cells(query))
            }
            (Some(file), None) => write!(f, "row {} of the file: {}", self.row, cells(file)),
            (None, Some(query)) => write!(f, "row {} of the query: {}", self.row, cells(query)),
            (None, None) => write!(f, "row {}", self.row),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, changes: &[String]| {
            changes.iter().try_for_each(|change| write!(f, "\n  {change}"))
        };
        match self {
            Self::Manifest { stated, found } => {
                write!(f, "the manifest was edited: it states {stated} and is {found}")
            }
            Self::File { expected, found, first } => {
                write!(
                    f,
                    "the file was changed: it held {} rows, {}; it holds {} rows, {}",
                    expected.rows, expected.content, found.rows, found.content
                )?;
                first.iter().try_for_each(|row| write!(f, "\n  {row}"))
            }
            Self::Source { location, expected: Some(expected), found: Some(found) } => write!(
                f,
                "the source {location} was changed: it had {} bytes, sha256 {}; it has {} bytes, sha256 {}",
                expected.size, expected.sha256, found.size, found.sha256
            ),
            Self::Source { location, expected: Some(_), found: None } => {
                write!(f, "the source {location} is gone")
            }
            Self::Source { location, .. } => {
                write!(f, "the source {location} is read in addition; it was not there when the set was built")
            }
            Self::View { name, changes } => {
                write!(
                    f,
                    "the feature view `{name}` is defined otherwise now; the rows below are by its old definition"
                )?;
                list(f, changes)
            }
            Self::Model { name, expected, found: Some(found) } => {
                write!(f, "the model `{name}` was changed: its digest was {expected} and is {found}")
            }
            Self::Model { name, expected, found: None } => {
                write!(f, "there is no model `{name}`; it had the digest {expected}")
            }
            Self::Columns { of, changes } => {
                let of = match of {
                    Side::File => "the file has",
                    Side::Query => "the query gives",
                };
                write!(f, "{of} other columns:")?;
                list(f, changes)
            }
            Self::Rows { expected, found, first } => {
                write!(
                    f,
                    "the query gives other rows: it gave {} rows, {}; it gives {} rows, {}",
                    expected.rows, expected.content, found.rows, found.content
                )?;
                first.iter().try_for_each(|row| write!(f, "\n  {row}"))
            }
            Self::Query { reason } => write!(f, "the query does not run any more: {reason}"),
        }
    }
}

/// In what two definitions of a view differ: the lines of their statements, then the leaves of their canonical JSON as
/// `path: before → after`; at most `most`. Blanks and comments make no difference.
pub(super) fn changes(before: &Value, after: &Value, most: usize) -> Vec<String> {
    let statement = |view: &Value| view.get("definition").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (old, new) = (statement(before), statement(after));
    let mut changes = Vec::new();
    if tokens(&old) != tokens(&new) {
        let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
        let (old, new) = (lines(&old), lines(&new));
        changes.extend(old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}")));
        changes.extend(new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}")));
    }
    walk("", before.get("kind"), after.get("kind"), &mut changes);
    let more = changes.len().saturating_sub(most);
    changes.truncate(most);
    if more > 0 {
        changes.push(format!("and {more} more"));
    }
    changes
}

/// A statement without blanks and comments; one that does not parse as it is.
fn tokens(statement: &str) -> Vec<Token> {
    match Tokenizer::new(&GenericDialect {}, statement).tokenize() {
        Ok(tokens) => tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect(),
        Err(_) => vec![Token::make_word(statement, None)],
    }
}

fn walk(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<String>) {
    match (before, after) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(&path, a.get(key), b.get(key), changes);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for at in 0..a.len().max(b.len()) {
                walk(&format!("{path}[{at}]"), a.get(at), b.get(at), changes);
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let text = |value: Option<&Value>| match value {
                None => "nothing".to_owned(),
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
            };
            changes.push(format!("{path}: {} → {}", text(a), text(b)));
        }
    }
}
