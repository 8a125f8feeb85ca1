//! The feature views of a session by name.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::LogicalPlan;
use skewless_catalog::suggest::did_you_mean;
use skewless_udf::view::FeatureView;

/// A feature view and where its rows come from.
#[derive(Clone, Debug)]
pub struct View {
    /// What is stored and served.
    pub definition: Arc<FeatureView>,
    /// The source columns of a view that can be pushed, the rows of one that can only be materialized; `None` for a
    /// view on demand.
    pub source: Option<LogicalPlan>,
}

/// The feature views of a session by name. Clones share their views.
#[derive(Clone, Debug, Default)]
pub struct ViewRegistry {
    views: Arc<RwLock<BTreeMap<String, Arc<View>>>>,
}

impl ViewRegistry {
    /// Every name, in order.
    pub fn names(&self) -> Vec<String> {
        self.read(|views| views.keys().cloned().collect())
    }

    /// The view of that name, in the case it was created with or in lower case.
    pub fn get(&self, name: &str) -> Option<Arc<View>> {
        self.read(|views| views.get(name).or_else(|| views.get(&name.to_lowercase())).cloned())
    }

    /// Like [`ViewRegistry::get`], with an error that names the nearest view.
    pub fn find(&self, name: &str) -> Result<Arc<View>> {
        if let Some(view) = self.get(name) {
            return Ok(view);
        }
        let names = self.names();
        let hint = did_you_mean(&name.to_lowercase(), names.iter().map(String::as_str));
        let remedy = if names.is_empty() {
            format!("; CREATE FEATURE VIEW {name} … makes one")
        } else if hint.is_empty() {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("; the feature views are {}", names.join(", "))
        } else {
            hint
        };
        plan_err!("there is no feature view `{name}`{remedy}")
    }

    pub(super) fn insert(&self, view: View) {
        self.write(|views| views.insert(view.definition.name.clone(), Arc::new(view)));
    }

    pub(super) fn drop_view(&self, name: &str, if_exists: bool) -> Result<String> {
        if self.write(|views| views.remove(name)).is_some() {
            return Ok(format!("feature view {name} dropped"));
        }
        if if_exists {
            return Ok(format!("there is no feature view {name}"));
        }
        self.find(name).map(|view| format!("feature view {} stays", view.definition.name))
    }

    fn read<T>(&self, f: impl FnOnce(&BTreeMap<String, Arc<View>>) -> T) -> T {
        f(&self.views.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Arc<View>>) -> T) -> T {
        f(&mut self.views.write().unwrap_or_else(PoisonError::into_inner))
    }
}
