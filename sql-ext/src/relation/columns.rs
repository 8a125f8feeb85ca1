//! The columns of a query among the arguments of a function in FROM.

use std::collections::HashSet;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, Result, plan_err};
use skewless_catalog::suggest::did_you_mean;

/// The column `name` of the query in `argument`: its place, itself and its type; `what` says what it is for.
pub(crate) fn find<'a>(
    function: &str,
    argument: &str,
    schema: &'a DFSchema,
    name: &str,
    what: &str,
) -> Result<(usize, Column, &'a DataType)> {
    let mut found = schema.iter().enumerate().filter(|(_, (_, field))| field.name() == name);
    match (found.next(), found.next()) {
        (Some((index, (qualifier, field))), None) => Ok((index, Column::from((qualifier, field)), field.data_type())),
        (Some(_), Some(_)) => plan_err!("{function}: `{argument}` has two columns named `{name}`; name them apart"),
        (None, _) => {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            plan_err!(
                "{function}: `{argument}` has no column `{name}`, {what}{}; it has {}",
                did_you_mean(name, names.iter().copied()),
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

/// Refuses a query with two columns of one name, or with a column of a name that the function adds.
pub(crate) fn refuse_clash(function: &str, argument: &str, schema: &DFSchema, added: &[String]) -> Result<()> {
    let mut seen = HashSet::new();
    for field in schema.fields() {
        let name = field.name();
        if added.contains(name) {
            return plan_err!(
                "{function}: `{argument}` has a column `{name}`, which {function} adds; rename it: {name} AS {name}_before"
            );
        }
        if !seen.insert(name) {
            return plan_err!("{function}: `{argument}` has two columns named `{name}`; name them apart");
        }
    }
    Ok(())
}
