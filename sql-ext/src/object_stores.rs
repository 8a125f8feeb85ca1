//! Stores behind `s3://`, `gs://`, `az://` and `http(s)://` locations, set up from the environment.
//!
//! Keys are those of each vendor's own tools: `AWS_…`, `GOOGLE_…`, `AZURE_…`.

use datafusion::common::plan_datafusion_err;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use url::{Position, Url};

/// Makes the store of a location known to the session; a path needs none.
pub(crate) fn register(session: &SessionContext, location: &str) -> Result<()> {
    let Ok(url) = Url::parse(location) else { return Ok(()) };
    if !location.contains("://") || url.scheme() == "file" {
        return Ok(());
    }
    let refused = |reason: String| plan_datafusion_err!("the location `{location}` cannot be used: {reason}");
    let root = Url::parse(&url[..Position::BeforePath]).map_err(|error| refused(error.to_string()))?;
    if session.runtime_env().object_store(datafusion::execution::object_store::ObjectStoreUrl::parse(&root)?).is_ok() {
        return Ok(());
    }
    let remote = ["s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "http", "https"];
    if !remote.contains(&url.scheme()) {
        return Err(refused(format!("`{}` is not among {}", url.scheme(), remote.join(", "))));
    }
    let mut options: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?.to_ascii_lowercase(), value.into_string().ok()?)))
        .filter(|(key, _)| ["aws_", "google_", "azure_"].iter().any(|vendor| key.starts_with(vendor)))
        .collect();
    if url.scheme() == "http" {
        options.push(("allow_http".to_owned(), "true".to_owned()));
    }
    let (store, _) = object_store::parse_url_opts(&url, options).map_err(|error| refused(error.to_string()))?;
    session.register_object_store(&root, store.into());
    Ok(())
}
