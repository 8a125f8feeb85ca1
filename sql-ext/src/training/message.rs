//! What a training set joins, as a message: plain data from which another process builds the operator again.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::execution::TaskContext;
use datafusion::prelude::Expr;
use datafusion_proto::bytes::Serializeable;
use serde::{Deserialize, Serialize};
use skewless_udf::view::{FeatureView, VERSION};

use super::node::{Joined, Spec};

/// A [`Spec`] as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    time: usize,
    views: Vec<View>,
    /// A literal in DataFusion's protobuf form.
    known_at: Option<Vec<u8>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct View {
    definition: FeatureView,
    prefix: String,
    keys: Vec<usize>,
    status: bool,
    witness: bool,
}

impl Message {
    pub(crate) fn of(spec: &Spec) -> Result<Self> {
        let known_at = spec.known_at.clone().map(|at| Expr::Literal(at, None).to_bytes()).transpose()?;
        let views = spec.views.iter().map(|joined| View {
            definition: joined.view.as_ref().clone(),
            prefix: joined.prefix.clone(),
            keys: joined.keys.clone(),
            status: joined.status,
            witness: joined.witness,
        });
        Ok(Self { time: spec.time, views: views.collect(), known_at: known_at.map(|bytes| bytes.to_vec()) })
    }

    /// The spec over this spine. What does not fit it is an error, for a message may come from anywhere.
    pub(crate) fn spec(self, spine: &Schema, context: &TaskContext) -> Result<Spec> {
        let columns = spine.fields().len();
        let known_at = self.known_at.map(|bytes| literal(&bytes, context)).transpose()?;
        let views = self.views.into_iter().map(|View { definition: view, prefix, keys, status, witness }| {
            if view.version != VERSION {
                return plan_err!(
                    "the feature view `{}` is of version {} and this build reads version {VERSION}; run one build \
                     everywhere",
                    view.name,
                    view.version
                );
            }
            if keys.len() != view.entity_fields().len() || keys.iter().any(|key| *key >= columns) {
                return plan_err!("the keys of the feature view `{}` are not columns of the spine", view.name);
            }
            Ok(Joined { view: Arc::new(view), prefix, keys, status, witness })
        });
        let spec = Spec { time: self.time, views: views.collect::<Result<_>>()?, known_at };
        if !spec.views.is_empty() && spec.time >= columns {
            return plan_err!("the as-of time is not a column of the spine");
        }
        Ok(spec)
    }
}

fn literal(bytes: &[u8], context: &TaskContext) -> Result<ScalarValue> {
    match Expr::from_bytes_with_ctx(bytes, context)? {
        Expr::Literal(value, _) => Ok(value),
        other => plan_err!("known_at is {other}, which is not a constant"),
    }
}
