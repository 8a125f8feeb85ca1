//! `FROM ml_predict('late', (SELECT …))`: the model's inputs are columns by name, every column passes through, and the
//! answer follows.

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, Result, plan_datafusion_err, plan_err};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{Expr, lit};
use skewless_catalog::suggest::did_you_mean;

use super::function::{function, part};
use super::loaded::{Answer, Model, PREDICTION, PROBABILITIES};
use super::registry::ModelRegistry;
use super::tensor;
use crate::context::Shared;
use crate::relation::{Arguments, Parameter, Relation};

/// The FROM-functions of this module.
pub(crate) static RELATIONS: &[Relation] =
    &[Relation { name: "ml_predict", parameters: &[Parameter::required("model"), Parameter::required("input")], plan }];

/// What both answers are called between the two projections.
const SCORE: &str = "__ml_score";

fn plan(arguments: &Arguments, context: &mut dyn RelationPlannerContext, shared: &Shared) -> Result<LogicalPlan> {
    let model = shared.models.get(&arguments.string("model")?)?;
    let input = arguments.relation("input", context)?;
    predict(&shared.models, &model, input)
}

fn predict(models: &ModelRegistry, model: &Model, input: LogicalPlan) -> Result<LogicalPlan> {
    let schema = input.schema();
    refuse_clashes(model, schema)?;
    let mut arguments = vec![lit(model.pinned_name())];
    for column in inputs(model, schema)? {
        arguments.push(Expr::Column(column));
    }
    let mut columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let (prediction, probabilities) = (model.field(Answer::Prediction).is_ok(), model.has_probabilities());
    if prediction && probabilities {
        // A projection of its own, so that the model runs once for both.
        let score = function(Answer::Score, models).call(arguments).alias(SCORE);
        let scored = LogicalPlanBuilder::from(input).project(columns.iter().cloned().chain([score]))?;
        let score = Expr::Column(Column::new_unqualified(SCORE));
        for name in [PREDICTION, PROBABILITIES] {
            columns.push(part().call(vec![score.clone(), lit(name)]).alias(name));
        }
        return scored.project(columns)?.alias("ml_predict")?.build();
    }
    columns.push(if probabilities {
        function(Answer::Probabilities, models).call(arguments).alias(PROBABILITIES)
    } else {
        function(Answer::Prediction, models).call(arguments).alias(PREDICTION)
    });
    LogicalPlanBuilder::from(input).project(columns)?.alias("ml_predict")?.build()
}

/// The column for each argument of a call.
fn inputs(model: &Model, schema: &DFSchema) -> Result<Vec<Column>> {
    // A single vector input may be one column of lists.
    if let Some((vector, _)) = model.vector()
        && let Some((column, data_type)) = find(schema, vector)
        && tensor::is_list(data_type)
    {
        return Ok(vec![column]);
    }
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    model
        .slots()
        .iter()
        .map(|slot| {
            find(schema, &slot.name).map(|(column, _)| column).ok_or_else(|| {
                plan_datafusion_err!(
                    "ml_predict: the query has no column `{}`{}; the model is {}",
                    slot.name,
                    did_you_mean(&slot.name, names()),
                    model.call_text()
                )
            })
        })
        .collect()
}

/// The column of that name: as it is written, else the one that differs in case alone.
fn find<'a>(schema: &'a DFSchema, name: &str) -> Option<(Column, &'a DataType)> {
    let column =
        |(qualifier, field): (Option<&'a datafusion::common::TableReference>, &'a arrow::datatypes::FieldRef)| {
            (Column::from((qualifier, field)), field.data_type())
        };
    schema.iter().find(|(_, field)| field.name() == name).map(column).or_else(|| {
        let mut similar = schema.iter().filter(|(_, field)| field.name().eq_ignore_ascii_case(name));
        similar.next().filter(|_| similar.next().is_none()).map(column)
    })
}

/// Refuses a query that has a column of a name that the answer takes, or two columns of one name.
fn refuse_clashes(model: &Model, schema: &DFSchema) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for field in schema.fields() {
        let name = field.name().as_str();
        if name == SCORE || name == PREDICTION || name == PROBABILITIES && model.has_probabilities() {
            return plan_err!(
                "ml_predict: the query has a column `{name}`, which is what the answer of model `{}` is called; \
                 rename it: … AS {name}_before",
                model.name()
            );
        }
        if !seen.insert(name) {
            return plan_err!("ml_predict: the query has two columns `{name}`; rename one: … AS {name}_2");
        }
    }
    Ok(())
}
