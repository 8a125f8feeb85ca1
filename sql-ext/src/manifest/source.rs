//! The files behind a plan, and files by location, read through the session's object stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::source_as_provider;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::LogicalPlan;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::content::hex;
use super::record::Source;
use crate::SkewlessContext;

/// The files that the tables of a plan hold, whatever part of them it reads.
pub(super) async fn sources(context: &SkewlessContext, plan: &LogicalPlan) -> Result<Vec<Source>> {
    let mut providers: Vec<Arc<dyn TableProvider>> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            providers.push(source_as_provider(&scan.source)?);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let state = context.session().state();
    let mut files: BTreeMap<String, (ObjectStoreUrl, Path)> = BTreeMap::new();
    for provider in providers {
        let scan = provider.scan(&state, None, &[], None).await?;
        scan.apply(|node| {
            let source = node.downcast_ref::<DataSourceExec>().map(DataSourceExec::data_source);
            if let Some(files_of) = source.and_then(|source| source.downcast_ref::<FileScanConfig>()) {
                let url = &files_of.object_store_url;
                for file in files_of.file_groups.iter().flat_map(FileGroup::iter) {
                    let path = &file.object_meta.location;
                    files.insert(location(url, path), (url.clone(), path.clone()));
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let mut sources = Vec::with_capacity(files.len());
    for (location, (url, path)) in files {
        let store = context.session().runtime_env().object_store(&url)?;
        sources.push(digest(store.as_ref(), &path, location).await?);
    }
    Ok(sources)
}

/// The file at a location that [`sources`] gave; `None` where there is none.
pub(super) async fn source(context: &SkewlessContext, location: &str) -> Result<Option<Source>> {
    let (store, path) = open(context, location)?;
    match digest(store.as_ref(), &path, location.to_owned()).await {
        Ok(source) => Ok(Some(source)),
        Err(DataFusionError::ObjectStore(error)) if matches!(*error, object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn location(url: &ObjectStoreUrl, path: &Path) -> String {
    let url = url.as_str();
    // An object store's path has no slash in front.
    if url.starts_with("file://") { format!("/{path}") } else { format!("{url}{path}") }
}

async fn digest(store: &dyn ObjectStore, path: &Path, location: String) -> Result<Source> {
    let mut chunks = store.get(path).await?.into_stream();
    let (mut hasher, mut size) = (Sha256::new(), 0);
    while let Some(chunk) = chunks.try_next().await? {
        size += chunk.len() as u64;
        hasher.update(&chunk);
    }
    Ok(Source { location, size, sha256: hex(&hasher.finalize()) })
}

fn open(context: &SkewlessContext, location: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
    crate::object_stores::register(context.session(), location)?;
    let url = ListingTableUrl::parse(location)?;
    let store = context.session().runtime_env().object_store(url.object_store())?;
    Ok((store, url.prefix().clone()))
}

/// The bytes of a file; `None` where there is none.
pub(super) async fn read(context: &SkewlessContext, location: &str) -> Result<Option<Vec<u8>>> {
    let (store, path) = open(context, location)?;
    match store.get(&path).await {
        Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Puts a file in place.
pub(super) async fn write(context: &SkewlessContext, location: &str, text: String) -> Result<()> {
    let (store, path) = open(context, location)?;
    store.put(&path, text.into_bytes().into()).await?;
    Ok(())
}

/// Removes a file, if there is one.
pub(super) async fn remove(context: &SkewlessContext, location: &str) -> Result<()> {
    let (store, path) = open(context, location)?;
    match store.delete(&path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
