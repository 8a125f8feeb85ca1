//! "Did you mean …?", once for every error message of the product.

/// The end of an error message about an unknown `name`: the nearest candidate, or nothing where none is near.
///
/// Case is ignored. A candidate is near when it differs by few edits for its length, transpositions counted once.
///
/// ```
/// use skewless_catalog::suggest::did_you_mean;
/// assert_eq!(did_you_mean("standart_scaler", ["robust_scaler", "standard_scaler"]), "; did you mean `standard_scaler`?");
/// assert_eq!(did_you_mean("zzz", ["robust_scaler"]), "");
/// ```
#[must_use]
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    // Edit distance is quadratic, and a name from a request can be as long as the request.
    const LONGEST: usize = 128;
    if name.len() > LONGEST {
        return String::new();
    }
    let name = name.to_lowercase();
    let nearest = candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let contains = name.len() >= 3 && lower.len() >= 3 && (lower.contains(&name) || name.contains(&lower));
            (strsim::damerau_levenshtein(&name, &lower), contains, candidate)
        })
        .filter(|(distance, contains, candidate)| *contains || *distance <= candidate.chars().count().div_ceil(3))
        .min_by(|a, b| a.0.cmp(&b.0).then_with(|| a.2.cmp(b.2)));
    nearest.map_or_else(String::new, |(_, _, candidate)| format!("; did you mean `{candidate}`?"))
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn the_nearest_name_wins_whatever_its_case_and_place() {
        assert_eq!(did_you_mean("WAETHER", ["inbound", "weather", "plane"]), "; did you mean `weather`?");
        assert_eq!(did_you_mean("temp", ["wind_speed", "temp_f"]), "; did you mean `temp_f`?");
    }

    #[test]
    fn nothing_near_is_nothing_said() {
        assert_eq!(did_you_mean("banana", ["inbound", "weather"]), "");
        assert_eq!(did_you_mean("", ["inbound"]), "");
        assert_eq!(did_you_mean(&"a".repeat(1_000_000), ["inbound"]), "");
        assert_eq!(did_you_mean("x", []), "");
    }
}
