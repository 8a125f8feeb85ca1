//! `sum`, `avg`, `var` and `stddev` over floats, exact and rounded once: the same bits for any order, partitioning, merge or
//! retraction. Other types (integers, decimals, durations) are exact in DataFusion's own, which they are handed to.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion_common::{Result, ScalarValue, exec_datafusion_err, not_impl_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF, Signature,
};
use datafusion_functions_aggregate::{average, stddev, sum, variance};
use skewless_catalog::sum::{ExactMoments, ExactSum};

/// Which statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistic {
    Sum,
    Avg,
    Var,
    VarPop,
    Stddev,
    StddevPop,
}

/// An aggregate over floats in place of DataFusion's own.
#[derive(Debug)]
struct Exact {
    statistic: Statistic,
    stock: Arc<AggregateUDF>,
}

static EXACT: LazyLock<Vec<Arc<AggregateUDF>>> = LazyLock::new(|| {
    let statistics = [
        (Statistic::Sum, sum::sum_udaf()),
        (Statistic::Avg, average::avg_udaf()),
        (Statistic::Var, variance::var_samp_udaf()),
        (Statistic::VarPop, variance::var_pop_udaf()),
        (Statistic::Stddev, stddev::stddev_udaf()),
        (Statistic::StddevPop, stddev::stddev_pop_udaf()),
    ];
    statistics.into_iter().map(|(statistic, stock)| Arc::new(AggregateUDF::from(Exact { statistic, stock }))).collect()
});

/// `sum`, `avg`, `var*` and `stddev*`, exact and independent of order.
pub fn exact_aggregates() -> Vec<Arc<AggregateUDF>> {
    EXACT.clone()
}

impl Exact {
    /// Whether the values are floats, and so ours.
    fn is_ours(fields: &[FieldRef]) -> bool {
        matches!(fields, [field] if *field.data_type() == DataType::Float64)
    }
}

impl AggregateUDFImpl for Exact {
    fn name(&self) -> &str {
        self.stock.name()
    }

    fn aliases(&self) -> &[String] {
        self.stock.aliases()
    }

    fn signature(&self) -> &Signature {
        self.stock.signature()
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.stock.coerce_types(given)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.stock.return_type(given)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if !Self::is_ours(args.expr_fields) {
            return self.stock.accumulator(args);
        }
        if args.is_distinct {
            let name = self.name();
            return not_impl_err!("{name} of DISTINCT floats depends on their order; select the distinct rows first");
        }
        Ok(match self.statistic {
            Statistic::Sum => Box::new(Accumulated::new(ExactSum::new(), |state| Some(state.sum()))),
            Statistic::Avg => Box::new(Accumulated::new(ExactSum::new(), ExactSum::avg)),
            Statistic::Var => Box::new(Accumulated::new(ExactMoments::new(), ExactMoments::var)),
            Statistic::VarPop => Box::new(Accumulated::new(ExactMoments::new(), ExactMoments::var_pop)),
            Statistic::Stddev => Box::new(Accumulated::new(ExactMoments::new(), ExactMoments::stddev)),
            Statistic::StddevPop => Box::new(Accumulated::new(ExactMoments::new(), ExactMoments::stddev_pop)),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        if !Self::is_ours(args.input_fields) || args.is_distinct {
            return self.stock.state_fields(args);
        }
        Ok(vec![Field::new(format_state_name(args.name, "exact"), DataType::Binary, true).into()])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !Self::is_ours(args.expr_fields) && self.stock.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        self.stock.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if Self::is_ours(args.expr_fields) {
            self.accumulator(args)
        } else {
            self.stock.create_sliding_accumulator(args)
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.stock.documentation()
    }
}

// An aggregate is its name: the list holds each once.
impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Exact {}

impl Hash for Exact {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

/// An exact state of the catalog.
pub(crate) trait ExactState: Debug + Send + Sync + Sized + 'static {
    fn add(&mut self, value: f64);
    fn subtract(&mut self, value: f64);
    fn merge(&mut self, other: &Self);
    fn count(&self) -> u64;
    fn to_bytes(&self) -> Vec<u8>;
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
    fn heap_size(&self) -> usize;
}

macro_rules! state {
    ($state:ty, $count:expr) => {
        impl ExactState for $state {
            fn add(&mut self, value: f64) {
                self.add(value);
            }

            fn subtract(&mut self, value: f64) {
                self.subtract(value);
            }

            fn merge(&mut self, other: &Self) {
                self.merge(other);
            }

            fn count(&self) -> u64 {
                $count(self)
            }

            fn to_bytes(&self) -> Vec<u8> {
                self.to_bytes()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Self::from_bytes(bytes).ok()
            }

            fn heap_size(&self) -> usize {
                self.heap_size()
            }
        }
    };
}

state!(ExactSum, ExactSum::count);
state!(ExactMoments, |moments: &ExactMoments| moments.values().count());

/// A state and how it is read. No values give NULL.
#[derive(Debug)]
struct Accumulated<S> {
    state: S,
    read: fn(&S) -> Option<f64>,
}

impl<S: ExactState> Accumulated<S> {
    fn new(state: S, read: fn(&S) -> Option<f64>) -> Self {
        Self { state, read }
    }
}

/// Calls `f` with each value that is there.
fn each(values: &[ArrayRef], mut f: impl FnMut(f64)) -> Result<()> {
    let Some(array) = values.first() else { return Ok(()) };
    let floats = array
        .as_primitive_opt::<Float64Type>()
        .ok_or_else(|| exec_datafusion_err!("an exact aggregate takes DOUBLE, but got {}", array.data_type()))?;
    match floats.nulls() {
        None => floats.values().iter().for_each(|value| f(*value)),
        Some(_) => floats.iter().flatten().for_each(f),
    }
    Ok(())
}

impl<S: ExactState> Accumulator for Accumulated<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(values, |value| self.state.add(value))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(values, |value| self.state.subtract(value))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(if self.state.count() == 0 { None } else { (self.read)(&self.state) }))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.state.heap_size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.state.to_bytes()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(array) = states.first() else { return Ok(()) };
        let states = array.as_binary_opt::<i32>().ok_or_else(|| {
            exec_datafusion_err!("the state of an exact aggregate is bytes, not {}", array.data_type())
        })?;
        for bytes in states.iter().flatten() {
            let state =
                S::from_bytes(bytes).ok_or_else(|| exec_datafusion_err!("{}", skewless_catalog::sum::BadState))?;
            self.state.merge(&state);
        }
        Ok(())
    }
}
