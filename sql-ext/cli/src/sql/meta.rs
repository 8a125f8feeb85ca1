//! The shell's own commands, which start with a backslash.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use datafusion::catalog::TableProvider;
use skewless_sql::SkewlessContext;

/// The functions that stand in FROM.
pub(super) const RELATIONS: &[&str] = &[
    "ml_training_set",
    "ml_label_set",
    "ml_time_split",
    "ml_group_split",
    "ml_stratified_split",
    "ml_check_leakage",
    "ml_predict",
];

/// One command.
pub(super) struct MetaCommand {
    pub(super) name: &'static str,
    argument: &'static str,
    help: &'static str,
}

/// Every command, in the order of the help.
pub(super) const COMMANDS: &[MetaCommand] = &[
    MetaCommand { name: "\\d", argument: "[NAME]", help: "tables, feature views and models; or the columns of one" },
    MetaCommand { name: "\\df", argument: "[NAME]", help: "functions of the catalog, or what one does" },
    MetaCommand { name: "\\i", argument: "FILE", help: "run the statements of a file" },
    MetaCommand { name: "\\format", argument: "FORMAT", help: "print rows as table, json, csv or ndjson" },
    MetaCommand { name: "\\timing", argument: "", help: "show or hide how long a statement took" },
    MetaCommand { name: "\\?", argument: "", help: "this help" },
    MetaCommand { name: "\\q", argument: "", help: "leave (so does Ctrl-D)" },
];

/// What the shell is to do next.
pub(super) enum Action {
    Quit,
    Print(String),
    /// Run these statements.
    Run(String),
    Format(String),
    Timing,
}

/// Whether a line is what people type to leave other shells.
pub(super) fn leaves(line: &str) -> bool {
    matches!(line.trim().trim_end_matches(';').trim_end(), "exit" | "quit")
}

/// Reads a line that starts with a backslash.
pub(super) fn parse(line: &str, context: &SkewlessContext) -> Result<Action> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim();
    Ok(match name {
        "\\q" => Action::Quit,
        "\\?" => Action::Print(help()),
        "\\timing" => Action::Timing,
        "\\format" => Action::Format(argument.to_owned()),
        "\\i" if argument.is_empty() => bail!("\\i takes the name of a file"),
        "\\i" => Action::Run(
            std::fs::read_to_string(Path::new(argument)).map_err(|error| anyhow::anyhow!("{argument}: {error}"))?,
        ),
        "\\d" if argument.is_empty() => Action::Run(list(context)),
        "\\d" => Action::Run(describe(argument, context)),
        "\\df" => Action::Print(crate::functions::text((!argument.is_empty()).then_some(argument))?),
        other => bail!(
            "there is no command `{other}`{}; \\? lists them",
            skewless_catalog::suggest::did_you_mean(other, COMMANDS.iter().map(|command| command.name))
        ),
    })
}

fn help() -> String {
    let mut help = String::from("Statements end with a semicolon. Tab completes, Ctrl-C cancels.\n");
    for command in COMMANDS {
        let _ = writeln!(help, "  {:<8} {:<9} {}", command.name, command.argument, command.help);
    }
    help
}

/// The statements that list what there is.
fn list(context: &SkewlessContext) -> String {
    let mut text = String::from(
        "SELECT table_name AS table, table_type AS type FROM information_schema.tables \
         WHERE table_schema <> 'information_schema' ORDER BY 1;",
    );
    if !context.views().names().is_empty() {
        text.push_str("SHOW FEATURE VIEWS;");
    }
    if !context.models().names().is_empty() {
        text.push_str("SHOW MODELS;");
    }
    text
}

fn describe(name: &str, context: &SkewlessContext) -> String {
    if context.models().names().iter().any(|model| model.eq_ignore_ascii_case(name)) {
        format!("DESCRIBE MODEL {name};")
    } else if context.views().names().iter().any(|view| view.eq_ignore_ascii_case(name)) {
        format!("DESCRIBE FEATURE VIEW {name};")
    } else {
        format!("DESCRIBE {name};")
    }
}

/// The tables of the session by name; a table that cannot be opened comes without its provider.
pub(super) async fn tables(context: &SkewlessContext) -> Vec<(String, Option<Arc<dyn TableProvider>>)> {
    let session = context.session();
    let mut tables = Vec::new();
    for catalog in session.catalog_names().iter().filter_map(|name| session.catalog(name)) {
        for schema_name in catalog.schema_names().iter().filter(|name| *name != "information_schema") {
            let Some(schema) = catalog.schema(schema_name) else { continue };
            for name in schema.table_names() {
                let provider = schema.table(&name).await.ok().flatten();
                tables.push((name, provider));
            }
        }
    }
    tables
}
