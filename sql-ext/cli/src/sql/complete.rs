//! Completion in the shell: keywords, functions, tables, columns, feature views and models.

use std::collections::BTreeSet;

use rustyline::Helper;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use skewless_sql::SkewlessContext;

use super::meta;
use super::text::is_ended;

const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "ASOF JOIN",
    "AVAILABLE AT",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "COUNT",
    "CREATE",
    "CREATE EXTERNAL TABLE",
    "CREATE FEATURE VIEW",
    "CREATE MODEL",
    "CREATE OR REPLACE MODEL",
    "CREATE TABLE",
    "CREATE VIEW",
    "CROSS JOIN",
    "DESC",
    "DESCRIBE",
    "DESCRIBE MODEL",
    "DISTINCT",
    "DROP FEATURE VIEW",
    "DROP MODEL",
    "DROP TABLE",
    "DROP VIEW",
    "ELSE",
    "END",
    "ENTITY",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "FALSE",
    "FILTER",
    "FROM",
    "FULL JOIN",
    "GROUP BY",
    "HAVING",
    "IN",
    "INNER JOIN",
    "INSERT INTO",
    "INTERSECT",
    "INTERVAL",
    "IS NULL",
    "JOIN",
    "LEFT JOIN",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "MATCH_CONDITION",
    "NOT",
    "NULL",
    "NULLS FIRST",
    "NULLS LAST",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "ORDER BY",
    "OVER",
    "PARTITION BY",
    "RANGE",
    "RIGHT JOIN",
    "ROWS",
    "SELECT",
    "SET",
    "SHOW",
    "SHOW FEATURE VIEWS",
    "SHOW FUNCTIONS",
    "SHOW MODELS",
    "SHOW TABLES",
    "STORED AS",
    "THEN",
    "TIE BREAK",
    "TIMESTAMP",
    "TRUE",
    "TTL",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// What the line editor asks while a line is typed.
pub(super) struct Assistant {
    words: BTreeSet<String>,
    files: FilenameCompleter,
}

impl Assistant {
    pub(super) fn new() -> Self {
        Self { words: BTreeSet::new(), files: FilenameCompleter::new() }
    }

    /// Learns the names that there are now.
    pub(super) async fn learn(&mut self, context: &SkewlessContext) {
        self.words.clear();
        let session = context.session();
        let state = session.state();
        self.words.extend(state.scalar_functions().keys().cloned());
        self.words.extend(state.aggregate_functions().keys().cloned());
        self.words.extend(state.window_functions().keys().cloned());
        self.words.extend(state.table_functions().keys().cloned());
        self.words.extend(meta::RELATIONS.iter().map(ToString::to_string));
        for (name, provider) in meta::tables(context).await {
            if let Some(provider) = provider {
                self.words.extend(provider.schema().fields().iter().map(|field| field.name().clone()));
            }
            self.words.insert(name);
        }
        self.words.extend(context.models().names());
        self.words.extend(context.views().names());
    }

    /// The words that continue what was typed, in the case in which it was typed.
    fn candidates(&self, prefix: &str) -> Vec<String> {
        if prefix.is_empty() {
            return Vec::new();
        }
        let lower = prefix.to_lowercase();
        let shouting = prefix.chars().any(char::is_uppercase) && !prefix.chars().any(char::is_lowercase);
        let names = self.words.iter().filter(|word| word.to_lowercase().starts_with(&lower)).cloned();
        let keywords = KEYWORDS
            .iter()
            .filter(|keyword| keyword.to_lowercase().starts_with(&lower))
            .map(|keyword| if shouting { (*keyword).to_owned() } else { keyword.to_lowercase() });
        names.chain(keywords).collect()
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, ctx: &rustyline::Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..pos).unwrap_or_default();
        // In a string that names a place, files complete; in any other string, names of models and feature views do.
        let in_string = typed.matches('\'').count() % 2 == 1;
        let before = typed.rsplit_once('\'').map_or("", |(before, _)| before).trim_end().to_lowercase();
        if in_string && ["from", "location", "to"].iter().any(|word| before.ends_with(word)) {
            return self.files.complete(line, pos, ctx);
        }
        let start = typed
            .rfind(|character: char| !character.is_alphanumeric() && !matches!(character, '_' | '\\'))
            .map_or(0, |at| at + typed[at..].chars().next().map_or(1, char::len_utf8));
        let prefix = typed.get(start..).unwrap_or_default();
        if prefix.starts_with('\\') {
            let commands = meta::COMMANDS.iter().filter(|command| command.name.starts_with(prefix));
            return Ok((start, commands.map(|command| pair(command.name.to_owned())).collect()));
        }
        Ok((start, self.candidates(prefix).into_iter().map(pair).collect()))
    }
}

fn pair(text: String) -> Pair {
    Pair { display: text.clone(), replacement: text }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        if text.trim_start().starts_with('\\') || meta::leaves(text) || is_ended(text) {
            Ok(ValidationResult::Valid(None))
        } else {
            Ok(ValidationResult::Incomplete)
        }
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_complete_in_the_case_that_was_typed() {
        let mut assistant = Assistant::new();
        assistant.words.insert("selected_flights".into());
        assert_eq!(assistant.candidates("sel"), ["selected_flights", "select"]);
        assert_eq!(assistant.candidates("SEL"), ["selected_flights", "SELECT"]);
        assert!(assistant.candidates("").is_empty());
    }
}
