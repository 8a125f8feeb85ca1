//! Every feature function and drift statistic, and the point-in-time rule, once.
//!
//! Pure functions over slices: no I/O, clock, random numbers or arrow, and transcendental functions by `libm` alone, so
//! that a server, a component and a browser compute the same bits. [`FUNCTIONS`] is the list that SQL, HTTP, the page and
//! the generated reference are made from.

mod bytes;
pub mod detect;
pub mod distribution;
pub mod drift;
pub mod feature;
pub mod function;
pub mod hash;
pub mod json;
pub mod pit;
pub mod profile;
pub mod quality;
pub mod split;
pub mod suggest;
pub mod sum;
pub mod time;
pub mod validate;

pub use function::{
    Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Value, Values, evaluate,
};

/// Every function, in the order of the reference.
pub static FUNCTIONS: &[&dyn Function] = &[
    &feature::StandardScaler,
    &feature::RobustScaler,
    &feature::MinMaxScaler,
    &feature::Clip,
    &feature::Log1p,
    &feature::Bucketize,
    &feature::OneHot,
    &feature::HashBucket,
    &feature::FarmFingerprint,
    &feature::FeatureCross,
    &feature::CyclicalSin,
    &feature::CyclicalCos,
    &feature::HourSin,
    &feature::HourCos,
    &feature::WeekdaySin,
    &feature::WeekdayCos,
    &feature::DaySin,
    &feature::DayCos,
    &feature::MonthSin,
    &feature::MonthCos,
    &feature::HaversineKm,
    &split::Split,
    &drift::Psi,
    &drift::PsiValue,
    &drift::JsDistance,
    &drift::JsDistanceValue,
    &drift::KlDivergence,
    &drift::KlDivergenceValue,
    &drift::HellingerDistance,
    &drift::HellingerDistanceValue,
    &drift::TotalVariationDistance,
    &drift::TotalVariationDistanceValue,
    &drift::LInfinityDistance,
    &drift::LInfinityDistanceValue,
    &drift::CramersV,
    &drift::CramersVValue,
    &drift::ChiSquareTest,
    &drift::ChiSquareGofTest,
    &drift::GTest,
    &drift::FisherExactTest,
    &drift::TwoProportionZTest,
    &drift::KsTest,
    &drift::KuiperTest,
    &drift::CramerVonMisesTest,
    &drift::AndersonDarlingTest,
    &drift::MannWhitneyTest,
    &drift::WelchTTest,
    &drift::EppsSingletonTest,
    &drift::MmdTest,
    &drift::WassersteinDistance,
    &drift::WassersteinDistanceValue,
    &drift::EnergyDistance,
    &drift::EnergyDistanceValue,
    &profile::MlProfile,
    &profile::MlProfileMerge,
    &profile::MlProfileJson,
    &profile::MlProfileQuantile,
    &profile::MlDrift,
    &detect::Adwin,
    &detect::PageHinkley,
    &detect::Cusum,
    &detect::Kswin,
    &detect::Ddm,
    &detect::Eddm,
    &quality::Accuracy,
    &quality::Precision,
    &quality::Recall,
    &quality::F1Score,
    &quality::ConfusionMatrix,
    &quality::LogLoss,
    &quality::BrierScore,
    &quality::MeanAbsoluteError,
    &quality::RootMeanSquaredError,
    &quality::MeanAbsolutePercentageError,
    &quality::PinballLoss,
    &quality::RSquared,
    &quality::RocAuc,
    &quality::AveragePrecision,
    &quality::RocCurve,
    &quality::PrecisionRecallCurve,
    &quality::ConfusionByThreshold,
    &quality::ExpectedCalibrationError,
    &quality::ReliabilityTable,
    &quality::IsotonicCalibration,
    &quality::PlattCalibration,
    &quality::CalibratePlatt,
    &quality::CalibrateIsotonic,
    &quality::PrecisionAtK,
    &quality::ReciprocalRank,
    &quality::Ndcg,
    &quality::Cbpe,
    &quality::CbpeByChunk,
    &quality::DemographicParityDifference,
    &quality::DemographicParityRatio,
    &quality::EqualOpportunityDifference,
    &quality::EqualizedOddsDifference,
];

/// The function of a name or alias, in any case.
pub fn find(name: &str) -> Result<&'static dyn Function, Error> {
    let lower = name.to_lowercase();
    FUNCTIONS.iter().copied().find(|function| function::names(*function).contains(&lower)).ok_or_else(|| {
        let hint = suggest::did_you_mean(&lower, FUNCTIONS.iter().map(|function| function.name()));
        Error::Unknown { name: name.to_owned(), hint }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{FUNCTIONS, find, function};

    #[test]
    fn every_example_gives_what_it_says() {
        for function in FUNCTIONS {
            let examples = function.examples();
            assert!(!examples.is_empty(), "{} has no example", function.name());
            for example in examples {
                let got = function::aggregate(*function, &example.rows);
                // Debug text tells NaN from NaN apart no more than it should, and 0.0 from -0.0.
                assert_eq!(
                    format!("{got:?}"),
                    format!("{:?}", Ok::<_, super::Error>(example.returns)),
                    "{}",
                    function.name()
                );
            }
        }
    }

    #[test]
    fn no_name_is_given_twice_and_every_name_is_found() {
        let mut seen = HashSet::new();
        for function in FUNCTIONS {
            for name in function::names(*function) {
                assert!(seen.insert(name.clone()), "{name} is given twice");
                assert_eq!(find(&name.to_uppercase()).unwrap().name(), function.name());
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let error = find("standart_scaler").err().unwrap().to_string();
        assert_eq!(error, "the catalog has no function `standart_scaler`; did you mean `standard_scaler`?");
    }
}
