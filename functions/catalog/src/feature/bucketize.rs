use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type, Value, Values};

/// `bucketize(x, edges)`.
pub struct Bucketize;

impl Function for Bucketize {
    fn name(&self) -> &'static str {
        "bucketize"
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("x", Type::Float64, "the value"),
            Arg::new("edges", Type::Float64List, "inner edges of the buckets, ascending"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Int64
    }

    fn short(&self) -> &'static str {
        "The bucket that a number falls into, counted from 0"
    }

    fn long(&self) -> &'static str {
        include_str!("bucketize.md")
    }

    fn examples(&self) -> Vec<Example> {
        let edges = || Value::from([0.0, 10.0, 100.0]);
        vec![
            Example::scalar([(-5.0).into(), edges()], 0_i64),
            Example::scalar([10.0.into(), edges()], 2_i64),
            Example::scalar([1e9.into(), edges()], 3_i64),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let (x, edges) = (call.floats(0)?, call.float_lists(1)?);
        let constant = edges.constant().is_some();
        if let Some(edges) = edges.constant() {
            ascending(edges).map_err(|reason| call.refuse(reason))?;
        }
        let buckets = call.map(|row| {
            let Some(edges) = edges.at(row) else { return Ok(None) };
            if !constant {
                ascending(edges)?;
            }
            let x = x.get(row);
            Ok((!x.is_nan()).then(|| edges.partition_point(|edge| *edge <= x) as i64))
        })?;
        let valid: Vec<bool> = buckets.iter().map(Option::is_some).collect();
        let buckets: Vec<i64> = buckets.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Column::with_validity(Values::Int64(buckets.into()), valid))
    }
}

fn ascending(edges: &[f64]) -> Result<(), String> {
    let ordered = edges.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if ordered && !edges.iter().any(|edge| edge.is_nan()) {
        Ok(())
    } else {
        Err(format!("`edges` is {edges:?}, but each edge has to be above the one before it"))
    }
}
