//! A model that is loaded: what it takes, what it answers, and the session that runs it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, exec_datafusion_err, plan_datafusion_err, plan_err};
use skewless_model::{Bundle, Engine, InputColumn, OutputSpec, Role, Session, Signature, Tensor};

use super::bind::Slot;
use super::tensor;
use crate::Device;

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// The label of a classifier, else the value of every output.
    Prediction,
    /// The probability of each class.
    Probabilities,
    /// Both, as a struct, for one run of the model.
    Score,
}

impl Answer {
    pub(super) fn function(self) -> &'static str {
        match self {
            Self::Prediction => "ml_predict",
            Self::Probabilities => "ml_predict_proba",
            Self::Score => "ml_score",
        }
    }
}

/// The names of what [`Answer::Score`] holds, and of the columns that the relation form adds.
pub(super) const PREDICTION: &str = "prediction";
pub(super) const PROBABILITIES: &str = "probabilities";

/// A loaded model.
pub struct Model {
    name: String,
    location: String,
    device: Device,
    digest: String,
    signature: Signature,
    slots: Vec<Slot>,
    session: Arc<dyn Session>,
    /// Which outputs make the prediction: the label, or every value.
    prediction: Vec<usize>,
    probabilities: Option<usize>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Model {
    /// Compiles a bundle for a device.
    pub(super) fn load(
        name: String,
        location: String,
        device: Device,
        bundle: &Bundle,
        engine: &dyn Engine,
    ) -> Result<Self> {
        let session =
            engine.load(bundle).map_err(|error| plan_datafusion_err!("model `{name}` from {location}: {error}"))?;
        // The test vectors of a bundle are stated for the processor; a GPU rounds differently.
        if device == Device::Cpu {
            bundle
                .verify(session.as_ref())
                .map_err(|error| plan_datafusion_err!("model `{name}` from {location}: {error}"))?;
        }
        let signature = bundle.signature().clone();
        let with_role = |role: Role| -> Vec<usize> {
            let outputs = signature.outputs.iter().enumerate();
            outputs.filter(|(_, output)| output.role == role).map(|(index, _)| index).collect()
        };
        let labels = with_role(Role::Label);
        let prediction = if labels.is_empty() { with_role(Role::Value) } else { labels };
        let probabilities = with_role(Role::Probabilities).first().copied();
        if prediction.is_empty() && probabilities.is_none() {
            return plan_err!("model `{name}` from {location} has no output; its signature must name at least one");
        }
        let slots = Slot::all(&signature);
        Ok(Self {
            digest: bundle.digest().to_owned(),
            name,
            location,
            device,
            slots,
            session,
            prediction,
            probabilities,
            signature,
        })
    }

    /// The name it was created with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its bundle was read from.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The SHA-256 of its bundle, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What it runs on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Its inputs and outputs.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What the arguments of a call fill, in order.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Whether it tells probabilities.
    pub(super) fn has_probabilities(&self) -> bool {
        self.probabilities.is_some()
    }

    /// The name with enough of the digest to mean these bytes alone.
    pub(super) fn pinned_name(&self) -> String {
        format!("{}@sha256:{}", self.name, self.digest.get(..12).unwrap_or(&self.digest))
    }

    /// `late(distance FLOAT, carrier VARCHAR)`.
    pub(super) fn call_text(&self) -> String {
        format!("{}({})", self.name, self.inputs_text())
    }

    /// `late(distance FLOAT) -> label BIGINT, probabilities DOUBLE[2]`.
    pub(super) fn describe(&self) -> String {
        format!("{} -> {}", self.call_text(), self.outputs_text())
    }

    /// The inputs with their types, for people.
    pub(super) fn inputs_text(&self) -> String {
        let inputs = self
            .signature
            .inputs
            .iter()
            .map(|input| format!("{} {}", input.name, tensor::type_name(input.data_type, input.width)));
        inputs.collect::<Vec<_>>().join(", ")
    }

    /// The outputs with their types, for people.
    pub(super) fn outputs_text(&self) -> String {
        let outputs = self
            .signature
            .outputs
            .iter()
            .map(|output| format!("{} {}", output.name, tensor::type_name(output.data_type, output.width)));
        outputs.collect::<Vec<_>>().join(", ")
    }

    /// Role, name, type and note of every input and output.
    pub(super) fn description(&self) -> Vec<[Option<String>; 4]> {
        let inputs = self.signature.inputs.iter().map(|input| {
            let type_name = tensor::type_name(input.data_type, input.width);
            let note = input.feature.as_ref().map(|feature| format!("feature {feature}"));
            [Some("input".to_owned()), Some(input.name.clone()), Some(type_name), note]
        });
        let outputs = self.signature.outputs.iter().map(|output| {
            let role = match output.role {
                Role::Label => "label",
                Role::Probabilities => "probabilities",
                Role::Value => "value",
            };
            let type_name = tensor::type_name(output.data_type, output.width);
            let note = output.classes.as_ref().map(|_| format!("classes {}", classes_json(output)));
            [Some(role.to_owned()), Some(output.name.clone()), Some(type_name), note]
        });
        inputs.chain(outputs).collect()
    }

    /// The type of an answer; the metadata says which bytes gave it.
    pub(super) fn field(&self, answer: Answer) -> Result<FieldRef> {
        let field = match answer {
            Answer::Prediction => self.prediction_field()?,
            Answer::Probabilities => self.probabilities_field()?,
            Answer::Score => {
                let fields = Fields::from(vec![self.prediction_field()?, self.probabilities_field()?]);
                Field::new(answer.function(), DataType::Struct(fields), true)
            }
        };
        let mut metadata = field.metadata().clone();
        metadata.insert("skewless.model".to_owned(), format!("{}@sha256:{}", self.location, self.digest));
        Ok(Arc::new(field.with_metadata(metadata)))
    }

    fn prediction_field(&self) -> Result<Field> {
        let outputs: Vec<&OutputSpec> = self.outputs(&self.prediction).collect();
        match outputs.as_slice() {
            [] => plan_err!("model `{}` answers with probabilities alone; ask ml_predict_proba for them", self.name),
            [output] => Ok(Field::new(PREDICTION, tensor::arrow_type(output), true)),
            several => {
                let fields = several.iter().map(|output| Field::new(&output.name, tensor::arrow_type(output), true));
                Ok(Field::new(PREDICTION, DataType::Struct(fields.collect()), true))
            }
        }
    }

    fn probabilities_field(&self) -> Result<Field> {
        let Some(output) = self.probabilities.and_then(|index| self.signature.outputs.get(index)) else {
            return plan_err!(
                "model `{}` tells no probabilities: its outputs are {}; ml_predict gives them",
                self.name,
                self.outputs_text()
            );
        };
        let field = Field::new(PROBABILITIES, tensor::probabilities_type(), true);
        Ok(match &output.classes {
            Some(_) => field.with_metadata(HashMap::from([("classes".to_owned(), classes_json(output))])),
            None => field,
        })
    }

    fn outputs<'a>(&'a self, indices: &'a [usize]) -> impl Iterator<Item = &'a OutputSpec> {
        indices.iter().filter_map(|index| self.signature.outputs.get(*index))
    }

    /// Runs the model over one column per slot.
    pub(super) fn run(&self, answer: Answer, columns: Vec<InputColumn>, rows: usize) -> Result<ArrayRef> {
        let field = self.field(answer)?;
        if rows == 0 {
            return Ok(arrow::array::new_empty_array(field.data_type()));
        }
        let columns: Vec<(&str, InputColumn)> = self.slots.iter().map(|slot| slot.name.as_str()).zip(columns).collect();
        let outputs = self
            .signature
            .bind(&columns)
            .and_then(|inputs| self.session.run(&inputs))
            .map_err(|error| exec_datafusion_err!("model `{}`: {error}", self.name))?;
        match answer {
            Answer::Prediction => self.prediction_array(&outputs, rows),
            Answer::Probabilities => self.probabilities_array(&outputs, rows),
            Answer::Score => {
                let DataType::Struct(fields) = field.data_type().clone() else {
                    return plan_err!("ml_score answers with a struct");
                };
                let arrays = vec![self.prediction_array(&outputs, rows)?, self.probabilities_array(&outputs, rows)?];
                Ok(Arc::new(StructArray::try_new(fields, arrays, None)?))
            }
        }
    }

    fn prediction_array(&self, outputs: &[Tensor], rows: usize) -> Result<ArrayRef> {
        let arrays =
            self.prediction.iter().map(|index| self.output_array(*index, outputs, rows)).collect::<Result<Vec<_>>>()?;
        match (arrays.as_slice(), self.prediction_field()?.data_type()) {
            ([array], _) => Ok(Arc::clone(array)),
            (_, DataType::Struct(fields)) => Ok(Arc::new(StructArray::try_new(fields.clone(), arrays, None)?)),
            (_, other) => plan_err!("model `{}` answers with several outputs, not {other}", self.name),
        }
    }

    fn probabilities_array(&self, outputs: &[Tensor], rows: usize) -> Result<ArrayRef> {
        match self.probabilities {
            Some(index) => tensor::probabilities(self.output(index, outputs)?, rows)
                .map_err(|reason| exec_datafusion_err!("model `{}`: {reason}", self.name)),
            None => Err(self.probabilities_field().err().unwrap_or_else(|| exec_datafusion_err!("no probabilities"))),
        }
    }

    fn output_array(&self, index: usize, outputs: &[Tensor], rows: usize) -> Result<ArrayRef> {
        let Some(spec) = self.signature.outputs.get(index) else {
            return plan_err!("model `{}` has no output {index}", self.name);
        };
        tensor::output(spec, self.output(index, outputs)?, rows)
            .map_err(|reason| exec_datafusion_err!("model `{}`: output `{}`: {reason}", self.name, spec.name))
    }

    fn output<'a>(&self, index: usize, outputs: &'a [Tensor]) -> Result<&'a Tensor> {
        outputs.get(index).ok_or_else(|| {
            exec_datafusion_err!(
                "model `{}` answered with {} outputs; its signature promises {}",
                self.name,
                outputs.len(),
                self.signature.outputs.len()
            )
        })
    }
}

/// The classes as a JSON array of texts or numbers.
fn classes_json(output: &OutputSpec) -> String {
    serde_json::to_string(&output.classes).unwrap_or_default()
}
