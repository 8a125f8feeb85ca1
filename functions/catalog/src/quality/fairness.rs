//! Rates of groups side by side: the largest difference or smallest ratio, with simultaneous intervals.

use std::collections::BTreeMap;

use super::common::{CONFIDENCE, LeftOut, Level, count, float, record, text, wilson};
use super::confusion::{Class, ClassRef, Classes};
use crate::bytes::{Reader, Writer};
use crate::drift::Notes;
use crate::function::{Arg, BadState, Call, Column, Error, State, Step, Type, Value};

pub(super) const LABEL: Arg = Arg::new("label", Type::Boolean, "what was true");
pub(super) const PREDICTION: Arg = Arg::new("prediction", Type::Boolean, "what was predicted or decided");
pub(super) const SENSITIVE: Arg = Arg::new("sensitive", Type::Float64OrText, "the group that the row belongs to");
pub(super) const MIN_SUPPORT: Arg =
    Arg::option("min_support", Type::Int64, "30", "how many rows a group's rate needs to be compared, at least 1");

/// The arguments of a measure of predictions alone.
pub(super) const PREDICTION_ARGS: &[Arg] = &[PREDICTION, SENSITIVE, MIN_SUPPORT, CONFIDENCE];

/// The arguments of a measure of labels and predictions.
pub(super) const LABEL_ARGS: &[Arg] = &[LABEL, PREDICTION, SENSITIVE, MIN_SUPPORT, CONFIDENCE];

/// The struct that a measure of fairness returns.
pub(super) const DISPARITY: Type = Type::Record(&[
    ("value", Type::Float64),
    ("low", Type::Float64),
    ("high", Type::Float64),
    ("group_low", Type::Text),
    ("group_high", Type::Text),
    ("n", Type::Int64),
    ("note", Type::Text),
]);

/// The share of predictions that are true, among which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rate {
    /// Among all.
    Selection,
    /// Among those with a true label.
    TruePositive,
    /// Among those with a false label.
    FalsePositive,
}

impl Rate {
    fn name(self) -> &'static str {
        match self {
            Self::Selection => "selection rate",
            Self::TruePositive => "true positive rate",
            Self::FalsePositive => "false positive rate",
        }
    }
}

/// How two rates are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Difference,
    Ratio,
}

/// Rows of a group by label and prediction.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    hits: u64,
    false_alarms: u64,
    misses: u64,
    rejections: u64,
}

impl Counts {
    fn cells(&mut self) -> [&mut u64; 4] {
        [&mut self.hits, &mut self.false_alarms, &mut self.misses, &mut self.rejections]
    }

    fn n(self) -> u64 {
        self.hits + self.false_alarms + self.misses + self.rejections
    }

    /// Positive predictions, and the rows they are among.
    fn of(self, rate: Rate) -> (u64, u64) {
        match rate {
            Rate::Selection => (self.hits + self.false_alarms, self.n()),
            Rate::TruePositive => (self.hits, self.hits + self.misses),
            Rate::FalsePositive => (self.false_alarms, self.false_alarms + self.rejections),
        }
    }
}

/// A group that is compared.
#[derive(Debug, Clone, Copy)]
struct Group<'a> {
    name: &'a Class,
    successes: f64,
    n: f64,
}

impl Group<'_> {
    fn rate(&self) -> f64 {
        self.successes / self.n
    }
}

/// The extremes among the groups of a rate.
#[derive(Debug)]
struct Extremes<'a> {
    rate: Rate,
    value: f64,
    lowest: Group<'a>,
    highest: Group<'a>,
}

/// The counts of the groups, and what is to be made of them.
#[derive(Debug)]
pub(super) struct Disparity {
    comparison: Comparison,
    rates: &'static [Rate],
    min_support: u64,
    level: Level,
    groups: BTreeMap<Class, Counts>,
    left_out: LeftOut,
}

impl Disparity {
    /// An empty state; the options begin at an index.
    pub(super) fn state(
        call: &Call<'_>,
        comparison: Comparison,
        rates: &'static [Rate],
        options: usize,
    ) -> Result<Option<Box<dyn State>>, Error> {
        let min_support = match call.option(options) {
            None => 30,
            Some(Value::Int64(n)) if n >= 1 => n as u64,
            Some(other) => return Err(call.refuse(format!("`min_support` is {other}, but it has to be at least 1"))),
        };
        let level = Level::option(call, options + 1)?;
        let (groups, left_out) = (BTreeMap::new(), LeftOut::default());
        Ok(Some(Box::new(Self { comparison, rates, min_support, level, groups, left_out })))
    }

    /// Whether the call begins with a label.
    fn has_label(&self) -> bool {
        self.rates != [Rate::Selection]
    }

    /// The groups whose rate has enough rows; the others go into the notes.
    fn compared(&self, rate: Rate, notes: &mut Notes) -> Vec<Group<'_>> {
        const NAMED: usize = 10;
        let (mut groups, mut small) = (Vec::new(), Vec::new());
        for (name, counts) in &self.groups {
            let (successes, n) = counts.of(rate);
            if n >= self.min_support {
                groups.push(Group { name, successes: successes as f64, n: n as f64 });
            } else {
                small.push(format!("{} ({n})", name.name()));
            }
        }
        if !small.is_empty() {
            let more = small.len().saturating_sub(NAMED);
            small.truncate(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let names = small.join(", ");
            notes.add(format!(
                "{} of groups with fewer than {} rows left out: {names}{more}",
                rate.name(),
                self.min_support
            ));
        }
        if groups.len() < 2 {
            notes.add(format!("there are no two groups whose {} could be compared", rate.name()));
            groups.clear();
        }
        groups
    }

    fn value(&self, low: f64, high: f64) -> f64 {
        match self.comparison {
            Comparison::Difference => high - low,
            Comparison::Ratio => low / high,
        }
    }

    /// Whether one value is further from equality than another.
    fn is_worse(&self, value: f64, than: f64) -> bool {
        match self.comparison {
            Comparison::Difference => value > than,
            Comparison::Ratio => value < than,
        }
    }

    fn extremes<'a>(&self, rate: Rate, groups: &[Group<'a>]) -> Option<Extremes<'a>> {
        let mut groups = groups.iter().copied();
        let first = groups.next()?;
        let (lowest, highest) = groups.fold((first, first), |(lowest, highest), group| {
            (
                if group.rate() < lowest.rate() { group } else { lowest },
                if group.rate() > highest.rate() { group } else { highest },
            )
        });
        Some(Extremes { rate, value: self.value(lowest.rate(), highest.rate()), lowest, highest })
    }

    /// The interval of the worst comparison: each bound is the worst of that bound over all pairs, whose intervals hold at
    /// once, so that the pair which looks worst is not taken for one that was chosen beforehand.
    fn interval(&self, compared: &[Vec<Group<'_>>], notes: &mut Notes) -> Option<(f64, f64)> {
        const MOST_PAIRS: u64 = 1_000_000;
        let pairs_of = |groups: &Vec<Group<'_>>| (groups.len() * groups.len().saturating_sub(1) / 2) as u64;
        let pairs: u64 = compared.iter().map(pairs_of).sum();
        if pairs > MOST_PAIRS {
            notes.add(format!("{pairs} pairs of groups are too many for an interval"));
            return None;
        }
        let z = self.level.z_among(pairs);
        let mut worst: Option<(f64, f64)> = None;
        for groups in compared {
            let bounds: Vec<(f64, f64)> = groups.iter().map(|group| wilson(group.successes, group.n, z)).collect();
            let sides: Vec<(f64, (f64, f64))> = groups.iter().map(Group::rate).zip(bounds).collect();
            for (i, a) in sides.iter().enumerate() {
                for b in sides.iter().skip(i + 1) {
                    let (low, high) = if a.0 < b.0 { self.of_pair(*a, *b) } else { self.of_pair(*b, *a) };
                    worst = Some(match worst {
                        None => (low, high),
                        Some(worst) => (
                            if self.is_worse(low, worst.0) { low } else { worst.0 },
                            if self.is_worse(high, worst.1) { high } else { worst.1 },
                        ),
                    });
                }
            }
        }
        worst
    }

    /// The interval of two rates with their Wilson intervals, the smaller rate first.
    fn of_pair(&self, (p, (p_low, p_high)): (f64, (f64, f64)), (q, (q_low, q_high)): (f64, (f64, f64))) -> (f64, f64) {
        match self.comparison {
            Comparison::Difference => {
                let difference = q - p;
                let low = difference - ((q - q_low) * (q - q_low) + (p_high - p) * (p_high - p)).sqrt();
                let high = difference + ((q_high - q) * (q_high - q) + (p - p_low) * (p - p_low)).sqrt();
                // The size of a difference whose sign is not sure.
                (low.max(0.0), high.max(-low))
            }
            Comparison::Ratio => {
                let product = p * q;
                let below = p_low * (2.0 * p - p_low);
                let above = p_high * (2.0 * p - p_high);
                let root = |x: f64| (product * product - x).max(0.0).sqrt();
                let low = if below > 0.0 { below / (product + root(below * q_high * (2.0 * q - q_high))) } else { 0.0 };
                let divisor = q_low * (2.0 * q - q_low);
                let high = if divisor > 0.0 { (product + root(above * divisor)) / divisor } else { f64::INFINITY };
                // The smaller over the larger, where it is not sure which is smaller.
                (low.min(1.0 / high), high.min(1.0))
            }
        }
    }
}

impl Disparity {
    fn step(&mut self, call: &Call<'_>, step: Step) -> Result<(), Error> {
        let first = usize::from(self.has_label());
        let (prediction, sensitive) = (call.booleans(first)?, Classes::of(call, first + 1)?);
        let label = if self.has_label() { Some(call.booleans(0)?) } else { None };
        let mut counts: BTreeMap<ClassRef<'_>, Counts> = BTreeMap::new();
        for row in 0..call.rows() {
            if !(0..first + 2).all(|index| call.is_given(index, row)) {
                step.count(&mut self.left_out.nulls);
            } else if let Some(group) = sensitive.at(row) {
                let counts = counts.entry(group).or_default();
                *match (label.is_some_and(|label| label.get(row)), prediction.get(row)) {
                    (true, true) => &mut counts.hits,
                    (false, true) => &mut counts.false_alarms,
                    (true, false) => &mut counts.misses,
                    (false, false) => &mut counts.rejections,
                } += 1;
            } else {
                step.count(&mut self.left_out.unusable);
            }
        }
        for (group, mut counts) in counts {
            let group = group.into_class();
            let ours = self.groups.entry(group.clone()).or_default();
            for (ours, theirs) in ours.cells().into_iter().zip(counts.cells()) {
                step.count_by(ours, *theirs);
            }
            // A group without rows is none, not one that is too small.
            if ours.n() == 0 {
                self.groups.remove(&group);
            }
        }
        Ok(())
    }
}

impl State for Disparity {
    fn update(&mut self, call: &Call<'_>) -> Result<(), Error> {
        self.step(call, Step::Add)
    }

    fn slide(&mut self) -> bool {
        true
    }

    fn retract(&mut self, call: &Call<'_>) -> Result<(), Error> {
        self.step(call, Step::Retract)
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), BadState> {
        let mut bytes = Reader(bytes);
        self.left_out.merge(LeftOut::read(&mut bytes)?);
        for _ in 0..bytes.u64()? {
            let counts = self.groups.entry(Class::read(&mut bytes)?).or_default();
            for cell in counts.cells() {
                *cell += bytes.u64()?;
            }
        }
        bytes.end()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.left_out.write(&mut out);
        out.u64(self.groups.len() as u64);
        for (group, counts) in &self.groups {
            group.write(&mut out);
            for cell in { *counts }.cells() {
                out.u64(*cell);
            }
        }
        out.finish()
    }

    fn finish(&self) -> Result<Column<'static>, Error> {
        let mut notes = Notes::default();
        self.left_out.note(&mut notes, "with NaN in sensitive");
        let n: u64 = self.groups.values().map(|counts| counts.n()).sum();
        let compared: Vec<Vec<Group<'_>>> = self.rates.iter().map(|rate| self.compared(*rate, &mut notes)).collect();
        let all = self.rates.iter().zip(&compared).filter_map(|(rate, groups)| self.extremes(*rate, groups));
        let worst = all.reduce(|worst, next| if self.is_worse(next.value, worst.value) { next } else { worst });
        let Some(worst) = worst.filter(|worst| !worst.value.is_nan()) else {
            if compared.iter().any(|groups| !groups.is_empty()) {
                notes.add("all rates are 0, so they have no ratio");
            }
            let [value, low, high, group_low, group_high] = [const { Value::Null }; 5];
            let fields = [value, low, high, group_low, group_high, count(n), text(notes.text())];
            return Ok(record(DISPARITY, &fields));
        };
        if self.rates.len() > 1 {
            notes.add(format!("the larger difference is that of the {}", worst.rate.name()));
        }
        let interval = self.interval(&compared, &mut notes);
        let fields = [
            float(Some(worst.value)),
            float(interval.map(|interval| interval.0)),
            float(interval.map(|interval| interval.1)),
            Value::Text(worst.lowest.name.name()),
            Value::Text(worst.highest.name.name()),
            count(n),
            text(notes.text()),
        ];
        Ok(record(DISPARITY, &fields))
    }

    fn heap_size(&self) -> usize {
        self.groups.keys().map(|group| size_of::<(Class, Counts)>() + group.heap_size()).sum()
    }
}
