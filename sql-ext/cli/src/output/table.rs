//! `--format table`: aligned columns, numbers to the right. A result is held back until it ends, since a column is as
//! wide as its widest value.

use std::io::Write;

use anyhow::Result;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use unicode_width::UnicodeWidthStr;

use super::Rows;
use super::cell::{Column, Style};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// The lines of a value; `None` is NULL.
type Cell = Option<Vec<String>>;

pub(super) struct Table {
    max_rows: Option<usize>,
    colour: bool,
    headers: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<Cell>>,
    total: usize,
}

impl Table {
    pub(super) fn new(max_rows: Option<usize>, colour: bool) -> Self {
        Self { max_rows, colour, headers: Vec::new(), right: Vec::new(), rows: Vec::new(), total: 0 }
    }
}

impl Rows for Table {
    fn start(&mut self, schema: &SchemaRef, _out: &mut dyn Write) -> Result<()> {
        self.headers = schema.fields().iter().map(|field| printable(field.name())).collect();
        self.right = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
        self.rows.clear();
        self.total = 0;
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, _out: &mut dyn Write) -> Result<()> {
        let room = self.max_rows.map_or(usize::MAX, |max| max.saturating_sub(self.rows.len()));
        let shown = batch.slice(0, room.min(batch.num_rows()));
        let columns =
            shown.columns().iter().map(|array| Column::new(array, Style::Text)).collect::<Result<Vec<_>>>()?;
        for row in 0..shown.num_rows() {
            let cells = columns.iter().map(|column| {
                if column.is_null(row) {
                    return None;
                }
                let mut text = Vec::new();
                column.text(row, &mut text);
                Some(String::from_utf8_lossy(&text).trim_end_matches('\n').split('\n').map(printable).collect())
            });
            self.rows.push(cells.collect());
        }
        self.total += batch.num_rows();
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> Result<()> {
        let width = |cell: &Cell| {
            cell.as_ref()
                .map_or("NULL".width(), |lines| lines.iter().map(|line| line.width()).max().unwrap_or_default())
        };
        let widths: Vec<usize> = self
            .headers
            .iter()
            .enumerate()
            .map(|(index, header)| {
                let cells = self.rows.iter().filter_map(|row| row.get(index)).map(width);
                cells.max().unwrap_or_default().max(header.width())
            })
            .collect();
        let mut line = String::new();
        for (index, (header, width)) in self.headers.iter().zip(&widths).enumerate() {
            line.push_str(if index > 0 { "| " } else { " " });
            let right = self.right.get(index).copied().unwrap_or_default();
            push_cell(&mut line, header, *width, right, self.colour.then_some(BOLD));
            line.push(' ');
        }
        writeln!(out, "{}", line.trim_end())?;
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
        writeln!(out, "{}", rule.join("+"))?;
        for row in &self.rows {
            let height = row.iter().flatten().map(Vec::len).max().unwrap_or_default().max(1);
            for at in 0..height {
                line.clear();
                for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                    line.push_str(if index > 0 { "| " } else { " " });
                    let right = self.right.get(index).copied().unwrap_or_default();
                    match cell {
                        Some(lines) => {
                            push_cell(&mut line, lines.get(at).map_or("", String::as_str), *width, right, None);
                        }
                        None if at == 0 => {
                            push_cell(&mut line, "NULL", *width, right, self.colour.then_some(DIM));
                        }
                        None => push_cell(&mut line, "", *width, right, None),
                    }
                    line.push(' ');
                }
                writeln!(out, "{}", line.trim_end())?;
            }
        }
        let hidden = self.total - self.rows.len();
        if hidden > 0 {
            writeln!(out, " … {hidden} more rows; --max-rows shows more")?;
        }
        self.rows.clear();
        Ok(())
    }
}

fn push_cell(line: &mut String, text: &str, width: usize, right: bool, colour: Option<&str>) {
    let padding = " ".repeat(width.saturating_sub(text.width()));
    if right {
        line.push_str(&padding);
    }
    match colour {
        Some(colour) => line.extend([colour, text, RESET]),
        None => line.push_str(text),
    }
    if !right {
        line.push_str(&padding);
    }
}

/// A line of a value, its control characters escaped: data must not steer the terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;

    fn print(max_rows: Option<usize>) -> String {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("Zürich"), None, Some("\x1b[31m\nb")]));
        let values: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN), None]));
        let batch = RecordBatch::try_from_iter([("name", names), ("x", values)]).unwrap();
        let (mut table, mut out) = (Table::new(max_rows, false), Vec::new());
        table.start(&batch.schema(), &mut out).unwrap();
        table.batch(&batch, &mut out).unwrap();
        table.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_align_and_control_characters_are_shown_not_sent() {
        let expected = [
            " name       |    x",
            "------------+------",
            " Zürich     |  1.5",
            " NULL       |  NaN",
            " \\u{1b}[31m | NULL",
            " b          |",
            "",
        ];
        assert_eq!(print(None), expected.join("\n"));
    }

    #[test]
    fn rows_beyond_the_limit_are_counted() {
        assert!(print(Some(1)).ends_with(" … 2 more rows; --max-rows shows more\n"));
    }
}
