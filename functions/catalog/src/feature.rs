//! Feature transforms: one file a function (or a sine and its cosine), its manual text beside it.

mod bucketize;
mod clip;
mod cyclical;
mod day;
mod farm_fingerprint;
mod feature_cross;
mod hash_bucket;
mod haversine_km;
mod hour;
mod log1p;
mod min_max_scaler;
mod month;
mod one_hot;
mod robust_scaler;
mod standard_scaler;
mod weekday;

pub use bucketize::Bucketize;
pub use clip::Clip;
pub use cyclical::{CyclicalCos, CyclicalSin};
pub use day::{DayCos, DaySin};
pub use farm_fingerprint::FarmFingerprint;
pub use feature_cross::FeatureCross;
pub use hash_bucket::HashBucket;
pub use haversine_km::HaversineKm;
pub use hour::{HourCos, HourSin};
pub use log1p::Log1p;
pub use min_max_scaler::MinMaxScaler;
pub use month::{MonthCos, MonthSin};
pub use one_hot::OneHot;
pub use robust_scaler::RobustScaler;
pub use standard_scaler::StandardScaler;
pub use weekday::{WeekdayCos, WeekdaySin};

/// The sine of a number of turns, from one octant, so that it is exact at the quarters and symmetric between them.
fn sin_turns(turns: f64) -> f64 {
    use std::f64::consts::TAU;
    match turns {
        t if t < 0.0 => -sin_turns(-t),
        t if t > 0.5 => -sin_turns(t - 0.5),
        t if t > 0.25 => sin_turns(0.5 - t),
        t if t > 0.125 => libm::cos(TAU * (0.25 - t)),
        t => libm::sin(TAU * t),
    }
}

/// The cosine of a number of turns, likewise.
fn cos_turns(turns: f64) -> f64 {
    use std::f64::consts::TAU;
    match turns {
        t if t < 0.0 => cos_turns(-t),
        t if t > 0.5 => cos_turns(1.0 - t),
        t if t > 0.25 => -cos_turns(0.5 - t),
        t if t > 0.125 => libm::sin(TAU * (0.25 - t)),
        t => libm::cos(TAU * t),
    }
}

#[cfg(test)]
mod tests;
