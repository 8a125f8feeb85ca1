//! From the statement to the contract: its columns and rules.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    CheckConstraint, ColumnDef, ColumnOption, DataType, Expr as SqlExpr, Ident, TableConstraint, UniqueConstraint,
};

use crate::ddl::fold;

/// `CREATE [OR REPLACE] CONTRACT [IF NOT EXISTS] name (…)`, parsed.
#[derive(Clone, Debug)]
pub(crate) struct CreateContract {
    pub(crate) name: String,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<ColumnDef>,
    pub(crate) constraints: Vec<TableConstraint>,
    /// The statement as it was written.
    pub(crate) text: String,
}

/// What a table promises.
#[derive(Clone, Debug)]
pub struct Contract {
    /// Its name.
    pub name: String,
    /// The statement that made it.
    pub text: String,
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
}

/// Reads a statement.
pub(crate) fn define(statement: CreateContract) -> Result<Contract> {
    let CreateContract { name, columns, constraints, text, .. } = statement;
    let mut contract = Contract { name, text, columns: Vec::new(), rules: Vec::new() };
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
                return plan_err!("a contract takes UNIQUE (…), PRIMARY KEY (…) and CHECK (…), not `{other}`");
            }
        }
    }
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
