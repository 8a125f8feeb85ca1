//! From the statement to the contract: its columns and rules.

use std::ops::Range;

use datafusion::common::{Result, plan_datafusion_err, plan_err};
use datafusion::sql::sqlparser::ast::{
    CheckConstraint, ColumnDef, ColumnOption, DataType, Expr as SqlExpr, Ident, Query, TableConstraint,
    UniqueConstraint,
};
use skewless_catalog::profile::Profile;
use skewless_catalog::validate::Limit;

use crate::ddl::fold;

/// `CREATE [OR REPLACE] CONTRACT [IF NOT EXISTS] name [ON FEATURE VIEW view] (…) [[NOT] ENFORCED]`, parsed.
#[derive(Clone, Debug)]
pub(crate) struct CreateContract {
    pub(crate) name: String,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<ColumnDef>,
    pub(crate) constraints: Vec<TableConstraint>,
    pub(crate) drifts: Vec<DriftPromise>,
    pub(crate) door: Option<Door>,
    /// The statement as it was written.
    pub(crate) text: String,
}

/// `[CONSTRAINT name] DRIFT (column [USING metric] [ALPHA p]) < effect FROM base`, parsed.
#[derive(Clone, Debug)]
pub(crate) struct DriftPromise {
    pub(crate) name: Option<Ident>,
    pub(crate) column: String,
    pub(crate) metric: Option<String>,
    pub(crate) alpha: Option<f64>,
    pub(crate) effect: f64,
    pub(crate) base: Base,
}

/// What a column is compared with.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    /// A profile.
    Profile(Vec<u8>),
    /// A query, and where it stands in the statement with its parentheses.
    Query { query: Box<Query>, at: Range<usize> },
}

/// Where requests are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The feature view whose requests are checked.
    pub view: String,
    /// Whether a request that breaks the contract is refused; else it is counted.
    pub is_enforced: bool,
}

/// What a table promises.
#[derive(Clone, Debug)]
pub struct Contract {
    /// Its name.
    pub name: String,
    /// The statement that made it, with profiles in the place of the queries of its DRIFT rules.
    pub text: String,
    /// Where requests are checked, if they are.
    pub door: Option<Door>,
    pub(super) columns: Vec<(String, DataType)>,
    pub(super) rules: Vec<Rule>,
}

/// One promise besides a column's presence and type.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) kind: RuleKind,
}

#[derive(Clone, Debug)]
pub(super) enum RuleKind {
    NotNull(String),
    Unique(Vec<String>),
    Check(Box<SqlExpr>),
    Drift(Box<Drift>),
}

/// How far a column may drift from a profile.
#[derive(Clone, Debug)]
pub(super) struct Drift {
    pub(super) column: String,
    pub(super) limit: Limit,
    pub(super) base: Vec<u8>,
}

impl Contract {
    /// How many promises it makes: a column's presence and type is one.
    pub fn len(&self) -> usize {
        self.columns.len() + self.rules.len()
    }

    /// Whether it promises nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The statement with profiles cut short, to be read.
    pub fn short_text(&self) -> String {
        const SHOWN: usize = 12;
        let mut parts = self.text.split("X'");
        let mut short = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            short.push_str("X'");
            let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
            match part.split_at_checked(digits) {
                Some((profile, rest)) if digits > 2 * SHOWN && rest.starts_with('\'') => {
                    short.extend(profile.chars().take(SHOWN));
                    short.push('…');
                    short.push_str(rest);
                }
                _ => short.push_str(part),
            }
        }
        short
    }
}

/// Reads a statement whose bases are profiles.
pub(super) fn define(statement: CreateContract) -> Result<Contract> {
    let CreateContract { name, columns, constraints, drifts, door, text, .. } = statement;
    let mut contract = Contract { name, text, door, columns: Vec::new(), rules: Vec::new() };
    for ColumnDef { name, data_type, options } in columns {
        let column = fold(name);
        if contract.columns.iter().any(|(other, _)| *other == column) {
            return plan_err!("the contract names the column `{column}` twice");
        }
        for definition in options {
            let given = definition.name;
            match definition.option {
                ColumnOption::Null => {}
                ColumnOption::NotNull => {
                    contract.add(given, || format!("{column}_not_null"), RuleKind::NotNull(column.clone()))?;
                }
                ColumnOption::Unique(_) => {
                    contract.add(given, || format!("{column}_unique"), RuleKind::Unique(vec![column.clone()]))?;
                }
                ColumnOption::PrimaryKey(_) => contract.key(given, std::slice::from_ref(&column))?,
                ColumnOption::Check(CheckConstraint { expr, name, .. }) => {
                    contract.add(given.or(name), || format!("{column}_check"), RuleKind::Check(expr))?;
                }
                other => {
                    return plan_err!(
                        "a column of a contract takes NOT NULL, UNIQUE, PRIMARY KEY and CHECK (…), not `{other}`"
                    );
                }
            }
        }
        contract.columns.push((column, data_type));
    }
    for constraint in constraints {
        match constraint {
            TableConstraint::Check(CheckConstraint { name, expr, .. }) => {
                contract.add(name, || "check".to_owned(), RuleKind::Check(expr))?;
            }
            TableConstraint::Unique(UniqueConstraint { name, columns, .. }) => {
                let columns = plain(columns.into_iter().map(|column| column.column.expr))?;
                contract.add(name, || format!("{}_unique", columns.join("_")), RuleKind::Unique(columns.clone()))?;
            }
            TableConstraint::PrimaryKey(key) => {
                let columns = plain(key.columns.into_iter().map(|column| column.column.expr))?;
                contract.key(key.name, &columns)?;
            }
            other => {
                return plan_err!(
                    "a contract takes UNIQUE (…), PRIMARY KEY (…), CHECK (…) and DRIFT (…), not `{other}`"
                );
            }
        }
    }
    contract.drifts(drifts)?;
    if contract.is_empty() {
        return plan_err!(
            "the contract `{}` promises nothing; write (column TYPE [NOT NULL] [UNIQUE] [CHECK (…)], …)",
            contract.name
        );
    }
    Ok(contract)
}

/// The names of plain columns.
fn plain(columns: impl Iterator<Item = SqlExpr>) -> Result<Vec<String>> {
    columns
        .map(|column| match column {
            SqlExpr::Identifier(ident) => Ok(fold(ident)),
            other => plan_err!("UNIQUE and PRIMARY KEY take columns, not `{other}`"),
        })
        .collect()
}

impl Contract {
    /// A key: unique, and no part of it NULL.
    fn key(&mut self, name: Option<Ident>, columns: &[String]) -> Result<()> {
        for column in columns {
            self.add(None, || format!("{column}_not_null"), RuleKind::NotNull(column.clone()))?;
        }
        self.add(name, || format!("{}_unique", columns.join("_")), RuleKind::Unique(columns.to_vec()))
    }

    /// The rules on drift. Those without an alpha of their own share one, so that a contract of many raises no more false
    /// alarms than a contract of one (Bonferroni).
    fn drifts(&mut self, promises: Vec<DriftPromise>) -> Result<()> {
        let sharing = promises.iter().filter(|promise| promise.alpha.is_none()).count();
        let shared = Limit::default().alpha / sharing.max(1) as f64;
        for DriftPromise { name, column, metric, alpha, effect, base } in promises {
            let refuse = |reason: &dyn std::fmt::Display| plan_datafusion_err!("DRIFT ({column}): {reason}");
            let limit =
                Limit { metric: metric.unwrap_or(Limit::default().metric), effect, alpha: alpha.unwrap_or(shared) };
            let limit = limit.checked().map_err(|reason| refuse(&reason))?;
            let Base::Profile(base) = base else {
                return plan_err!("DRIFT ({column}): its base is a query that was not run");
            };
            let profile = Profile::from_bytes(&base).map_err(|error| refuse(&error))?;
            if profile.rows() == profile.nulls() {
                return Err(refuse(&"the base has no value to compare with; take rows that have some"));
            }
            let drift = Drift { column, limit, base };
            self.add(name, || format!("{}_drift", drift.column), RuleKind::Drift(Box::new(drift.clone())))?;
        }
        Ok(())
    }

    /// Adds a rule; one without a name gets one that no other has.
    fn add(&mut self, given: Option<Ident>, default: impl Fn() -> String, kind: RuleKind) -> Result<()> {
        let taken = |rules: &[Rule], name: &str| rules.iter().any(|rule| rule.name == name);
        let name = if let Some(given) = given {
            let name = fold(given);
            if taken(&self.rules, &name) {
                return plan_err!("the contract has two rules named `{name}`; name them apart");
            }
            name
        } else {
            let name = default();
            let numbered = (2..).map(|n| format!("{name}_{n}"));
            std::iter::once(name.clone()).chain(numbered).find(|name| !taken(&self.rules, name)).unwrap_or(name)
        };
        self.rules.push(Rule { name, kind });
        Ok(())
    }
}
