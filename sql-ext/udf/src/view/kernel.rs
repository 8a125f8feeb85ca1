//! How the aggregates of windows are computed as rows enter and leave.
//!
//! [`Replay`] is the definition: one accumulator fed the window's rows in order. Every other kernel gives the same
//! bytes: its aggregate does not depend on the order of its rows and can take them back exactly, or its value is that of
//! one row, which it finds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowNumericType, AsArray, Int64Array, PrimitiveArray, UInt32Array,
    new_empty_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{ArrowNativeType, DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type};
use arrow::row::{RowConverter, SortField};
use datafusion_common::{Result, ScalarValue, internal_datafusion_err, internal_err};
use datafusion_expr::{Accumulator, ColumnarValue};
use skewless_catalog::pit::{Change, Timelines};
use skewless_catalog::sum::{ExactMoments, ExactSum};

use super::Window;
use super::window::Aggregate;
use crate::functions::ExactState;

/// The window of an entity at a time.
pub(super) struct Inside<'a> {
    pub(super) timelines: &'a Timelines,
    pub(super) entity: u32,
    pub(super) t: i64,
    /// `None` where the window starts after every event.
    pub(super) from: Option<i64>,
}

impl Inside<'_> {
    /// The positions of its rows, ascending.
    fn positions(&self) -> impl Iterator<Item = u32> + '_ {
        let rows = self.from.map(|from| self.timelines.window(self.entity, self.t, from));
        rows.into_iter().flatten().map(|position| position as u32)
    }
}

/// A window aggregate over the probes of one look-up.
pub(super) trait Kernel {
    /// The probes from here on are those of the entity with these positions; the next change is a window made anew.
    fn entity(&mut self, _positions: Range<usize>) {}

    /// The window has changed.
    fn step(&mut self, change: &Change, inside: &Inside<'_>) -> Result<()>;

    /// The value of the window is that of the probe.
    fn emit(&mut self, probe: usize);

    /// The values of all probes; NULL for one that none was given to.
    fn finish(self: Box<Self>) -> Result<ArrayRef>;
}

/// An aggregate that need not be replayed.
#[derive(Debug)]
pub(super) struct Fast {
    how: How,
    /// The rows that the aggregate takes: where the FILTER is true and, for most, the argument is not NULL.
    taken: Option<BooleanBuffer>,
}

#[derive(Debug)]
enum How {
    Count,
    /// A wrapping sum of integers, decimals or durations.
    Sum,
    /// A statistic of floats.
    Sums(fn(&ExactSum) -> Option<f64>),
    Moments(fn(&ExactMoments) -> Option<f64>),
    /// By a number for each row that orders as its value does.
    Min(ScalarBuffer<i64>),
    Max(ScalarBuffer<i64>),
    First,
    Last,
    Median(Ranks),
    /// An accumulator of DataFusion that takes rows back exactly.
    Retract,
}

impl Fast {
    /// The fast way to compute a window, if there is one.
    pub(super) fn of(window: &Window, aggregate: &Aggregate, timelines: &Timelines) -> Result<Option<Self>> {
        let ends = matches!(window.function.as_str(), "first_value" | "last_value");
        let [argument] = aggregate.args.as_slice() else { return Ok(None) };
        if window.distinct || (window.ignore_nulls && !ends) {
            return Ok(None);
        }
        let values = match argument {
            ColumnarValue::Array(array) => array,
            ColumnarValue::Scalar(value) if window.function == "count" && !value.is_null() => {
                return Ok(Some(Self { how: How::Count, taken: aggregate.filter.clone() }));
            }
            ColumnarValue::Scalar(_) => return Ok(None),
        };
        let nulls = values.logical_nulls().filter(|nulls| nulls.null_count() > 0).map(NullBuffer::into_inner);
        let taken = match (&aggregate.filter, nulls) {
            (filter, Some(_)) if ends && !window.ignore_nulls => filter.clone(),
            (Some(filter), Some(valid)) => Some(filter & &valid),
            (filter, valid) => filter.clone().or(valid),
        };
        let float = *values.data_type() == DataType::Float64;
        let how = match window.function.as_str() {
            "count" => How::Count,
            "first_value" if !values.data_type().is_nested() && !is_encoded(values.data_type()) => How::First,
            "last_value" if !values.data_type().is_nested() && !is_encoded(values.data_type()) => How::Last,
            "sum" if float => How::Sums(|state| Some(state.sum())),
            "avg" if float => How::Sums(ExactSum::avg),
            "var" if float => How::Moments(ExactMoments::var),
            "var_pop" if float => How::Moments(ExactMoments::var_pop),
            "stddev" if float => How::Moments(ExactMoments::stddev),
            "stddev_pop" if float => How::Moments(ExactMoments::stddev_pop),
            "sum" if is_summed(values.data_type()) => How::Sum,
            "sum" | "avg" if is_decimal(values.data_type()) || matches!(values.data_type(), DataType::Duration(_)) => {
                How::Retract
            }
            "min" if is_ordered(values.data_type()) => How::Min(order_of(values)?),
            "max" if is_ordered(values.data_type()) => How::Max(order_of(values)?),
            "median" => match Ranks::of(values, taken.as_ref(), timelines) {
                Some(ranks) => How::Median(ranks),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(Self { how, taken }))
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        let ranks = match &self.how {
            How::Median(ranks) => size_of::<u32>() * (ranks.ranks.capacity() + ranks.sorted.capacity()),
            How::Min(order) | How::Max(order) => order.inner().capacity(),
            _ => 0,
        };
        ranks + self.taken.as_ref().map_or(0, |taken| taken.inner().capacity())
    }

    /// The kernel for a look-up of so many probes.
    pub(super) fn kernel<'a>(&'a self, aggregate: &'a Aggregate, probes: usize) -> Result<Box<dyn Kernel + 'a>> {
        let taken = self.taken.as_ref();
        let values = match aggregate.args.first() {
            Some(ColumnarValue::Array(values)) => values,
            _ if matches!(self.how, How::Count) => return Ok(Sliding::boxed(Count(0), taken, probes)),
            _ => return internal_err!("a window lost its argument"),
        };
        let floats = || values.as_primitive_opt::<Float64Type>().ok_or_else(|| internal_datafusion_err!("not DOUBLE"));
        Ok(match &self.how {
            How::Count => Sliding::boxed(Count(0), taken, probes),
            How::Sums(read) => {
                Sliding::boxed(Exact { values: floats()?, state: ExactSum::new(), read: *read }, taken, probes)
            }
            How::Moments(read) => {
                Sliding::boxed(Exact { values: floats()?, state: ExactMoments::new(), read: *read }, taken, probes)
            }
            How::First => Sliding::boxed(Extreme::new(values, Reverse), taken, probes),
            How::Last => Sliding::boxed(Last { values, count: 0, greatest: 0 }, taken, probes),
            How::Min(order) => {
                let key = |position: u32| order.get(position as usize).copied().map(Reverse);
                Sliding::boxed(Extreme::new(values, key), taken, probes)
            }
            How::Max(order) => {
                let key = |position: u32| order.get(position as usize).copied();
                Sliding::boxed(Extreme::new(values, key), taken, probes)
            }
            How::Retract => Box::new(Retract::new(aggregate, probes)?),
            How::Sum => summing(values, aggregate.call.field().data_type(), taken, probes)?,
            How::Median(ranks) => median(values, ranks, taken, probes)?,
        })
    }
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
    )
}

/// What [`Sum`] takes; sums of other types take rows back by DataFusion's own accumulator.
fn is_summed(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::UInt64 | DataType::Decimal128(..))
}

/// Arrays that hold a value once for many rows.
fn is_encoded(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Dictionary(..) | DataType::RunEndEncoded(..))
}

/// Types of which `min` and `max` are those of arrow's row format.
fn is_ordered(data_type: &DataType) -> bool {
    let primitive = data_type.is_primitive() && !matches!(data_type, DataType::Interval(_));
    primitive
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
        )
}

/// A number for each row that orders as its value does.
fn order_of(values: &ArrayRef) -> Result<ScalarBuffer<i64>> {
    Ok(match values.data_type() {
        // The total order of floats is that of their bits, with those of negative ones turned over.
        DataType::Float64 => {
            let floats = values.as_primitive::<Float64Type>().values().iter();
            floats.map(|value| value.to_bits() as i64).map(|bits| bits ^ ((bits >> 63) as u64 >> 1) as i64).collect()
        }
        DataType::Date32 | DataType::Time32(_) => integers(&cast(values, &DataType::Int32)?)?,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::Timestamp(..)
        | DataType::Date64
        | DataType::Time64(_)
        | DataType::Duration(_) => integers(values)?,
        _ => ranks_of(values)?,
    })
}

fn integers(values: &ArrayRef) -> Result<ScalarBuffer<i64>> {
    Ok(cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().values().clone())
}

/// Ranks of the values; equal ones share one.
fn ranks_of(values: &ArrayRef) -> Result<ScalarBuffer<i64>> {
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let encoded = converter.convert_columns(std::slice::from_ref(values))?;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| encoded.row(*a).cmp(&encoded.row(*b)));
    let mut ranks = vec![0; values.len()];
    for (rank, run) in order.chunk_by(|a, b| encoded.row(*a) == encoded.row(*b)).enumerate() {
        for position in run {
            if let Some(slot) = ranks.get_mut(*position) {
                *slot = rank as i64;
            }
        }
    }
    Ok(ranks.into())
}

macro_rules! with_type {
    ($values:expr, $kernel:ident, $($pattern:pat => $type:ty),+) => {
        match $values.data_type() {
            $($pattern => $kernel!($type),)+
            other => internal_err!("no kernel of a window takes {other}"),
        }
    };
}

fn summing<'a>(
    values: &'a ArrayRef,
    data_type: &DataType,
    taken: Option<&'a BooleanBuffer>,
    probes: usize,
) -> Result<Box<dyn Kernel + 'a>> {
    macro_rules! kernel {
        ($type:ty) => {
            Ok(Sliding::boxed(Sum::<$type>::new(values.as_primitive(), data_type), taken, probes))
        };
    }
    with_type!(
        values, kernel,
        DataType::Int64 => Int64Type,
        DataType::UInt64 => UInt64Type,
        DataType::Decimal128(..) => Decimal128Type
    )
}

fn median<'a>(
    values: &'a ArrayRef,
    ranks: &'a Ranks,
    taken: Option<&'a BooleanBuffer>,
    probes: usize,
) -> Result<Box<dyn Kernel + 'a>> {
    macro_rules! kernel {
        ($type:ty) => {
            Ok(Sliding::boxed(Median::<$type>::new(values.as_primitive(), ranks), taken, probes))
        };
    }
    with_type!(
        values, kernel,
        DataType::Float64 => Float64Type,
        DataType::Decimal128(..) => Decimal128Type
    )
}

/// What a window holds, as rows enter and leave one by one.
///
/// Rows that leave are those of the least positions: no row enters later at or before the position of one that left.
trait State {
    type Value: Copy;

    fn entity(&mut self, _positions: Range<usize>) {}
    fn clear(&mut self);
    fn enter(&mut self, position: u32);
    fn leave(&mut self, position: u32);
    fn value(&mut self) -> Option<Self::Value>;
    fn array(&self, values: Vec<Option<Self::Value>>) -> Result<ArrayRef>;
}

/// A kernel of a [`State`].
struct Sliding<'a, S: State> {
    state: S,
    taken: Option<&'a BooleanBuffer>,
    current: Option<S::Value>,
    values: Vec<Option<S::Value>>,
}

impl<'a, S: State + 'a> Sliding<'a, S> {
    fn boxed(state: S, taken: Option<&'a BooleanBuffer>, probes: usize) -> Box<dyn Kernel + 'a> {
        Box::new(Self { state, taken, current: None, values: vec![None; probes] })
    }
}

impl<S: State> Kernel for Sliding<'_, S> {
    fn entity(&mut self, positions: Range<usize>) {
        self.state.entity(positions);
    }

    fn step(&mut self, change: &Change, _inside: &Inside<'_>) -> Result<()> {
        if change.anew {
            self.state.clear();
        }
        let taken = self.taken;
        let counts = |position: &&u32| taken.is_none_or(|taken| taken.value(**position as usize));
        for position in change.left.iter().filter(counts) {
            self.state.leave(*position);
        }
        for position in change.entered.iter().filter(counts) {
            self.state.enter(*position);
        }
        self.current = self.state.value();
        Ok(())
    }

    fn emit(&mut self, probe: usize) {
        if let Some(slot) = self.values.get_mut(probe) {
            *slot = self.current;
        }
    }

    fn finish(self: Box<Self>) -> Result<ArrayRef> {
        self.state.array(self.values)
    }
}

struct Count(i64);

impl State for Count {
    type Value = i64;

    fn clear(&mut self) {
        self.0 = 0;
    }

    fn enter(&mut self, _position: u32) {
        self.0 += 1;
    }

    fn leave(&mut self, _position: u32) {
        self.0 -= 1;
    }

    fn value(&mut self) -> Option<i64> {
        Some(self.0)
    }

    fn array(&self, values: Vec<Option<i64>>) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(values)))
    }
}

/// Integers, decimals and durations, which wrap as DataFusion's own sum does.
struct Sum<'a, T: ArrowNumericType> {
    values: &'a PrimitiveArray<T>,
    data_type: DataType,
    count: usize,
    total: T::Native,
}

impl<'a, T: ArrowNumericType> Sum<'a, T> {
    fn new(values: &'a PrimitiveArray<T>, data_type: &DataType) -> Self {
        Self { values, data_type: data_type.clone(), count: 0, total: T::Native::default() }
    }
}

impl<T: ArrowNumericType> State for Sum<'_, T> {
    type Value = T::Native;

    fn clear(&mut self) {
        (self.count, self.total) = (0, T::Native::default());
    }

    fn enter(&mut self, position: u32) {
        self.count += 1;
        self.total = self.total.add_wrapping(self.values.value(position as usize));
    }

    fn leave(&mut self, position: u32) {
        self.count -= 1;
        self.total = self.total.sub_wrapping(self.values.value(position as usize));
    }

    fn value(&mut self) -> Option<T::Native> {
        (self.count > 0).then_some(self.total)
    }

    fn array(&self, values: Vec<Option<T::Native>>) -> Result<ArrayRef> {
        Ok(Arc::new(PrimitiveArray::<T>::from_iter(values).with_data_type(self.data_type.clone())))
    }
}

/// A statistic of floats by an exact state of the catalog.
struct Exact<'a, S> {
    values: &'a PrimitiveArray<Float64Type>,
    state: S,
    read: fn(&S) -> Option<f64>,
}

impl<S: ExactState + Default> State for Exact<'_, S> {
    type Value = f64;

    fn clear(&mut self) {
        self.state = S::default();
    }

    fn enter(&mut self, position: u32) {
        self.state.add(self.values.value(position as usize));
    }

    fn leave(&mut self, position: u32) {
        self.state.subtract(self.values.value(position as usize));
    }

    fn value(&mut self) -> Option<f64> {
        if self.state.count() == 0 { None } else { (self.read)(&self.state) }
    }

    fn array(&self, values: Vec<Option<f64>>) -> Result<ArrayRef> {
        Ok(Arc::new(PrimitiveArray::<Float64Type>::from_iter(values)))
    }
}

/// The order of arrow's kernels: total over floats.
#[derive(Clone, Copy)]
struct Ordered<N>(N);

impl<N: ArrowNativeTypeOp> Ord for Ordered<N> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.compare(other.0)
    }
}

impl<N: ArrowNativeTypeOp> PartialOrd for Ordered<N> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<N: ArrowNativeTypeOp> PartialEq for Ordered<N> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<N: ArrowNativeTypeOp> Eq for Ordered<N> {}

/// The row with the greatest key: a heap whose top may have left. Rows of equal keys have equal values.
struct Extreme<'a, K, F> {
    values: &'a ArrayRef,
    key: F,
    heap: BinaryHeap<(K, u32)>,
    /// Rows before this position have left.
    gone: u32,
}

impl<'a, K: Ord, F: Fn(u32) -> K> Extreme<'a, K, F> {
    fn new(values: &'a ArrayRef, key: F) -> Self {
        Self { values, key, heap: BinaryHeap::new(), gone: 0 }
    }
}

impl<K: Ord, F: Fn(u32) -> K> State for Extreme<'_, K, F> {
    type Value = u32;

    fn clear(&mut self) {
        self.heap.clear();
        self.gone = 0;
    }

    fn enter(&mut self, position: u32) {
        self.heap.push(((self.key)(position), position));
    }

    fn leave(&mut self, position: u32) {
        self.gone = position + 1;
    }

    fn value(&mut self) -> Option<u32> {
        while let Some((_, position)) = self.heap.peek() {
            if *position >= self.gone {
                return Some(*position);
            }
            self.heap.pop();
        }
        None
    }

    fn array(&self, values: Vec<Option<u32>>) -> Result<ArrayRef> {
        Ok(take(self.values, &UInt32Array::from(values), None)?)
    }
}

/// The row of the greatest position, which is the last to leave.
struct Last<'a> {
    values: &'a ArrayRef,
    count: usize,
    greatest: u32,
}

impl State for Last<'_> {
    type Value = u32;

    fn clear(&mut self) {
        (self.count, self.greatest) = (0, 0);
    }

    fn enter(&mut self, position: u32) {
        self.count += 1;
        self.greatest = self.greatest.max(position);
    }

    fn leave(&mut self, _position: u32) {
        self.count -= 1;
    }

    fn value(&mut self) -> Option<u32> {
        (self.count > 0).then_some(self.greatest)
    }

    fn array(&self, values: Vec<Option<u32>>) -> Result<ArrayRef> {
        Ok(take(self.values, &UInt32Array::from(values), None)?)
    }
}

/// Ranks of the values of each entity, in which equal values differ by position.
#[derive(Debug)]
struct Ranks {
    /// By position.
    ranks: Vec<u32>,
    /// The position of each rank, those of one entity after those of another.
    sorted: Vec<u32>,
}

impl Ranks {
    /// `None` for types that [`Median`] does not take, and for NaN: DataFusion's median of an even number of values then depends on how they lie in memory.
    fn of(values: &ArrayRef, taken: Option<&BooleanBuffer>, timelines: &Timelines) -> Option<Self> {
        fn typed<T: ArrowNumericType>(
            values: &ArrayRef,
            taken: Option<&BooleanBuffer>,
            timelines: &Timelines,
        ) -> Option<Ranks> {
            let natives = values.as_primitive::<T>().values();
            // Only a NaN differs from itself.
            #[allow(clippy::eq_op, reason = "this is how a generic number tells that it is NaN")]
            if natives.iter().any(|value| value != value) {
                return None;
            }
            let counts = |position: &u32| taken.is_none_or(|taken| taken.value(*position as usize));
            let mut ranks = vec![0; natives.len()];
            let mut sorted = vec![0; natives.len()];
            let mut own: Vec<(Ordered<T::Native>, u32)> = Vec::new();
            for entity in 0..timelines.entities() as u32 {
                let positions = timelines.positions(entity);
                own.clear();
                let taken = (positions.start as u32..positions.end as u32).filter(counts);
                own.extend(taken.filter_map(|position| Some((Ordered(*natives.get(position as usize)?), position))));
                own.sort_unstable();
                for (rank, (_, position)) in own.iter().enumerate() {
                    if let (Some(slot), Some(at)) =
                        (ranks.get_mut(*position as usize), sorted.get_mut(positions.start + rank))
                    {
                        (*slot, *at) = (rank as u32, *position);
                    }
                }
            }
            Some(Ranks { ranks, sorted })
        }
        match values.data_type() {
            DataType::Float64 => typed::<Float64Type>(values, taken, timelines),
            DataType::Decimal128(..) => typed::<Decimal128Type>(values, taken, timelines),
            _ => None,
        }
    }

    fn rank(&self, position: u32) -> u32 {
        self.ranks.get(position as usize).copied().unwrap_or_default()
    }
}

/// The middle of the values, by a set of ranks that counts: a bit for each rank, and a Fenwick tree over their words.
struct Median<'a, T: ArrowNumericType> {
    values: &'a PrimitiveArray<T>,
    ranks: &'a Ranks,
    /// The first position of the entity.
    start: usize,
    words: Vec<u64>,
    tree: Vec<u32>,
    count: u32,
}

impl<'a, T: ArrowNumericType> Median<'a, T> {
    fn new(values: &'a PrimitiveArray<T>, ranks: &'a Ranks) -> Self {
        Self { values, ranks, start: 0, words: Vec::new(), tree: Vec::new(), count: 0 }
    }

    /// Turns the bit of a row over.
    fn toggle(&mut self, position: u32, by: u32) {
        let rank = self.ranks.rank(position) as usize;
        if let Some(word) = self.words.get_mut(rank / 64) {
            *word ^= 1 << (rank % 64);
        }
        self.count = self.count.wrapping_add(by);
        let mut node = rank / 64 + 1;
        while let Some(count) = self.tree.get_mut(node) {
            *count = count.wrapping_add(by);
            node += node & node.wrapping_neg();
        }
    }

    /// The value that so many others come before.
    fn nth(&self, mut before: u32) -> Option<T::Native> {
        let mut node = 0;
        let mut step = self.tree.len().next_power_of_two();
        while step > 0 {
            if let Some(count) = self.tree.get(node + step)
                && *count <= before
            {
                before -= count;
                node += step;
            }
            step /= 2;
        }
        let mut word = *self.words.get(node)?;
        for _ in 0..before {
            word &= word.wrapping_sub(1);
        }
        let rank = 64 * node + word.trailing_zeros() as usize;
        let position = *self.ranks.sorted.get(self.start + rank)?;
        self.values.values().get(position as usize).copied()
    }
}

impl<T: ArrowNumericType> State for Median<'_, T> {
    type Value = T::Native;

    fn entity(&mut self, positions: Range<usize>) {
        self.start = positions.start;
        let words = positions.len().div_ceil(64);
        self.words.resize(words, 0);
        // Node 0 of the tree is none.
        self.tree.resize(words + 1, 0);
    }

    fn clear(&mut self) {
        self.words.fill(0);
        self.tree.fill(0);
        self.count = 0;
    }

    fn enter(&mut self, position: u32) {
        self.toggle(position, 1);
    }

    fn leave(&mut self, position: u32) {
        self.toggle(position, 1_u32.wrapping_neg());
    }

    fn value(&mut self) -> Option<T::Native> {
        let high = self.nth(self.count / 2)?;
        if self.count == 0 || self.count % 2 == 1 {
            return (self.count > 0).then_some(high);
        }
        let low = self.nth(self.count / 2 - 1)?;
        // As DataFusion's median, bit for bit.
        let two = T::Native::usize_as(2);
        Some(if let Ok(sum) = low.add_checked(high) {
            sum.div_wrapping(two)
        } else {
            let rest = low.mod_wrapping(two).add_wrapping(high.mod_wrapping(two)).div_wrapping(two);
            low.div_wrapping(two).add_wrapping(high.div_wrapping(two)).add_wrapping(rest)
        })
    }

    fn array(&self, values: Vec<Option<T::Native>>) -> Result<ArrayRef> {
        Ok(Arc::new(PrimitiveArray::<T>::from_iter(values).with_data_type(self.values.data_type().clone())))
    }
}

/// Any aggregate: one accumulator fed the window's rows in one piece and in order.
pub(super) struct Replay<'a> {
    aggregate: &'a Aggregate,
    current: ScalarValue,
    values: Vec<ScalarValue>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(aggregate: &'a Aggregate, probes: usize) -> Self {
        Self { aggregate, current: aggregate.null.clone(), values: vec![aggregate.null.clone(); probes] }
    }
}

impl Kernel for Replay<'_> {
    fn step(&mut self, _change: &Change, inside: &Inside<'_>) -> Result<()> {
        let rows = self.aggregate.taken(inside.positions());
        let mut accumulator = self.aggregate.call.create_accumulator()?;
        if !rows.is_empty() {
            accumulator.update_batch(&self.aggregate.args_of(&rows)?)?;
        }
        self.current = accumulator.evaluate()?;
        Ok(())
    }

    fn emit(&mut self, probe: usize) {
        if let Some(slot) = self.values.get_mut(probe) {
            slot.clone_from(&self.current);
        }
    }

    fn finish(self: Box<Self>) -> Result<ArrayRef> {
        scalars(self.values, self.aggregate)
    }
}

/// An accumulator that takes rows back.
struct Retract<'a> {
    aggregate: &'a Aggregate,
    accumulator: Box<dyn Accumulator>,
    current: ScalarValue,
    values: Vec<ScalarValue>,
}

impl<'a> Retract<'a> {
    fn new(aggregate: &'a Aggregate, probes: usize) -> Result<Self> {
        Ok(Self {
            aggregate,
            accumulator: aggregate.call.create_sliding_accumulator()?,
            current: aggregate.null.clone(),
            values: vec![aggregate.null.clone(); probes],
        })
    }
}

impl Kernel for Retract<'_> {
    fn step(&mut self, change: &Change, _inside: &Inside<'_>) -> Result<()> {
        if change.anew {
            self.accumulator = self.aggregate.call.create_sliding_accumulator()?;
        }
        let left = self.aggregate.taken(change.left.iter().copied());
        if !left.is_empty() {
            self.accumulator.retract_batch(&self.aggregate.args_of(&left)?)?;
        }
        let entered = self.aggregate.taken(change.entered.iter().copied());
        if !entered.is_empty() {
            self.accumulator.update_batch(&self.aggregate.args_of(&entered)?)?;
        }
        self.current = self.accumulator.evaluate()?;
        Ok(())
    }

    fn emit(&mut self, probe: usize) {
        if let Some(slot) = self.values.get_mut(probe) {
            slot.clone_from(&self.current);
        }
    }

    fn finish(self: Box<Self>) -> Result<ArrayRef> {
        scalars(self.values, self.aggregate)
    }
}

impl Aggregate {
    /// The rows among these for which the FILTER is true.
    fn taken(&self, positions: impl Iterator<Item = u32>) -> Vec<u32> {
        match &self.filter {
            None => positions.collect(),
            Some(filter) => positions.filter(|position| filter.value(*position as usize)).collect(),
        }
    }

    /// The arguments of these rows.
    fn args_of(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let contiguous = rows.is_sorted() && (last - first) as usize + 1 == rows.len();
        let arg = |arg: &ColumnarValue| match arg {
            ColumnarValue::Scalar(value) => value.to_array_of_size(rows.len()),
            ColumnarValue::Array(array) if contiguous => Ok(array.slice(*first as usize, rows.len())),
            ColumnarValue::Array(array) => Ok(take(array, &UInt32Array::from(rows.to_vec()), None)?),
        };
        self.args.iter().map(arg).collect()
    }
}

fn scalars(values: Vec<ScalarValue>, aggregate: &Aggregate) -> Result<ArrayRef> {
    if values.is_empty() {
        Ok(new_empty_array(&aggregate.null.data_type()))
    } else {
        ScalarValue::iter_to_array(values)
    }
}
