//! What a function of the catalog is: one definition that every surface reads, evaluated over columns.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};

mod choice;
mod column;
mod define;
mod state;
mod value;

pub use column::{Column, Slice, Values};
pub(crate) use define::define;
pub(crate) use state::Step;
pub use state::{BadState, State, compute as compute_by_state};
pub use value::Value;

/// Whether a function gives a value for each row or one for many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One value for each row; NULL if any argument is NULL. Arguments with a default can be left out.
    Scalar,
    /// One value for all rows; each function says what it does with NULL. Arguments after the columns that it collects
    /// are options: constants with a default.
    Aggregate,
    /// One value for each row, of that row and those before it, in the order of the stream. Arguments with a default are
    /// options: constants.
    Window,
}

/// Under which heading the reference lists a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Values of features.
    Features,
    /// Tests and distances between two samples.
    Drift,
    /// Distributions as mergeable values, and verdicts on them.
    Profiles,
    /// Detectors of a change in a stream.
    Detectors,
    /// How good a model's predictions are, for whom, and how sure that is.
    Quality,
}

/// The type of an argument or a result, named in messages as SQL names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A 64-bit float.
    Float64,
    /// A signed 64-bit integer.
    Int64,
    /// True or false.
    Boolean,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Bytes,
    /// An instant, in microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// A list of floats.
    Float64List,
    /// A list of texts.
    TextList,
    /// Floats or texts: a number, or a category.
    Float64OrText,
    /// Integers or texts: a key.
    Int64OrText,
    /// A struct with named fields.
    Record(&'static [(&'static str, Type)]),
}

impl Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Float64 => "DOUBLE",
            Self::Int64 => "BIGINT",
            Self::Boolean => "BOOLEAN",
            Self::Text => "VARCHAR",
            Self::Bytes => "BYTEA",
            Self::Timestamp => "TIMESTAMP",
            Self::Float64List => "DOUBLE[]",
            Self::TextList => "VARCHAR[]",
            Self::Float64OrText => "DOUBLE or VARCHAR",
            Self::Int64OrText => "BIGINT or VARCHAR",
            Self::Record(fields) => {
                f.write_str("STRUCT(")?;
                for (i, (name, data_type)) in fields.iter().enumerate() {
                    write!(f, "{}{name} {data_type}", if i == 0 { "" } else { ", " })?;
                }
                ")"
            }
        };
        f.write_str(name)
    }
}

/// One argument of a function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arg {
    /// Its name, usable as `name => value`.
    pub name: &'static str,
    /// Its type.
    pub data_type: Type,
    /// What it is for, in a few words.
    pub about: &'static str,
    /// For an option: its default, as SQL text.
    pub default: Option<&'static str>,
}

impl Arg {
    /// An argument that has to be given.
    #[must_use]
    pub const fn new(name: &'static str, data_type: Type, about: &'static str) -> Self {
        Self { name, data_type, about, default: None }
    }

    /// An option: it can be left out for its default; for an aggregate it is a constant, and NULL stands for the default.
    #[must_use]
    pub const fn option(name: &'static str, data_type: Type, default: &'static str, about: &'static str) -> Self {
        Self { name, data_type, about, default: Some(default) }
    }
}

/// How near a result has to be to the golden value of an independent tool. Between our own surfaces the bits are equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// The same bits.
    Exact,
    /// This far, absolutely.
    Absolute(f64),
    /// This far, relative to the larger of the two.
    Relative(f64),
}

impl Tolerance {
    /// Whether `got` is near enough to `want`; NaN is near NaN only.
    #[must_use]
    #[allow(clippy::float_cmp, reason = "equal infinities have no distance")]
    pub fn holds(self, got: f64, want: f64) -> bool {
        if got.is_nan() || want.is_nan() {
            return got.is_nan() && want.is_nan();
        }
        if got == want {
            return true;
        }
        match self {
            Self::Exact => false,
            Self::Absolute(distance) => (got - want).abs() <= distance,
            Self::Relative(share) => (got - want).abs() <= share * got.abs().max(want.abs()),
        }
    }
}

impl Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exact"),
            Self::Absolute(distance) => write!(f, "{distance:e} absolute"),
            Self::Relative(share) => write!(f, "{share:e} relative"),
        }
    }
}

/// A call and its result: shown in the reference, executed on every surface.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// One row of arguments for a scalar function, any number for an aggregate or a detector.
    pub rows: Vec<Vec<Value>>,
    /// What comes out; for a detector, at the last row.
    pub returns: Value,
}

impl Example {
    /// A call of a scalar function.
    #[must_use]
    pub fn scalar<const N: usize>(args: [Value; N], returns: impl Into<Value>) -> Self {
        Self { rows: vec![args.into()], returns: returns.into() }
    }

    /// A call of an aggregate with two columns, `base` rows first.
    #[must_use]
    pub fn two_samples(base: &[f64], study: &[f64], returns: Value) -> Self {
        let row = |x: &f64, is_base: bool| vec![Value::Float64(*x), Value::Boolean(is_base)];
        let rows = base.iter().map(|x| row(x, true)).chain(study.iter().map(|x| row(x, false))).collect();
        Self { rows, returns }
    }
}

/// One function of the catalog: everything that every surface needs to offer, describe and test it.
pub trait Function: Send + Sync {
    /// Its name, in `snake_case`, without a prefix.
    fn name(&self) -> &'static str;

    /// Other names. Every function is also called `ml_` and its name: see [`names`].
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it is evaluated row by row or over many rows.
    fn kind(&self) -> Kind {
        Kind::Scalar
    }

    /// Under which heading the reference lists it.
    fn section(&self) -> Section {
        match self.kind() {
            Kind::Scalar => Section::Features,
            Kind::Aggregate => Section::Drift,
            Kind::Window => Section::Detectors,
        }
    }

    /// Its arguments, in order, options last.
    fn args(&self) -> &'static [Arg];

    /// The type of its result.
    fn returns(&self) -> Type;

    /// What it does, in one line.
    fn short(&self) -> &'static str;

    /// What it does with ordinary values, NULL, NaN and infinities, its errors and its source, as Markdown.
    fn long(&self) -> &'static str;

    /// Calls and their results.
    fn examples(&self) -> Vec<Example>;

    /// How near it is to the independent tool that made its goldens.
    fn tolerance(&self) -> Tolerance;

    /// Evaluates a call whose arguments [`evaluate`] has checked.
    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error>;

    /// An empty state of an aggregate that needs not keep its rows, for a call of no rows that holds its options; `None`
    /// for one that does. [`compute_by_state`] is then its [`Function::compute`].
    fn state(&self, _options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(None)
    }
}

/// All names of a function: its own, `ml_` and it, and its aliases.
#[must_use]
pub fn names(function: &dyn Function) -> Vec<String> {
    let mut names = vec![function.name().to_owned()];
    if !function.name().starts_with("ml_") {
        names.push(format!("ml_{}", function.name()));
    }
    names.extend(function.aliases().iter().map(|alias| (*alias).to_owned()));
    names
}

/// How a function is called: `standard_scaler(x DOUBLE, mean DOUBLE, std DOUBLE) -> DOUBLE`.
#[must_use]
pub fn signature(function: &dyn Function) -> String {
    let mut text = format!("{}(", function.name());
    for (i, arg) in function.args().iter().enumerate() {
        let separator = if i == 0 { "" } else { ", " };
        let _ = match arg.default {
            None => write!(text, "{separator}{} {}", arg.name, arg.data_type),
            Some(default) => write!(text, "{separator}[{} {} = {default}]", arg.name, arg.data_type),
        };
    }
    let _ = write!(text, ") -> {}", function.returns());
    text
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No function has this name.
    #[error("the catalog has no function `{name}`{hint}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// "; did you mean …?" or nothing.
        hint: String,
    },
    /// Too many or too few arguments.
    #[error("{function} was called with {got} argument{}; write {signature}", if *got == 1 { "" } else { "s" })]
    Arity {
        /// The function.
        function: &'static str,
        /// How it is called.
        signature: String,
        /// How many arguments it got.
        got: usize,
    },
    /// An argument of the wrong type.
    #[error(
        "{function}: argument `{argument}` has to be {expected}, but is {got}; {}", remedy(argument, *expected)
    )]
    Type {
        /// The function.
        function: &'static str,
        /// The argument.
        argument: &'static str,
        /// The type that it takes.
        expected: Type,
        /// What it got.
        got: String,
    },
    /// A value that the function is not defined for.
    #[error("{function}: {reason}")]
    Value {
        /// The function.
        function: &'static str,
        /// The argument, its value, and what it has to be.
        reason: String,
    },
}

fn remedy(argument: &str, expected: Type) -> String {
    match expected {
        Type::Boolean => format!("give true or false, or write a condition, such as {argument} = 1"),
        _ => "convert it with CAST, or pass another column".to_owned(),
    }
}

/// The checked arguments of one evaluation. A column of one row stands for a constant.
#[derive(Debug)]
pub struct Call<'a> {
    function: &'static str,
    args: &'a [Column<'a>],
    rows: usize,
    valid: Option<Vec<bool>>,
}

impl<'a> Call<'a> {
    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether a row of a scalar function has no NULL argument and is to be computed.
    #[must_use]
    pub fn is_valid(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.get(row).copied().unwrap_or(false))
    }

    /// Argument `index`, if it was given.
    #[must_use]
    pub fn arg(&self, index: usize) -> Option<&'a Column<'a>> {
        self.args.get(index)
    }

    /// Argument `index` as floats.
    pub fn floats(&self, index: usize) -> Result<Slice<'a, f64>, Error> {
        match self.args.get(index).map(|column| &column.values) {
            Some(Values::Float64(values)) => Ok(Slice::new(values, self.rows)),
            other => Err(self.mismatch(index, other)),
        }
    }

    /// Argument `index` as integers.
    pub fn ints(&self, index: usize) -> Result<Slice<'a, i64>, Error> {
        match self.args.get(index).map(|column| &column.values) {
            Some(Values::Int64(values)) => Ok(Slice::new(values, self.rows)),
            other => Err(self.mismatch(index, other)),
        }
    }

    /// Argument `index` as instants in microseconds.
    pub fn timestamps(&self, index: usize) -> Result<Slice<'a, i64>, Error> {
        match self.args.get(index).map(|column| &column.values) {
            Some(Values::Timestamp(values)) => Ok(Slice::new(values, self.rows)),
            other => Err(self.mismatch(index, other)),
        }
    }

    /// Argument `index` as booleans.
    pub fn booleans(&self, index: usize) -> Result<Slice<'a, bool>, Error> {
        match self.args.get(index).map(|column| &column.values) {
            Some(Values::Boolean(values)) => Ok(Slice::new(values, self.rows)),
            other => Err(self.mismatch(index, other)),
        }
    }

    /// Argument `index` as texts.
    pub fn texts(&self, index: usize) -> Result<Slice<'a, Cow<'a, str>>, Error> {
        match self.args.get(index).map(|column| &column.values) {
            Some(Values::Text(values)) => Ok(Slice::new(values, self.rows)),
            other => Err(self.mismatch(index, other)),
        }
    }

    /// Argument `index` as bytes.
    pub fn bytes(&self, index: usize) -> Result<Slice<'a, Cow<'a, [u8]>>, Error> {
        match self.args.get(index).map(|column| &column.values) {
            Some(Values::Bytes(values)) => Ok(Slice::new(values, self.rows)),
            other => Err(self.mismatch(index, other)),
        }
    }

    /// Argument `index` as lists of floats.
    pub fn float_lists(&self, index: usize) -> Result<Slice<'a, Cow<'a, [f64]>>, Error> {
        match self.args.get(index).map(|column| &column.values) {
            Some(Values::Float64List(values)) => Ok(Slice::new(values, self.rows)),
            other => Err(self.mismatch(index, other)),
        }
    }

    /// Argument `index` as lists of texts.
    pub fn text_lists(&self, index: usize) -> Result<Slice<'a, Vec<Cow<'a, str>>>, Error> {
        match self.args.get(index).map(|column| &column.values) {
            Some(Values::TextList(values)) => Ok(Slice::new(values, self.rows)),
            other => Err(self.mismatch(index, other)),
        }
    }

    /// Whether an argument was given and is not NULL in a row: for functions that treat NULL themselves.
    #[must_use]
    pub fn is_given(&self, index: usize, row: usize) -> bool {
        self.args.get(index).is_some_and(|column| column.is_valid(if column.len() == 1 { 0 } else { row }))
    }

    /// An option of an aggregate; `None` where it was left out or is NULL.
    pub fn option(&self, index: usize) -> Option<Value> {
        self.args.get(index).map(|column| column.value(0)).filter(|value| *value != Value::Null)
    }

    /// Computes floats from the floats of the first `N` arguments.
    pub fn map_floats<const N: usize>(
        &self,
        f: impl Fn([f64; N]) -> Result<f64, String>,
    ) -> Result<Column<'static>, Error> {
        let mut args = [Slice::new(&[], 0); N];
        for (i, arg) in args.iter_mut().enumerate() {
            *arg = self.floats(i)?;
        }
        self.map(|row| f(args.map(|arg| arg.get(row)))).map(Column::from)
    }

    /// Computes one value for each row without NULL, and a default, masked later, for the others.
    pub fn map<T: Default>(&self, f: impl Fn(usize) -> Result<T, String>) -> Result<Vec<T>, Error> {
        (0..self.rows)
            .map(|row| if self.is_valid(row) { f(row).map_err(|reason| self.refuse(reason)) } else { Ok(T::default()) })
            .collect()
    }

    /// The error for a value that the function is not defined for.
    pub fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::Value { function: self.function, reason: reason.into() }
    }

    fn mismatch(&self, index: usize, got: Option<&Values<'_>>) -> Error {
        let got = got.map_or_else(|| "missing".to_owned(), |values| values.data_type().to_string());
        self.refuse(format!("argument {} cannot be read: it is {got}", index + 1))
    }
}

/// Evaluates a function over columns of `rows` rows, or of one row for a constant.
///
/// A scalar function gives NULL where any argument is NULL, and as many rows; an aggregate gives one row.
pub fn evaluate(function: &dyn Function, args: &[Column<'_>], rows: usize) -> Result<Column<'static>, Error> {
    let specification = function.args();
    let required = specification.iter().filter(|arg| arg.default.is_none()).count();
    if args.len() < required || args.len() > specification.len() {
        return Err(Error::Arity { function: function.name(), signature: signature(function), got: args.len() });
    }
    for (arg, column) in specification.iter().zip(args) {
        if !column.values.is(arg.data_type) {
            return Err(Error::Type {
                function: function.name(),
                argument: arg.name,
                expected: arg.data_type,
                got: column.values.data_type().to_string(),
            });
        }
        if column.len() != rows && column.len() != 1 {
            let reason = format!("argument `{}` has {} rows where {rows} are expected", arg.name, column.len());
            return Err(Error::Value { function: function.name(), reason });
        }
    }
    match function.kind() {
        Kind::Aggregate | Kind::Window => {
            function.compute(&Call { function: function.name(), args, rows, valid: None })
        }
        Kind::Scalar => {
            let valid = column::all_valid(args, rows);
            let call = Call { function: function.name(), args, rows, valid };
            let result = function.compute(&call)?;
            Ok(match call.valid {
                Some(valid) => result.masked(&valid),
                None => result,
            })
        }
    }
}

/// An empty state of an aggregate, given its options as columns of one row, or `None` where it keeps its rows.
///
/// Options are the arguments after those that [`Function::args`] requires.
pub fn state(function: &dyn Function, options: &[Column<'_>]) -> Result<Option<Box<dyn State>>, Error> {
    let required = function.args().iter().filter(|arg| arg.default.is_none());
    let mut args: Vec<Column<'_>> = required.map(|arg| Column::empty(arg.data_type)).collect();
    args.extend(options.iter().cloned());
    function.state(&Call { function: function.name(), args: &args, rows: 0, valid: None })
}

/// Adds rows to a state of the function.
pub fn update(function: &dyn Function, state: &mut dyn State, args: &[Column<'_>], rows: usize) -> Result<(), Error> {
    state.update(&Call { function: function.name(), args, rows, valid: None })
}

/// Takes back rows that were added to a state of the function, after [`State::slide`].
pub fn retract(function: &dyn Function, state: &mut dyn State, args: &[Column<'_>], rows: usize) -> Result<(), Error> {
    state.retract(&Call { function: function.name(), args, rows, valid: None })
}

/// Whether an aggregate can give rows back, so that the frame of a window may slide over them.
#[must_use]
pub fn slides(function: &dyn Function) -> bool {
    state(function, &[]).is_ok_and(|state| state.is_some_and(|mut state| state.slide()))
}

/// Evaluates one call of a scalar function by its name: what HTTP and the page use.
pub fn call(function: &dyn Function, args: &[Value]) -> Result<Value, Error> {
    aggregate(function, std::slice::from_ref(&args))
}

/// Evaluates a function over rows of values: an aggregate over any number, a scalar function over one, a detector over
/// any number, of which it tells the last.
pub fn aggregate<R: AsRef<[Value]>>(function: &dyn Function, rows: &[R]) -> Result<Value, Error> {
    let arity = rows.first().map_or(0, |row| row.as_ref().len());
    if rows.iter().any(|row| row.as_ref().len() != arity) {
        return Err(Error::Value { function: function.name(), reason: "the rows have different lengths".to_owned() });
    }
    let specification = function.args();
    if arity > specification.len() {
        return Err(Error::Arity { function: function.name(), signature: signature(function), got: arity });
    }
    let given = if rows.is_empty() { specification.iter().filter(|arg| arg.default.is_none()).count() } else { arity };
    let columns: Vec<Column<'_>> = specification
        .iter()
        .take(given)
        .enumerate()
        .map(|(i, arg)| {
            let values: Vec<&Value> = rows.iter().filter_map(|row| row.as_ref().get(i)).collect();
            Column::from_values(arg.data_type, &values).map_err(|got| Error::Type {
                function: function.name(),
                argument: arg.name,
                expected: arg.data_type,
                got,
            })
        })
        .collect::<Result<_, _>>()?;
    let result = evaluate(function, &columns, rows.len())?;
    Ok(result.value(if function.kind() == Kind::Window { rows.len().saturating_sub(1) } else { 0 }))
}
