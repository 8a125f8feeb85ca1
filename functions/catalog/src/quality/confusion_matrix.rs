//! The counts of labels and predictions.

use super::common::pairs;
use super::confusion::{Confusion, LABEL, MATRIX, PREDICTION, Summary};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `confusion_matrix(label, prediction)`.
    pub struct ConfusionMatrix {
        name: "confusion_matrix",
        kind: Aggregate,
        section: Quality,
        args: &[LABEL, PREDICTION],
        returns: MATRIX,
        short: "How often each class was predicted for each label",
        long: include_str!("confusion_matrix.md"),
        examples: vec![Example {
            rows: pairs(&[("spam", "spam"), ("ham", "ham"), ("spam", "ham"), ("ham", "ham")]),
            returns: Value::Record(vec![
                ("label", ["ham", "spam", "spam"].into()),
                ("prediction", ["ham", "ham", "spam"].into()),
                ("count", [2.0, 1.0, 1.0].into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Exact,
        state: |_options| Ok(Some(Box::new(Confusion::new(Self.name(), Summary::Matrix)))),
    }
}
