//! Profiles: the distribution of a column as a value that merges, and verdicts on two of them.
//!
//! A [`Profile`] is made by an SQL aggregate, a component or the browser, kept as bytes, and merged in any order to the
//! same bytes.
//!
#![doc = include_str!("profile/format.md")]

mod buckets;
mod bytes;
mod categories;
mod cells;
mod distinct;
mod ecdf;
mod json;
mod key;
mod ml_drift;
mod ml_profile;
mod ml_profile_json;
mod ml_profile_merge;
mod ml_profile_quantile;
mod numeric;
mod permutation;
mod query;
pub(crate) mod verdict;

pub(crate) use cells::table;
pub(crate) use key::value as key_value;
pub use ml_drift::MlDrift;
pub use ml_profile::MlProfile;
pub use ml_profile_json::MlProfileJson;
pub use ml_profile_merge::MlProfileMerge;
pub use ml_profile_quantile::MlProfileQuantile;
pub use query::{Bounds, Category, Distinct};
pub(crate) use verdict::Metric;

use bytes::{Reader, put};
use categories::Categories;
use numeric::{Numeric, Specials};

/// Why a profile is not made, read or merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that no profile has.
    #[error("the bytes are no profile: {0}; make it with ml_profile")]
    Bytes(&'static str),
    /// Bytes of a format that is not known here.
    #[error("the profile was written by a later version, in {0}; read it with that version")]
    Later(String),
    /// Numbers and texts in one profile.
    #[error("a profile holds numbers or texts, not both; profile each column, and a column of one type, by itself")]
    Kinds,
    /// More rows than a double counts.
    #[error("a profile holds up to 2^53 rows; keep profiles of parts apart")]
    Rows,
}

/// The largest number of rows: each count is exact as a double.
const MOST_ROWS: u64 = 1 << 53;

const MAGIC: [u8; 4] = *b"SKWP";
const VERSION: u8 = 1;

mod tag {
    pub(super) const COUNTS: u8 = 1;
    pub(super) const BUCKETS: u8 = 2;
    pub(super) const MOMENTS: u8 = 3;
    pub(super) const DISTINCT: u8 = 4;
    pub(super) const CATEGORIES: u8 = 5;
    pub(super) const LAST: u8 = CATEGORIES;
}

/// The distribution of the values of one column, of numbers or of texts; undecided while only NULLs were seen.
///
/// ```
/// use skewless_catalog::profile::Profile;
///
/// let mut profile = Profile::new();
/// profile.update(&[1.0, 2.0, 4.0], None)?;
/// let mut other = Profile::from_bytes(&profile.to_bytes())?;
/// other.merge(&profile)?;
/// assert_eq!(other.rows(), 6);
/// assert_eq!(other.quantile(0.5).map(|median| median.value), Some(2.0));
/// # Ok::<(), skewless_catalog::profile::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Profile {
    rows: u64,
    nulls: u64,
    values: Values,
}

#[derive(Debug, Clone, Default)]
enum Values {
    #[default]
    Undecided,
    Numbers(Box<Numeric>),
    Texts(Box<Categories>),
}

impl Profile {
    /// The profile of no rows, which merges with any other.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds rows of numbers; where `valid` is `false`, or ends, they are NULL.
    pub fn update(&mut self, values: &[f64], valid: Option<&[bool]>) -> Result<(), Error> {
        let rows = values.len() as u64;
        self.make_room(rows)?;
        let all_null = values.is_empty() || valid.is_some_and(|valid| !valid.iter().take(values.len()).any(|v| *v));
        let given = match &mut self.values {
            _ if all_null => 0,
            Values::Texts(_) => return Err(Error::Kinds),
            Values::Numbers(numeric) => numeric.update(values, valid),
            undecided @ Values::Undecided => {
                let mut numeric = Box::new(Numeric::new());
                let given = numeric.update(values, valid);
                *undecided = Values::Numbers(numeric);
                given
            }
        };
        self.rows += rows;
        self.nulls += rows - given;
        Ok(())
    }

    /// Adds rows of texts, `None` for NULL; those before one that is refused are added.
    pub fn update_texts<'a>(&mut self, texts: impl IntoIterator<Item = Option<&'a str>>) -> Result<(), Error> {
        for text in texts {
            self.make_room(1)?;
            match (text, &mut self.values) {
                (None, _) => self.nulls += 1,
                (Some(_), Values::Numbers(_)) => return Err(Error::Kinds),
                (Some(text), Values::Texts(categories)) => categories.add(text),
                (Some(text), undecided @ Values::Undecided) => {
                    let mut categories = Box::new(Categories::new());
                    categories.add(text);
                    *undecided = Values::Texts(categories);
                }
            }
            self.rows += 1;
        }
        Ok(())
    }

    /// Adds all rows of another profile; of numbers and texts, or too many, nothing is added.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        match (&self.values, &other.values) {
            (Values::Numbers(_), Values::Texts(_)) | (Values::Texts(_), Values::Numbers(_)) => {
                return Err(Error::Kinds);
            }
            _ => self.make_room(other.rows)?,
        }
        match (&mut self.values, &other.values) {
            (Values::Numbers(ours), Values::Numbers(theirs)) => ours.merge(theirs),
            (Values::Texts(ours), Values::Texts(theirs)) => ours.merge(theirs),
            (ours @ Values::Undecided, theirs) => *ours = theirs.clone(),
            _ => {}
        }
        self.rows += other.rows;
        self.nulls += other.nulls;
        Ok(())
    }

    fn make_room(&self, rows: u64) -> Result<(), Error> {
        if rows > MOST_ROWS - self.rows { Err(Error::Rows) } else { Ok(()) }
    }

    /// The profile as bytes: the same for the same rows, however they came in.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = [&MAGIC[..], &[VERSION]].concat();
        let section = |out: &mut Vec<u8>, tag: u8, body: Vec<u8>| {
            out.push(tag);
            put(out, body.len() as u64);
            out.extend(body);
        };
        let mut counts = vec![self.kind()];
        put(&mut counts, self.rows);
        put(&mut counts, self.nulls);
        match &self.values {
            Values::Undecided => section(&mut out, tag::COUNTS, counts),
            Values::Numbers(numeric) => {
                let Specials { nan, positive_infinity, negative_infinity, zero } = numeric.specials;
                for count in [nan, positive_infinity, negative_infinity, zero] {
                    put(&mut counts, count);
                }
                section(&mut out, tag::COUNTS, counts);
                if !numeric.has_no_finite() {
                    let mut buckets = Vec::new();
                    numeric.write_buckets(&mut buckets);
                    section(&mut out, tag::BUCKETS, buckets);
                }
                if let Some((moments, distinct)) = numeric.write_summary() {
                    section(&mut out, tag::MOMENTS, moments);
                    section(&mut out, tag::DISTINCT, distinct);
                }
            }
            Values::Texts(categories) => {
                put(&mut counts, categories.empty);
                section(&mut out, tag::COUNTS, counts);
                if let Some(distinct) = categories.write_distinct() {
                    section(&mut out, tag::DISTINCT, distinct);
                }
                let mut kept = Vec::new();
                categories.write(&mut kept);
                section(&mut out, tag::CATEGORIES, kept);
            }
        }
        out
    }

    /// The profile that [`to_bytes`](Self::to_bytes) wrote; any other bytes are refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let profile = Self::read(bytes)?;
        // Equal profiles have equal bytes, so other spellings of the same numbers are refused.
        if profile.to_bytes() == bytes { Ok(profile) } else { Err(Error::Bytes("they are not spelled as one")) }
    }

    /// The profile of bytes that may spell the same numbers otherwise: enough for a merge, whose own bytes are spelled anew.
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader(bytes);
        if reader.array::<4>()? != MAGIC {
            return Err(Error::Bytes("they do not start as one"));
        }
        match reader.byte()? {
            VERSION => {}
            0 => return Err(Error::Bytes("their version is 0")),
            later => return Err(Error::Later(format!("format {later} where {VERSION} is known"))),
        }
        let mut sections: [Option<&[u8]>; tag::LAST as usize + 1] = [None; tag::LAST as usize + 1];
        while !reader.is_empty() {
            let tag = reader.byte()?;
            let length = reader.length()?;
            // Rows that only an unknown section counts would be lost in a merge, so none is skipped.
            let section = sections
                .get_mut(usize::from(tag))
                .ok_or_else(|| Error::Later(format!("a format with section {tag} where {} are known", tag::LAST)))?;
            *section = Some(reader.take(length)?);
        }
        let mut section = |tag: u8| sections.get_mut(usize::from(tag)).and_then(Option::take).map(Reader);
        let mut counts = section(tag::COUNTS).ok_or(Error::Bytes("their counts are missing"))?;
        let kind = counts.byte()?;
        let (rows, nulls) = (counts.number()?, counts.number()?);
        let given = rows.checked_sub(nulls).filter(|_| rows <= MOST_ROWS);
        let given = given.ok_or(Error::Bytes("their counts contradict each other"))?;
        let values = match kind {
            0 if given == 0 => Values::Undecided,
            1 if given > 0 => {
                let specials = Specials {
                    nan: counts.number()?,
                    positive_infinity: counts.number()?,
                    negative_infinity: counts.number()?,
                    zero: counts.number()?,
                };
                let (buckets, moments, distinct) =
                    (section(tag::BUCKETS), section(tag::MOMENTS), section(tag::DISTINCT));
                Values::Numbers(Box::new(Numeric::read(specials, buckets, moments, distinct, given)?))
            }
            2 if given > 0 => {
                let empty = counts.number()?;
                let (categories, distinct) = (section(tag::CATEGORIES), section(tag::DISTINCT));
                Values::Texts(Box::new(Categories::read(empty, categories, distinct, given)?))
            }
            _ => return Err(Error::Bytes("their kind is none")),
        };
        Ok(Self { rows, nulls, values })
    }

    fn kind(&self) -> u8 {
        match self.values {
            Values::Undecided => 0,
            Values::Numbers(_) => 1,
            Values::Texts(_) => 2,
        }
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        match &self.values {
            Values::Undecided => 0,
            Values::Numbers(numeric) => size_of::<Numeric>() + numeric.heap_size(),
            Values::Texts(categories) => size_of::<Categories>() + categories.heap_size(),
        }
    }
}

#[cfg(test)]
mod tests;
