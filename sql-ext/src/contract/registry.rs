//! The contracts of a session by name.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use datafusion::common::{Result, plan_err};
use skewless_catalog::suggest::did_you_mean;
use skewless_udf::contract::RowContract;
use skewless_udf::view::FeatureView;

use super::{Contract, CreateContract, door};

/// The contracts of a session by name. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct ContractRegistry {
    contracts: Arc<RwLock<BTreeMap<String, Arc<Contract>>>>,
}

impl ContractRegistry {
    /// All of them, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Contract>> {
        self.contracts.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The contract of that name, in the case it was created with or in lower case; an error that names the nearest.
    pub fn find(&self, name: &str) -> Result<Arc<Contract>> {
        let contracts = self.contracts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(contract) = contracts.get(name).or_else(|| contracts.get(&name.to_lowercase())) {
            return Ok(Arc::clone(contract));
        }
        let hint = did_you_mean(&name.to_lowercase(), contracts.keys().map(String::as_str));
        let remedy = if hint.is_empty() { format!("; CREATE CONTRACT {name} (…) makes one") } else { hint };
        plan_err!("there is no contract `{name}`{remedy}")
    }

    /// What becomes of a statement whose name is taken: nothing more to do, or an error; `None` where it goes on.
    pub(super) fn taken(&self, statement: &CreateContract) -> Result<Option<String>> {
        let name = &statement.name;
        let contracts = self.contracts.read().unwrap_or_else(PoisonError::into_inner);
        if !contracts.contains_key(name) || statement.or_replace {
            return Ok(None);
        }
        if statement.if_not_exists {
            return Ok(Some(format!("contract {name} is there already")));
        }
        plan_err!("there is a contract `{name}` already; write CREATE OR REPLACE CONTRACT, or drop it first")
    }

    pub(super) fn insert(&self, contract: Contract) {
        let mut contracts = self.contracts.write().unwrap_or_else(PoisonError::into_inner);
        contracts.insert(contract.name.clone(), Arc::new(contract));
    }

    /// What the contracts ON a feature view ask of the rows that requests bring to it.
    pub fn at_door(&self, view: &FeatureView) -> Result<Vec<RowContract>> {
        let of_view = |contract: &Arc<Contract>| contract.door.as_ref().is_some_and(|door| door.view == view.name);
        self.all().iter().filter(|contract| of_view(contract)).map(|contract| Ok(door::of(contract, view)?.0)).collect()
    }

    pub(crate) fn drop_contract(&self, name: &str, if_exists: bool) -> Result<String> {
        if self.contracts.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some() {
            return Ok(format!("contract {name} dropped"));
        }
        if if_exists {
            return Ok(format!("there is no contract {name}"));
        }
        self.find(name).map(|contract| format!("contract {} stays", contract.name))
    }
}
