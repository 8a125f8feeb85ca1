//! Options that are one of some names.

use super::{Call, Error, Value};
use crate::suggest::did_you_mean;

impl Call<'_> {
    /// Argument `index`, the option `option`, which is one of `names` in any case; the first where it was left out.
    pub(crate) fn choice<const N: usize>(
        &self,
        index: usize,
        option: &str,
        names: [&'static str; N],
    ) -> Result<&'static str, Error> {
        let given = match self.option(index) {
            None => return Ok(names.first().copied().unwrap_or_default()),
            Some(Value::Text(given)) => given,
            Some(given) => given.to_string(),
        };
        names.into_iter().find(|name| given.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let hint = did_you_mean(&given, names);
            let quoted = names.map(|name| format!("'{name}'"));
            let all = match quoted.split_last() {
                Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
                _ => quoted.concat(),
            };
            self.refuse(format!("`{option}` is '{given}', but it has to be {all}{hint}"))
        })
    }
}
