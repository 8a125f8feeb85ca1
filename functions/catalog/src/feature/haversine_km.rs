use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type};

/// The mean radius of the Earth in kilometres (IUGG: two equatorial radii and a polar one, over three).
const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// `haversine_km(lat1, lon1, lat2, lon2)`.
pub struct HaversineKm;

impl Function for HaversineKm {
    fn name(&self) -> &'static str {
        "haversine_km"
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("lat1", Type::Float64, "latitude of the first point, degrees"),
            Arg::new("lon1", Type::Float64, "longitude of the first point, degrees"),
            Arg::new("lat2", Type::Float64, "latitude of the second point, degrees"),
            Arg::new("lon2", Type::Float64, "longitude of the second point, degrees"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Great-circle distance between two points in kilometres"
    }

    fn long(&self) -> &'static str {
        include_str!("haversine_km.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar([47.45.into(), (-122.31).into(), 45.59.into(), (-122.6).into()], 208.009_256_142_105_73),
            Example::scalar([0.0.into(), 0.0.into(), 0.0.into(), 360.0.into()], 0.0),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        call.map_floats(|points| Ok(haversine(points)))
    }
}

fn haversine([lat1, lon1, lat2, lon2]: [f64; 4]) -> f64 {
    if lat1.abs() > 90.0 || lat2.abs() > 90.0 {
        return f64::NAN;
    }
    let half_sine_squared = |degrees: f64| {
        let sine = libm::sin(degrees.to_radians() / 2.0);
        sine * sine
    };
    let parallel = libm::cos(lat1.to_radians()) * libm::cos(lat2.to_radians());
    let h = half_sine_squared(lat2 - lat1) + parallel * half_sine_squared(libm::fmod(lon2 - lon1, 360.0));
    // Rounding may lift the haversine of antipodes above 1; NaN has to stay NaN, which `min` would not let it.
    2.0 * EARTH_RADIUS_KM * libm::asin(if h > 1.0 { 1.0 } else { h }.sqrt())
}
