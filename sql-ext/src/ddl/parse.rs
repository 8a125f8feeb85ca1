//! The grammar of our own statements, over sqlparser's tokens.

mod contract;

use datafusion::common::{DataFusionError, plan_err};
use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{DataType, Expr, Ident, Query};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::contract::CreateContract;

/// One of our statements, parsed.
#[derive(Clone, Debug)]
pub(crate) enum Ddl {
    CreateFeatureView(Box<CreateFeatureView>),
    DropFeatureView { name: String, if_exists: bool },
    ShowFeatureViews,
    DescribeFeatureView { name: String },
    CreateModel(CreateModel),
    DropModel { name: String, if_exists: bool },
    ShowModels,
    DescribeModel { name: String },
    CreateContract(CreateContract),
    DropContract { name: String, if_exists: bool },
    ShowContracts,
    DescribeContract { name: String },
}

/// `CREATE [OR REPLACE] FEATURE VIEW [IF NOT EXISTS] name … AS SELECT …`.
#[derive(Clone, Debug)]
pub(crate) struct CreateFeatureView {
    pub(crate) name: String,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) form: Form,
    pub(crate) query: Box<Query>,
    /// The statement as it was written.
    pub(crate) text: String,
}

/// What stands between a feature view's name and its body.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one for each statement")]
pub(crate) enum Form {
    Recorded {
        /// Empty for NO ENTITY.
        entity: Vec<String>,
        timestamp: String,
        available_at: Option<String>,
        ttl: Option<Expr>,
        tie_break: Vec<String>,
    },
    OnDemand {
        inputs: Vec<(String, DataType)>,
    },
}

/// `CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name FROM 'location' [OPTIONS (key 'value', …)]`.
#[derive(Clone, Debug)]
pub(crate) struct CreateModel {
    pub(crate) name: String,
    pub(crate) or_replace: bool,
    pub(crate) if_not_exists: bool,
    pub(crate) from: String,
    /// In the order written, keys in lower case.
    pub(crate) options: Vec<(String, String)>,
}

/// Parses one statement if it is one of ours; otherwise `None`, with the parser where it was.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<Option<Ddl>> {
    let Some((statement, words)) = recognise(parser) else { return Ok(None) };
    let text = text(parser);
    for _ in 0..words {
        parser.next_token();
    }
    parse_rest(parser, statement, text).map(Some)
}

#[derive(Clone, Copy)]
enum Kind {
    CreateView { or_replace: bool },
    DropView,
    ShowViews,
    DescribeView,
    CreateModel { or_replace: bool },
    DropModel,
    ShowModels,
    DescribeModel,
    CreateContract { or_replace: bool },
    DropContract,
    ShowContracts,
    DescribeContract,
}

/// Which of our statements starts here, and how many words say so.
fn recognise(parser: &Parser<'_>) -> Option<(Kind, usize)> {
    let or_replace = || Kind::CreateView { or_replace: true };
    let forms: [(&[&str], Kind); 21] = [
        (&["CREATE", "OR", "REPLACE", "FEATURE", "VIEW"], or_replace()),
        (&["CREATE", "FEATURE", "VIEW"], Kind::CreateView { or_replace: false }),
        (&["DROP", "FEATURE", "VIEW"], Kind::DropView),
        (&["SHOW", "FEATURE", "VIEWS"], Kind::ShowViews),
        (&["DESCRIBE", "FEATURE", "VIEW"], Kind::DescribeView),
        (&["DESC", "FEATURE", "VIEW"], Kind::DescribeView),
        (&["SHOW", "FEATURE", "VIEW"], Kind::DescribeView),
        (&["CREATE", "OR", "REPLACE", "MODEL"], Kind::CreateModel { or_replace: true }),
        (&["CREATE", "MODEL"], Kind::CreateModel { or_replace: false }),
        (&["DROP", "MODEL"], Kind::DropModel),
        (&["SHOW", "MODELS"], Kind::ShowModels),
        (&["DESCRIBE", "MODEL"], Kind::DescribeModel),
        (&["DESC", "MODEL"], Kind::DescribeModel),
        (&["SHOW", "MODEL"], Kind::DescribeModel),
        (&["CREATE", "OR", "REPLACE", "CONTRACT"], Kind::CreateContract { or_replace: true }),
        (&["CREATE", "CONTRACT"], Kind::CreateContract { or_replace: false }),
        (&["DROP", "CONTRACT"], Kind::DropContract),
        (&["SHOW", "CONTRACTS"], Kind::ShowContracts),
        (&["DESCRIBE", "CONTRACT"], Kind::DescribeContract),
        (&["DESC", "CONTRACT"], Kind::DescribeContract),
        (&["SHOW", "CONTRACT"], Kind::DescribeContract),
    ];
    forms.into_iter().find_map(|(words, kind)| {
        let here = words.iter().enumerate().all(|(n, word)| is_word(&parser.peek_nth_token_ref(n).token, word));
        here.then_some((kind, words.len()))
    })
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(Word { value, quote_style: None, .. }) if value.eq_ignore_ascii_case(word))
}

/// What is left of the statement, as it was written but for spaces around it.
fn text(parser: &Parser<'_>) -> String {
    let mut text = String::new();
    for n in 0.. {
        match parser.peek_nth_token_no_skip(n).token {
            Token::EOF | Token::SemiColon => break,
            token => text.push_str(&token.to_string()),
        }
    }
    text.trim().to_owned()
}

fn parse_rest(parser: &mut Parser<'_>, statement: Kind, text: String) -> Result<Ddl> {
    Ok(match statement {
        Kind::CreateView { or_replace } => Ddl::CreateFeatureView(Box::new(create_view(parser, or_replace, text)?)),
        Kind::DropView => {
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            Ddl::DropFeatureView { name: name(parser, "the name of a feature view")?, if_exists }
        }
        Kind::ShowViews => Ddl::ShowFeatureViews,
        Kind::DescribeView => Ddl::DescribeFeatureView { name: name(parser, "the name of a feature view")? },
        Kind::CreateModel { or_replace } => Ddl::CreateModel(create_model(parser, or_replace)?),
        Kind::DropModel => {
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            Ddl::DropModel { name: name(parser, "the name of a model")?, if_exists }
        }
        Kind::ShowModels => Ddl::ShowModels,
        Kind::DescribeModel => Ddl::DescribeModel { name: name(parser, "the name of a model")? },
        Kind::CreateContract { or_replace } => {
            Ddl::CreateContract(contract::create_contract(parser, or_replace, text)?)
        }
        Kind::DropContract => {
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            Ddl::DropContract { name: name(parser, "the name of a contract")?, if_exists }
        }
        Kind::ShowContracts => Ddl::ShowContracts,
        Kind::DescribeContract => Ddl::DescribeContract { name: name(parser, "the name of a contract")? },
    })
}

fn create_view(parser: &mut Parser<'_>, or_replace: bool, text: String) -> Result<CreateFeatureView> {
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = name(parser, "the name of the feature view")?;
    let form = if word(parser, "ON") {
        expect_word(parser, "DEMAND", "DEMAND, as in `ON DEMAND (column TYPE, …)`")?;
        Form::OnDemand { inputs: inputs(parser)? }
    } else {
        recorded(parser)?
    };
    if !parser.parse_keyword(Keyword::AS) {
        let clauses = match form {
            Form::OnDemand { .. } => "AS SELECT …",
            Form::Recorded { .. } => "AVAILABLE AT (…), TTL INTERVAL '…', TIE BREAK (…) or AS SELECT …",
        };
        return expected(parser, clauses);
    }
    let query = parser.parse_query().map_err(sql)?;
    Ok(CreateFeatureView { name, or_replace, if_not_exists, form, query, text })
}

fn recorded(parser: &mut Parser<'_>) -> Result<Form> {
    let mut entity: Option<Vec<String>> = None;
    let mut timestamp: Option<String> = None;
    let mut available_at: Option<String> = None;
    let mut ttl: Option<Expr> = None;
    let mut tie_break: Option<Vec<String>> = None;
    loop {
        let start = parser.peek_token();
        let clause = if word(parser, "ENTITY") {
            ("ENTITY", entity.replace(names(parser, "ENTITY (column, …)")?).is_some())
        } else if word(parser, "NO") {
            expect_word(parser, "ENTITY", "ENTITY, as in `NO ENTITY`")?;
            ("ENTITY", entity.replace(Vec::new()).is_some())
        } else if word(parser, "TIMESTAMP") {
            ("TIMESTAMP", timestamp.replace(one(parser, "TIMESTAMP (column)")?).is_some())
        } else if word(parser, "AVAILABLE") {
            expect_word(parser, "AT", "AT, as in `AVAILABLE AT (column)`")?;
            ("AVAILABLE AT", available_at.replace(one(parser, "AVAILABLE AT (column)")?).is_some())
        } else if word(parser, "TTL") {
            ("TTL", ttl.replace(parser.parse_expr().map_err(sql)?).is_some())
        } else if word(parser, "TIE") {
            expect_word(parser, "BREAK", "BREAK, as in `TIE BREAK (column, …)`")?;
            ("TIE BREAK", tie_break.replace(names(parser, "TIE BREAK (column, …)")?).is_some())
        } else {
            break;
        };
        if let (clause, true) = clause {
            return plan_err!("the clause {clause} is given twice{}", start.span.start);
        }
    }
    let Some(entity) = entity else {
        return expected(parser, "ENTITY (column, …), NO ENTITY or ON DEMAND (column TYPE, …)");
    };
    let Some(timestamp) = timestamp else { return expected(parser, "TIMESTAMP (column)") };
    Ok(Form::Recorded { entity, timestamp, available_at, ttl, tie_break: tie_break.unwrap_or_default() })
}

fn inputs(parser: &mut Parser<'_>) -> Result<Vec<(String, DataType)>> {
    open(parser, "ON DEMAND (column TYPE, …)")?;
    let inputs = parser.parse_comma_separated(|p| Ok((p.parse_identifier()?, p.parse_data_type()?))).map_err(sql)?;
    close(parser)?;
    Ok(inputs.into_iter().map(|(ident, data_type)| (fold(ident), data_type)).collect())
}

fn create_model(parser: &mut Parser<'_>, or_replace: bool) -> Result<CreateModel> {
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = name(parser, "the name of the model")?;
    if !parser.parse_keyword(Keyword::FROM) {
        return expected(parser, "FROM 'location of a bundle or an ONNX file'");
    }
    let from = text_literal(parser, "the location of a bundle or an ONNX file in single quotes")?;
    let mut options = Vec::new();
    if word(parser, "OPTIONS") {
        open(parser, "OPTIONS (key 'value', …)")?;
        loop {
            let key = option_key(parser)?;
            let _optional = parser.consume_token(&Token::Eq);
            let value = option_value(parser)?;
            options.push((key.to_lowercase(), value));
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        close(parser)?;
    }
    Ok(CreateModel { name, or_replace, if_not_exists, from, options })
}

fn option_key(parser: &mut Parser<'_>) -> Result<String> {
    match parser.peek_token().token {
        Token::SingleQuotedString(key) => {
            parser.next_token();
            Ok(key)
        }
        Token::Word(Word { value, .. }) => {
            parser.next_token();
            Ok(value)
        }
        _ => expected(parser, "the name of an option"),
    }
}

fn option_value(parser: &mut Parser<'_>) -> Result<String> {
    match parser.peek_token().token {
        Token::SingleQuotedString(value) | Token::Number(value, _) => {
            parser.next_token();
            Ok(value)
        }
        Token::Word(Word { value, quote_style: None, .. })
            if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") =>
        {
            parser.next_token();
            Ok(value.to_lowercase())
        }
        _ => expected(parser, "a value: a text in single quotes, a number, true or false"),
    }
}

fn word(parser: &mut Parser<'_>, word: &str) -> bool {
    let here = is_word(&parser.peek_token_ref().token, word);
    if here {
        parser.next_token();
    }
    here
}

fn expect_word(parser: &mut Parser<'_>, expected_word: &str, what: &str) -> Result<()> {
    if word(parser, expected_word) { Ok(()) } else { expected(parser, what) }
}

fn open(parser: &mut Parser<'_>, what: &str) -> Result<()> {
    if parser.consume_token(&Token::LParen) { Ok(()) } else { expected(parser, &format!("`(`, as in `{what}`")) }
}

fn close(parser: &mut Parser<'_>) -> Result<()> {
    if parser.consume_token(&Token::RParen) { Ok(()) } else { expected(parser, "`,` or `)`") }
}

fn names(parser: &mut Parser<'_>, what: &str) -> Result<Vec<String>> {
    open(parser, what)?;
    let names = parser.parse_comma_separated(Parser::parse_identifier).map_err(sql)?;
    close(parser)?;
    Ok(names.into_iter().map(fold).collect())
}

fn one(parser: &mut Parser<'_>, what: &str) -> Result<String> {
    let start = parser.peek_token();
    let mut names = names(parser, what)?;
    if let (Some(name), true) = (names.pop(), names.is_empty()) {
        Ok(name)
    } else {
        plan_err!("one column is expected, as in `{what}`{}", start.span.start)
    }
}

fn name(parser: &mut Parser<'_>, what: &str) -> Result<String> {
    match parser.peek_token().token {
        Token::Word(_) => parser.parse_identifier().map(fold).map_err(sql),
        _ => expected(parser, what),
    }
}

fn text_literal(parser: &mut Parser<'_>, what: &str) -> Result<String> {
    match parser.peek_token().token {
        Token::SingleQuotedString(text) => {
            parser.next_token();
            Ok(text)
        }
        _ => expected(parser, what),
    }
}

/// An identifier as SQL folds it: lower case unless quoted.
pub(crate) fn fold(ident: Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value,
        None => ident.value.to_lowercase(),
    }
}

fn expected<T>(parser: &Parser<'_>, what: &str) -> Result<T> {
    let TokenWithSpan { token, span } = parser.peek_token();
    let found = match token {
        Token::EOF => "the end of the statement".to_owned(),
        token => format!("`{token}`"),
    };
    Err(sql(ParserError::ParserError(format!("expected {what}, found {found}{}", span.start))))
}

fn sql(error: ParserError) -> DataFusionError {
    DataFusionError::SQL(Box::new(error), None)
}
