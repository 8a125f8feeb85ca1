use proptest::prelude::*;

use super::{Fractions, place};
use crate::find;
use crate::function::{Error, Value, call};

fn split(args: &[Value]) -> Result<Value, Error> {
    call(find("ml_split")?, args)
}

fn name(key: &Value, shares: [f64; 3], seed: &str) -> String {
    let [train, validation, test] = shares.map(Value::from);
    match split(&[key.clone(), train, validation, test, seed.into()]) {
        Ok(Value::Text(name)) => name,
        other => panic!("{other:?}"),
    }
}

/// Shares of thousandths, so that every bound is met.
fn shares() -> impl Strategy<Value = [f64; 3]> {
    (0_u32..=1000, 0_u32..=1000).prop_map(|(a, b)| {
        let (train, rest) = (a.min(b), a.max(b));
        [train, rest - train, 1000 - rest].map(|part| f64::from(part) / 1000.0)
    })
}

#[test]
fn fractions_hold_within_binomial_bounds_for_any_seed() {
    let n = 20_000;
    for seed in ["", "42", "2024"] {
        for shares in [[0.8, 0.1, 0.1], [0.5, 0.0, 0.5], [0.98, 0.01, 0.01]] {
            let fractions = Fractions::new(shares).unwrap();
            for spell in [|i: i64| i.to_string(), |i: i64| format!("N{i:05}"), |i: i64| format!("{}", i * 1_000_003)] {
                let mut counts = [0_u32; 3];
                for i in 0..n {
                    let name = fractions.name_of(place(seed, &spell(i)));
                    counts[super::NAMES.iter().position(|other| *other == name).unwrap()] += 1;
                }
                for (count, share) in counts.into_iter().zip(shares) {
                    // Five standard deviations; without a share, none.
                    let bound = 5.0 * (n as f64 * share * (1.0 - share)).sqrt();
                    let off = (f64::from(count) - n as f64 * share).abs();
                    assert!(off <= bound, "{seed:?} {shares:?}: {counts:?}");
                }
            }
        }
    }
}

#[test]
fn seeds_deal_independently() {
    let both = (0..20_000).filter(|i| {
        let key = i.to_string();
        place("1", &key) < 0.5 && place("2", &key) < 0.5
    });
    let count = both.count() as f64;
    assert!((count - 5_000.0).abs() < 5.0 * (20_000.0_f64 * 0.25 * 0.75).sqrt(), "{count}");
}

#[test]
fn an_integer_and_its_digits_are_one_key_and_one_seed() {
    for i in [0, -1, 42, i64::MAX, i64::MIN] {
        let text = Value::Text(i.to_string());
        assert_eq!(name(&i.into(), [0.4, 0.3, 0.3], "s"), name(&text, [0.4, 0.3, 0.3], "s"));
        let args = |seed: Value| ["k".into(), 0.4.into(), 0.3.into(), 0.3.into(), seed];
        assert_eq!(split(&args(i.into())), split(&args(text)));
    }
}

#[test]
fn without_a_seed_it_is_the_empty_one() {
    for key in 0..50_i64 {
        let [a, b, c] = [0.4, 0.3, 0.3].map(Value::from);
        assert_eq!(split(&[key.into(), a, b, c]), Ok(name(&key.into(), [0.4, 0.3, 0.3], "").as_str().into()));
    }
}

#[test]
fn null_key_gives_null() {
    assert_eq!(split(&[Value::Null, 0.8.into(), 0.1.into(), 0.1.into()]), Ok(Value::Null));
}

#[test]
fn fractions_that_are_none_are_refused() {
    let refused = |shares: [f64; 3]| {
        let [a, b, c] = shares.map(Value::from);
        split(&["k".into(), a, b, c]).unwrap_err().to_string()
    };
    assert_eq!(refused([0.8, 0.3, -0.1]), "split: the fraction `test` is -0.1, but has to be from 0 to 1");
    assert!(refused([80.0, 10.0, 10.0]).contains("`train` is 80.0, but has to be from 0 to 1"));
    assert!(refused([f64::NAN, 0.5, 0.5]).contains("`train` is NaN"));
    assert!(refused([0.8, 0.1, 0.2]).contains("so it has to be 1"));
    assert!(Fractions::new([0.7, 0.2, 0.1]).is_ok(), "0.7 + 0.2 + 0.1 is below 1 by rounding");
    assert!(Fractions::new([0.8, 0.1, 0.1 + 2e-9]).is_err());
    let thirds = 1.0 / 3.0;
    assert!(Fractions::new([thirds, thirds, thirds]).is_ok());
}

#[test]
fn a_split_without_a_share_gets_no_key_by_rounding() {
    let most = 1.0_f64.next_down();
    let fractions = |shares| Fractions::new(shares).unwrap();
    assert_eq!(fractions([1.0 - 1e-10, 0.0, 0.0]).name_of(most), "train");
    assert_eq!(fractions([0.5, 0.5 - 1e-10, 0.0]).name_of(most), "validation");
    assert_eq!(fractions([0.0, 0.0, 1.0]).name_of(0.0), "test");
    assert_eq!(fractions([0.0, 1.0, 0.0]).name_of(0.0), "validation");
}

proptest! {
    #[test]
    fn a_larger_train_only_takes_keys_in(key in "\\PC{0,12}", seed in "\\PC{0,4}", one in shares(), other in shares()) {
        let (small, large) = if one[0] <= other[0] { (one, other) } else { (other, one) };
        let key = Value::Text(key);
        if name(&key, small, &seed) == "train" {
            prop_assert_eq!(name(&key, large, &seed), "train");
        }
        if name(&key, small, &seed) == "test" && large[2] >= small[2] && large[0] + large[1] <= small[0] + small[1] {
            prop_assert_eq!(name(&key, large, &seed), "test");
        }
    }

    #[test]
    fn neither_order_nor_appending_moves_a_key(mut keys in prop::collection::vec("[a-c]{0,3}", 1..40), shares in shares()) {
        use crate::function::{Column, Values, evaluate};
        let of = |keys: &[String]| {
            let key = Column::new(Values::Text(keys.iter().map(|key| key.as_str().into()).collect()));
            let shares = shares.map(|share| Column::from(vec![share]));
            let args: Vec<Column<'_>> = std::iter::once(key).chain(shares).collect();
            let result = evaluate(find("split").unwrap(), &args, keys.len()).unwrap();
            (0..keys.len()).map(|row| (keys[row].clone(), result.value(row).to_string())).collect::<std::collections::HashMap<_, _>>()
        };
        let before = of(&keys);
        keys.reverse();
        keys.push("a key of its own".to_owned());
        let after = of(&keys);
        for (key, split) in &before {
            prop_assert_eq!(after.get(key), Some(split));
        }
    }
}
