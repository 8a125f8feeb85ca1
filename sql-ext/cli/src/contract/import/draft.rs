//! A contract in the making: promises as the readers find them, and the statement in the end.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use serde_json::Value;

use super::super::{quoted, text};

/// One promise.
#[derive(Clone)]
pub(super) enum Promise {
    /// The column is there.
    Column(String),
    /// Its type, as SQL names it.
    Type(String, &'static str),
    NotNull(String),
    Unique(Vec<String>),
    /// A condition on rows or on all rows, and what the rule is called.
    Check {
        name: String,
        condition: String,
    },
}

struct Column {
    name: String,
    data_type: Option<&'static str>,
    not_null: bool,
    unique: bool,
}

/// What was read so far.
pub(super) struct Draft {
    /// Of which tool.
    tool: &'static str,
    /// The name of the suite or schema.
    name: Option<String>,
    columns: Vec<Column>,
    keys: Vec<Vec<String>>,
    checks: Vec<(String, String)>,
    remarks: Vec<String>,
}

impl Draft {
    pub(super) fn new(tool: &'static str, name: Option<&str>) -> Self {
        let name = name.map(str::to_owned);
        Self { tool, name, columns: Vec::new(), keys: Vec::new(), checks: Vec::new(), remarks: Vec::new() }
    }

    pub(super) fn add(&mut self, promise: Promise) {
        match promise {
            Promise::Column(name) => drop(self.column(&name)),
            Promise::Type(name, data_type) => self.column(&name).data_type = Some(data_type),
            Promise::NotNull(name) => self.column(&name).not_null = true,
            Promise::Unique(names) => match names.as_slice() {
                [one] => self.column(one).unique = true,
                _ => self.keys.push(names),
            },
            Promise::Check { name, condition } => {
                if self.checks.iter().any(|(_, other)| *other == condition) {
                    return;
                }
                let taken = |name: &str| self.checks.iter().any(|(other, _)| other == name);
                let numbered = (2..).map(|n| format!("{name}_{n}"));
                let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name));
                self.checks.push((free.unwrap_or(name), condition));
            }
        }
    }

    fn column(&mut self, name: &str) -> &mut Column {
        let at = self.columns.iter().position(|column| column.name == name).unwrap_or_else(|| {
            self.columns.push(Column { name: name.to_owned(), data_type: None, not_null: false, unique: false });
            self.columns.len() - 1
        });
        &mut self.columns[at]
    }

    /// What is not in the contract, and why.
    pub(super) fn leave_out(&mut self, what: &str, reason: &str) {
        self.remarks.push(format!("left out: {what}: {reason}"));
    }

    /// What is in the contract and means something else there.
    pub(super) fn remark(&mut self, what: &str, remark: &str) {
        self.remarks.push(format!("note: {what}: {remark}"));
    }

    pub(super) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The statement, with the remarks as comments.
    pub(super) fn statement(&self, name: Option<&str>) -> Result<String> {
        let mut lines: Vec<String> = self.columns.iter().map(Column::line).collect();
        for key in &self.keys {
            let columns: Vec<String> = key.iter().map(|name| quoted(name)).collect();
            lines.push(format!("  UNIQUE ({})", columns.join(", ")));
        }
        for (name, condition) in &self.checks {
            lines.push(format!("  CONSTRAINT {} CHECK ({condition})", quoted(name)));
        }
        if lines.is_empty() {
            let remarks: Vec<String> = self.remarks.iter().map(|remark| format!("\n  {remark}")).collect();
            bail!("nothing in it has a counterpart in a contract{}", remarks.concat());
        }
        let mut statement = format!("-- Imported from {}\n", self.tool);
        for remark in &self.remarks {
            for line in remark.lines() {
                let _ = writeln!(statement, "-- {line}");
            }
        }
        let name = quoted(name.or(self.name.as_deref()).unwrap_or("imported"));
        let _ = write!(statement, "CREATE CONTRACT {name} (\n{}\n);\n", lines.join(",\n"));
        Ok(statement)
    }
}

impl Column {
    fn line(&self) -> String {
        let mut line = format!("  {}", quoted(&self.name));
        for (said, words) in [(self.not_null, "NOT NULL"), (self.unique, "UNIQUE")] {
            if words == "NOT NULL"
                && let Some(data_type) = self.data_type
            {
                line.push(' ');
                line.push_str(data_type);
            }
            if said {
                line.push(' ');
                line.push_str(words);
            }
        }
        line
    }
}

/// A JSON value as SQL writes it.
pub(super) fn literal(value: &Value) -> Result<String, String> {
    match value {
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::String(words) => Ok(text(words)),
        other => Err(format!("the value {other} has no counterpart in SQL")),
    }
}

/// `expr` between two bounds, either of which may be missing; `None` where both are.
pub(super) fn between(expr: &str, low: Option<(String, bool)>, high: Option<(String, bool)>) -> Option<String> {
    match (low, high) {
        (Some((low, true)), Some((high, true))) => Some(format!("{expr} BETWEEN {low} AND {high}")),
        (low, high) => {
            let side = |(bound, is_included): (String, bool), sign: char| {
                format!("{expr} {sign}{} {bound}", if is_included { "=" } else { "" })
            };
            let parts: Vec<String> =
                low.map(|low| side(low, '>')).into_iter().chain(high.map(|high| side(high, '<'))).collect();
            (!parts.is_empty()).then(|| parts.join(" AND "))
        }
    }
}

/// `expr IN (…)`. A NULL in the list says nothing, as NULLs are not compared.
pub(super) fn in_list(expr: &str, values: &[Value], is_negated: bool) -> Result<String, String> {
    let values = values.iter().filter(|value| !value.is_null()).map(literal).collect::<Result<Vec<_>, _>>()?;
    if values.is_empty() {
        return Err("its list of values is empty".to_owned());
    }
    Ok(format!("{expr} {}IN ({})", if is_negated { "NOT " } else { "" }, values.join(", ")))
}

/// `regexp_like(expr, pattern)`, for a pattern that is one here too.
pub(super) fn matches(expr: &str, pattern: &str) -> Result<String, String> {
    let reason = |error: &dyn std::fmt::Display| {
        let error = error.to_string();
        let first = error.lines().last().unwrap_or_default().trim();
        format!("the pattern {pattern} is none of RE2's, which has no look-around and no back-references: {first}")
    };
    let trial = format!("regexp_like('', {})", text(pattern));
    let parsed = skewless_udf::expression::parse(&trial).map_err(|error| reason(&error))?;
    skewless_udf::expression::constant(&parsed).map_err(|error| reason(&error))?;
    Ok(format!("regexp_like({expr}, {})", text(pattern)))
}

/// The SQL type of a pandas, numpy, Spark or SQL type; `None` where it is none that a contract would take it by.
pub(super) fn sql_type(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let plain = lower.split(['(', '[']).next().unwrap_or_default();
    Some(match plain {
        "int8" | "tinyint" | "bytetype" => "TINYINT",
        "int16" | "smallint" | "shorttype" => "SMALLINT",
        "int32" => "INT",
        // Python's and SQL's own integers have no size that all tools agree on.
        "int64" | "int" | "integer" | "integertype" | "bigint" | "long" | "longtype" => "BIGINT",
        "uint8" => "TINYINT UNSIGNED",
        "uint16" => "SMALLINT UNSIGNED",
        "uint32" => "INT UNSIGNED",
        "uint64" => "BIGINT UNSIGNED",
        "float16" | "float32" | "real" => "REAL",
        "float64" | "float" | "floattype" | "double" | "doubletype" | "double precision" => "DOUBLE",
        "bool" | "boolean" | "booleantype" => "BOOLEAN",
        "str" | "string" | "stringtype" | "varchar" | "text" => "VARCHAR",
        "datetime64" if lower.contains(',') => "TIMESTAMPTZ",
        "datetime64" | "datetime" | "timestamp" | "timestamptype" => "TIMESTAMP",
        "date" | "datetype" => "DATE",
        _ => return None,
    })
}
