//! `DataFrameSchema.to_json()` of pandera.
//!
//! Checks stand beside a column's other settings, or in its `checks`, by name or as a list, as pandera's versions have it.
//! As there, a column is NOT NULL and required unless it says otherwise, and NULL passes a check.

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::super::{quoted, text};
use super::draft::{Draft, Promise, between, in_list, literal, matches, sql_type};

/// Settings of a column that are no checks. Those of the second half say nothing of the data.
const SETTINGS: [&str; 14] = [
    "dtype",
    "nullable",
    "unique",
    "coerce",
    "required",
    "regex",
    "checks",
    "default",
    "parsers",
    "report_duplicates",
    "title",
    "description",
    "metadata",
    "name",
];

/// Settings of a check that say how a failure is told.
const OF_THE_REPORT: [&str; 6] = ["check_name", "error", "title", "description", "name", "n_failure_cases"];

pub(super) fn read(schema: &Value) -> Result<Draft> {
    let kind = schema.get("schema_type").and_then(Value::as_str).unwrap_or("dataframe");
    anyhow::ensure!(kind == "dataframe", "it is a schema of a {kind}, and a contract is of a data frame");
    let columns = schema.get("columns").and_then(Value::as_object).context("`columns` is no object")?;
    let mut draft = Draft::new("pandera", schema.get("name").and_then(Value::as_str));
    for (name, settings) in columns {
        let settings = settings.as_object().with_context(|| format!("the column `{name}` is no object"))?;
        column(name, settings, &mut draft);
    }
    keys(schema, columns, &mut draft);
    for (name, reason) in [
        ("strict", "a contract does not refuse columns that it does not name"),
        ("ordered", "a contract knows columns by name, not by place"),
        ("coerce", "a contract converts nothing"),
        ("dtype", "a contract has a type for each column"),
        ("checks", "a check of the whole data frame has no columns"),
        ("index", "a table has no index; reset it to columns"),
        ("add_missing_columns", "a contract changes nothing"),
        ("drop_invalid_rows", "a contract changes nothing"),
        ("parsers", "a contract converts nothing"),
    ] {
        if schema.get(name).is_some_and(|value| !says_nothing(value)) {
            draft.leave_out(&format!("{name} of the data frame"), reason);
        }
    }
    Ok(draft)
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn is_true(settings: &Map<String, Value>, name: &str, default: bool) -> bool {
    settings.get(name).and_then(Value::as_bool).unwrap_or(default)
}

fn column(name: &str, settings: &Map<String, Value>, draft: &mut Draft) {
    let what = format!("column {name}");
    if is_true(settings, "regex", false) {
        return draft.leave_out(&what, "its name is a pattern, and a contract names each column");
    }
    if !is_true(settings, "required", true) {
        return draft.leave_out(&what, "it may be missing, and a column of a contract has to be there");
    }
    draft.add(Promise::Column(name.to_owned()));
    match settings.get("dtype").and_then(Value::as_str) {
        None => {}
        Some(dtype) => match sql_type(dtype) {
            Some(data_type) => draft.add(Promise::Type(name.to_owned(), data_type)),
            None => draft.leave_out(&format!("dtype of {what}"), &format!("{dtype} has no counterpart")),
        },
    }
    let is_nullable = is_true(settings, "nullable", false);
    if !is_nullable {
        draft.add(Promise::NotNull(name.to_owned()));
    }
    if is_true(settings, "unique", false) {
        draft.add(Promise::Unique(vec![name.to_owned()]));
        if is_nullable {
            draft.remark(&format!("unique of {what}"), "NULLs are different from one another, and pandera's are equal");
        }
    }
    for (setting, reason) in [
        ("coerce", "a contract converts nothing"),
        ("default", "a contract fills nothing in"),
        ("parsers", "a contract converts nothing"),
    ] {
        if settings.get(setting).is_some_and(|value| !says_nothing(value)) {
            draft.leave_out(&format!("{setting} of {what}"), reason);
        }
    }
    for (check, value) in checks(settings) {
        let Some(check) = check else {
            draft.leave_out(&format!("a check of {what}"), "pandera has not written it; it is a function of its own");
            continue;
        };
        match condition(name, check, value) {
            Ok(condition) => draft.add(Promise::Check { name: format!("{name}_{check}"), condition }),
            Err(reason) => draft.leave_out(&format!("{check} of {what}"), &reason),
        }
    }
}

/// The checks of a column: the name of each, `None` where pandera has not written it, and its argument.
fn checks(settings: &Map<String, Value>) -> Vec<(Option<&str>, &Value)> {
    let mut checks = Vec::new();
    for (name, value) in settings {
        match (name.as_str(), value) {
            ("checks", Value::Null) => {
                // Older versions write every setting, and this one for columns without checks too.
                if !settings.contains_key("required") {
                    checks.push((None, value));
                }
            }
            ("checks", Value::Object(named)) => {
                checks.extend(named.iter().map(|(name, value)| (Some(name.as_str()), value)));
            }
            ("checks", Value::Array(listed)) => checks.extend(listed.iter().map(|check| {
                let name = check.get("options").and_then(|options| options.get("check_name")).and_then(Value::as_str);
                (name, check)
            })),
            (name, _) if SETTINGS.contains(&name) => {}
            (name, value) => checks.push((Some(name), value)),
        }
    }
    checks
}

/// The argument of a check: the value itself, or a member of it.
struct Argument<'a>(&'a Value);

impl<'a> Argument<'a> {
    /// `name` where there are several arguments; the value by itself, or as `value`, where there is one.
    fn get(&self, name: &str) -> Option<&'a Value> {
        match self.0 {
            Value::Object(members) => {
                members.get(name).or_else(|| members.get("value")).filter(|value| !value.is_null())
            }
            Value::Null => None,
            value => Some(value),
        }
    }

    fn member(&self, name: &str) -> Option<&'a Value> {
        let Value::Object(members) = self.0 else { return None };
        let nested = || members.get("value").and_then(|value| value.get(name));
        members.get(name).or_else(nested).filter(|value| !value.is_null())
    }

    fn literal(&self, name: &str) -> Result<String, String> {
        literal(self.get(name).ok_or_else(|| format!("it has no `{name}`"))?)
    }

    fn text(&self, name: &str) -> Result<&'a str, String> {
        self.get(name).and_then(Value::as_str).ok_or_else(|| format!("its `{name}` is no text"))
    }

    fn list(&self, name: &str) -> Result<&'a [Value], String> {
        let list = self.get(name).and_then(Value::as_array);
        list.map(Vec::as_slice).ok_or_else(|| format!("its `{name}` is no list"))
    }

    /// A setting of the check, beside its arguments or in its options.
    fn option(&self, name: &str) -> Option<bool> {
        let beside = self.0.get(name).or_else(|| self.0.get("options")?.get(name));
        beside.and_then(Value::as_bool)
    }

    /// Refuses settings that are not looked at.
    fn refuse_others(&self) -> Result<(), String> {
        if self.option("raise_warning") == Some(true) {
            return Err("it only warns".to_owned());
        }
        if self.option("ignore_na") == Some(false) {
            return Err("with `ignore_na` false, it depends on the type in pandas whether NULL fails".to_owned());
        }
        let known = |name: &&String| {
            OF_THE_REPORT.contains(&name.as_str()) || ["ignore_na", "raise_warning"].contains(&name.as_str())
        };
        let options = self.0.get("options").and_then(Value::as_object);
        match options.into_iter().flatten().find(|(name, value)| !known(name) && !says_nothing(value)) {
            Some((name, value)) => Err(format!("its option `{name}`, {value}, has no counterpart")),
            None => Ok(()),
        }
    }
}

fn condition(column: &str, check: &str, value: &Value) -> Result<String, String> {
    let argument = Argument(value);
    argument.refuse_others()?;
    let name = quoted(column);
    let compared = |sign: &str, member: &str| Ok::<_, String>(format!("{name} {sign} {}", argument.literal(member)?));
    let included = |member: &str| argument.member(member).and_then(Value::as_bool).unwrap_or(true);
    let bound = |member: &str, is_included: bool| {
        argument.member(member).map(|value| Ok::<_, String>((literal(value)?, is_included))).transpose()
    };
    let condition = match check {
        "equal_to" | "eq" => compared("=", "value")?,
        "not_equal_to" | "ne" => compared("<>", "value")?,
        "greater_than" | "gt" => compared(">", "min_value")?,
        "greater_than_or_equal_to" | "ge" => compared(">=", "min_value")?,
        "less_than" | "lt" => compared("<", "max_value")?,
        "less_than_or_equal_to" | "le" => compared("<=", "max_value")?,
        "in_range" | "between" => {
            let (low, high) =
                (bound("min_value", included("include_min"))?, bound("max_value", included("include_max"))?);
            between(&name, low, high).ok_or("it has no bounds")?
        }
        "isin" => in_list(&name, argument.list("allowed_values")?, false)?,
        "notin" => in_list(&name, argument.list("forbidden_values")?, true)?,
        // Python's match starts at the beginning of the text.
        "str_matches" => matches(&name, &format!("^(?:{})", argument.text("pattern")?))?,
        "str_contains" => matches(&name, argument.text("pattern")?)?,
        "str_startswith" => format!("starts_with({name}, {})", text(argument.text("string")?)),
        "str_endswith" => format!("ends_with({name}, {})", text(argument.text("string")?)),
        "str_length" => {
            let length = format!("character_length({name})");
            match argument.member("exact_value") {
                Some(exact) => format!("{length} = {}", literal(exact)?),
                None => {
                    between(&length, bound("min_value", true)?, bound("max_value", true)?).ok_or("it has no bounds")?
                }
            }
        }
        _ => return Err("it has no counterpart in a contract".to_owned()),
    };
    Ok(condition)
}

/// The columns that are unique together.
fn keys(schema: &Value, columns: &Map<String, Value>, draft: &mut Draft) {
    let names: Vec<String> = match schema.get("unique") {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return,
    };
    if names.is_empty() {
        return;
    }
    let may_be_null = |name: &String| {
        columns.get(name).and_then(Value::as_object).is_none_or(|column| is_true(column, "nullable", false))
    };
    if names.iter().any(may_be_null) {
        draft.remark(
            &format!("unique of {}", names.join(", ")),
            "rows with a NULL among these columns are different from all others, and pandera's NULLs are equal",
        );
    }
    draft.add(Promise::Unique(names));
}
