//! Cut points that people can read.

/// A number near `x` with as few digits as keep it within a twentieth of `gap`.
pub(super) fn readable(x: f64, gap: f64) -> f64 {
    let place = libm::floor(libm::log10(gap / 10.0));
    if !place.is_finite() {
        return x;
    }
    if place >= 0.0 {
        let step = libm::pow(10.0, place);
        return libm::round(x / step) * step;
    }
    // Through the decimal text, so that the number is the one that the text is read as.
    format!("{x:.0$}", -place as usize).parse().unwrap_or(x)
}
