//! Slices: what is no worse is rarely found, what is worse is found and told apart, and no plan changes the answer.

#![allow(clippy::float_cmp, reason = "these results are exact")]

use proptest::prelude::*;

use super::*;
use crate::profile::Profile;

/// Numbers from 0 to 1 that have nothing to do with each other.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn numbers(values: &[f64]) -> Profile {
    let mut profile = Profile::new();
    profile.update(values, None).unwrap();
    profile
}

fn texts(values: &[Option<&str>]) -> Profile {
    let mut profile = Profile::new();
    profile.update_texts(values.iter().copied()).unwrap();
    profile
}

/// Columns of numbers and their losses, searched.
fn search(columns: &[(&str, Vec<f64>)], losses: &[f64], options: &Options) -> Vec<Slice> {
    let divisions: Vec<Division> =
        columns.iter().map(|(name, values)| Division::of(name, Literal::Plain, &numbers(values), options)).collect();
    let readers: Vec<Coder<'_>> = divisions.iter().map(Division::coder).collect();
    let mut gathered = Losses::new(options.max_columns);
    for (row, loss) in losses.iter().enumerate() {
        let codes: Vec<u32> =
            readers.iter().zip(columns).map(|(coder, (_, values))| coder.number(Some(values[row]))).collect();
        gathered.add(Some(*loss), &codes).unwrap();
    }
    find(&gathered, &divisions, options)
}

/// Five columns: of 2, 3 and 10 values, one skewed, and one of a number for each row.
fn columns(draws: &mut Draws, n: usize) -> Vec<(&'static str, Vec<f64>)> {
    let mut few = |values: f64| (0..n).map(|_| (draws.next() * values).floor()).collect::<Vec<_>>();
    let (flag, three, ten) = (few(2.0), few(3.0), few(10.0));
    let skewed = (0..n).map(|_| (1.0 / (0.1 + draws.next())).floor()).collect();
    let many = (0..n).map(|_| draws.next()).collect();
    vec![("flag", flag), ("three", three), ("ten", ten), ("skewed", skewed), ("many", many)]
}

/// With no slice that is worse, by each distribution of losses and each size, no more searches find one than alpha allows.
#[test]
fn without_a_worse_slice_the_rate_of_false_alarms_holds() {
    let mut draws = Draws(20_261);
    for (n, trials, min_rows) in [(60, 200, 5), (300, 100, 10), (300, 100, 30), (1_500, 40, 30)] {
        let bound = 0.05 + 3.0 * (0.05_f64 * 0.95 / f64::from(trials)).sqrt();
        let options = Options { min_rows, ..Options::default() };
        for distribution in ["errors", "rare errors", "log loss", "heavy tail"] {
            let mut alarms = 0;
            for _ in 0..trials {
                let columns = columns(&mut draws, n);
                let losses: Vec<f64> = (0..n)
                    .map(|_| match distribution {
                        "errors" => f64::from(draws.next() < 0.3),
                        "rare errors" => f64::from(draws.next() < 0.02),
                        "log loss" => -libm::log(1.0 - draws.next()),
                        // Pareto's law with an infinite variance.
                        _ => libm::pow(1.0 - draws.next(), -0.7),
                    })
                    .collect();
                alarms += usize::from(search(&columns, &losses, &options).len() > 1);
            }
            let rate = alarms as f64 / f64::from(trials);
            assert!(rate <= bound, "{distribution} {n} {min_rows}: {rate}");
        }
    }
}

/// Errors of 10 %, and of 40 % in one conjunction: it is found, and the wider slices are explained by it.
#[test]
fn a_conjunction_that_is_worse_is_found_and_explains_the_wider_slices() {
    let mut draws = Draws(7);
    let (mut found, mut wider, mut explained) = (0, 0, 0);
    for _ in 0..20 {
        let columns = columns(&mut draws, 3_000);
        let is_worse = |row: usize| columns[0].1[row] == 1.0 && columns[1].1[row] == 2.0;
        let losses: Vec<f64> =
            (0..3_000).map(|row| f64::from(draws.next() < if is_worse(row) { 0.4 } else { 0.1 })).collect();
        let slices = search(&columns, &losses, &Options::default());
        let first = &slices[1];
        found += usize::from(first.condition == "flag = 1 AND three = 2" && first.explained_by.is_none());
        for slice in slices.iter().filter(|slice| ["flag = 1", "three = 2"].contains(&slice.condition.as_str())) {
            wider += 1;
            explained += usize::from(slice.explained_by.as_deref() == Some("flag = 1 AND three = 2"));
        }
        assert!(slices[1..].iter().all(|slice| slice.difference.unwrap() > 0.0 && slice.p_adjusted.unwrap() <= 0.05));
    }
    assert_eq!(found, 20);
    // What is left of a wider slice looks worse by chance in one of twenty.
    assert!(wider >= 30 && explained + 6 >= wider, "{explained} of {wider}");
}

/// A slice of one column that is worse throughout: its conjunctions say nothing more.
#[test]
fn a_conjunction_that_adds_nothing_is_marked() {
    let mut draws = Draws(8);
    let columns = columns(&mut draws, 4_000);
    let losses: Vec<f64> =
        (0..4_000).map(|row| f64::from(draws.next() < if columns[1].1[row] == 2.0 { 0.5 } else { 0.1 })).collect();
    let slices = search(&columns, &losses, &Options::default());
    assert_eq!((slices[1].condition.as_str(), slices[1].explained_by.as_deref()), ("three = 2", None));
    let marked = slices[2..].iter().filter(|slice| slice.explained_by.as_deref() == Some("three = 2")).count();
    assert!(marked > 5 && marked + 2 >= slices.len() - 2, "{slices:#?}");
}

/// Every choice of some of ten losses: the bound is no less than the share of choices with as large a mean.
#[test]
fn the_bound_is_never_below_the_probability() {
    let mut draws = Draws(9);
    for trial in 0..60 {
        let losses: Vec<f64> = (0..10)
            .map(|_| match trial % 3 {
                0 => f64::from(draws.next() < 0.4),
                1 => (draws.next() * 4.0).floor(),
                _ => libm::pow(draws.next(), -1.5),
            })
            .collect();
        let mut gathered = Losses::new(1);
        for loss in &losses {
            gathered.add(Some(*loss), &[]).unwrap();
        }
        let (mean, deviation) = (gathered.all().values().avg().unwrap(), gathered.all().stddev_pop().unwrap());
        let Some(pool) = bound::Pool::new(&gathered.points(), 10, mean, deviation) else { continue };
        let total: f64 = losses.iter().sum();
        for n in 1..10_u32 {
            let sums: Vec<f64> = (0_u32..1 << 10)
                .filter(|chosen| chosen.count_ones() == n)
                .map(|chosen| (0..10).filter(|row| chosen >> row & 1 == 1).map(|row| losses[row]).sum())
                .collect();
            for sum in &sums {
                let share = sums.iter().filter(|other| **other >= sum - 1e-9).count() as f64 / sums.len() as f64;
                let p = pool.p_value(n.into(), sum / f64::from(n), (total - sum) / f64::from(10 - n));
                assert!(p >= share * (1.0 - 1e-9) && p <= 1.0, "{losses:?} {n} {sum}: {p} for {share}");
            }
        }
    }
}

#[test]
fn cells_are_conditions_in_sql() {
    let options = Options { min_rows: 2, bins: 4, ..Options::default() };
    let conditions = |literal, profile: &Profile| {
        let division = Division::of("x", literal, profile, &options);
        let cells: Vec<String> = (0..20).map(|code| division.condition(code)).collect();
        let problem = division.problem().map(str::to_owned);
        (cells.into_iter().filter(|cell| !cell.contains("in no cell")).collect::<Vec<_>>(), division.rare(), problem)
    };
    let words = texts(&[Some("a"), Some("a"), Some("it's"), Some("it's"), Some("once"), None, None]);
    let (cells, rare, _) = conditions(Literal::Plain, &words);
    assert_eq!((cells, rare), (vec!["x = 'a'".into(), "x = 'it''s'".into(), "x IS NULL".into()], 1));
    let (cells, ..) = conditions(Literal::Boolean, &texts(&[Some("true"), Some("true"), Some("false"), Some("false")]));
    assert_eq!(cells, ["x = false", "x = true"]);
    let (cells, rare, _) =
        conditions(Literal::Plain, &numbers(&[1.0, 1.0, 2.5, 2.5, f64::INFINITY, f64::NAN, f64::NAN]));
    assert_eq!((cells, rare), (vec!["x = 1".into(), "x = 2.5".into(), "isnan(x)".into()], 1));
    let (cells, ..) =
        conditions(Literal::Plain, &numbers(&(0..1_000).map(|i| f64::from(i) * 1.234).collect::<Vec<_>>()));
    assert_eq!(cells, ["x < 310", "x >= 310 AND x < 620", "x >= 620 AND x < 920", "x >= 920"]);
    let (cells, ..) = conditions(
        Literal::Plain,
        &numbers(&(0..1_000).map(|i| f64::from((i - 900).max(0)) / 100.0).collect::<Vec<_>>()),
    );
    assert_eq!(cells, ["x < 0.01", "x >= 0.01"]);
    let (_, _, problem) = conditions(Literal::Plain, &texts(&[Some("a"), Some("a")]));
    assert_eq!(problem.as_deref(), Some("(nearly) all rows have one value"));
    let many: Vec<String> = (0..300).map(|i| i.to_string()).collect();
    let (_, _, problem) =
        conditions(Literal::Plain, &texts(&many.iter().map(|t| Some(t.as_str())).collect::<Vec<_>>()));
    assert!(problem.unwrap().contains("different texts are too many; group them"));
}

#[test]
fn codes_are_places_of_cells() {
    let options = Options { min_rows: 1, bins: 2, ..Options::default() };
    let mut profile = numbers(&(0..100).map(f64::from).collect::<Vec<_>>());
    profile.update(&[f64::NAN, 0.0], Some(&[true, false])).unwrap();
    let division = Division::of("x", Literal::Plain, &profile, &options);
    let reader = division.coder();
    let codes =
        [Some(-5.0), Some(49.0), Some(50.0), Some(f64::INFINITY), Some(f64::NAN), None].map(|x| reader.number(x));
    assert_eq!(codes, [0, 1, 1, 1, 2, 3]);
    assert_eq!(division.condition(1), "x >= 49 AND NOT isnan(x)");
    let division = Division::of("x", Literal::Plain, &texts(&[Some("a"), Some("b"), None]), &options);
    let reader = division.coder();
    assert_eq!([Some("a"), Some("b"), Some("c"), None].map(|text| reader.text(text)), [0, 1, NO_CELL, 2]);
}

#[test]
fn what_is_not_tested_is_counted() {
    let options = Options { min_rows: 3, ..Options::default() };
    let divisions = [
        Division::of("x", Literal::Plain, &texts(&[Some("a"), Some("a"), Some("a"), Some("b")]), &options),
        Division::unsearched("at", "it is a time"),
    ];
    let mut losses = Losses::new(2);
    let coder = divisions[0].coder();
    for (text, loss) in [("a", Some(1.0)), ("a", Some(0.0)), ("a", None), ("b", Some(f64::NAN))] {
        losses.add(loss, &[coder.text(Some(text)), NO_CELL]).unwrap();
    }
    let slices = find(&losses, &divisions, &options);
    assert_eq!((slices.len(), slices[0].n, slices[0].mean_loss, slices[0].is_worse), (1, 2, Some(0.5), None));
    assert_eq!(
        slices[0].note.as_deref(),
        Some(
            "0 slices of 1 columns searched, 0 worse; 2 slices of fewer than 3 rows not tested, nor their conjunctions; 1 \
             rows without a loss left out; 1 rows whose loss is NaN or infinite left out; at not searched: it is a time"
        )
    );
    assert_eq!(find(&Losses::new(2), &[], &options)[0].mean_loss, None);
}

#[test]
fn too_many_slices_are_refused_with_the_remedy() {
    let mut losses = Losses::new(2);
    let error = (0..1_000_000).find_map(|row| losses.add(Some(0.0), &[row % 1_000, row / 1_000]).err());
    assert!(error.unwrap().to_string().contains("take a smaller `max_columns`"));
}

#[test]
fn equal_losses_have_no_worse_slice() {
    let mut draws = Draws(10);
    let columns = columns(&mut draws, 200);
    assert_eq!(search(&columns, &[0.25; 200], &Options { alpha: 0.9, ..Options::default() }).len(), 1);
}

proptest! {
    #[test]
    fn no_order_or_cut_of_the_rows_changes_a_byte(
        rows in proptest::collection::vec((proptest::option::of(-1e6_f64..1e6), 0_u32..3, 0_u32..4), 1..200),
        cut in 0_usize..200,
    ) {
        let gather = |rows: &[(Option<f64>, u32, u32)]| {
            let mut losses = Losses::new(2);
            for (loss, a, b) in rows {
                losses.add(*loss, &[*a, *b]).unwrap();
            }
            losses
        };
        let whole = gather(&rows);
        let (a, b) = rows.split_at(cut.min(rows.len()));
        let mut merged = Losses::from_bytes(&gather(b).to_bytes()).unwrap();
        merged.merge(gather(a)).unwrap();
        prop_assert_eq!(whole.to_bytes(), merged.to_bytes());
        let options = Options { min_rows: 2, alpha: 1.0, ..Options::default() };
        for slice in find(&whole, &[], &options).iter().skip(1) {
            let p = slice.p_value.unwrap();
            prop_assert!((0.0..=1.0).contains(&p) && slice.p_adjusted.unwrap() >= p);
        }
    }
}
