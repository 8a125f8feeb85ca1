//! `--format csv`: RFC 4180 with `\n` line ends. NULL is an empty field and an empty string is `""`, so they stay apart.

use std::io::Write;

use anyhow::Result;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::Rows;
use super::cell::{Column, Style};

pub(super) struct Csv;

impl Rows for Csv {
    fn start(&mut self, schema: &SchemaRef, out: &mut dyn Write) -> Result<()> {
        let mut line = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                line.push(b',');
            }
            quoted(field.name().as_bytes(), &mut line);
        }
        line.push(b'\n');
        Ok(out.write_all(&line)?)
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let columns =
            batch.columns().iter().map(|array| Column::new(array, Style::Text)).collect::<Result<Vec<_>>>()?;
        let (mut line, mut cell) = (Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            line.clear();
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    line.push(b',');
                }
                if !column.is_null(row) {
                    cell.clear();
                    column.text(row, &mut cell);
                    quoted(&cell, &mut line);
                }
            }
            // A line of one NULL would read as no row at all to some readers, but any other text would not be NULL.
            line.push(b'\n');
            out.write_all(&line)?;
        }
        Ok(())
    }

    fn end(&mut self, _out: &mut dyn Write) -> Result<()> {
        Ok(())
    }
}

/// Appends a field, quoted where it has to be.
fn quoted(field: &[u8], line: &mut Vec<u8>) {
    let plain = !field.is_empty()
        && !field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'))
        && !field.starts_with(b" ")
        && !field.ends_with(b" ");
    if plain {
        line.extend_from_slice(field);
        return;
    }
    line.push(b'"');
    for byte in field {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::quoted;

    fn text(field: &str) -> String {
        let mut line = Vec::new();
        quoted(field.as_bytes(), &mut line);
        String::from_utf8(line).unwrap_or_default()
    }

    #[test]
    fn a_field_is_quoted_only_where_a_reader_would_misread_it() {
        assert_eq!(text("SEA"), "SEA");
        assert_eq!(text(""), "\"\"");
        assert_eq!(text("a,b"), "\"a,b\"");
        assert_eq!(text("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(text(" padded"), "\" padded\"");
        assert_eq!(text("two\nlines"), "\"two\nlines\"");
    }
}
