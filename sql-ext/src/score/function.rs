//! The scalar functions over models: typed when a statement is planned, by the model that the literal names.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::bind::Binding;
use super::loaded::{Answer, Model};
use super::registry::ModelRegistry;

/// Every function, over the models of a registry.
pub(super) fn all(models: &ModelRegistry) -> impl Iterator<Item = ScalarUDF> + '_ {
    let answers = [Answer::Prediction, Answer::Probabilities, Answer::Score];
    answers.into_iter().map(|answer| function(answer, models)).chain([part()])
}

/// The function that takes one field out of what `ml_score` answers.
///
/// `get_field` does the same, but the optimizer moves that towards the leaves, into the projection that holds
/// `ml_score`, and so runs the model once for each field.
pub(super) fn part() -> ScalarUDF {
    ScalarUDF::from(Part { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Part {
    signature: Signature,
}

impl ScalarUDFImpl for Part {
    fn name(&self) -> &'static str {
        "ml_score_part"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} depends on the field it names", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let ([score, _], [_, Some(name)]) = (args.arg_fields, args.scalar_arguments) else {
            return plan_err!("{} takes what ml_score answers, and the name of a field", self.name());
        };
        let name = name.try_as_str().flatten().unwrap_or_default();
        match score.data_type() {
            DataType::Struct(fields) => {
                let Some((_, field)) = fields.find(name) else {
                    return plan_err!("what ml_score answers has no field `{name}`");
                };
                Ok(Arc::clone(field))
            }
            other => plan_err!("{} takes what ml_score answers, not {other}", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [score, ColumnarValue::Scalar(name)] = args.args.as_slice() else {
            return exec_err!("{} takes what ml_score answers, and the name of a field", self.name());
        };
        let score = score.to_array(args.number_rows)?;
        let column = score.as_struct_opt().zip(name.try_as_str().flatten());
        let Some(column) = column.and_then(|(score, name)| score.column_by_name(name).cloned()) else {
            return exec_err!("what ml_score answers has no field {name}");
        };
        Ok(ColumnarValue::Array(column))
    }
}

/// The function that gives one kind of answer.
pub(super) fn function(answer: Answer, models: &ModelRegistry) -> ScalarUDF {
    ScalarUDF::from(ModelFunction {
        answer,
        models: models.clone(),
        // What the arguments may be is known once the model is; see `return_field_from_args`.
        signature: Signature::user_defined(Volatility::Immutable),
        aliases: match answer {
            Answer::Prediction => vec!["ml.predict".to_owned(), "ML.PREDICT".to_owned()],
            Answer::Probabilities => vec!["ml.predict_proba".to_owned(), "ML.PREDICT_PROBA".to_owned()],
            Answer::Score => Vec::new(),
        },
    })
}

#[derive(Debug)]
struct ModelFunction {
    answer: Answer,
    models: ModelRegistry,
    signature: Signature,
    aliases: Vec<String>,
}

// Within a session there is one registry, and plans of several sessions do not meet.
impl PartialEq for ModelFunction {
    fn eq(&self, other: &Self) -> bool {
        self.answer == other.answer
    }
}

impl Eq for ModelFunction {}

impl Hash for ModelFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.answer.hash(state);
    }
}

impl ModelFunction {
    /// The model that the first argument names.
    fn model(&self, name: Option<&ScalarValue>) -> Result<Arc<Model>> {
        if let Some(name) = name.and_then(|name| name.try_as_str().flatten()) {
            return self.models.get(name);
        }
        let example = self.models.names().into_iter().next().unwrap_or_else(|| "late".to_owned());
        plan_err!(
            "the first argument of {0} is the name of a model as a text literal: {0}('{example}', …)",
            self.name()
        )
    }
}

impl ScalarUDFImpl for ModelFunction {
    fn name(&self) -> &str {
        self.answer.function()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} depends on the model it names", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let model = self.model(args.scalar_arguments.first().copied().flatten())?;
        let types: Vec<&DataType> = args.arg_fields.iter().skip(1).map(|field| field.data_type()).collect();
        Binding::new(&model, self.name(), &types)?;
        model.field(self.answer)
    }

    fn simplify(&self, mut args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        // Pinning the digest shows in EXPLAIN which bytes answer, and refuses a plan that outlives its model.
        let Some(Expr::Literal(value, metadata)) = args.first() else { return Ok(ExprSimplifyResult::Original(args)) };
        let model = self.model(Some(value))?;
        let pinned = ScalarValue::from(model.pinned_name());
        if *value == pinned {
            return Ok(ExprSimplifyResult::Original(args));
        }
        let pinned = Expr::Literal(pinned, metadata.clone());
        if let Some(first) = args.first_mut() {
            *first = pinned;
        }
        Ok(ExprSimplifyResult::Simplified(function(self.answer, &self.models).call(args)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut columns = args.args.into_iter();
        let model = match columns.next() {
            Some(ColumnarValue::Scalar(name)) => self.model(Some(&name))?,
            Some(ColumnarValue::Array(_)) | None => self.model(None)?,
        };
        let arrays = columns.map(|column| column.into_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let types: Vec<&DataType> = arrays.iter().map(|array| array.data_type()).collect();
        let binding = Binding::new(&model, self.name(), &types)?;
        let inputs = binding.columns(&model, arrays)?;
        Ok(ColumnarValue::Array(model.run(self.answer, inputs, args.number_rows)?))
    }
}
