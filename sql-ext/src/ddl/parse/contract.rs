//! The grammar of CREATE CONTRACT: the columns and constraints of CREATE TABLE, and DRIFT.

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{ColumnDef, ColumnOptionDef, DataType};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use super::{close, expect_word, expected, is_word, name, open, sql, text, word};
use crate::contract::{Base, CreateContract, Door, DriftPromise};

const DRIFT: &str = "DRIFT (column [USING metric] [ALPHA p]) < limit FROM (SELECT …)";

/// What stands after CREATE [OR REPLACE] CONTRACT.
pub(super) fn create_contract(parser: &mut Parser<'_>, or_replace: bool, text: String) -> Result<CreateContract> {
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = name(parser, "the name of the contract")?;
    let view = view(parser)?;
    if !parser.consume_token(&Token::LParen) {
        return expected(
            parser,
            "ON FEATURE VIEW name or `(`, as in `CREATE CONTRACT name (column TYPE [NOT NULL] [UNIQUE] [CHECK (…)], …)`",
        );
    }
    let (mut columns, mut constraints, mut drifts) = (Vec::new(), Vec::new(), Vec::new());
    if parser.peek_token_ref().token != Token::RParen {
        loop {
            if let Some(drift) = drift(parser, &text)? {
                drifts.push(drift);
            } else if let Some(constraint) = parser.parse_optional_table_constraint().map_err(sql)? {
                constraints.push(constraint);
            } else if let Token::Word(_) = parser.peek_token_ref().token {
                columns.push(column(parser)?);
            } else {
                return expected(parser, "the name of a column, CHECK (…), UNIQUE (…), PRIMARY KEY (…) or DRIFT (…)");
            }
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
    }
    close(parser)?;
    let door = door(parser, view)?;
    Ok(CreateContract { name, or_replace, if_not_exists, columns, constraints, drifts, door, text })
}

/// `ON FEATURE VIEW name`.
fn view(parser: &mut Parser<'_>) -> Result<Option<String>> {
    if !word(parser, "ON") {
        return Ok(None);
    }
    let what = "FEATURE VIEW, as in `ON FEATURE VIEW name`";
    expect_word(parser, "FEATURE", what)?;
    expect_word(parser, "VIEW", what)?;
    name(parser, "the name of a feature view").map(Some)
}

/// `[NOT] ENFORCED`, as SQL has it of constraints.
fn door(parser: &mut Parser<'_>, view: Option<String>) -> Result<Option<Door>> {
    let is_counted = is_word(&parser.peek_nth_token_ref(0).token, "NOT");
    if is_counted {
        parser.next_token();
        expect_word(parser, "ENFORCED", "ENFORCED, as in `NOT ENFORCED`")?;
    }
    let is_said = is_counted || word(parser, "ENFORCED");
    match view {
        None if is_said => plan_err!(
            "only a contract of requests is enforced or not; write CREATE CONTRACT name ON FEATURE VIEW view (…), or leave \
             [NOT] ENFORCED out"
        ),
        view => Ok(view.map(|view| Door { view, is_enforced: !is_counted })),
    }
}

/// A column, whose type may be left out.
fn column(parser: &mut Parser<'_>) -> Result<ColumnDef> {
    let has_type = match &parser.peek_nth_token_ref(1).token {
        Token::Comma | Token::RParen => false,
        Token::Word(Word { keyword, quote_style: None, .. }) => !matches!(
            keyword,
            Keyword::CONSTRAINT | Keyword::NOT | Keyword::NULL | Keyword::UNIQUE | Keyword::PRIMARY | Keyword::CHECK
        ),
        _ => true,
    };
    if has_type {
        return parser.parse_column_def().map_err(sql);
    }
    let name = parser.parse_identifier().map_err(sql)?;
    let mut options = Vec::new();
    loop {
        let given = if parser.parse_keyword(Keyword::CONSTRAINT) {
            Some(parser.parse_identifier().map_err(sql)?)
        } else {
            None
        };
        match parser.parse_optional_column_option().map_err(sql)? {
            Some(option) => options.push(ColumnOptionDef { name: given, option }),
            None if given.is_some() => return expected(parser, "NOT NULL, UNIQUE, PRIMARY KEY or CHECK (…)"),
            None => break,
        }
    }
    Ok(ColumnDef { name, data_type: DataType::Unspecified, options })
}

/// `[CONSTRAINT name] DRIFT (…) < limit FROM …`, if it stands here; a column may be named drift.
fn drift(parser: &mut Parser<'_>, statement: &str) -> Result<Option<DriftPromise>> {
    let at = |n: usize| parser.peek_nth_token_ref(n).token.clone();
    let is_named = is_word(&at(0), "CONSTRAINT");
    let start = if is_named { 2 } else { 0 };
    if !is_word(&at(start), "DRIFT") || at(start + 1) != Token::LParen {
        return Ok(None);
    }
    let given =
        if parser.parse_keyword(Keyword::CONSTRAINT) { Some(parser.parse_identifier().map_err(sql)?) } else { None };
    expect_word(parser, "DRIFT", DRIFT)?;
    open(parser, DRIFT)?;
    let column = name(parser, "the name of a column")?;
    let mut metric = None;
    let mut alpha = None;
    loop {
        if metric.is_none() && word(parser, "USING") {
            metric = Some(name(parser, "the name of a metric, such as psi")?.to_lowercase());
        } else if alpha.is_none() && word(parser, "ALPHA") {
            alpha = Some(number(parser, "a share between 0 and 1, as in `ALPHA 0.01`")?);
        } else {
            break;
        }
    }
    if !parser.consume_token(&Token::RParen) {
        return expected(parser, &format!("USING metric, ALPHA p or `)`, as in `{DRIFT}`"));
    }
    if !parser.consume_token(&Token::Lt) {
        return expected(parser, &format!("`<`, as in `{DRIFT}`"));
    }
    let effect = number(parser, &format!("a limit, as in `{DRIFT}`"))?;
    if !parser.parse_keyword(Keyword::FROM) {
        return expected(parser, &format!("FROM (SELECT …), or FROM X'…' with a profile, as in `{DRIFT}`"));
    }
    let base = base(parser, statement)?;
    Ok(Some(DriftPromise { name: given, column, metric, alpha, effect, base }))
}

fn base(parser: &mut Parser<'_>, statement: &str) -> Result<Base> {
    if let Token::HexStringLiteral(digits) = &parser.peek_token_ref().token {
        let digits = digits.clone();
        parser.next_token();
        return bytes(&digits).map(Base::Profile);
    }
    let place = |parser: &Parser<'_>| statement.len().saturating_sub(text(parser).len());
    let start = place(parser);
    open(parser, "FROM (SELECT …)")?;
    let query = parser.parse_query().map_err(sql)?;
    if parser.peek_token_ref().token != Token::RParen {
        return expected(parser, "`)` after the query of the base");
    }
    let end = place(parser) + 1;
    close(parser)?;
    Ok(Base::Query { query, at: start..end })
}

fn bytes(digits: &str) -> Result<Vec<u8>> {
    let digit = |c: &u8| char::from(*c).to_digit(16);
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
        _ => None,
    });
    let Some(bytes) = pairs.collect() else {
        return plan_err!("X'…' holds two hexadecimal digits for each byte, and this one holds {} signs", digits.len());
    };
    Ok(bytes)
}

fn number(parser: &mut Parser<'_>, what: &str) -> Result<f64> {
    if let Token::Number(digits, _) = &parser.peek_token_ref().token
        && let Ok(number) = digits.parse()
    {
        parser.next_token();
        return Ok(number);
    }
    expected(parser, what)
}
