//! Prints results: one writer per `--format`, all over the same cell encoders, to stdout or to a file that appears whole.
//! `sql` prints query results through [`Sink`]; the other subcommands print their lists as a [`Format::Table`].

mod cell;
mod csv;
mod json;
mod parquet;
mod table;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tempfile::NamedTempFile;

pub(crate) use json::records;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns for people
    Table,
    /// One array of objects per result
    Json,
    /// RFC 4180, a header line first; NULL is an empty field, an empty string is ""
    Csv,
    /// One object a row, keys in column order
    Ndjson,
    /// A Parquet file (needs --output)
    Parquet,
}

/// Writes the rows of one result after the other.
trait Rows {
    fn start(&mut self, schema: &SchemaRef, out: &mut dyn Write) -> Result<()>;
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()>;
    fn end(&mut self, out: &mut dyn Write) -> Result<()>;
}

/// Where results go.
enum Target {
    Stdout(io::BufWriter<io::Stdout>),
    /// Not a regular file (a pipe, a device): written in place.
    Stream(io::BufWriter<File>),
    /// Written beside its path and moved there when everything succeeded.
    File {
        writer: io::BufWriter<NamedTempFile>,
        path: PathBuf,
    },
}

impl Target {
    fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout(io::BufWriter::new(io::stdout()))) };
        if path.exists() && !path.is_file() {
            if path.is_dir() {
                bail!("cannot write to {}: it is a folder", path.display());
            }
            let file = File::options().write(true).open(path).with_context(|| cannot_write(path))?;
            return Ok(Self::Stream(io::BufWriter::new(file)));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(folder).with_context(|| cannot_write(path))?;
        Ok(Self::File { writer: io::BufWriter::new(file), path: path.to_owned() })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Stdout(writer) => writer,
            Self::Stream(writer) => writer,
            Self::File { writer, .. } => writer,
        }
    }

    fn finish(mut self) -> Result<()> {
        self.writer().flush()?;
        if let Self::File { writer, path } = self {
            let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            let file = file.persist(&path).map_err(|error| error.error).with_context(|| cannot_write(&path))?;
            // A temporary file is private to its owner; a result is an ordinary file.
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
            }
            drop(file);
        }
        Ok(())
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write to {}", path.display())
}

/// Prints results in order.
pub(crate) struct Sink {
    format: Format,
    rows: Box<dyn Rows + Send>,
    target: Target,
    results: usize,
}

impl Sink {
    /// `max_rows` is how many rows a table shows of each result; the other formats print them all.
    pub(crate) fn new(format: Format, path: Option<&Path>, max_rows: Option<usize>) -> Result<Self> {
        let colour = path.is_none() && colour(&io::stdout());
        let rows: Box<dyn Rows + Send> = match format {
            Format::Table => Box::new(table::Table::new(max_rows, colour)),
            Format::Json => Box::new(json::Json::array()),
            Format::Ndjson => Box::new(json::Json::lines()),
            Format::Csv => Box::new(csv::Csv),
            Format::Parquet => Box::new(parquet::Parquet::default()),
        };
        Ok(Self { format, rows, target: Target::open(path)?, results: 0 })
    }

    /// Whether rows reach stdout while the query runs.
    pub(crate) fn streams_to_stdout(&self) -> bool {
        matches!(self.target, Target::Stdout(_)) && self.format != Format::Table
    }

    pub(crate) fn start(&mut self, schema: &SchemaRef) -> Result<()> {
        if matches!(self.format, Format::Json | Format::Ndjson | Format::Parquet) {
            refuse_duplicate_names(schema)?;
        }
        if self.results > 0 {
            match self.format {
                Format::Table | Format::Csv => writeln!(self.target.writer())?,
                Format::Parquet => bail!("a Parquet file holds one result, and a second statement returns rows too"),
                Format::Json | Format::Ndjson => {}
            }
        }
        self.results += 1;
        self.rows.start(schema, self.target.writer())
    }

    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows.batch(batch, self.target.writer())
    }

    pub(crate) fn end(&mut self) -> Result<()> {
        self.rows.end(self.target.writer())?;
        self.target.writer().flush()?;
        Ok(())
    }

    /// Puts the output file in place. A sink that is dropped without this leaves no file behind.
    pub(crate) fn finish(self) -> Result<()> {
        self.target.finish()
    }
}

fn refuse_duplicate_names(schema: &SchemaRef) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    match schema.fields().iter().find(|field| !seen.insert(field.name().as_str())) {
        Some(field) => bail!("two columns of the result are called `{0}`; rename one: `… AS {0}_2`", field.name()),
        None => Ok(()),
    }
}

/// Whether `stream` shows colours: a terminal that is not dumb, and the user did not set `NO_COLOR`.
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether an error says that the reader of our output went away (`skewless … | head`).
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}
