//! Makes a training set anew and says whatever is not as its manifest states.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, TableReference, exec_err, plan_err};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::Expr;
use futures::StreamExt;
use serde::Serialize;

use super::content::{RowDigest, content, digests, texts};
use super::difference::{Content, Difference, Row, Side, changes};
use super::error::ManifestError;
use super::record::{Column, Manifest, Source, View};
use super::{source, write};
use crate::{Error, Outcome, Result, SkewlessContext};

/// How many differing rows are shown, and how many changes of a definition.
const SHOWN: usize = 5;

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The manifest.
    pub manifest: String,
    /// The software that wrote it.
    pub created_by: String,
    /// How many rows the manifest states.
    pub rows: u64,
    /// The hash that it states.
    pub content: String,
    /// Whatever is otherwise now; none where the training set is what its manifest states and its query gives.
    pub differences: Vec<Difference>,
}

/// A statement that makes a table or a view again, and of a view what had changed in it.
type Statement<'a> = (String, Option<(&'a View, Vec<String>)>);

impl SkewlessContext {
    /// Reads the manifest of a training set, checks the file against it, and runs the query anew.
    ///
    /// Views are taken as the manifest has them, tables as the session has them, or else as the manifest has them; what
    /// the manifest brings along stays in the session.
    pub async fn verify_training_set(&self, target: &str) -> Result<Verification> {
        let location = Manifest::location(target);
        let Some(text) = source::read(self, &location).await? else {
            return Err(ManifestError::Missing { location }.into());
        };
        let manifest = Manifest::from_text(&text, &location)?;
        let mut differences = Vec::new();
        let found = manifest
            .own_digest()
            .map_err(|error| ManifestError::Malformed { location: location.clone(), reason: error.to_string() })?;
        if found != manifest.digest {
            differences.push(Difference::Manifest { stated: manifest.digest.clone(), found });
        }
        let partitions = partitions(&manifest)?;
        let file = self.check_file(target, &manifest, &partitions, &mut differences).await?;
        match self.check_query(&manifest, &mut differences).await {
            Ok((frame, query)) => {
                let rows = if query.content == file.content {
                    Vec::new()
                } else {
                    first_rows(write::stored_frame(self, target, &partitions).await?, frame).await?
                };
                if query.content != manifest.content {
                    differences.push(Difference::Rows { expected: stated(&manifest), found: query, first: rows });
                } else if let Some(Difference::File { first, .. }) =
                    differences.iter_mut().find(|difference| matches!(difference, Difference::File { .. }))
                {
                    *first = rows;
                }
            }
            Err(error) => {
                // What makes a query fail is told, where something differs; otherwise the failure is all there is.
                self.check_stated_sources(&manifest, &mut differences).await?;
                if differences.is_empty() {
                    return Err(error);
                }
                differences.push(Difference::Query { reason: error.to_string() });
            }
        }
        Ok(Verification {
            manifest: location,
            created_by: manifest.created_by,
            rows: manifest.rows,
            content: manifest.content,
            differences,
        })
    }

    async fn check_file(
        &self,
        target: &str,
        manifest: &Manifest,
        partitions: &[(String, DataType)],
        differences: &mut Vec<Difference>,
    ) -> Result<Content> {
        let (columns, found) = write::stored(self, target, partitions).await?;
        let found =
            Content { rows: found.rows, content: found.hash(columns.iter().map(|column| column.name.as_str())) };
        if found.content != manifest.content {
            differences.push(Difference::File { expected: stated(manifest), found: found.clone(), first: Vec::new() });
        }
        compare_columns(Side::File, manifest, &columns, differences);
        Ok(found)
    }

    /// The query as the manifest has it, run on what there is now.
    async fn check_query(
        &self,
        manifest: &Manifest,
        differences: &mut Vec<Difference>,
    ) -> Result<(DataFrame, Content)> {
        for text in &manifest.setup {
            for statement in self.parse(text)? {
                self.run(statement).await?;
            }
        }
        self.restore(manifest, differences).await?;
        for model in &manifest.models {
            let found = self.models().get(&model.name).ok().map(|found| found.digest().to_owned());
            if found.as_ref() != Some(&model.sha256) {
                let (name, expected) = (model.name.clone(), model.sha256.clone());
                differences.push(Difference::Model { name, expected, found });
            }
        }
        let mut statements = self.parse(&manifest.query)?;
        let (Some(query), true) = (statements.pop(), statements.is_empty()) else {
            return Ok(plan_err!("the manifest holds no single query: {}", manifest.query)?);
        };
        let Outcome::Rows(frame) = self.run(query).await? else {
            return Ok(plan_err!("what the manifest holds is no query: {}", manifest.query)?);
        };
        self.check_sources(manifest, frame.logical_plan(), differences).await?;
        let frame = folders_last(frame, &manifest.partitioned_by)?;
        let columns = Column::of(frame.schema().as_arrow());
        compare_columns(Side::Query, manifest, &columns, differences);
        let workers = self.session().copied_config().target_partitions();
        let found = content(frame.clone().execute_stream().await?, workers).await?;
        let hash = found.hash(columns.iter().map(|column| column.name.as_str()));
        Ok((frame, Content { rows: found.rows, content: hash }))
    }

    /// Makes the tables that the session lacks, and puts the feature views into it as the manifest has them.
    async fn restore(&self, manifest: &Manifest, differences: &mut Vec<Difference>) -> Result<()> {
        let mut open: Vec<Statement<'_>> = Vec::new();
        for table in &manifest.tables {
            if self.session().table_exist(TableReference::bare(table.name.as_str()))? {
                continue;
            }
            let Some(definition) = &table.definition else {
                return Ok(plan_err!(
                    "the table `{0}` was filled in the session that wrote the training set, and nothing can fill it \
                     again; make it in the project's definitions, or give the statement that makes it to \
                     `skewless training-set build`",
                    table.name
                )?);
            };
            open.push((definition.clone(), None));
        }
        for view in &manifest.views {
            let changes = match self.views().get(&view.name) {
                Some(found) => changes(&view.definition, &json(&found.definition.to_json()?)?, SHOWN),
                None => Vec::new(),
            };
            if changes.is_empty() && self.views().get(&view.name).is_some() {
                continue;
            }
            let Some(statement) = view.definition.get("definition").and_then(serde_json::Value::as_str) else {
                return Ok(exec_err!("the manifest lacks the statement that made the feature view `{}`", view.name)?);
            };
            let name = view.name.replace('"', "\"\"");
            let statement = format!("DROP FEATURE VIEW IF EXISTS \"{name}\"; {statement}");
            open.push((statement, Some((view, changes))));
        }
        // Views read tables and other views, and a view may read a training set: each waits for what it needs.
        while !open.is_empty() {
            let mut failed = None;
            let before = open.len();
            let mut still = Vec::new();
            for (statement, view) in open {
                if let Err(error) = self.sql(&statement).await {
                    failed = Some(error);
                    still.push((statement, view));
                    continue;
                }
                let Some((view, mut told)) = view else { continue };
                let made = json(&self.views().find(&view.name)?.definition.to_json()?)?;
                let otherwise = changes(&view.definition, &made, SHOWN);
                if !otherwise.is_empty() {
                    told.push("its statement means something else now, since what it reads has changed:".to_owned());
                    told.extend(otherwise);
                }
                if !told.is_empty() {
                    differences.push(Difference::View { name: view.name.clone(), changes: told });
                }
            }
            open = still;
            if let (Some(error), true) = (failed, open.len() == before) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Compares the files that the query reads now with those that it read.
    async fn check_sources(
        &self,
        manifest: &Manifest,
        plan: &LogicalPlan,
        differences: &mut Vec<Difference>,
    ) -> Result<()> {
        let mut now: BTreeMap<String, Source> =
            source::sources(self, plan).await?.into_iter().map(|source| (source.location.clone(), source)).collect();
        let mut gone = Vec::new();
        for expected in &manifest.sources {
            match now.remove(&expected.location) {
                Some(found) if found == *expected => {}
                Some(found) => differences.push(changed(expected, Some(found))),
                None => gone.push(expected),
            }
        }
        for expected in gone {
            // A file that lies elsewhere now is the same file.
            let moved = now.iter().find(|(_, found)| found.size == expected.size && found.sha256 == expected.sha256);
            match moved.map(|(location, _)| location.clone()) {
                Some(location) => drop(now.remove(&location)),
                None => differences.push(changed(expected, None)),
            }
        }
        let added = now.into_values();
        differences.extend(added.map(|found| Difference::Source {
            location: found.location.clone(),
            expected: None,
            found: Some(found),
        }));
        Ok(())
    }

    /// Compares the files at the locations that the manifest states, where the query does not run.
    async fn check_stated_sources(&self, manifest: &Manifest, differences: &mut Vec<Difference>) -> Result<()> {
        for expected in &manifest.sources {
            let told =
                |d: &Difference| matches!(d, Difference::Source { location, .. } if *location == expected.location);
            if differences.iter().any(told) {
                continue;
            }
            let found = source::source(self, &expected.location).await?;
            if found.as_ref() != Some(expected) {
                differences.push(changed(expected, found));
            }
        }
        Ok(())
    }
}

/// The columns in the order in which a folder is read back: those that are folders of their own come last.
fn folders_last(frame: DataFrame, folders: &[String]) -> Result<DataFrame> {
    if folders.is_empty() {
        return Ok(frame);
    }
    let mut columns = frame.schema().columns();
    columns.sort_by_key(|column| folders.iter().position(|name| *name == column.name).map_or(0, |at| at + 1));
    Ok(frame.select(columns.into_iter().map(Expr::Column))?)
}

fn json(text: &str) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(text).map_err(|error| DataFusionError::External(Box::new(error)))?)
}

fn changed(expected: &Source, found: Option<Source>) -> Difference {
    Difference::Source { location: expected.location.clone(), expected: Some(expected.clone()), found }
}

fn stated(manifest: &Manifest) -> Content {
    Content { rows: manifest.rows, content: manifest.content.clone() }
}

/// The types of the columns that are folders.
fn partitions(manifest: &Manifest) -> Result<Vec<(String, DataType)>> {
    let typed = manifest.partitioned_by.iter().map(|name| {
        let column = manifest.columns.iter().find(|column| column.name == *name);
        match column.and_then(|column| column.data_type.parse().ok()) {
            Some(data_type) => Ok((name.clone(), data_type)),
            None => Ok(exec_err!("the manifest does not hold the type of the column `{name}`")?),
        }
    });
    typed.collect()
}

fn compare_columns(of: Side, manifest: &Manifest, found: &[Column], differences: &mut Vec<Difference>) {
    if manifest.columns == found {
        return;
    }
    let text = |column: Option<&Column>| column.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let changes = (0..manifest.columns.len().max(found.len()))
        .map(|at| (manifest.columns.get(at), found.get(at)))
        .filter(|(before, after)| before != after)
        .map(|(before, after)| format!("{} → {}", text(before), text(after)))
        .collect();
    differences.push(Difference::Columns { of, changes });
}

/// A row without a partner: its place from 1, and its cells.
type Lone = (u64, Vec<(String, Option<String>)>);

/// The first rows that only the file or only the query has. Rows are told apart by their digests; which is which of two
/// equal rows does not matter, so those that come last are the ones without a partner.
async fn first_rows(file: DataFrame, query: DataFrame) -> Result<Vec<Row>> {
    let mut counts: HashMap<RowDigest, u64> = HashMap::new();
    each_row(file.clone(), |_, _, digest| {
        *counts.entry(digest).or_default() += 1;
        Ok(true)
    })
    .await?;
    let mut of_query: Vec<Lone> = Vec::new();
    each_row(query, |place, cells, digest| {
        match counts.get_mut(&digest) {
            Some(count) if *count > 0 => *count -= 1,
            _ if of_query.len() < SHOWN => of_query.push((place, texts(cells.0, cells.1)?)),
            _ => {}
        }
        Ok(true)
    })
    .await?;
    let mut of_file: Vec<Lone> = Vec::new();
    each_row(file, |place, cells, digest| {
        if let Some(count) = counts.get_mut(&digest).filter(|count| **count > 0) {
            *count -= 1;
            of_file.push((place, texts(cells.0, cells.1)?));
        }
        Ok(of_file.len() < SHOWN)
    })
    .await?;

    let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
    for (place, cells) in of_file {
        rows.insert(place, Row { row: place, file: Some(cells), query: None });
    }
    for (place, cells) in of_query {
        let row = rows.entry(place).or_insert(Row { row: place, file: None, query: None });
        match &mut row.file {
            Some(of_file) if of_file.len() == cells.len() => {
                let same: Vec<bool> = of_file.iter().zip(&cells).map(|(a, b)| a == b).collect();
                let differing = |cells: Vec<(String, Option<String>)>| {
                    cells.into_iter().zip(&same).filter(|(_, same)| !**same).map(|(cell, _)| cell).collect()
                };
                *of_file = differing(std::mem::take(of_file));
                row.query = Some(differing(cells));
            }
            _ => row.query = Some(cells),
        }
    }
    Ok(rows.into_values().take(SHOWN).collect())
}

/// Calls `f` with each row's place, batch and digest, in order, until it says that it has seen enough.
async fn each_row(
    frame: DataFrame,
    mut f: impl FnMut(u64, (&RecordBatch, usize), RowDigest) -> Result<bool, Error>,
) -> Result<()> {
    let mut place = 0;
    let plan = frame.clone().create_physical_plan().await?;
    let task = Arc::new(frame.task_ctx());
    // One partition after the other: places are those of a serial scan.
    let partitions = datafusion::physical_plan::ExecutionPlanProperties::output_partitioning(&plan).partition_count();
    for partition in 0..partitions {
        let mut stream = plan.execute(partition, Arc::clone(&task))?;
        while let Some(batch) = stream.next().await.transpose()? {
            for (row, digest) in digests(&batch)?.into_iter().enumerate() {
                place += 1;
                if !f(place, (&batch, row), digest)? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
