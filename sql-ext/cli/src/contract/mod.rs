//! `skewless contract`: infers a contract from data, imports one of another tool, and checks data against one.

mod check;
mod import;
mod infer;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, RecordBatch};
use datafusion::sql::sqlparser::keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER};
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use crate::Failure;

/// Infer or import data contracts, and check data against them
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Print a CREATE CONTRACT that the data keeps: a start, to be edited
    Infer(infer::Infer),
    /// Print the CREATE CONTRACT that says what a Great Expectations suite or a pandera schema says
    ///
    /// What has no counterpart is named with the reason on stderr, and in comments of the statement.
    Import(import::Import),
    /// Check every promise of a contract
    ///
    /// Exit code 0 when all hold, 3 when one is broken, 1 when none is broken but one cannot be decided.
    Check(check::Check),
}

/// Runs the subcommand.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Infer(args) => infer::run(args),
        Command::Import(args) => import::run(args),
        Command::Check(args) => check::run(args),
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).with_context(|| format!("the answer has no column {name}"))
}

/// A name as SQL writes it.
fn quoted(name: &str) -> String {
    let mut letters = name.chars();
    let starts = letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_');
    let is_plain = starts && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    // Words that would start a constraint where a column is expected, or that are no column in an expression.
    let is_reserved = match Token::make_word(name, None) {
        Token::Word(Word { keyword, .. }) => {
            [RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER, STARTS].iter().any(|words| words.contains(&keyword))
        }
        _ => true,
    };
    if is_plain && !is_reserved { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

const STARTS: &[Keyword] = &[
    Keyword::CONSTRAINT,
    Keyword::UNIQUE,
    Keyword::PRIMARY,
    Keyword::CHECK,
    Keyword::FOREIGN,
    Keyword::INDEX,
    Keyword::KEY,
    Keyword::NOT,
    Keyword::NULL,
    Keyword::CASE,
    Keyword::CAST,
];

/// A text as SQL writes it.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
