//! Welch's t-test.

use super::samples::{Finding, too_few};
use super::{Notes, OUTCOME, Outcome, TWO_SAMPLES, each_row};
use crate::distribution::student_two_sided;
use crate::function::{BadState, Call, Column, Error, Example, State, Step, Tolerance, define};
use crate::sum::{ExactMoments, read_u64};

define! {
    /// `welch_t_test(value, is_base)`.
    pub struct WelchTTest {
        name: "welch_t_test",
        kind: Aggregate,
        args: TWO_SAMPLES,
        returns: OUTCOME,
        short: "Welch's t-test: do two samples have one mean, whatever their variances?",
        long: include_str!("welch.md"),
        examples: {
            let outcome = Outcome {
                statistic: Some(3.674_234_614_174_767_3),
                effect_size: Some(3.0),
                p_value: Some(0.021_311_641_128_756_737),
                n_base: 3,
                n_study: 3,
                note: None,
            };
            vec![Example::two_samples(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], outcome.into_value())]
        },
        tolerance: Tolerance::Relative(1e-10),
        state: |_options| Ok(Some(Box::new(Moments::default()))),
    }
}

/// What the test remembers of the rows.
#[derive(Debug, Default)]
struct Moments {
    base: Sample,
    study: Sample,
    unassigned: u64,
}

/// The moments of the finite values of a sample, and how many others it has.
#[derive(Debug, Default)]
struct Sample {
    moments: ExactMoments,
    nulls: u64,
    nans: u64,
    infinities: u64,
}

impl Sample {
    fn step(&mut self, value: Option<f64>, step: Step) {
        match value {
            None => step.count(&mut self.nulls),
            Some(value) if value.is_nan() => step.count(&mut self.nans),
            Some(value) if value.is_infinite() => step.count(&mut self.infinities),
            Some(value) => step.moments(&mut self.moments, value),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.moments.merge(&other.moments);
        self.nulls += other.nulls;
        self.nans += other.nans;
        self.infinities += other.infinities;
    }

    /// The counts, the length of the moments, and these.
    fn write(&self, out: &mut Vec<u8>) {
        let moments = self.moments.to_bytes();
        for count in [self.nulls, self.nans, self.infinities, moments.len() as u64] {
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&moments);
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, BadState> {
        let (nulls, nans, infinities) = (read_u64(bytes)?, read_u64(bytes)?, read_u64(bytes)?);
        let length = usize::try_from(read_u64(bytes)?).map_err(|_| BadState)?;
        let (moments, rest) = bytes.split_at_checked(length).ok_or(BadState)?;
        *bytes = rest;
        Ok(Self { moments: ExactMoments::from_bytes(moments)?, nulls, nans, infinities })
    }

    /// How many values take part.
    fn size(&self) -> u64 {
        self.moments.values().count() + self.infinities
    }
}

impl Moments {
    fn step(&mut self, call: &Call<'_>, step: Step) -> Result<(), Error> {
        let value = call.floats(0)?;
        let unassigned = each_row(call, |is_base, row| {
            let sample = if is_base { &mut self.base } else { &mut self.study };
            sample.step(row.map(|row| value.get(row)), step);
        })?;
        step.count_by(&mut self.unassigned, unassigned as u64);
        Ok(())
    }
}

impl State for Moments {
    fn update(&mut self, call: &Call<'_>) -> Result<(), Error> {
        self.step(call, Step::Add)
    }

    fn slide(&mut self) -> bool {
        true
    }

    fn retract(&mut self, call: &Call<'_>) -> Result<(), Error> {
        self.step(call, Step::Retract)
    }

    fn merge(&mut self, mut bytes: &[u8]) -> Result<(), BadState> {
        let bytes = &mut bytes;
        let (unassigned, base, study) = (read_u64(bytes)?, Sample::read(bytes)?, Sample::read(bytes)?);
        if !bytes.is_empty() {
            return Err(BadState);
        }
        self.unassigned += unassigned;
        self.base.merge(&base);
        self.study.merge(&study);
        Ok(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.unassigned.to_le_bytes().to_vec();
        self.base.write(&mut out);
        self.study.write(&mut out);
        out
    }

    fn finish(&self) -> Result<Column<'static>, Error> {
        let mut notes = Notes::default();
        notes.unassigned(self.unassigned as usize);
        for (sample, name) in [(&self.base, "base"), (&self.study, "study")] {
            notes.left_out((sample.nulls, sample.nans), name, "mean");
        }
        let sizes = (self.base.size(), self.study.size());
        Ok(Outcome::of(test(&self.base, &self.study), sizes, notes).into_column())
    }

    fn heap_size(&self) -> usize {
        self.base.moments.heap_size() + self.study.moments.heap_size()
    }
}

fn test(base: &Sample, study: &Sample) -> Result<Finding, String> {
    for (sample, name) in [(base, "base"), (study, "study")] {
        if sample.size() < 2 {
            return Err(too_few(sample.size(), 2, name));
        }
    }
    let infinite = base.infinities + study.infinities;
    if infinite > 0 {
        return Err(format!("{infinite} infinite values have no variance: there is no result"));
    }
    let Some(means) = compare_means(&base.moments, &study.moments) else {
        return Err("there are too few values to have a variance".to_owned());
    };
    if means.error == 0.0 {
        return Err(
            "both samples have a variance of zero, so there is nothing to measure a difference of means by".to_owned()
        );
    }
    if !means.error.is_finite() || !means.difference.is_finite() {
        return Err("the variances are beyond the range of floats: there is no result".to_owned());
    }
    let t = means.difference / means.error;
    Ok(Finding {
        statistic: t,
        effect_size: Some(means.difference / means.deviation),
        p_value: Some(student_two_sided(t, means.freedom)),
    })
}

/// Two means side by side, whatever their variances.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means {
    /// The study's mean less the base's.
    pub(crate) difference: f64,
    /// Its standard error.
    pub(crate) error: f64,
    /// The degrees of freedom of the error, after Welch and Satterthwaite; NaN where the error is zero.
    pub(crate) freedom: f64,
    /// The root of the mean of both variances.
    pub(crate) deviation: f64,
}

/// Compares means; `None` where a sample has fewer than two values.
pub(crate) fn compare_means(base: &ExactMoments, study: &ExactMoments) -> Option<Means> {
    let of = |moments: &ExactMoments| {
        let (mean, variance, n) = (moments.values().avg()?, moments.var()?, moments.values().count() as f64);
        Some((mean, variance, variance / n, n))
    };
    let ((mean_base, variance_base, error_base, m), (mean_study, variance_study, error_study, n)) =
        of(base).zip(of(study))?;
    let error = error_base + error_study;
    let (share_base, share_study) = (error_base / error, error_study / error);
    Some(Means {
        difference: mean_study - mean_base,
        error: error.sqrt(),
        freedom: 1.0 / (share_base * share_base / (m - 1.0) + share_study * share_study / (n - 1.0)),
        deviation: (variance_base / 2.0 + variance_study / 2.0).sqrt(),
    })
}
