use std::borrow::Cow;
use std::collections::HashMap;

use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type, Value, Values};

/// `one_hot(x, categories)`.
pub struct OneHot;

impl Function for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["one_hot_encoder", "ml_one_hot_encoder"]
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("x", Type::Text, "the category"),
            Arg::new("categories", Type::TextList, "the categories that have a place, all different"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64List
    }

    fn short(&self) -> &'static str {
        "A list with 1 at the category's place and 0 elsewhere"
    }

    fn long(&self) -> &'static str {
        include_str!("one_hot.md")
    }

    fn examples(&self) -> Vec<Example> {
        let airports = || Value::from(["PDX", "SEA"]);
        vec![
            Example::scalar(["SEA".into(), airports()], [0.0, 1.0]),
            Example::scalar(["JFK".into(), airports()], [0.0, 0.0]),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let (x, categories) = (call.texts(0)?, call.text_lists(1)?);
        let constant = categories.constant().map(|list| places(list)).transpose().map_err(|r| call.refuse(r))?;
        let rows = call.map(|row| {
            let (Some(x), Some(list)) = (x.at(row), categories.at(row)) else { return Ok(Vec::new()) };
            let place = match &constant {
                Some(places) => places.get(x.as_ref()).copied(),
                None => places(list)?.get(x.as_ref()).copied(),
            };
            let mut encoded = vec![0.0; list.len()];
            if let Some(cell) = place.and_then(|place| encoded.get_mut(place)) {
                *cell = 1.0;
            }
            Ok(encoded)
        })?;
        Ok(Column::new(Values::Float64List(rows.into_iter().map(Cow::Owned).collect())))
    }
}

fn places<'a>(categories: &'a [Cow<'a, str>]) -> Result<HashMap<&'a str, usize>, String> {
    let mut places = HashMap::with_capacity(categories.len());
    for (place, category) in categories.iter().enumerate() {
        if places.insert(category.as_ref(), place).is_some() {
            return Err(format!("`categories` holds '{category}' twice; leave one out"));
        }
    }
    Ok(places)
}
