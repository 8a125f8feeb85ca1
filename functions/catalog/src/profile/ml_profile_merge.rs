//! The profile of the rows of many profiles.

use super::Profile;
use super::ml_profile::{bytes, numbers, texts};
use crate::function::{Arg, BadState, Call, Column, Error, Example, State, Tolerance, Type, Value, define};

define! {
    /// `ml_profile_merge(p)`.
    pub struct MlProfileMerge {
        name: "ml_profile_merge",
        kind: Aggregate,
        section: Profiles,
        args: &[Arg::new("p", Type::Bytes, "the profile of a part of the rows")],
        returns: Type::Bytes,
        short: "Merges profiles: the bytes that one profile of all their rows has.",
        long: include_str!("ml_profile_merge.md"),
        examples: vec![
            Example { rows: vec![vec![texts()], vec![Value::Null]], returns: texts() },
            Example { rows: vec![vec![numbers()]], returns: numbers() },
        ],
        tolerance: Tolerance::Exact,
        state: |_options| Ok(Some(Box::new(Merged(Profile::new())))),
    }
}

/// The profiles of the rows so far, merged.
#[derive(Debug)]
struct Merged(Profile);

impl State for Merged {
    fn update(&mut self, call: &Call<'_>) -> Result<(), Error> {
        let profiles = call.bytes(0)?;
        for row in (0..call.rows()).filter(|row| call.is_given(0, *row)) {
            let bytes = profiles.at(row).map(AsRef::as_ref).unwrap_or_default();
            let profile = Profile::from_argument("p", bytes).map_err(|reason| call.refuse(reason))?;
            self.0.merge(&profile).map_err(|error| {
                let (these, so_far) = (profile.kind_name(), self.0.kind_name());
                call.refuse(format!("a profile of {these} is to be merged with one of {so_far}: {error}"))
            })?;
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), BadState> {
        State::merge(&mut self.0, bytes)
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    fn finish(&self) -> Result<Column<'static>, Error> {
        Ok(bytes(&self.0))
    }

    fn heap_size(&self) -> usize {
        self.0.heap_size()
    }
}
