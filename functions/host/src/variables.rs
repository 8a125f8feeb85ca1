//! Application variables: defaults of the manifest, `SPIN_VARIABLE_X` of the environment, `{{ x }}` in templates.

use std::collections::BTreeMap;

use skewless_catalog::suggest::did_you_mean;

/// A declared variable of the app.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variable {
    pub(crate) default: Option<String>,
    pub(crate) required: bool,
}

/// Values of all variables of the app, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(BTreeMap<String, String>);

impl Values {
    /// Overrides come first, then the environment, then the default.
    pub(crate) fn resolve(
        declared: &BTreeMap<String, Variable>,
        overrides: &BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, (String, String)> {
        let mut values = BTreeMap::new();
        for (name, variable) in declared {
            let in_environment = format!("SPIN_VARIABLE_{}", name.to_ascii_uppercase());
            let given = overrides.get(name).cloned().or_else(|| environment(&in_environment));
            match given.or_else(|| variable.default.clone()) {
                Some(value) => drop(values.insert(name.clone(), value)),
                None if variable.required => {
                    let reason = format!("the variable is required and has no value; set {in_environment}");
                    return Err((format!("variables.{name}"), reason));
                }
                None => {}
            }
        }
        if let Some(unknown) = overrides.keys().find(|name| !declared.contains_key(*name)) {
            let hint = did_you_mean(unknown, declared.keys().map(String::as_str));
            return Err((format!("variables.{unknown}"), format!("the app declares no such variable{hint}")));
        }
        Ok(Self(values))
    }

    /// Fills the `{{ name }}` of a template.
    pub(crate) fn fill(&self, template: &str) -> Result<String, String> {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                return Err(format!("the template {template:?} has `{{{{` without `}}}}`"));
            };
            let name = name.trim();
            let Some(value) = self.0.get(name) else {
                let hint = did_you_mean(name, self.0.keys().map(String::as_str));
                return Err(format!(
                    "the template {template:?} names the variable `{name}`, which has no value{hint}; \
                     declare it under [variables]"
                ));
            };
            filled.push_str(before);
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> BTreeMap<String, Variable> {
        let variable = |default: Option<&str>, required| Variable { default: default.map(str::to_owned), required };
        BTreeMap::from([
            ("region".to_owned(), variable(Some("eu"), false)),
            ("token".to_owned(), variable(None, true)),
            ("unused".to_owned(), variable(None, false)),
        ])
    }

    #[test]
    fn overrides_beat_the_environment_and_the_environment_beats_defaults() {
        let environment = |name: &str| match name {
            "SPIN_VARIABLE_REGION" => Some("us".to_owned()),
            "SPIN_VARIABLE_TOKEN" => Some("t".to_owned()),
            _ => None,
        };
        let values = Values::resolve(&declared(), &BTreeMap::new(), environment).unwrap();
        assert_eq!(values.fill("https://{{ region }}.x/{{token}}").unwrap(), "https://us.x/t");
        let overrides = BTreeMap::from([("region".to_owned(), "ap".to_owned())]);
        let values = Values::resolve(&declared(), &overrides, environment).unwrap();
        assert_eq!(values.fill("{{region}}").unwrap(), "ap");
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let (field, reason) = Values::resolve(&declared(), &BTreeMap::new(), |_| None).unwrap_err();
        assert_eq!(field, "variables.token");
        assert!(reason.contains("SPIN_VARIABLE_TOKEN"), "{reason}");
        let values = Values::resolve(&declared(), &BTreeMap::from([("token".into(), "t".into())]), |_| None).unwrap();
        assert!(values.fill("{{ regoin }}").unwrap_err().contains("did you mean `region`"));
        assert!(values.fill("{{ region").unwrap_err().contains("without"));
    }
}
