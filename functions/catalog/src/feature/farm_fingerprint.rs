use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type};
use crate::hash;

/// `farm_fingerprint(x)`.
pub struct FarmFingerprint;

impl Function for FarmFingerprint {
    fn name(&self) -> &'static str {
        "farm_fingerprint"
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[Arg::new("x", Type::Text, "the text")];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Int64
    }

    fn short(&self) -> &'static str {
        "A 64-bit hash of a text that never changes"
    }

    fn long(&self) -> &'static str {
        include_str!("farm_fingerprint.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar(["N14228".into()], 352_407_178_711_621_647_i64),
            Example::scalar(["".into()], -7_286_425_919_675_154_353_i64),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let x = call.texts(0)?;
        call.map(|row| Ok(x.at(row).map_or(0, |text| hash::fingerprint64(text.as_bytes()) as i64))).map(Column::from)
    }
}
