//! How the arguments of a call fill a model's inputs: by position, or by name from one struct. Every mistake is found
//! when the statement is planned, and named together with what would be right.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef, Fields};
use datafusion::common::{Result, exec_datafusion_err, plan_datafusion_err, plan_err};
use skewless_catalog::suggest::did_you_mean;
use skewless_model::{InputColumn, Signature, Width};

use super::loaded::Model;
use super::tensor;

/// What one argument fills: a scalar input, or one place of a vector input.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) data_type: skewless_model::DataType,
}

impl Slot {
    /// The slots of a signature, in order.
    pub(super) fn all(signature: &Signature) -> Vec<Self> {
        let columns = signature.columns();
        columns.iter().map(|column| Self { name: column.name.to_owned(), data_type: column.data_type }).collect()
    }
}

/// How the arguments of one call fill the slots of a model.
pub(super) enum Binding {
    /// An argument a slot.
    Positions,
    /// One struct; its field for each slot.
    Names(Vec<usize>),
    /// One list for the one vector input.
    List,
}

impl Binding {
    /// Binds arguments of these types, the model's name not among them.
    pub(super) fn new(model: &Model, function: &str, types: &[&DataType]) -> Result<Self> {
        let slots = model.slots();
        if let [DataType::Struct(fields)] = types {
            let positions = slots.iter().map(|slot| {
                let (position, field) = find(fields, &slot.name).ok_or_else(|| {
                    plan_datafusion_err!(
                        "{function}: the struct has no field `{}`{}; the model is {}",
                        slot.name,
                        did_you_mean(&slot.name, fields.iter().map(|field| field.name().as_str())),
                        model.call_text()
                    )
                })?;
                check(model, function, slot, field.data_type())?;
                Ok(position)
            });
            return Ok(Self::Names(positions.collect::<Result<_>>()?));
        }
        if let [data_type] = types
            && tensor::is_list(data_type)
            && model.vector().is_some()
        {
            return Ok(Self::List);
        }
        if types.len() != slots.len() {
            let (wanted, given) = (slots.len(), types.len());
            let arguments = if wanted == 1 { "argument" } else { "arguments" };
            let detail = match slots.get(given) {
                Some(missing) => format!("`{}` is the first that is missing", missing.name),
                None => format!("{} too many", given - wanted),
            };
            return plan_err!(
                "{function}: the model takes {wanted} {arguments} after its name, not {given} ({detail}); it is {}",
                model.call_text()
            );
        }
        for (slot, data_type) in slots.iter().zip(types) {
            check(model, function, slot, data_type)?;
        }
        Ok(Self::Positions)
    }

    /// One column a slot from the evaluated arguments.
    pub(super) fn columns(&self, model: &Model, arrays: Vec<ArrayRef>) -> Result<Vec<InputColumn>> {
        let name = model.name();
        let arrays = match (self, arrays.as_slice()) {
            (Self::Positions, _) => arrays,
            (Self::Names(positions), [array]) => {
                let array = array.as_struct();
                if array.null_count() > 0 {
                    return Err(exec_datafusion_err!(
                        "model `{name}`: the struct of inputs is NULL in {} rows; filter these, or pass a struct of NULLs",
                        array.null_count()
                    ));
                }
                positions.iter().filter_map(|position| array.columns().get(*position).cloned()).collect()
            }
            (Self::List, [array]) => tensor::spread(array, model.slots().len())
                .map_err(|reason| exec_datafusion_err!("model `{name}`: {reason}"))?,
            (Self::Names(_) | Self::List, _) => {
                return Err(exec_datafusion_err!("model `{name}`: one argument was expected, not {}", arrays.len()));
            }
        };
        let columns = model.slots().iter().zip(&arrays).map(|(slot, array)| {
            tensor::input(array, slot.data_type)
                .map_err(|error| exec_datafusion_err!("model `{name}`: input `{}`: {error}", slot.name))
        });
        columns.collect()
    }
}

impl Model {
    /// The width of a model's only input, where that is a vector.
    pub(super) fn vector(&self) -> Option<(&str, usize)> {
        match self.signature().inputs.as_slice() {
            [input] => match input.width {
                Width::Vector(width) => Some((&input.name, width)),
                Width::Scalar => None,
            },
            _ => None,
        }
    }
}

/// The field of that name: as it is written, else the one that differs in case alone.
fn find<'a>(fields: &'a Fields, name: &str) -> Option<(usize, &'a FieldRef)> {
    fields.find(name).or_else(|| {
        let mut similar = fields.iter().enumerate().filter(|(_, field)| field.name().eq_ignore_ascii_case(name));
        similar.next().filter(|_| similar.next().is_none())
    })
}

/// Refuses an argument whose type the input does not take.
fn check(model: &Model, function: &str, slot: &Slot, given: &DataType) -> Result<()> {
    if tensor::accepts(slot.data_type, given) {
        return Ok(());
    }
    let wanted = tensor::type_name(slot.data_type, Width::Scalar);
    plan_err!(
        "{function}: input `{}` takes {wanted}, not {given}; CAST(… AS {wanted}) converts where that is what is meant; \
         the model is {}",
        slot.name,
        model.call_text()
    )
}
