//! What JavaScript sees. Every failure is thrown as an `Error`.

use js_sys::{Array, BigInt, Date, Object, Reflect};
use skewless_catalog::{FUNCTIONS, Kind, function};
use skewless_model::{Classes, Width};
use wasm_bindgen::prelude::{JsCast as _, JsError, JsValue, wasm_bindgen};

use crate::score::Scorer;
use crate::{Cell, Error, call};

/// Types that wasm-bindgen cannot know.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

#[wasm_bindgen]
extern "C" {
    /// `Row[]` of types.d.ts.
    #[wasm_bindgen(typescript_type = "Row[]")]
    pub type Rows;
    /// `Prediction[]` of types.d.ts.
    #[wasm_bindgen(typescript_type = "Prediction[]")]
    pub type Predictions;
    /// `Signature` of types.d.ts.
    #[wasm_bindgen(typescript_type = "Signature")]
    pub type SignatureObject;
    /// `Argument[]` of types.d.ts.
    #[wasm_bindgen(typescript_type = "Argument[]")]
    pub type Arguments;
    /// `Scalar | Scalar[] | Record<string, Scalar>`.
    #[wasm_bindgen(typescript_type = "Result")]
    pub type ResultValue;
    /// `CatalogFunction[]` of types.d.ts.
    #[wasm_bindgen(typescript_type = "CatalogFunction[]")]
    pub type Functions;
}

/// A model that is ready to score rows. Call `free()` when it is not needed any more.
#[wasm_bindgen]
pub struct Model {
    scorer: Scorer,
}

/// Opens and verifies the bytes of a `.skew` archive.
#[wasm_bindgen(js_name = loadModel)]
pub fn load_model(archive: &[u8]) -> Result<Model, JsError> {
    Ok(Model { scorer: Scorer::open(archive)? })
}

#[wasm_bindgen]
impl Model {
    /// The model's name.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.scorer.bundle().name().to_owned()
    }

    /// SHA-256 of the bundle, in hex: the same on every surface that serves this model.
    #[wasm_bindgen(getter)]
    pub fn digest(&self) -> String {
        self.scorer.bundle().digest().to_owned()
    }

    /// What the model takes and gives.
    pub fn signature(&self) -> SignatureObject {
        let signature = self.scorer.signature();
        let inputs = signature.columns().into_iter().map(|column| {
            object([
                ("name", column.name.into()),
                ("type", column.data_type.name().into()),
                ("feature", column.feature.map_or(JsValue::NULL, JsValue::from)),
            ])
        });
        let outputs = signature.outputs.iter().map(|output| {
            let classes = output.classes.as_ref().map_or(JsValue::NULL, |classes| match classes {
                Classes::Int64(labels) => {
                    labels.iter().map(|label| from_cell(Cell::from_integer(*label))).collect::<Array>().into()
                }
                Classes::String(labels) => labels.iter().map(JsValue::from).collect::<Array>().into(),
            });
            let width = match output.width {
                Width::Scalar => JsValue::NULL,
                Width::Vector(width) => JsValue::from(width as f64),
            };
            object([
                ("name", output.name.as_str().into()),
                ("type", output.data_type.name().into()),
                ("role", crate::score::role(output.role).into()),
                ("width", width),
                ("classes", classes),
            ])
        });
        object([
            ("name", self.scorer.bundle().name().into()),
            ("digest", self.scorer.bundle().digest().into()),
            ("inputs", inputs.collect::<Array>().into()),
            ("outputs", outputs.collect::<Array>().into()),
        ])
        .unchecked_into()
    }

    /// One prediction a row, in order.
    pub fn predict(&self, rows: &Rows) -> Result<Predictions, JsError> {
        let rows: Vec<Vec<(String, Cell)>> = items("rows", rows)?
            .iter()
            .enumerate()
            .map(|(index, row)| fields(&format!("rows[{index}]"), row))
            .collect::<Result<_, _>>()?;
        let predictions = self.scorer.predict(&rows)?;
        let predictions = predictions.into_iter().map(|prediction| {
            let object = Object::new();
            for (name, cell) in prediction {
                set(&object, &name, &from_cell(cell));
            }
            JsValue::from(object)
        });
        Ok(predictions.collect::<Array>().unchecked_into())
    }
}

/// Evaluates a catalog function by its name or an alias: a scalar function over values, an aggregate over arrays.
#[wasm_bindgen]
pub fn evaluate(name: &str, args: &Arguments) -> Result<ResultValue, JsError> {
    let args: Vec<Cell> = items("args", args)?
        .iter()
        .enumerate()
        .map(|(index, arg)| to_cell(&format!("args[{index}]"), arg))
        .collect::<Result<_, _>>()?;
    Ok(from_cell(call::evaluate(name, &args)?).unchecked_into())
}

/// Every function of the catalog.
#[wasm_bindgen]
pub fn functions() -> Functions {
    let functions = FUNCTIONS.iter().map(|function| {
        let names = function::names(*function);
        let aliases = names.iter().filter(|name| *name != function.name()).map(JsValue::from);
        let kind = match function.kind() {
            Kind::Scalar => "scalar",
            Kind::Aggregate => "aggregate",
            Kind::Window => "window",
        };
        let args = function.args().iter().map(|arg| {
            object([
                ("name", arg.name.into()),
                ("type", arg.data_type.to_string().into()),
                ("about", arg.about.into()),
                ("default", arg.default.map_or(JsValue::NULL, JsValue::from)),
            ])
        });
        object([
            ("name", function.name().into()),
            ("aliases", aliases.collect::<Array>().into()),
            ("kind", kind.into()),
            ("args", args.collect::<Array>().into()),
            ("returns", function.returns().to_string().into()),
            ("signature", function::signature(*function).into()),
            ("short", function.short().into()),
        ])
    });
    functions.collect::<Array>().unchecked_into()
}

fn object<const N: usize>(fields: [(&str, JsValue); N]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        set(&object, name, &value);
    }
    object.into()
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // Setting a property of a plain object that is ours cannot fail.
    let _ = Reflect::set(object, &name.into(), value);
}

fn refuse(what: &str, found: &JsValue, expected: &'static str) -> Error {
    let found = if found.is_null() || found.is_undefined() {
        "missing".to_owned()
    } else {
        format!("of type {}", found.js_typeof().as_string().unwrap_or_default())
    };
    Error::Value { what: what.to_owned(), found, expected }
}

fn items(what: &str, value: &JsValue) -> Result<Vec<JsValue>, Error> {
    if !Array::is_array(value) {
        return Err(refuse(what, value, "an array"));
    }
    Ok(Array::from(value).to_vec())
}

fn fields(what: &str, row: &JsValue) -> Result<Vec<(String, Cell)>, Error> {
    let object = row.dyn_ref::<Object>().filter(|_| !Array::is_array(row) && !row.is_function());
    let object = object.ok_or_else(|| refuse(what, row, "an object that holds inputs by name"))?;
    Object::entries(object)
        .iter()
        .map(|entry| {
            let entry = Array::from(&entry);
            let name = entry.get(0).as_string().unwrap_or_default();
            let cell = to_cell(&format!("{what}.{name}"), &entry.get(1))?;
            Ok((name, cell))
        })
        .collect()
}

fn to_cell(what: &str, value: &JsValue) -> Result<Cell, Error> {
    if value.is_null() || value.is_undefined() {
        return Ok(Cell::Null);
    }
    if let Some(number) = value.as_f64() {
        return Ok(Cell::Number(number));
    }
    if let Some(text) = value.as_string() {
        return Ok(Cell::Text(text));
    }
    if let Some(boolean) = value.as_bool() {
        return Ok(Cell::Boolean(boolean));
    }
    if value.is_bigint() {
        let integer = i64::try_from(BigInt::from(value.clone()));
        return integer.map(Cell::Integer).map_err(|_| refuse(what, value, "an integer within 64 bits"));
    }
    if let Some(date) = value.dyn_ref::<Date>() {
        return Ok(Cell::Date(date.get_time()));
    }
    if Array::is_array(value) {
        let cells = items(what, value)?;
        let cells = cells.iter().enumerate().map(|(index, cell)| to_cell(&format!("{what}[{index}]"), cell));
        return Ok(Cell::List(cells.collect::<Result<_, _>>()?));
    }
    Err(refuse(what, value, "a number, a string, a boolean, a BigInt, a Date, an array or null"))
}

fn from_cell(cell: Cell) -> JsValue {
    match cell {
        Cell::Null => JsValue::NULL,
        Cell::Number(value) => value.into(),
        Cell::Integer(value) => value.into(),
        Cell::Boolean(value) => value.into(),
        Cell::Text(text) => text.into(),
        Cell::Date(millis) => Date::new(&millis.into()).into(),
        Cell::List(cells) => cells.into_iter().map(from_cell).collect::<Array>().into(),
        Cell::Record(fields) => {
            let object = Object::new();
            for (name, cell) in fields {
                set(&object, name, &from_cell(cell));
            }
            object.into()
        }
    }
}
