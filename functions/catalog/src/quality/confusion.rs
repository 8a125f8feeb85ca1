//! Counts of (label, prediction), and what accuracy, precision, recall and F1 are of them.

use std::collections::{BTreeMap, BTreeSet};

use super::common::{CONFIDENCE, Estimate, LeftOut, Level, Measure, NO_ROWS, proportion, record, text};
use crate::bytes::{Reader, Writer};
use crate::drift::Notes;
use crate::function::{Arg, BadState, Call, Column, Error, Slice, State, Step, Type, Value, Values};

pub(super) const LABEL: Arg = Arg::new("label", Type::Float64OrText, "the class that was true");
pub(super) const PREDICTION: Arg = Arg::new("prediction", Type::Float64OrText, "the class that was predicted");

/// The arguments of precision, recall and F1.
pub(super) const RATE_ARGS: &[Arg] = &[
    LABEL,
    PREDICTION,
    Arg::option("positive", Type::Float64OrText, "NULL", "the class looked for by 'binary'; where NULL, true or 1"),
    Arg::option("average", Type::Text, "'binary'", "'binary', or over all classes: 'macro', 'micro' or 'weighted'"),
    CONFIDENCE,
];

/// The struct that `confusion_matrix` returns.
pub(super) const MATRIX: Type = Type::Record(&[
    ("label", Type::TextList),
    ("prediction", Type::TextList),
    ("count", Type::Float64List),
    ("n", Type::Int64),
    ("note", Type::Text),
]);

/// A class: a number by bits that sort as it does, or a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ClassRef<'a> {
    Number(u64),
    Text(&'a str),
}

/// A class of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Number(u64),
    Text(String),
}

const SIGN: u64 = 1 << 63;

/// The bits of a number, ordered as numbers are; one zero.
fn ordered(x: f64) -> u64 {
    let bits = (x + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

impl ClassRef<'_> {
    pub(super) fn into_class(self) -> Class {
        match self {
            Self::Number(bits) => Class::Number(bits),
            Self::Text(text) => Class::Text(text.to_owned()),
        }
    }
}

impl Class {
    fn number(x: f64) -> Self {
        Self::Number(ordered(x))
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    /// Its name: an integer has no point.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(bits) => {
                let x = f64::from_bits(if bits & SIGN == 0 { !bits } else { bits & !SIGN });
                if x.fract().abs() < f64::MIN_POSITIVE && x.abs() < 9e15 {
                    (x as i64).to_string()
                } else {
                    format!("{x:?}")
                }
            }
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            Self::Number(bits) => out.u64(0).u64(*bits),
            Self::Text(text) => out.u64(1).bytes(text.as_bytes()),
        };
    }

    pub(super) fn read(bytes: &mut Reader<'_>) -> Result<Self, BadState> {
        match bytes.u64()? {
            0 => bytes.u64().map(Self::Number),
            1 => bytes.text().map(|text| Self::Text(text.to_owned())),
            _ => Err(BadState),
        }
    }

    pub(super) fn heap_size(&self) -> usize {
        if let Self::Text(text) = self { text.capacity() } else { 0 }
    }
}

/// The classes of an argument by row.
pub(super) enum Classes<'a> {
    Numbers(Slice<'a, f64>),
    Texts(Slice<'a, std::borrow::Cow<'a, str>>),
}

impl<'a> Classes<'a> {
    pub(super) fn of(call: &Call<'a>, index: usize) -> Result<Self, Error> {
        if call.arg(index).is_some_and(|column| matches!(column.values, Values::Text(_))) {
            call.texts(index).map(Self::Texts)
        } else {
            call.floats(index).map(Self::Numbers)
        }
    }

    /// The class of a row; NaN is none.
    pub(super) fn at(&self, row: usize) -> Option<ClassRef<'a>> {
        match self {
            Self::Numbers(numbers) => {
                let x = numbers.get(row);
                (!x.is_nan()).then(|| ClassRef::Number(ordered(x)))
            }
            Self::Texts(texts) => texts.at(row).map(|text| ClassRef::Text(text)),
        }
    }
}

/// What is made of the counts.
#[derive(Debug, Clone)]
pub(super) enum Summary {
    Matrix,
    Accuracy(Level),
    Rate { rate: Rate, positive: Option<Class>, average: Average, level: Level },
}

/// Which rate of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rate {
    Precision,
    Recall,
    F1,
}

/// How the rates of the classes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Average {
    Binary,
    Macro,
    Micro,
    Weighted,
}

impl Summary {
    /// A rate with the options of [`RATE_ARGS`].
    pub(super) fn rate(call: &Call<'_>, rate: Rate) -> Result<Self, Error> {
        let positive = match call.option(2) {
            Some(Value::Text(text)) => Some(Class::Text(text)),
            Some(Value::Float64(x)) if !x.is_nan() => Some(Class::number(x)),
            Some(other) => return Err(call.refuse(format!("`positive` is {other}, which is no class"))),
            None => None,
        };
        let average = match call.choice(3, "average", ["binary", "macro", "micro", "weighted"])? {
            "macro" => Average::Macro,
            "micro" => Average::Micro,
            "weighted" => Average::Weighted,
            _ => Average::Binary,
        };
        Ok(Self::Rate { rate, positive, average, level: Level::option(call, 4)? })
    }
}

/// The counts, and what is to be made of them.
#[derive(Debug, Clone)]
pub(super) struct Confusion {
    function: &'static str,
    summary: Summary,
    counts: BTreeMap<(Class, Class), u64>,
    left_out: LeftOut,
}

impl Confusion {
    pub(super) fn new(function: &'static str, summary: Summary) -> Self {
        Self { function, summary, counts: BTreeMap::new(), left_out: LeftOut::default() }
    }

    fn n(&self) -> u64 {
        self.counts.values().sum()
    }

    fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::Value { function: self.function, reason: reason.into() }
    }

    fn matrix(&self) -> Column<'static> {
        let mut notes = Notes::default();
        self.left_out.note(&mut notes, "with NaN");
        record(
            MATRIX,
            &[
                Value::TextList(self.counts.keys().map(|(label, _)| label.name()).collect()),
                Value::TextList(self.counts.keys().map(|(_, prediction)| prediction.name()).collect()),
                Value::Float64List(self.counts.values().map(|count| *count as f64).collect()),
                Value::Int64(self.n() as i64),
                text(notes.text()),
            ],
        )
    }

    fn measure(
        &self,
        measure: impl FnOnce(&Self, &mut Notes) -> Result<Estimate, Error>,
    ) -> Result<Column<'static>, Error> {
        let mut notes = Notes::default();
        self.left_out.note(&mut notes, "with NaN");
        let n = self.n();
        let (value, interval) = if n == 0 {
            notes.add(NO_ROWS);
            (None, None)
        } else {
            measure(self, &mut notes)?
        };
        Ok(Measure::new(value, interval, n, &notes).into_column())
    }

    fn accuracy(&self, level: Level) -> Estimate {
        let right = self.counts.iter().filter(|((label, prediction), _)| label == prediction);
        proportion(right.map(|(_, count)| count).sum(), self.n(), level)
    }

    /// The class looked for: the one named, `true` among texts or 1 among numbers.
    fn positive(&self, named: Option<&Class>) -> Result<Class, Error> {
        let mut classes = self.counts.keys().flat_map(|(label, prediction)| [label, prediction]);
        let are_numbers = classes.clone().next().is_some_and(Class::is_number);
        match named {
            Some(class) if class.is_number() == are_numbers => Ok(class.clone()),
            Some(class) => {
                let (kind, other) = if are_numbers { ("numbers", "a text") } else { ("texts", "a number") };
                Err(self.refuse(format!("the classes are {kind}, but `positive`, {}, is {other}", class.name())))
            }
            None if are_numbers => Ok(Class::number(1.0)),
            None if classes.all(|class| matches!(class.name().as_str(), "true" | "false")) => {
                Ok(Class::Text("true".to_owned()))
            }
            None => Err(self.refuse(
                "the classes are texts: say which of them is looked for, as in `positive => 'yes'`, or take them all, \
                 with `average => 'macro'`",
            )),
        }
    }

    fn binary(&self, rate: Rate, positive: Option<&Class>, level: Level, notes: &mut Notes) -> Result<Estimate, Error> {
        let named = positive.is_some();
        let positive = self.positive(positive)?;
        let (mut hits, mut false_alarms, mut misses) = (0, 0, 0);
        for ((label, prediction), count) in &self.counts {
            match (*label == positive, *prediction == positive) {
                (true, true) => hits += count,
                (false, true) => false_alarms += count,
                (true, false) => misses += count,
                (false, false) => {}
            }
        }
        let name = positive.name();
        let (n, nothing) = match rate {
            Rate::Precision => (hits + false_alarms, format!("no row is predicted {name}")),
            Rate::Recall => (hits + misses, format!("no row is labelled {name}")),
            Rate::F1 => (hits + false_alarms + misses, format!("no row is labelled or predicted {name}")),
        };
        let classes: BTreeSet<&Class> =
            self.counts.keys().flat_map(|(label, prediction)| [label, prediction]).collect();
        if classes.len() > 2 && !named {
            notes.add(format!("{name} is measured against {} other classes", classes.len() - 1));
        }
        if n == 0 {
            notes.add(nothing);
        }
        let (value, interval) = proportion(hits, n, level);
        // F1 is a function of the share of hits among all that is labelled or predicted positive, and rises with it.
        let from_share = |share: f64| if rate == Rate::F1 { 2.0 * share / (1.0 + share) } else { share };
        let value = if rate == Rate::F1 && n > 0 {
            Some(2.0 * hits as f64 / (2 * hits + false_alarms + misses) as f64)
        } else {
            value
        };
        Ok((value, interval.map(|(low, high)| (from_share(low), from_share(high)))))
    }

    /// The mean of the rates of all classes, with its interval by the delta method on the multinomial counts.
    fn mean(&self, rate: Rate, weighted: bool, level: Level, notes: &mut Notes) -> Estimate {
        let mut of: BTreeMap<&Class, Margins> = BTreeMap::new();
        for ((label, prediction), count) in &self.counts {
            of.entry(label).or_default().labelled += count;
            of.entry(prediction).or_default().predicted += count;
            if label == prediction {
                of.entry(label).or_default().hits += count;
            }
        }
        let n = self.n() as f64;
        let classes = of.len() as f64;
        let undefined: Vec<String> =
            of.iter().filter(|(_, m)| m.denominator(rate) == 0).map(|(class, _)| class.name()).collect();
        if !undefined.is_empty() {
            notes.add(format!("counted as 0 because nothing is {}: {}", rate.nothing(), undefined.join(", ")));
        }
        let weight = |m: &Margins| if weighted { m.labelled as f64 / n } else { 1.0 / classes };
        let value: f64 = of.values().map(|m| weight(m) * m.rate(rate)).sum();
        // The derivative of the mean by the share of a cell, times that share or its square root, summed over the cells.
        let margins = |class: &Class| of.get(class).copied().unwrap_or_default();
        let (mut first, mut second) = (0.0, 0.0);
        for ((label, prediction), count) in &self.counts {
            let (row, column, share) = (margins(label), margins(prediction), *count as f64 / n);
            let mut slope = weight(&row) * row.slope(rate, n, true, label == prediction);
            if label != prediction {
                slope += weight(&column) * column.slope(rate, n, false, false);
            }
            if weighted {
                slope += row.rate(rate);
            }
            first += share * slope;
            second += share * slope * slope;
        }
        let half = level.z() * ((second - first * first).max(0.0) / n).sqrt();
        (Some(value), Some(((value - half).max(0.0), (value + half).min(1.0))))
    }
}

/// How many rows are labelled as a class, predicted as it, and both.
#[derive(Debug, Clone, Copy, Default)]
struct Margins {
    labelled: u64,
    predicted: u64,
    hits: u64,
}

impl Margins {
    fn denominator(&self, rate: Rate) -> u64 {
        match rate {
            Rate::Precision => self.predicted,
            Rate::Recall => self.labelled,
            Rate::F1 => self.labelled + self.predicted,
        }
    }

    fn rate(&self, rate: Rate) -> f64 {
        let factor = if rate == Rate::F1 { 2.0 } else { 1.0 };
        match self.denominator(rate) {
            0 => 0.0,
            denominator => factor * self.hits as f64 / denominator as f64,
        }
    }

    /// The derivative of the rate by the share of a cell in the class's row (`in_row`), its column, or both (`is_hit`).
    fn slope(&self, rate: Rate, n: f64, in_row: bool, is_hit: bool) -> f64 {
        let denominator = self.denominator(rate) as f64 / n;
        if denominator == 0.0 {
            return 0.0;
        }
        let (factor, times) = match rate {
            Rate::Precision => (1.0, f64::from(u8::from(is_hit || !in_row))),
            Rate::Recall => (1.0, f64::from(u8::from(in_row))),
            Rate::F1 => (2.0, if is_hit { 2.0 } else { 1.0 }),
        };
        let rise = if is_hit { factor } else { 0.0 };
        (rise - times * self.rate(rate)) / denominator
    }
}

impl Rate {
    fn nothing(self) -> &'static str {
        match self {
            Self::Precision => "predicted so",
            Self::Recall => "labelled so",
            Self::F1 => "labelled or predicted so",
        }
    }
}

impl Confusion {
    fn step(&mut self, call: &Call<'_>, step: Step) -> Result<(), Error> {
        let (labels, predictions) = (Classes::of(call, 0)?, Classes::of(call, 1)?);
        if matches!(
            (&labels, &predictions),
            (Classes::Numbers(_), Classes::Texts(_)) | (Classes::Texts(_), Classes::Numbers(_))
        ) {
            return Err(call.refuse(
                "one of `label` and `prediction` is a number and the other a text, so they never agree; CAST one of them",
            ));
        }
        // Counted by reference first, so that each class is copied once a batch.
        let mut counts: BTreeMap<(ClassRef<'_>, ClassRef<'_>), u64> = BTreeMap::new();
        for row in 0..call.rows() {
            if !(call.is_given(0, row) && call.is_given(1, row)) {
                step.count(&mut self.left_out.nulls);
            } else if let (Some(label), Some(prediction)) = (labels.at(row), predictions.at(row)) {
                *counts.entry((label, prediction)).or_default() += 1;
            } else {
                step.count(&mut self.left_out.unusable);
            }
        }
        for ((label, prediction), count) in counts {
            let pair = (label.into_class(), prediction.into_class());
            let total = self.counts.entry(pair.clone()).or_default();
            step.count_by(total, count);
            // A pair that nothing has any more is no class to average over.
            if *total == 0 {
                self.counts.remove(&pair);
            }
        }
        Ok(())
    }
}

impl State for Confusion {
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
            let pair = (Class::read(&mut bytes)?, Class::read(&mut bytes)?);
            *self.counts.entry(pair).or_default() += bytes.u64()?;
        }
        bytes.end()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.left_out.write(&mut out);
        out.u64(self.counts.len() as u64);
        for ((label, prediction), count) in &self.counts {
            label.write(&mut out);
            prediction.write(&mut out);
            out.u64(*count);
        }
        out.finish()
    }

    fn finish(&self) -> Result<Column<'static>, Error> {
        match &self.summary {
            Summary::Matrix => Ok(self.matrix()),
            Summary::Accuracy(level) => self.measure(|this, _| Ok(this.accuracy(*level))),
            Summary::Rate { rate, positive, average, level } => self.measure(|this, notes| match average {
                Average::Binary => this.binary(*rate, positive.as_ref(), *level, notes),
                Average::Micro => Ok(this.accuracy(*level)),
                Average::Macro => Ok(this.mean(*rate, false, *level, notes)),
                Average::Weighted => Ok(this.mean(*rate, true, *level, notes)),
            }),
        }
    }

    fn heap_size(&self) -> usize {
        let pair = size_of::<((Class, Class), u64)>();
        self.counts.keys().map(|(label, prediction)| pair + label.heap_size() + prediction.heap_size()).sum()
    }
}
