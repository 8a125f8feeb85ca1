//! The Epps–Singleton test, by empirical characteristic functions.

use super::cells::quantile_edges;
use super::samples::{Finding, Samples, infinities};
use super::{Notes, OUTCOME, Outcome, TWO_SAMPLES};
use crate::distribution::chi_square_sf;
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type};
use crate::sum::ExactSum;

/// Where the characteristic functions are compared, in units of the inverse of half the interquartile range.
const POINTS: [f64; 2] = [0.4, 0.8];
/// With fewer values than this in both samples the statistic is corrected.
const LARGE: usize = 25;

type Vector = [f64; 4];
type Matrix = [Vector; 4];

/// `epps_singleton_test(value, is_base)`.
pub struct EppsSingletonTest;

impl Function for EppsSingletonTest {
    fn name(&self) -> &'static str {
        "epps_singleton_test"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        TWO_SAMPLES
    }

    fn returns(&self) -> Type {
        OUTCOME
    }

    fn short(&self) -> &'static str {
        "Epps–Singleton test: do two samples, continuous or discrete, come from one distribution?"
    }

    fn long(&self) -> &'static str {
        include_str!("epps_singleton.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(0.0),
            effect_size: Some(0.0),
            p_value: Some(1.0),
            n_base: 5,
            n_study: 5,
            note: None,
        };
        let sample = [1.0, 2.0, 3.0, 5.0, 8.0];
        vec![Example::two_samples(&sample, &sample, outcome.into_value())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        Ok(Samples::new(call)?.compare(5, test).into_column())
    }
}

fn test(base: &[f64], study: &[f64], notes: &mut Notes) -> Result<Finding, String> {
    let infinite = infinities(base, study);
    if infinite > 0 {
        return Err(format!("{infinite} infinite values have no sine and cosine: there is no result"));
    }
    let mut pooled = [base, study].concat();
    pooled.sort_unstable_by(f64::total_cmp);
    let quartiles = quantile_edges(pooled.len() as u64, |place| pooled.get(place as usize).copied(), 4);
    let range = quartiles.last().zip(quartiles.first()).map_or(0.0, |(high, low)| high - low);
    if range <= 0.0 {
        return Err(
            "the interquartile range of both samples together is zero, so there is no scale to test at".to_owned()
        );
    }
    let points = POINTS.map(|t| t / (range / 2.0));
    let (m, n) = (base.len() as f64, study.len() as f64);
    let size = m + n;
    let (of_base, of_study) = (Moments::new(base, points), Moments::new(study, points));
    let mut covariance = of_base.covariance;
    for (ours, theirs) in covariance.iter_mut().flatten().zip(of_study.covariance.iter().flatten()) {
        *ours = size / m * *ours + size / n * theirs;
    }
    if covariance.iter().flatten().any(|entry| !entry.is_finite()) {
        return Err("values are too far out for the interquartile range of both samples: there is no result".to_owned());
    }
    let mut difference = of_base.mean;
    difference.iter_mut().zip(of_study.mean).for_each(|(ours, theirs)| *ours -= theirs);
    let (form, rank) = inverse_form(covariance, difference);
    if rank < 4 {
        notes.add(format!("the covariance has rank {rank}, not 4: the test may not see every difference"));
    }
    let raw = size * form;
    let statistic = if base.len().max(study.len()) < LARGE {
        raw / (1.0 + libm::pow(size, -0.45) + 10.1 * (libm::pow(m, -1.7) + libm::pow(n, -1.7)))
    } else {
        raw
    };
    let effect_size = (raw * size / (m * n)).sqrt();
    let p_value = (rank > 0).then(|| chi_square_sf(statistic, f64::from(rank)));
    Ok(Finding { statistic, effect_size: Some(effect_size), p_value })
}

/// The mean and covariance (divisor n) of the cosines and sines of a sample.
struct Moments {
    mean: Vector,
    covariance: Matrix,
}

impl Moments {
    fn new(values: &[f64], [first, second]: [f64; 2]) -> Self {
        let size = values.len() as f64;
        let waves: Vec<Vector> = values
            .iter()
            .map(|x| [libm::cos(first * x), libm::cos(second * x), libm::sin(first * x), libm::sin(second * x)])
            .collect();
        let mean_of = |term: &dyn Fn(&Vector) -> f64| {
            let mut sum = ExactSum::new();
            for wave in &waves {
                sum.add(term(wave));
            }
            sum.sum() / size
        };
        let mean: Vector = std::array::from_fn(|i| mean_of(&|wave| wave[i]));
        let mut covariance = Matrix::default();
        for i in 0..4 {
            for j in 0..=i {
                let entry = mean_of(&|wave| (wave[i] - mean[i]) * (wave[j] - mean[j]));
                covariance[i][j] = entry;
                covariance[j][i] = entry;
            }
        }
        Self { mean, covariance }
    }
}

/// `v' C⁺ v` for a symmetric matrix without negative eigenvalues, C⁺ being its pseudo-inverse, and the rank of C:
/// eigenvalues by Jacobi's rotations, those that are rounding alone left out.
fn inverse_form(mut matrix: Matrix, mut vector: Vector) -> (f64, u32) {
    for _sweep in 0..30 {
        for p in 0..3 {
            for q in p + 1..4 {
                if matrix[p][q] == 0.0 {
                    continue;
                }
                let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
                let tangent = if theta < 0.0 { -1.0 } else { 1.0 } / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = tangent * cosine;
                let rotated = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
                for row in &mut matrix {
                    (row[p], row[q]) = rotated(row[p], row[q]);
                }
                let (upper, lower) = (matrix[p], matrix[q]);
                matrix[p] = std::array::from_fn(|column| rotated(upper[column], lower[column]).0);
                matrix[q] = std::array::from_fn(|column| rotated(upper[column], lower[column]).1);
                // What the rotation is for; rounding would leave it a little off.
                matrix[p][q] = 0.0;
                matrix[q][p] = 0.0;
                // The vector in the coordinates of the eigenvectors.
                (vector[p], vector[q]) = rotated(vector[p], vector[q]);
            }
        }
    }
    let values: Vector = std::array::from_fn(|i| matrix[i][i]);
    let least = values.iter().copied().fold(0.0, f64::max) * 4.0 * f64::EPSILON;
    let kept = || values.iter().zip(vector).filter(|(value, _)| **value > least);
    (kept().map(|(value, part)| part * part / value).sum(), kept().count() as u32)
}

#[cfg(test)]
mod tests {
    use super::inverse_form;

    #[test]
    fn the_form_is_that_of_the_inverse() {
        let matrix = [[4.0, 1.0, 0.0, 0.5], [1.0, 3.0, 0.2, 0.0], [0.0, 0.2, 2.0, 0.1], [0.5, 0.0, 0.1, 1.0]];
        let solution = [1.0, -2.0, 0.5, 3.0];
        let vector = matrix.map(|row: [f64; 4]| row.iter().zip(solution).map(|(a, x)| a * x).sum::<f64>());
        let want: f64 = vector.iter().zip(solution).map(|(v, x)| v * x).sum();
        let (form, rank) = inverse_form(matrix, vector);
        assert!((form - want).abs() < 1e-13 * want && rank == 4, "{form} {want}");
    }

    #[test]
    fn a_singular_matrix_is_inverted_where_it_has_a_rank() {
        let mut matrix = [[0.0; 4]; 4];
        matrix[0] = [1.0, 1.0, 0.0, 0.0];
        matrix[1] = [1.0, 1.0, 0.0, 0.0];
        let (form, rank) = inverse_form(matrix, [2.0, 2.0, 5.0, 0.0]);
        assert!((form - 4.0).abs() < 1e-14 && rank == 1, "{form} {rank}");
        assert_eq!(inverse_form([[0.0; 4]; 4], [1.0; 4]), (0.0, 0));
    }
}
