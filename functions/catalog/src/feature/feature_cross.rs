use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type};

/// `feature_cross(a, b)`.
pub struct FeatureCross;

impl Function for FeatureCross {
    fn name(&self) -> &'static str {
        "feature_cross"
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] =
            &[Arg::new("a", Type::Text, "the first category"), Arg::new("b", Type::Text, "the second category")];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Text
    }

    fn short(&self) -> &'static str {
        "One category for each pair of two"
    }

    fn long(&self) -> &'static str {
        include_str!("feature_cross.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar(["SEA".into(), "AS".into()], "SEA_AS"),
            Example::scalar(["a_b".into(), "c".into()], r"a\_b_c"),
            Example::scalar(["a".into(), "b_c".into()], "a_b_c"),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let (a, b) = (call.texts(0)?, call.texts(1)?);
        call.map(|row| {
            let (Some(a), Some(b)) = (a.at(row), b.at(row)) else { return Ok(String::new()) };
            let mut crossed = String::with_capacity(a.len() + b.len() + 1);
            for part in a.split_inclusive(['_', '\\']) {
                let (plain, special) = match part.as_bytes().last() {
                    Some(b'_' | b'\\') => part.split_at(part.len() - 1),
                    _ => (part, ""),
                };
                crossed.push_str(plain);
                if !special.is_empty() {
                    crossed.push('\\');
                    crossed.push_str(special);
                }
            }
            crossed.push('_');
            crossed.push_str(b);
            Ok(crossed)
        })
        .map(Column::from)
    }
}
