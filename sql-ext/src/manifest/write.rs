//! Writes a training set and the manifest beside it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::plan_err;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::file_format::format_as_file_type;
use datafusion::datasource::file_format::parquet::ParquetFormatFactory;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::dml::CopyTo;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::ParquetReadOptions;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::content::{self, content, sha256};
use super::error::ManifestError;
use super::record::{Column, Manifest, Model, Table, VERSION, View};
use super::source;
use crate::training::{Used, used};
use crate::{Outcome, Result, SkewlessContext};

/// A training set that is planned and not written yet.
#[derive(Debug)]
pub struct Writing {
    context: SkewlessContext,
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    copy: CopyTo,
    query: String,
    setup: Vec<String>,
    used: Used,
}

/// A training set that has been written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The manifest.
    pub manifest: Manifest,
    /// Where it is.
    pub location: String,
}

impl SkewlessContext {
    /// Plans to write the rows of the last statement of a text, a query over `ml_training_set`, to a Parquet file with
    /// a manifest beside it. The statements before it run now.
    pub async fn write_training_set(&self, text: &str, target: &str) -> Result<Writing> {
        if !Path::new(target).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet")) {
            return Err(ManifestError::NotParquet(target.to_owned()).into());
        }
        let mut statements = self.parse(text)?;
        let Some(last) = statements.pop() else {
            return Err(ManifestError::Query(
                "there is no statement to build from; give SELECT … FROM ml_training_set(…)".to_owned(),
            )
            .into());
        };
        let mut setup = Vec::new();
        for statement in statements {
            let text = statement.text().to_owned();
            if let Outcome::Rows(_) = self.run(statement).await? {
                return Err(ManifestError::Query(format!(
                    "a training set is the rows of one query, the last statement; make a view of the one before it, \
                     or leave it out: {text}"
                ))
                .into());
            }
            setup.push(text);
        }
        let query = last.text().to_owned();
        let Outcome::Rows(frame) = self.run(last).await? else {
            return Err(ManifestError::Query(format!(
                "the last statement is no query; end with SELECT … FROM ml_training_set(…): {query}"
            ))
            .into());
        };
        let used = used(frame.logical_plan())?;
        if used.sets == 0 {
            return Err(ManifestError::Query(
                "the query reads no training set; select FROM ml_training_set(…), or write other rows with COPY"
                    .to_owned(),
            )
            .into());
        }
        let copy = CopyTo::new(
            Arc::new(frame.logical_plan().clone()),
            target.to_owned(),
            Vec::new(),
            format_as_file_type(Arc::new(ParquetFormatFactory::new())),
            HashMap::new(),
        );
        crate::object_stores::register(self.session(), target)?;
        Writing::new(self, copy, query, setup, used).await
    }
}

impl Writing {
    async fn new(
        context: &SkewlessContext,
        copy: CopyTo,
        query: String,
        setup: Vec<String>,
        used: Used,
    ) -> Result<Self> {
        let frame = DataFrame::new(context.session().state(), LogicalPlan::Copy(copy.clone()));
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        Ok(Self { context: context.clone(), plan, task, copy, query, setup, used })
    }

    /// The plan that runs, for a caller that shows how far it is.
    pub fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.plan
    }

    /// Writes the training set, reads it back, and writes its manifest.
    pub async fn run(self) -> Result<Written> {
        let Self { context, plan, task, copy, query, setup, used } = self;
        let location = Manifest::location(&copy.output_url);
        // A manifest must not outlive its training set.
        source::remove(&context, &location).await?;
        let sources = source::sources(&context, &copy.input).await?;
        collect(plan, task).await?;

        let (columns, content) = stored(&context, &copy.output_url, &partitions(&copy)).await?;
        let texts: Vec<&str> = setup.iter().map(String::as_str).chain([query.as_str()]).collect();
        let views = used.views.iter().map(|name| view_record(&context, name)).collect::<Result<Vec<_>>>()?;
        let definitions: Vec<String> = views.iter().map(|(_, definition)| definition.clone()).collect();
        let mut manifest = Manifest {
            version: VERSION,
            created_by: Manifest::SOFTWARE.to_owned(),
            known_at: used.known_at.iter().cloned().collect(),
            models: models(&context, &texts)?,
            tables: tables(&context, &texts, &definitions).await?,
            views: views.into_iter().map(|(view, _)| view).collect(),
            sources,
            rows: content.rows,
            content: content.hash(columns.iter().map(|column| column.name.as_str())),
            columns,
            partitioned_by: copy.partition_by.clone(),
            setup,
            query,
            digest: String::new(),
        };
        manifest.digest = manifest.own_digest().map_err(external)?;
        source::write(&context, &location, manifest.to_text().map_err(external)?).await?;
        Ok(Written { manifest, location })
    }
}

fn external(error: serde_json::Error) -> datafusion::error::DataFusionError {
    datafusion::error::DataFusionError::External(Box::new(error))
}

/// Whether COPY writes a training set, which then gets a manifest: one of `ml_training_set`, to Parquet.
pub(crate) fn writes_training_set(copy: &CopyTo) -> DataFusionResult<bool> {
    Ok(copy.file_type.get_ext() == "parquet" && used(&copy.input)?.sets > 0)
}

/// Runs such a COPY; `text` is the statement.
pub(crate) async fn copied_query(context: &SkewlessContext, copy: CopyTo, text: &str) -> Result<Written> {
    let used = used(&copy.input)?;
    let Some(query) = query_of(text) else {
        return Ok(plan_err!("the query of COPY cannot be found in its text, which a manifest holds: {text}")?);
    };
    Writing::new(context, copy, query, Vec::new(), used).await?.run().await
}

/// What COPY copies: the text in its parentheses, or all of a table.
fn query_of(text: &str) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().ok()?;
    let solid: Vec<&TokenWithSpan> =
        tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).skip(1).collect();
    if solid.first()?.token != Token::LParen {
        let to = solid
            .iter()
            .position(|token| matches!(&token.token, Token::Word(word) if word.value.eq_ignore_ascii_case("to")))?;
        let name: String = solid.get(..to)?.iter().map(|token| token.token.to_string()).collect();
        return Some(format!("SELECT * FROM {name}"));
    }
    let open = tokens.iter().position(|token| token.token == Token::LParen)?;
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(crate::front::source(text, tokens.get(open + 1..at)?));
        }
    }
    None
}

/// The partition columns of a COPY with their types.
fn partitions(copy: &CopyTo) -> Vec<(String, arrow::datatypes::DataType)> {
    let schema = copy.input.schema();
    let typed = copy.partition_by.iter().filter_map(|name| {
        let field = schema.fields().iter().find(|field| field.name() == name)?;
        Some((name.clone(), field.data_type().clone()))
    });
    typed.collect()
}

/// A stored training set.
pub(super) async fn stored_frame(
    context: &SkewlessContext,
    target: &str,
    partitions: &[(String, arrow::datatypes::DataType)],
) -> Result<DataFrame> {
    crate::object_stores::register(context.session(), target)?;
    let extension = Path::new(target).extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    // What has no extension, or folders of its own, is a folder of files.
    let single = extension.is_some() && partitions.is_empty() && !target.ends_with('/') && !Path::new(target).is_dir();
    let location = if single || target.ends_with('/') { target.to_owned() } else { format!("{target}/") };
    let mut options = ParquetReadOptions::default().table_partition_cols(partitions.to_vec());
    if single && let Some(extension) = &extension {
        options.file_extension = extension;
    }
    Ok(context.session().read_parquet(location, options).await?)
}

/// The columns and the content of a stored training set.
pub(super) async fn stored(
    context: &SkewlessContext,
    target: &str,
    partitions: &[(String, arrow::datatypes::DataType)],
) -> Result<(Vec<Column>, content::Content)> {
    let frame = stored_frame(context, target, partitions).await?;
    let schema: Schema = frame.schema().as_arrow().clone();
    let workers = context.session().copied_config().target_partitions();
    Ok((Column::of(&schema), content(frame.execute_stream().await?, workers).await?))
}

/// A view for the manifest, and the statement that made it.
fn view_record(context: &SkewlessContext, name: &str) -> Result<(View, String)> {
    let view = context.views().find(name)?;
    let json = view.definition.to_json()?;
    let definition = serde_json::from_str(&json).map_err(external)?;
    let record = View { name: name.to_owned(), sha256: sha256(json.as_bytes()), definition };
    Ok((record, view.definition.definition.clone()))
}

/// The words and texts of statements.
fn words<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let tokens = texts.filter_map(|text| Tokenizer::new(&GenericDialect {}, text).tokenize().ok()).flatten();
    tokens
        .filter_map(|token| match token {
            Token::Word(word) if word.quote_style.is_some() => Some(word.value),
            Token::Word(word) => Some(word.value.to_lowercase()),
            Token::SingleQuotedString(text) => Some(text),
            _ => None,
        })
        .collect()
}

/// The models that the statements name.
fn models(context: &SkewlessContext, texts: &[&str]) -> Result<Vec<Model>> {
    let words = words(texts.iter().copied());
    let named = context.models().names().into_iter().filter(|name| {
        words.iter().any(|word| word.split_once('@').map_or(word.as_str(), |(name, _)| name).eq_ignore_ascii_case(name))
    });
    named.map(|name| Ok(Model { sha256: context.models().get(&name)?.digest().to_owned(), name })).collect()
}

/// The tables that the statements name, and those that these are made from.
async fn tables(context: &SkewlessContext, texts: &[&str], definitions: &[String]) -> Result<Vec<Table>> {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut open: Vec<String> =
        texts.iter().map(|text| (*text).to_owned()).chain(definitions.iter().cloned()).collect();
    let session = context.session();
    let defaults = session.copied_config().options().catalog.clone();
    let schema =
        session.catalog(&defaults.default_catalog).and_then(|catalog| catalog.schema(&defaults.default_schema));
    let Some(schema) = schema else { return Ok(Vec::new()) };
    while let Some(text) = open.pop() {
        let words = words([text.as_str()].into_iter());
        for name in schema.table_names() {
            if found.contains_key(&name) || !words.contains(&name) {
                continue;
            }
            let definition =
                schema.table(&name).await?.and_then(|table| table.get_table_definition().map(str::to_owned));
            open.extend(definition.clone());
            found.insert(name, definition);
        }
    }
    Ok(found.into_iter().map(|(name, definition)| Table { name, definition }).collect())
}
