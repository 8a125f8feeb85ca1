//! `skewless materialize`: fills the key-value store that `functions/features` answers from.
//!
//! `skewless/views` lists the views, `skewless/view/<name>` holds a view's definition, and
//! `skewless/rows/<name>/<entity key>` an entity's rows, the older ones in chunks beside it. A view is replaced in one
//! transaction: a reader sees all of it as it was or as it is now.

mod history;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use skewless_host::key_value::{self, Store};
use skewless_sql::SkewlessContext;
use skewless_udf::view::{FeatureTable, FeatureView, chunk};

use self::history::History;
use crate::Failure;
use crate::context::{ContextArgs, runtime};
use crate::progress;

const VIEWS: &str = "skewless/views";

/// Fill the key-value store that serves features online
///
/// Computes the rows of feature views and stores them by entity. Without names, all views of the project are stored,
/// and views that it no longer defines are removed. What was pushed to a view since its source was written is replaced.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Feature views to store [default: all of the project]
    #[arg(value_name = "VIEW")]
    views: Vec<String>,
    /// How far back answers stay exact: `all`, `latest`, or a duration before the newest row, such as 90d or 18h
    #[arg(long, value_name = "all|latest|DURATION", default_value = "all")]
    history: History,
    /// The SQLite file of the key-value store [default: `.spin/sqlite_key_value.db` beside the nearest spin.toml]
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,
    #[command(flatten)]
    context: ContextArgs,
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let path = match &args.store {
        Some(path) => path.clone(),
        None => default_store()?,
    };
    let runtime = runtime()?;
    runtime.block_on(async {
        let context = args.context.open().await?;
        let all = args.views.is_empty();
        let names = if all { context.views().names() } else { args.views.clone() };
        if names.is_empty() {
            return Err(Failure::Usage(
                "there is no feature view to materialize; run this in a project whose definitions/*.sql create some, \
                 or name the project with --project DIR"
                    .into(),
            ));
        }
        let definitions = definitions(&context, &names)?;
        let store = Store::open(&path)?;
        for view in &definitions {
            let stored = materialize(&context, &store, view, args.history).await?;
            println!("{}: {stored}", view.name);
        }
        if all {
            forget_others(&store, &names)?;
        }
        eprintln!("stored in {}", path.display());
        Ok(())
    })
}

/// The database of the app whose `spin.toml` is nearest.
fn default_store() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().context("the current folder cannot be read")?;
    let manifest = here.ancestors().map(|folder| folder.join("spin.toml")).find(|manifest| manifest.is_file());
    let manifest = manifest.ok_or_else(|| {
        Failure::Usage("there is no spin.toml in this folder or above it; say where to store with --store PATH".into())
    })?;
    Ok(key_value::default_path(&manifest))
}

/// The views of these names with the contracts on their requests, all checked before anything is stored.
fn definitions(context: &SkewlessContext, names: &[String]) -> Result<Vec<Arc<FeatureView>>> {
    let known = context.views().names();
    names
        .iter()
        .map(|name| {
            let view = context.views().get(name).with_context(|| {
                let hint = skewless_catalog::suggest::did_you_mean(name, known.iter().map(String::as_str));
                format!("there is no feature view `{name}`{hint}; SHOW FEATURE VIEWS lists them")
            })?;
            let contracts = context.contracts().at_door(&view.definition)?;
            Ok(Arc::new(view.definition.with_contracts(contracts)))
        })
        .collect()
}

/// Stores all views of the session with their whole history in the state folder of an app; the number of entities.
pub(crate) async fn fill(context: &SkewlessContext, state: &Path) -> Result<u64> {
    let names = context.views().names();
    let store = Store::open(state.join("sqlite_key_value.db"))?;
    let mut entities = 0;
    for view in definitions(context, &names)? {
        if let Stored::Rows { entities: stored, .. } = materialize(context, &store, &view, History::All).await? {
            entities += stored;
        }
    }
    forget_others(&store, &names)?;
    Ok(entities)
}

/// What was stored of a view.
enum Stored {
    /// Its definition: it is computed from the request.
    Definition,
    Rows {
        entities: u64,
        rows: usize,
    },
}

impl std::fmt::Display for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Definition => f.write_str("its definition, since it is computed from the request"),
            Self::Rows { entities, rows } => write!(f, "{entities} entities, {rows} rows"),
        }
    }
}

/// Stores one view.
async fn materialize(
    context: &SkewlessContext,
    store: &Store,
    view: &Arc<FeatureView>,
    history: History,
) -> Result<Stored> {
    if view.on_demand().is_some() {
        write(store, view, None, history)?;
        return Ok(Stored::Definition);
    }
    let spinner = progress::spinner(&format!("{}: reading its source", view.name));
    let table = context.feature_rows(&view.name).await?;
    spinner.finish_and_clear();
    let (entities, rows) = write(store, view, Some(&table), history)?;
    Ok(Stored::Rows { entities, rows })
}

fn write(
    store: &Store,
    view: &Arc<FeatureView>,
    table: Option<&FeatureTable>,
    history: History,
) -> Result<(u64, usize)> {
    let prefix = rows_prefix(&view.name);
    let entities: Vec<(String, RecordBatch)> = match table {
        Some(table) => table.entities()?.collect(),
        None => Vec::new(),
    };
    let cutoff = table.map(|table| history.cutoff(view, &table.rows()?)).transpose()?;
    let bar = progress::bar(entities.len() as u64, "entities");
    bar.set_prefix(view.name.clone());
    let mut rows = 0;
    store.transaction(|transaction| -> Result<()> {
        let mut views = names(transaction.get(VIEWS)?)?;
        if !views.contains(&view.name) {
            views.push(view.name.clone());
            views.sort_unstable();
        }
        transaction.set(VIEWS, serde_json::to_string(&views)?.as_bytes())?;
        transaction.set(&definition_key(&view.name), view.to_json()?.as_bytes())?;
        transaction.delete_prefix(&prefix)?;
        for (key, batch) in entities {
            let kept = match &cutoff {
                Some(cutoff) => cutoff.keep(&batch)?,
                None => batch,
            };
            rows += kept.num_rows();
            for (key, value) in chunk::store(view, &format!("{prefix}{key}"), &kept)? {
                transaction.set(&key, &value)?;
            }
            bar.inc(1);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    Ok((bar.position(), rows))
}

/// Removes the views that are not among `names`.
fn forget_others(store: &Store, names_now: &[String]) -> Result<()> {
    let gone = store.transaction(|transaction| -> Result<Vec<String>> {
        let stored = names(transaction.get(VIEWS)?)?;
        let (kept, gone): (Vec<String>, Vec<String>) = stored.into_iter().partition(|name| names_now.contains(name));
        for name in &gone {
            transaction.delete(&definition_key(name))?;
            transaction.delete_prefix(&rows_prefix(name))?;
        }
        transaction.set(VIEWS, serde_json::to_string(&kept)?.as_bytes())?;
        Ok(gone)
    })?;
    for name in gone {
        println!("{name}: removed, the project does not define it");
    }
    Ok(())
}

fn names(stored: Option<Vec<u8>>) -> Result<Vec<String>> {
    match stored {
        Some(bytes) => {
            serde_json::from_slice(&bytes).with_context(|| format!("the stored `{VIEWS}` is no list of names"))
        }
        None => Ok(Vec::new()),
    }
}

fn definition_key(view: &str) -> String {
    format!("skewless/view/{view}")
}

fn rows_prefix(view: &str) -> String {
    format!("skewless/rows/{view}/")
}
