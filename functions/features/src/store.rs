//! The key-value store and what is in it: views, and the rows of each entity.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use skewless_catalog::suggest::did_you_mean;
use skewless_udf::view::FeatureView;
use skewless_udf::view::chunk::{self, Change, Head};

use crate::problem::{Problem, Result};

/// A key-value store, such as Spin's. An error is a message.
#[expect(async_fn_in_trait, reason = "a component has one thread, so no caller needs the futures to be Send")]
pub trait KeyValue {
    /// The value of a key; `None` where there is none.
    async fn get(&self, key: &str) -> std::result::Result<Option<Vec<u8>>, String>;

    /// Sets a key.
    async fn set(&self, key: &str, value: &[u8]) -> std::result::Result<(), String>;

    /// Removes a key; one that is not there is no error.
    async fn delete(&self, key: &str) -> std::result::Result<(), String>;
}

/// How often an entity is read anew when it is being written.
const ATTEMPTS: usize = 3;

/// Views as they were last read, by name. The stored text is read for every request, which is cheap, and parsed and
/// compiled again only when it has changed.
#[derive(Default)]
pub(crate) struct Views(RefCell<HashMap<String, Cached>>);

struct Cached {
    text: Vec<u8>,
    view: Arc<FeatureView>,
}

impl Views {
    /// A view by name, as it is stored now.
    pub(crate) async fn get(&self, store: &impl KeyValue, name: &str) -> Result<Arc<FeatureView>> {
        let bytes = if valid(name) { read(store, &format!("skewless/view/{name}")).await? } else { None };
        let Some(bytes) = bytes else {
            self.0.borrow_mut().remove(name);
            let names = names(store).await?.unwrap_or_default();
            let known = if names.is_empty() {
                "; there is none, so run `skewless materialize`".to_owned()
            } else {
                did_you_mean(name, names.iter().map(String::as_str))
            };
            return Err(Problem::missing(format!("there is no feature view `{}`{known}", shown(name))));
        };
        if let Some(cached) = self.0.borrow().get(name)
            && cached.text == bytes
        {
            return Ok(Arc::clone(&cached.view));
        }
        let unreadable = |error: String| Problem::broken(format!("the stored feature view `{name}`: {error}"));
        let text = str::from_utf8(&bytes).map_err(|error| unreadable(error.to_string()))?;
        let view = Arc::new(FeatureView::from_json(text).map_err(|error| unreadable(plain(&error)))?);
        self.0.borrow_mut().insert(name.to_owned(), Cached { text: bytes, view: Arc::clone(&view) });
        Ok(view)
    }
}

/// The names of all views; `None` where nothing has been materialized.
pub(crate) async fn names(store: &impl KeyValue) -> Result<Option<Vec<String>>> {
    let Some(bytes) = read(store, "skewless/views").await? else { return Ok(None) };
    let names = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::broken(format!("the stored list of feature views cannot be read: {error}")))?;
    Ok(Some(names))
}

/// The rows of one entity that may decide a look-up at these times; none for an entity that there is not.
pub(crate) async fn history(
    store: &impl KeyValue,
    view: &FeatureView,
    entity: &str,
    times: &ArrayRef,
) -> Result<Vec<RecordBatch>> {
    let key = rows_key(&view.name, entity);
    let wrong = |error| unreadable(view, entity, &error);
    // A push that replaces a chunk writes the new head before it removes the chunk.
    'head: for _ in 0..ATTEMPTS {
        let Some(bytes) = read(store, &key).await? else { return Ok(Vec::new()) };
        let head = Head::decode(&bytes).map_err(wrong)?;
        let mut batches = vec![head.rows().clone()];
        for chunk in head.needed(view, &key, times).map_err(wrong)? {
            let Some(bytes) = read(store, &chunk).await? else { continue 'head };
            batches.push(chunk::decode(&bytes).map_err(wrong)?);
        }
        return Ok(batches);
    }
    Err(lost(view, entity))
}

/// Adds rows to one entity.
pub(crate) async fn append(
    store: &impl KeyValue,
    view: &Arc<FeatureView>,
    entity: &str,
    fresh: &RecordBatch,
) -> Result<()> {
    let key = rows_key(&view.name, entity);
    let wrong = |error| unreadable(view, entity, &error);
    let (set, delete) = match read(store, &key).await? {
        None => (chunk::store(view, &key, fresh).map_err(wrong)?, Vec::new()),
        Some(bytes) => {
            let head = Head::decode(&bytes).map_err(wrong)?;
            let mut chunks = Vec::new();
            for placed in head.place(view, fresh).map_err(wrong)? {
                let present = match placed.chunk(&key) {
                    None => head.rows().clone(),
                    Some(chunk) => match read(store, &chunk).await? {
                        None => return Err(lost(view, entity)),
                        Some(bytes) => chunk::decode(&bytes).map_err(wrong)?,
                    },
                };
                chunks.push((placed, present));
            }
            let Change { set, delete } = head.with(view, &key, chunks).map_err(wrong)?;
            (set, delete)
        }
    };
    for (key, value) in set {
        store.set(&key, &value).await.map_err(|error| unavailable(&error))?;
    }
    for key in delete {
        store.delete(&key).await.map_err(|error| unavailable(&error))?;
    }
    Ok(())
}

fn unreadable(view: &FeatureView, entity: &str, error: &impl ToString) -> Problem {
    Problem::broken(format!("feature view `{}`, entity {entity}: {}", view.name, plain(error)))
}

fn lost(view: &FeatureView, entity: &str) -> Problem {
    Problem::new(
        503,
        format!(
            "feature view `{}`, entity {entity}: a part of its history is gone, perhaps replaced by another request just \
             now; ask again, and if that does not help materialize the feature view again",
            view.name
        ),
    )
}

fn rows_key(view: &str, entity: &str) -> String {
    format!("skewless/rows/{view}/{entity}")
}

async fn read(store: &impl KeyValue, key: &str) -> Result<Option<Vec<u8>>> {
    store.get(key).await.map_err(|error| unavailable(&error))
}

fn unavailable(error: &str) -> Problem {
    Problem::new(503, format!("the key-value store does not answer: {error}"))
}

/// Whether a name can be one of a view: a slash would reach into another part of the store.
fn valid(name: &str) -> bool {
    !name.is_empty() && name.len() <= 256 && !name.contains(['/', '\0'])
}

/// A name from a request, short enough for a message.
pub(crate) fn shown(name: &str) -> String {
    if name.chars().count() <= 80 {
        name.to_owned()
    } else {
        format!("{}…", name.chars().take(80).collect::<String>())
    }
}

/// An error of DataFusion without the prefix that names its kind.
pub(crate) fn plain(error: &impl ToString) -> String {
    let text = error.to_string();
    let kinds = ["Error during planning: ", "Execution error: ", "Arrow error: ", "External error: "];
    let mut rest = text.as_str();
    while let Some(shorter) = kinds.iter().find_map(|kind| rest.strip_prefix(kind)) {
        rest = shorter;
    }
    rest.to_owned()
}
