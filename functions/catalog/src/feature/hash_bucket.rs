use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type};
use crate::hash;

/// `hash_bucket(x, n)`.
pub struct HashBucket;

impl Function for HashBucket {
    fn name(&self) -> &'static str {
        "hash_bucket"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["hash_bucketize", "ml_hash_bucketize"]
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("x", Type::Text, "the category"),
            Arg::new("n", Type::Int64, "the number of buckets, at least 1"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Int64
    }

    fn short(&self) -> &'static str {
        "The bucket, from 0 to n - 1, that the hash of a text falls into"
    }

    fn long(&self) -> &'static str {
        include_str!("hash_bucket.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar(["N14228".into(), 100_i64.into()], 47_i64),
            Example::scalar(["SEA".into(), 1_i64.into()], 0_i64),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let (x, n) = (call.texts(0)?, call.ints(1)?);
        call.map(|row| {
            let n = n.get(row);
            if n < 1 {
                return Err(format!("`n` is {n}, but there has to be at least 1 bucket"));
            }
            Ok(x.at(row).map_or(0, |text| (hash::fingerprint64(text.as_bytes()) % n as u64) as i64))
        })
        .map(Column::from)
    }
}
