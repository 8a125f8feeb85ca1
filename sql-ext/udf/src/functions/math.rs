//! The transcendental functions over the `libm` crate, under DataFusion's names. The system's own differ between glibc and
//! wasm in up to a tenth of all arguments; feature views call these, so that every surface computes the same bits.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::compute::{cast, try_binary};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use datafusion_common::{Result, ScalarValue, exec_err, internal_err};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

type Unary = fn(f64) -> f64;
type Binary = fn(f64, f64) -> Result<f64, ArrowError>;

/// How a function is computed.
#[derive(Debug, Clone, Copy)]
enum Kernel {
    Unary(Unary),
    Binary(Binary),
    /// One argument, or a base before it.
    Logarithm,
}

/// A transcendental function of a fixed implementation.
#[derive(Debug)]
struct Pinned {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    kernel: Kernel,
}

static PINNED: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    let unary: [(&str, Unary); 19] = [
        ("acos", libm::acos),
        ("acosh", libm::acosh),
        ("asin", libm::asin),
        ("asinh", libm::asinh),
        ("atan", libm::atan),
        ("atanh", libm::atanh),
        ("cbrt", libm::cbrt),
        ("cos", libm::cos),
        ("cosh", libm::cosh),
        ("cot", |x| 1.0 / libm::tan(x)),
        ("exp", libm::exp),
        ("ln", libm::log),
        ("log10", libm::log10),
        ("log2", libm::log2),
        ("sin", libm::sin),
        ("sinh", libm::sinh),
        ("tan", libm::tan),
        ("tanh", libm::tanh),
        ("expm1", libm::expm1),
    ];
    let floats = |count| TypeSignature::Uniform(count, vec![DataType::Float64, DataType::Float32]);
    let doubles = |count| TypeSignature::Uniform(count, vec![DataType::Float64]);
    let pinned = |name, aliases: &[&str], signature, kernel| {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        let signature = Signature::new(signature, Volatility::Immutable);
        Arc::new(ScalarUDF::from(Pinned { name, aliases, signature, kernel }))
    };
    unary
        .into_iter()
        .map(|(name, f)| pinned(name, &[], floats(1), Kernel::Unary(f)))
        .chain([
            pinned("atan2", &[], floats(2), Kernel::Binary(|y, x| Ok(libm::atan2(y, x)))),
            pinned("power", &["pow"], doubles(2), Kernel::Binary(power)),
            pinned("log", &[], TypeSignature::OneOf(vec![doubles(1), doubles(2)]), Kernel::Logarithm),
        ])
        .collect()
});

/// The transcendental functions over the pinned `libm`, under DataFusion's names.
pub fn pinned_math() -> Vec<Arc<ScalarUDF>> {
    PINNED.clone()
}

fn power(base: f64, exponent: f64) -> Result<f64, ArrowError> {
    if base == 0.0 && exponent < 0.0 {
        // As DataFusion's own power.
        return Err(ArrowError::ComputeError("zero raised to a negative power is undefined".to_owned()));
    }
    Ok(libm::pow(base, exponent))
}

fn logarithm(base: f64, x: f64) -> f64 {
    match base {
        2.0 => libm::log2(x),
        10.0 => libm::log10(x),
        base => libm::log(x) / libm::log(base),
    }
}

impl Pinned {
    fn compute(&self, args: &[ArrayRef]) -> Result<Float64Array> {
        let doubles: Vec<&Float64Array> =
            args.iter().filter_map(|array| array.as_primitive_opt::<Float64Type>()).collect();
        Ok(match (self.kernel, doubles.as_slice()) {
            (Kernel::Unary(f), [x]) => x.unary(f),
            (Kernel::Binary(f), [a, b]) => try_binary(*a, *b, f)?,
            (Kernel::Logarithm, [x]) => x.unary(libm::log10),
            (Kernel::Logarithm, [base, x]) => try_binary(*base, *x, |base, x| Ok(logarithm(base, x)))?,
            _ => return internal_err!("{} was called with {} arguments", self.name, args.len()),
        })
    }
}

impl ScalarUDFImpl for Pinned {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        // A REAL stays one, as with DataFusion's own: computed as a DOUBLE and rounded once.
        let single = !given.is_empty() && given.iter().all(|given| *given == DataType::Float32);
        Ok(if single { DataType::Float32 } else { DataType::Float64 })
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| Ok(cast(&arg.to_array(rows)?, &DataType::Float64)?));
        let result = self.compute(&arrays.collect::<Result<Vec<ArrayRef>>>()?)?;
        let result: ArrayRef = match args.return_field.data_type() {
            DataType::Float64 => Arc::new(result),
            DataType::Float32 => Arc::new(result.unary::<_, Float32Type>(|x| x as f32)),
            other => return exec_err!("{} does not give {other}", self.name),
        };
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }
}

// A function is its name: the list holds each once.
impl PartialEq for Pinned {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Pinned {}

impl Hash for Pinned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
