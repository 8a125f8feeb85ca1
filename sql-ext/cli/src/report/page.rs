//! The page that every report is written as: one file, with nothing to be fetched.

use crate::plot::{STYLE, escape};

/// A page of a title and what is under it.
pub(super) fn page(title: &str, body: &str) -> String {
    let lower = title.to_lowercase();
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Skewless: {lower}</title>\n\
         <style>{STYLE}</style>\n<h1>{title}</h1>\n{body}"
    )
}

/// A number in few digits; nothing where there is none.
pub(super) fn shown(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| {
        if value != 0.0 && value.abs() < 1e-3 { format!("{value:.1e}") } else { format!("{value:.4}") }
    })
}

/// A table whose last column is a verdict.
pub(super) struct Table<'a> {
    /// Names of columns, and whether they are of numbers.
    columns: &'a [(&'a str, bool)],
    rows: String,
}

impl<'a> Table<'a> {
    pub(super) fn new(columns: &'a [(&'a str, bool)]) -> Self {
        Self { columns, rows: String::new() }
    }

    /// Adds a row, and whether what it says is well.
    pub(super) fn row(&mut self, holds: Option<bool>, cells: &[&str]) {
        self.rows.push_str(match holds {
            Some(true) => "<tr class=\"holds\">",
            Some(false) => "<tr class=\"differs\">",
            None => "<tr>",
        });
        for ((_, is_number), cell) in self.columns.iter().zip(cells) {
            self.rows.push_str(if *is_number { "<td class=\"n\">" } else { "<td>" });
            self.rows.push_str(&escape(cell));
        }
        self.rows.push('\n');
    }

    pub(super) fn html(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| escape(name)).collect();
        format!("<table><tr><th>{}\n{}</table>\n", names.join("<th>"), self.rows)
    }
}
