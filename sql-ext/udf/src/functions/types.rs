//! Which arrow types an argument of the catalog takes, and how a call is checked when it is planned.

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion_common::{Result, plan_err};
use datafusion_expr::{Signature, TypeSignature, Volatility};
use skewless_catalog::function::{Function, signature};
use skewless_catalog::{Arg, Type};

/// The arrow type that values of a catalog type have in a result, and as an argument before the catalog reads them.
pub(super) fn arrow_type(data_type: Type) -> DataType {
    let list = |item| DataType::List(Field::new_list_field(item, true).into());
    match data_type {
        Type::Float64 | Type::Float64OrText => DataType::Float64,
        Type::Int64 | Type::Int64OrText => DataType::Int64,
        Type::Boolean => DataType::Boolean,
        Type::Text => DataType::Utf8,
        Type::Bytes => DataType::Binary,
        Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::Float64List => list(DataType::Float64),
        Type::TextList => list(DataType::Utf8),
        Type::Record(fields) => DataType::Struct(
            fields.iter().map(|(name, field)| Field::new(*name, arrow_type(*field), true)).collect::<Fields>(),
        ),
    }
}

/// The catalog type as which an array of an arrow type is read for an argument; `None` where the argument refuses it.
pub(super) fn reading(argument: Type, given: &DataType) -> Option<Type> {
    let items = |given: &DataType| match given {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => Some(item.data_type().clone()),
        _ => None,
    };
    let is_text = |given: &DataType| match given {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => values.is_string(),
        _ => false,
    };
    // An argument of two types reads NULL as the first of them.
    let is_one_type = !matches!(argument, Type::Float64OrText | Type::Int64OrText);
    let accepted = (given.is_null() && is_one_type)
        || match argument {
            Type::Float64 => given.is_numeric(),
            Type::Int64 => given.is_integer(),
            Type::Boolean => *given == DataType::Boolean,
            Type::Text => is_text(given),
            Type::Bytes => given.is_binary(),
            Type::Timestamp => matches!(given, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64),
            Type::Float64List => items(given).is_some_and(|item| item.is_numeric() || item.is_null()),
            Type::TextList => items(given).is_some_and(|item| is_text(&item) || item.is_null()),
            Type::Float64OrText => {
                return match given {
                    given if given.is_numeric() || given.is_null() => Some(Type::Float64),
                    given if is_text(given) || *given == DataType::Boolean => Some(Type::Text),
                    _ => None,
                };
            }
            Type::Int64OrText => {
                return match given {
                    given if given.is_integer() || given.is_null() => Some(Type::Int64),
                    given if is_text(given) => Some(Type::Text),
                    _ => None,
                };
            }
            Type::Record(_) => false,
        };
    accepted.then_some(argument)
}

/// The signature of a function: any types, since [`check`] says better what is wrong, and names for its arguments. The
/// exact types are there for `SHOW FUNCTIONS`; no coercion follows from them, because any types fit as they are.
pub(super) fn plan_signature(function: &dyn Function) -> Signature {
    let args = function.args();
    let required = args.iter().filter(|arg| arg.default.is_none()).count();
    let mut forms: Vec<TypeSignature> = (required..=args.len()).map(TypeSignature::Any).collect();
    forms.push(TypeSignature::Exact(args.iter().take(required).map(|arg| arrow_type(arg.data_type)).collect()));
    let signature = Signature::one_of(forms, Volatility::Immutable);
    let names: Vec<&str> = args.iter().map(|arg| arg.name).collect();
    // The names are as many as the longest form has arguments, and different: `names_and_types_are_right` tests it.
    signature.clone().with_parameter_names(names).unwrap_or(signature)
}

/// Refuses a call with arguments of the wrong number or types.
pub(super) fn check(function: &dyn Function, given: &[DataType]) -> Result<()> {
    let args = function.args();
    let required = args.iter().filter(|arg| arg.default.is_none()).count();
    if given.len() < required || given.len() > args.len() {
        let (name, usage) = (function.name(), signature(function));
        return plan_err!("{name} was called with {} arguments; write {usage}", given.len());
    }
    for (arg, given) in args.iter().zip(given) {
        if reading(arg.data_type, given).is_none() {
            let (name, argument, expected) = (function.name(), arg.name, arg.data_type);
            let shown = shown(given);
            return plan_err!(
                "{name}: argument `{argument}` has to be {expected}, but is {shown}; {}",
                remedy(arg, given)
            );
        }
    }
    Ok(())
}

/// The name that SQL has for an arrow type, where it has one.
fn shown(given: &DataType) -> String {
    match given {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, Some(zone)) => format!("TIMESTAMP in {zone}"),
        other => other.to_string(),
    }
}

fn remedy(arg: &Arg, given: &DataType) -> String {
    match (arg.data_type, given) {
        (Type::Float64List, _) => "write a list, such as [0.0, 10.0]".to_owned(),
        (Type::TextList, _) => "write a list, such as ['a', 'b']".to_owned(),
        (Type::Timestamp, given) if given.is_string() => "write TIMESTAMP '…', or CAST(… AS TIMESTAMP)".to_owned(),
        (Type::Boolean, given) if given.is_string() => format!("write a condition, such as {} = 'yes'", arg.name),
        (Type::Boolean, _) => format!("write a condition, such as {} = 1", arg.name),
        (expected @ (Type::Float64 | Type::Int64 | Type::Text), _) => format!("write CAST(… AS {expected})"),
        (Type::Int64OrText, _) => "write CAST(… AS VARCHAR)".to_owned(),
        _ => "pass another column".to_owned(),
    }
}
