use super::*;
use crate::function::{Value, aggregate, evaluate};
use crate::{Column, find};

/// A stream whose mean and spread change, as plain numbers.
fn stream() -> Vec<f64> {
    (0..900_u32).map(|i| f64::from(i * 7_919 % 1_000) / 500.0 + f64::from(i / 300 % 2) * 1.5).collect()
}

fn continues_from_its_bytes<D: Detector + Default>() {
    let mut whole = D::default();
    let mut parts = D::default();
    for (i, x) in stream().into_iter().enumerate() {
        if i % 37 == 0 {
            parts = D::from_bytes(&parts.to_bytes()).unwrap();
        }
        assert_eq!(whole.update(x), parts.update(x), "at {i}");
    }
    let bytes = whole.to_bytes();
    assert!(D::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    assert!(D::from_bytes(&[bytes, vec![0]].concat()).is_err());
}

#[test]
fn every_detector_continues_from_its_bytes() {
    continues_from_its_bytes::<AdwinDetector>();
    continues_from_its_bytes::<CusumDetector>();
    continues_from_its_bytes::<DdmDetector>();
    continues_from_its_bytes::<EddmDetector>();
    continues_from_its_bytes::<KswinDetector>();
    continues_from_its_bytes::<PageHinkleyDetector>();
}

#[test]
fn null_and_nan_leave_the_detector_as_it_was() {
    for name in ["adwin", "page_hinkley", "kswin", "cusum"] {
        let function = find(name).unwrap();
        let plain = stream();
        let (mut values, mut valid) = (Vec::new(), Vec::new());
        for (i, x) in plain.iter().enumerate() {
            let hole = [(0.0, false), (f64::NAN, true), (f64::INFINITY, true)][i % 3];
            values.extend([hole.0, *x]);
            valid.extend([hole.1, true]);
        }
        let with_holes = [Column::with_validity(Values::Float64(values.into()), valid)];
        let got = evaluate(function, &with_holes, 2 * plain.len()).unwrap();
        let want = evaluate(function, &[Column::from(plain.clone())], plain.len()).unwrap();
        for row in 0..plain.len() {
            assert_eq!(got.value(2 * row), Value::Null);
            assert_eq!(got.value(2 * row + 1), want.value(row), "{name} at {row}");
        }
    }
    assert_eq!(AdwinDetector::default().update(f64::NAN), None);
}

#[test]
fn an_empty_stream_has_no_rows() {
    for name in ["adwin", "ddm"] {
        let function = find(name).unwrap();
        let got = evaluate(function, &[Column::empty(function.args()[0].data_type)], 0).unwrap();
        assert_eq!(got.len(), 0);
    }
}

#[test]
fn wrong_options_are_refused_by_name() {
    let refused = |name: &str, options: &[Value]| {
        let row = [vec![Value::Null], options.to_vec()].concat();
        aggregate(find(name).unwrap(), &[row]).unwrap_err().to_string()
    };
    assert!(refused("adwin", &[2.0.into()]).contains("`delta` is 2.0"));
    assert!(refused("adwin", &[Value::Null, 0_i64.into()]).contains("`clock` is 0"));
    assert!(refused("kswin", &[Value::Null, 50_i64.into()]).contains("half of `window_size`"));
    assert!(refused("cusum", &[0.0.into(), 0.0.into()]).contains("`std` is 0.0"));
    assert!(refused("eddm", &[Value::Null, 0.5.into(), 0.6.into()]).contains("at most `alpha`"));
    let mode = [Value::Null, Value::Null, Value::Null, Value::Null, "sideways".into()];
    assert!(refused("page_hinkley", &mode).contains("'both', 'up' or 'down'"));
}
