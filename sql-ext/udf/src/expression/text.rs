//! Writes expressions as SQL text that is read back as exactly the same expression.
//!
//! DataFusion's own unparser writes for other databases: it drops types of literals, units of timestamps and
//! parentheses. This one writes fewer kinds of expression and every one of them exactly: all operators are
//! parenthesised, and a value whose type SQL has no literal for is written as `arrow_cast('text', 'Type')`.

use std::fmt::Write;
use std::sync::LazyLock;

use arrow::array::Array;
use arrow::datatypes::DataType;
use datafusion_common::datatype::DataTypeExt;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion_expr::expr::{Between, BinaryExpr, Case, Cast, InList, Like, TryCast};
use datafusion_expr::{Expr, Operator};
use datafusion_sql::sqlparser::keywords::ALL_KEYWORDS;

/// Makes expressions comparable: casts of constants become constants, `arrow_cast` calls become casts, and metadata of
/// literals is dropped.
pub(super) fn normalize(expr: Expr) -> Result<Expr> {
    expr.transform_up(|e| {
        Ok(match e {
            Expr::ScalarFunction(mut call) if matches!(call.func.name(), "arrow_cast" | "arrow_try_cast") => {
                let (Some(Expr::Literal(to, _)), Some(from)) = (call.args.pop(), call.args.pop()) else {
                    return plan_err!("`{}` takes a value and the name of a type", call.func.name());
                };
                let Some(Some(name)) = to.try_as_str() else {
                    return plan_err!("`{}` takes the name of a type as a constant string", call.func.name());
                };
                let data_type: DataType = name.parse()?;
                let field = data_type.into_nullable_field_ref();
                let from = Box::new(from);
                Transformed::yes(if call.func.name() == "arrow_cast" {
                    fold(Expr::Cast(Cast { expr: from, field }))
                } else {
                    Expr::TryCast(TryCast { expr: from, field })
                })
            }
            Expr::Cast(_) => Transformed::yes(fold(e)),
            Expr::Literal(value, Some(_)) => Transformed::yes(Expr::Literal(value, None)),
            other => Transformed::no(other),
        })
    })
    .map(|transformed| transformed.data)
}

/// A cast of a constant is that constant, where the cast succeeds.
fn fold(expr: Expr) -> Expr {
    if let Expr::Cast(Cast { expr: inner, field }) = &expr
        && let Expr::Literal(value, _) = inner.as_ref()
        && let Ok(cast) = value.cast_to(field.data_type())
    {
        return Expr::Literal(cast, None);
    }
    expr
}

/// Writes an expression as SQL text.
pub(super) fn write(expr: &Expr) -> Result<String> {
    let mut out = String::new();
    Writer { out: &mut out }.expr(expr)?;
    Ok(out)
}

/// Writes an identifier, quoted where SQL would read it as something else.
pub(crate) fn identifier(name: &str) -> String {
    static KEYWORDS: LazyLock<std::collections::HashSet<&str>> =
        LazyLock::new(|| ALL_KEYWORDS.iter().copied().collect());
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !KEYWORDS.contains(name.to_ascii_uppercase().as_str());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Writes a string constant.
pub(crate) fn string(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

struct Writer<'a> {
    out: &'a mut String,
}

impl Writer<'_> {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn list(&mut self, exprs: &[Expr]) -> Result<()> {
        for (i, expr) in exprs.iter().enumerate() {
            if i > 0 {
                self.put(", ");
            }
            self.expr(expr)?;
        }
        Ok(())
    }

    fn postfix(&mut self, expr: &Expr, text: &str) -> Result<()> {
        self.put("(");
        self.expr(expr)?;
        self.put(text);
        self.put(")");
        Ok(())
    }

    fn expr(&mut self, expr: &Expr) -> Result<()> {
        match expr {
            Expr::Column(column) => self.put(&identifier(&column.name)),
            Expr::Literal(value, _) => self.literal(value)?,
            Expr::Alias(alias) => self.expr(&alias.expr)?,
            Expr::BinaryExpr(binary) => {
                self.put("(");
                self.chain(binary)?;
                self.put(")");
            }
            Expr::Not(inner) => {
                self.put("(NOT ");
                self.postfix(inner, "")?;
                self.put(")");
            }
            Expr::Negative(inner) => {
                self.put("(- ");
                self.postfix(inner, "")?;
                self.put(")");
            }
            Expr::IsNull(inner) => self.postfix(inner, " IS NULL")?,
            Expr::IsNotNull(inner) => self.postfix(inner, " IS NOT NULL")?,
            Expr::IsTrue(inner) => self.postfix(inner, " IS TRUE")?,
            Expr::IsNotTrue(inner) => self.postfix(inner, " IS NOT TRUE")?,
            Expr::IsFalse(inner) => self.postfix(inner, " IS FALSE")?,
            Expr::IsNotFalse(inner) => self.postfix(inner, " IS NOT FALSE")?,
            Expr::IsUnknown(inner) => self.postfix(inner, " IS UNKNOWN")?,
            Expr::IsNotUnknown(inner) => self.postfix(inner, " IS NOT UNKNOWN")?,
            Expr::Like(like) => self.like(like, if like.case_insensitive { "ILIKE" } else { "LIKE" })?,
            Expr::SimilarTo(like) => self.like(like, "SIMILAR TO")?,
            Expr::Between(Between { expr, negated, low, high }) => {
                self.put("(");
                self.expr(expr)?;
                self.put(if *negated { " NOT BETWEEN " } else { " BETWEEN " });
                self.expr(low)?;
                self.put(" AND ");
                self.expr(high)?;
                self.put(")");
            }
            Expr::InList(InList { expr, list, negated }) => {
                self.put("(");
                self.expr(expr)?;
                self.put(if *negated { " NOT IN (" } else { " IN (" });
                self.list(list)?;
                self.put("))");
            }
            Expr::Case(Case { expr, when_then_expr, else_expr }) => {
                self.put("CASE");
                if let Some(operand) = expr {
                    self.put(" ");
                    self.expr(operand)?;
                }
                for (when, then) in when_then_expr {
                    self.put(" WHEN ");
                    self.expr(when)?;
                    self.put(" THEN ");
                    self.expr(then)?;
                }
                if let Some(otherwise) = else_expr {
                    self.put(" ELSE ");
                    self.expr(otherwise)?;
                }
                self.put(" END");
            }
            Expr::Cast(Cast { expr, field }) => self.cast("", expr, field.data_type())?,
            Expr::TryCast(TryCast { expr, field }) => self.cast("TRY_", expr, field.data_type())?,
            Expr::ScalarFunction(call) => {
                self.put(&identifier_of_function(call.func.name()));
                self.put("(");
                self.list(&call.args)?;
                self.put(")");
            }
            other => return plan_err!("`{other}` is not a scalar expression over columns"),
        }
        Ok(())
    }

    /// `a + b + c` without inner parentheses: a long chain must not nest as deep as it is long, and SQL reads operators
    /// of one kind from the left.
    fn chain(&mut self, binary: &BinaryExpr) -> Result<()> {
        let BinaryExpr { op, .. } = binary;
        let chains = matches!(op, Operator::Plus | Operator::Multiply | Operator::And | Operator::Or);
        let mut rest = vec![];
        let mut first = binary;
        while chains
            && let Expr::BinaryExpr(left) = first.left.as_ref()
            && left.op == *op
        {
            rest.push(first.right.as_ref());
            first = left;
        }
        self.expr(&first.left)?;
        rest.push(&first.right);
        for operand in rest.into_iter().rev() {
            write!(self.out, " {} ", operator(*op)?).map_err(fmt_error)?;
            self.expr(operand)?;
        }
        Ok(())
    }

    fn like(&mut self, like: &Like, word: &str) -> Result<()> {
        self.put("(");
        self.expr(&like.expr)?;
        self.put(if like.negated { " NOT " } else { " " });
        self.put(word);
        self.put(" ");
        self.expr(&like.pattern)?;
        if let Some(escape) = like.escape_char {
            self.put(" ESCAPE ");
            self.put(&string(&escape.to_string()));
        }
        self.put(")");
        Ok(())
    }

    fn cast(&mut self, kind: &str, expr: &Expr, data_type: &DataType) -> Result<()> {
        if let Some(name) = sql_type(data_type) {
            write!(self.out, "{kind}CAST(").map_err(fmt_error)?;
            self.expr(expr)?;
            write!(self.out, " AS {name})").map_err(fmt_error)
        } else {
            self.put(if kind.is_empty() { "arrow_cast(" } else { "arrow_try_cast(" });
            self.expr(expr)?;
            write!(self.out, ", {})", string(&data_type.to_string())).map_err(fmt_error)
        }
    }

    fn literal(&mut self, value: &ScalarValue) -> Result<()> {
        match value {
            ScalarValue::Null => self.put("NULL"),
            ScalarValue::Boolean(Some(true)) => self.put("TRUE"),
            ScalarValue::Boolean(Some(false)) => self.put("FALSE"),
            ScalarValue::Int64(Some(v)) => write!(self.out, "{v}").map_err(fmt_error)?,
            // The shortest text that is read back as the same double; always with a point or an exponent.
            ScalarValue::Float64(Some(v)) if v.is_finite() => write!(self.out, "{v:?}").map_err(fmt_error)?,
            ScalarValue::Utf8(Some(v)) => self.put(&string(v)),
            ScalarValue::List(list) if list.len() == 1 && !list.is_empty() && list.null_count() == 0 => {
                self.put("arrow_cast([");
                let elements = list.value(0);
                for i in 0..elements.len() {
                    if i > 0 {
                        self.put(", ");
                    }
                    self.literal(&widest(&ScalarValue::try_from_array(&elements, i)?)?)?;
                }
                write!(self.out, "], {})", string(&value.data_type().to_string())).map_err(fmt_error)?;
            }
            null if null.is_null() => {
                write!(self.out, "arrow_cast(NULL, {})", string(&null.data_type().to_string())).map_err(fmt_error)?;
            }
            other => {
                let ScalarValue::Utf8(Some(text)) = other.cast_to(&DataType::Utf8)? else {
                    return plan_err!("the constant {other} of type {} cannot be written", other.data_type());
                };
                let data_type = other.data_type();
                match sql_type(&data_type) {
                    Some(name) => write!(self.out, "CAST({} AS {name})", string(&text)),
                    None => write!(self.out, "arrow_cast({}, {})", string(&text), string(&data_type.to_string())),
                }
                .map_err(fmt_error)?;
            }
        }
        Ok(())
    }
}

/// The value in the type that an SQL literal of its kind has, so that a list of it can be written; exact.
fn widest(value: &ScalarValue) -> Result<ScalarValue> {
    let data_type = value.data_type();
    match data_type {
        DataType::UInt64 => Ok(value.clone()),
        _ if data_type.is_integer() => value.cast_to(&DataType::Int64),
        _ if data_type.is_floating() => value.cast_to(&DataType::Float64),
        DataType::Utf8View | DataType::LargeUtf8 => value.cast_to(&DataType::Utf8),
        _ => Ok(value.clone()),
    }
}

fn fmt_error(error: std::fmt::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Some function names (`left`, `right`, …) are also keywords; in call position SQL reads them as functions.
fn identifier_of_function(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { identifier(name) }
}

/// The SQL name of a type, where SQL has one that is read as exactly this type.
fn sql_type(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INTEGER UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8View => "VARCHAR",
        DataType::Date32 => "DATE",
        _ => return None,
    })
}

fn operator(op: Operator) -> Result<String> {
    match op {
        Operator::Eq
        | Operator::NotEq
        | Operator::Lt
        | Operator::LtEq
        | Operator::Gt
        | Operator::GtEq
        | Operator::Plus
        | Operator::Minus
        | Operator::Multiply
        | Operator::Divide
        | Operator::Modulo
        | Operator::And
        | Operator::Or
        | Operator::IsDistinctFrom
        | Operator::IsNotDistinctFrom
        | Operator::RegexMatch
        | Operator::RegexIMatch
        | Operator::RegexNotMatch
        | Operator::RegexNotIMatch
        | Operator::LikeMatch
        | Operator::ILikeMatch
        | Operator::NotLikeMatch
        | Operator::NotILikeMatch
        | Operator::BitwiseAnd
        | Operator::BitwiseOr
        | Operator::BitwiseShiftRight
        | Operator::BitwiseShiftLeft
        | Operator::StringConcat => Ok(op.to_string()),
        Operator::BitwiseXor => Ok("#".to_owned()),
        other => plan_err!("the operator {other} has no canonical form"),
    }
}
