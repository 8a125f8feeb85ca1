//! Our own statements: feature views, models and contracts.
//!
//! The front door offers every statement to [`parse`] before DataFusion sees it. `create` turns the body of a feature
//! view into rows and features, `registry` keeps the views of a session, `show` lists them.

mod create;
mod parse;
mod registry;
mod show;
mod window;

use std::path::Path;

use arrow::array::RecordBatch;
use datafusion::error::Result;

pub(crate) use create::{check_span, span};
pub(crate) use parse::{CreateModel, Ddl, fold, parse};
pub use registry::{View, ViewRegistry};

use crate::{Contract, Outcome, SkewlessContext, contract};

/// Runs one of our statements; relative locations are resolved against `base`.
pub(crate) async fn execute(statement: Ddl, context: &SkewlessContext, base: &Path) -> Result<Outcome> {
    let views = context.views();
    let models = context.models();
    let contracts = context.contracts();
    match statement {
        Ddl::CreateFeatureView(statement) => {
            create::create(*statement, &context.session().state(), views).await.map(Outcome::Done)
        }
        Ddl::DropFeatureView { name, if_exists } => views.drop_view(&name, if_exists).map(Outcome::Done),
        Ddl::ShowFeatureViews => rows(context, show::views(views)?),
        Ddl::DescribeFeatureView { name } => views.find(&name).and_then(|view| rows(context, show::view(&view)?)),
        Ddl::CreateModel(statement) => models.create(&statement, context, base).await.map(Outcome::Done),
        Ddl::DropModel { name, if_exists } => models.drop_model(&name, if_exists).map(Outcome::Done),
        Ddl::ShowModels => rows(context, models.show()?),
        Ddl::DescribeModel { name } => rows(context, models.describe(&name)?),
        Ddl::CreateContract(statement) => contract::create(statement, context).await.map(Outcome::Done),
        Ddl::DropContract { name, if_exists } => contracts.drop_contract(&name, if_exists).map(Outcome::Done),
        Ddl::ShowContracts => rows(context, show::contracts(&contracts.all(), Contract::short_text)?),
        Ddl::DescribeContract { name } => {
            rows(context, show::contracts(&[contracts.find(&name)?], |contract| contract.text.clone())?)
        }
    }
}

fn rows(context: &SkewlessContext, batch: RecordBatch) -> Result<Outcome> {
    context.session().read_batch(batch).map(Outcome::Rows)
}

#[cfg(test)]
mod tests;
