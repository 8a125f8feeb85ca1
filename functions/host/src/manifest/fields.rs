//! Takes a TOML table apart field by field, so that every refusal names its field and no unknown key passes unseen.

use std::collections::BTreeMap;

use skewless_catalog::suggest::did_you_mean;
use toml::{Table, Value};

use super::Fault;

/// A table and where it stands in the manifest.
#[derive(Debug)]
pub(super) struct Fields {
    at: String,
    table: Table,
    known: Vec<String>,
}

impl Fields {
    pub(super) fn new(at: String, table: Table) -> Self {
        Self { at, table, known: Vec::new() }
    }

    /// The dotted path of a field; of the table itself for "".
    pub(super) fn field(&self, key: &str) -> String {
        match (self.at.as_str(), key) {
            (at, "") => at.to_owned(),
            ("", key) => key.to_owned(),
            (at, key) => format!("{at}.{key}"),
        }
    }

    pub(super) fn fault(&self, key: &str, reason: &str) -> Fault {
        Fault { field: self.field(key), reason: reason.to_owned() }
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.known.push(key.to_owned());
        self.table.remove(key)
    }

    pub(super) fn string(&mut self, key: &str) -> Result<Option<String>, Fault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(other) => Err(self.mismatch(key, "a string", &other)),
        }
    }

    pub(super) fn required_string(&mut self, key: &str) -> Result<String, Fault> {
        self.string(key)?.ok_or_else(|| self.fault(key, &format!("is missing; write `{key} = \"…\"`")))
    }

    pub(super) fn boolean(&mut self, key: &str) -> Result<bool, Fault> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Boolean(value)) => Ok(value),
            Some(other) => Err(self.mismatch(key, "true or false", &other)),
        }
    }

    pub(super) fn list(&mut self, key: &str) -> Result<Vec<Value>, Fault> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values),
            Some(other) => Err(self.mismatch(key, "a list", &other)),
        }
    }

    pub(super) fn strings(&mut self, key: &str) -> Result<Vec<String>, Fault> {
        self.list(key)?
            .into_iter()
            .map(|value| match value {
                Value::String(value) => Ok(value),
                other => Err(self.mismatch(key, "a list of strings", &other)),
            })
            .collect()
    }

    pub(super) fn string_map(&mut self, key: &str) -> Result<BTreeMap<String, String>, Fault> {
        let Some(inner) = self.table(key)? else { return Ok(BTreeMap::new()) };
        inner
            .table
            .iter()
            .map(|(name, value)| match value {
                Value::String(value) => Ok((name.clone(), value.clone())),
                other => Err(inner.mismatch(name, "a string", other)),
            })
            .collect()
    }

    pub(super) fn table(&mut self, key: &str) -> Result<Option<Self>, Fault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(Self::new(self.field(key), table))),
            Some(other) => Err(self.mismatch(key, "a table", &other)),
        }
    }

    pub(super) fn required_table(&mut self, key: &str) -> Result<Self, Fault> {
        let field = self.field(key);
        self.table(key)?.ok_or_else(|| self.fault(key, &format!("is missing; add a [{field}] table")))
    }

    /// A table of tables.
    pub(super) fn tables(&mut self, key: &str) -> Result<Vec<(String, Self)>, Fault> {
        let Some(inner) = self.table(key)? else { return Ok(Vec::new()) };
        let at = inner.at.clone();
        inner
            .table
            .into_iter()
            .map(|(name, value)| match value {
                Value::Table(table) => Ok((name.clone(), Self::new(format!("{at}.{name}"), table))),
                other => Err(mismatch(format!("{at}.{name}"), "a table", &other)),
            })
            .collect()
    }

    /// A list of tables, as `[[key]]` writes it.
    pub(super) fn tables_in_list(&mut self, key: &str) -> Result<Vec<Self>, Fault> {
        let at = self.field(key);
        self.list(key)?
            .into_iter()
            .enumerate()
            .map(|(index, value)| match value {
                Value::Table(table) => Ok(Self::new(format!("{at}[{index}]"), table)),
                other => Err(mismatch(format!("{at}[{index}]"), "a table", &other)),
            })
            .collect()
    }

    /// A key that nobody took.
    pub(super) fn first_unknown(&self) -> Option<String> {
        self.table.keys().next().cloned()
    }

    /// Refuses a key that nobody took.
    pub(super) fn finish(self) -> Result<(), Fault> {
        match self.first_unknown() {
            None => Ok(()),
            Some(unknown) => {
                let hint = did_you_mean(&unknown, self.known.iter().map(String::as_str));
                Err(self.fault(&unknown, &format!("there is no such key{hint}")))
            }
        }
    }

    fn mismatch(&self, key: &str, expected: &str, given: &Value) -> Fault {
        mismatch(self.field(key), expected, given)
    }
}

fn mismatch(field: String, expected: &str, given: &Value) -> Fault {
    Fault { field, reason: format!("must be {expected}, not {}", given.type_str()) }
}
