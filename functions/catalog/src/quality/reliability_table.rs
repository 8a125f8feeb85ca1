//! The table behind a reliability diagram.

use super::binned::Binned;
use super::bins::{ARGS, Summary, TABLE};
use super::common::pairs;
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `reliability_table(label, probability)`.
    pub struct ReliabilityTable {
        name: "reliability_table",
        kind: Aggregate,
        section: Quality,
        args: ARGS,
        returns: TABLE,
        short: "Predicted probabilities beside the frequencies observed, bin by bin, with their intervals",
        long: include_str!("calibration.md"),
        examples: vec![Example {
            rows: pairs(&[(true, 0.75), (false, 0.25), (true, 0.5), (false, 0.5)]),
            returns: Value::Record(vec![
                ("low", [0.2, 0.4, 0.7].into()),
                ("high", [0.3, 0.5, 0.8].into()),
                ("n", [1.0, 2.0, 1.0].into()),
                ("mean_probability", [0.25, 0.5, 0.75].into()),
                ("observed", [0.0, 0.5, 1.0].into()),
                ("observed_low", [0.0, 0.094_531_205_734_230_8, 0.206_549_314_377_237_45].into()),
                ("observed_high", [0.793_450_685_622_762_6, 0.905_468_794_265_769_2, 1.0].into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Absolute(1e-12),
        state: |options| Binned::state(options, Summary::Table),
    }
}
