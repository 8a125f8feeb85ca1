//! The Spin manifest, version 2: what of it this host runs, and a precise refusal of the rest.

mod fields;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use skewless_catalog::suggest::did_you_mean;

use self::fields::Fields;
use crate::Error;
use crate::route::{Route, Router};
use crate::variables::Variable;

/// A manifest, checked in itself; the files it names are not looked at yet.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) path: PathBuf,
    /// The folder that paths in the manifest are relative to.
    pub(crate) root: PathBuf,
    pub(crate) name: String,
    pub(crate) router: Router,
    pub(crate) components: BTreeMap<String, Component>,
    pub(crate) variables: BTreeMap<String, Variable>,
}

/// `[component.<id>]`.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) id: String,
    pub(crate) source: PathBuf,
    pub(crate) files: Vec<Mount>,
    pub(crate) exclude_files: Vec<String>,
    pub(crate) allowed_outbound_hosts: Vec<String>,
    pub(crate) key_value_stores: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) build: Option<String>,
}

/// An entry of `files`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mount {
    /// A path or glob, mounted at the same path.
    Pattern(String),
    /// A file or folder, mounted elsewhere.
    Placement { source: PathBuf, destination: String },
}

impl Manifest {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        Self::parse(path, &text)
    }

    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let table: toml::Table =
            toml::from_str(text).map_err(|source| Error::Toml { path: path.to_path_buf(), source })?;
        Self::from_fields(path, Fields::new(String::new(), table)).map_err(|fault| Error::Manifest {
            path: path.to_path_buf(),
            field: fault.field,
            reason: fault.reason,
        })
    }

    fn from_fields(path: &Path, mut fields: Fields) -> Result<Self, Fault> {
        match fields.take("spin_manifest_version") {
            Some(toml::Value::Integer(2)) => {}
            Some(toml::Value::String(version)) if version == "2" => {}
            Some(_) => {
                return Err(fields.fault("spin_manifest_version", "must be 2; `spin doctor` upgrades older ones"));
            }
            None => return Err(fields.fault("spin_manifest_version", "is missing; write `spin_manifest_version = 2`")),
        }
        let mut application = fields.required_table("application")?;
        let name = application.required_string("name")?;
        for key in ["version", "description", "authors", "targets", "tool"] {
            application.take(key);
        }
        if let Some(mut trigger) = application.table("trigger")? {
            if let Some(mut http) = trigger.table("http")? {
                if http.string("base")?.is_some_and(|base| base != "/") {
                    return Err(http.fault("base", "only \"/\" is offered here; put the prefix into each route"));
                }
                http.finish()?;
            }
            trigger.finish()?;
        }
        application.finish()?;

        let mut variables = BTreeMap::new();
        for (name, mut variable) in fields.tables("variables")? {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
                return Err(variable.fault("", "a variable's name is made of a-z, 0-9 and _"));
            }
            let default = variable.string("default")?;
            let required = variable.boolean("required")?;
            variable.boolean("secret")?;
            variable.string("description")?;
            if default.is_none() && !required {
                return Err(variable.fault("", "needs `default = \"…\"` or `required = true`"));
            }
            variable.finish()?;
            variables.insert(name, Variable { default, required });
        }

        let mut components = BTreeMap::new();
        for (id, component) in fields.tables("component")? {
            components.insert(id.clone(), Component::from_fields(id, component)?);
        }
        let router = routes(&mut fields, &components)?;
        fields.take("tool");
        fields.finish()?;
        let root = path.parent().filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self { path: path.to_path_buf(), root: root.to_path_buf(), name, router, components, variables })
    }
}

fn routes(fields: &mut Fields, components: &BTreeMap<String, Component>) -> Result<Router, Fault> {
    let mut trigger = fields.required_table("trigger")?;
    let http = trigger.tables_in_list("http")?;
    if let Some(other) = trigger.first_unknown() {
        return Err(trigger.fault(&other, "this host runs HTTP triggers only; remove the trigger"));
    }
    if http.is_empty() {
        return Err(trigger.fault("http", "there is no route; add `[[trigger.http]]` with `route` and `component`"));
    }
    let mut routes = Vec::new();
    let mut places = BTreeMap::new();
    for mut entry in http {
        entry.string("id")?;
        let component = entry.required_string("component")?;
        if !components.contains_key(&component) {
            let hint = did_you_mean(&component, components.keys().map(String::as_str));
            return Err(entry.fault("component", &format!("there is no [component.{component}]{hint}")));
        }
        if let Some(mut executor) = entry.table("executor")? {
            let kind = executor.required_string("type")?;
            if !matches!(kind.as_str(), "http" | "spin") {
                return Err(executor.fault("type", &format!("{kind:?} is not offered here; use \"http\"")));
            }
            executor.finish()?;
        }
        match entry.take("route") {
            Some(toml::Value::String(route)) => {
                places.insert(route.clone(), entry.field("route"));
                routes.push(Route { route, component });
            }
            // A private component is reached by other components only.
            Some(toml::Value::Table(table)) if table.get("private") == Some(&toml::Value::Boolean(true)) => {}
            Some(_) => return Err(entry.fault("route", "must be a string or `{ private = true }`")),
            None => return Err(entry.fault("route", "is missing; write `route = \"/...\"`")),
        }
        entry.finish()?;
    }
    Router::new(routes).map_err(|(route, reason)| {
        let field = places.remove(&route).unwrap_or_else(|| "trigger.http".to_owned());
        Fault { field, reason: format!("the route {route:?} {reason}") }
    })
}

impl Component {
    fn from_fields(id: String, mut fields: Fields) -> Result<Self, Fault> {
        let source = match fields.take("source") {
            Some(toml::Value::String(path)) => PathBuf::from(path),
            Some(toml::Value::Table(_)) => {
                return Err(fields.fault("source", "components are not downloaded here; name a local .wasm file"));
            }
            Some(_) => return Err(fields.fault("source", "must be the path of a .wasm file")),
            None => return Err(fields.fault("source", "is missing; write `source = \"path/to/component.wasm\"`")),
        };
        let files = fields.list("files")?;
        let files = files
            .into_iter()
            .enumerate()
            .map(|(index, file)| match file {
                toml::Value::String(pattern) => Ok(Mount::Pattern(pattern)),
                toml::Value::Table(table) => {
                    let mut fields = Fields::new(fields.field(&format!("files[{index}]")), table);
                    let source = PathBuf::from(fields.required_string("source")?);
                    let destination = fields.required_string("destination")?;
                    if !destination.starts_with('/') || destination.split('/').any(|part| part == "..") {
                        return Err(
                            fields.fault("destination", "must be an absolute path without `..`, as \"/models\"")
                        );
                    }
                    fields.finish()?;
                    Ok(Mount::Placement { source, destination })
                }
                _ => Err(fields.fault("files", "holds strings and `{ source, destination }` only")),
            })
            .collect::<Result<_, _>>()?;
        for offer in ["sqlite_databases", "ai_models"] {
            if !fields.strings(offer)?.is_empty() {
                return Err(fields.fault(offer, "is not offered by this host; run the app with `spin up`"));
            }
        }
        if fields.table("dependencies")?.is_some() {
            return Err(fields.fault("dependencies", "are not composed here; build one component from them"));
        }
        let build = fields.table("build")?.map(|mut build| {
            build.take("workdir");
            build.take("watch");
            build.take("environment");
            let command = match build.take("command") {
                Some(toml::Value::Array(commands)) => {
                    let commands: Vec<_> = commands.iter().filter_map(toml::Value::as_str).collect();
                    commands.join(" && ")
                }
                Some(toml::Value::String(command)) => command,
                _ => return Err(build.fault("command", "is missing")),
            };
            build.finish()?;
            Ok(command)
        });
        let component = Self {
            source,
            files,
            exclude_files: fields.strings("exclude_files")?,
            allowed_outbound_hosts: fields.strings("allowed_outbound_hosts")?,
            key_value_stores: fields.strings("key_value_stores")?,
            environment: fields.string_map("environment")?,
            variables: fields.string_map("variables")?,
            build: build.transpose()?,
            id,
        };
        // A profile replaces the source or the build when `spin build --profile` asks for it.
        for key in ["description", "tool", "targets", "profile"] {
            fields.take(key);
        }
        fields.finish()?;
        Ok(component)
    }
}

/// A wrong field and why; [`Manifest::parse`] adds the file.
#[derive(Debug)]
pub(crate) struct Fault {
    field: String,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"app\"\n";

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse(Path::new("dir/spin.toml"), text).map_err(|error| error.to_string())
    }

    fn refusal(text: &str) -> String {
        parse(&format!("{HEAD}{text}")).unwrap_err()
    }

    #[test]
    fn reads_what_spin_reads() {
        let manifest = parse(
            r#"
            spin_manifest_version = 2
            [application]
            name = "app"
            version = "0.1.0"
            authors = ["a <a@b.c>"]
            [variables]
            region = { default = "eu" }
            token = { required = true, secret = true }
            [[trigger.http]]
            route = "/v2/..."
            component = "predict"
            [[trigger.http]]
            route = { private = true }
            component = "inner"
            [component.predict]
            source = "target/predict.wasm"
            files = ["static/**/*", { source = "models", destination = "/models" }]
            exclude_files = ["static/*.map"]
            allowed_outbound_hosts = ["http://inner.spin.internal"]
            key_value_stores = ["default"]
            environment = { LEVEL = "info" }
            variables = { url = "https://{{ region }}.example.com" }
            [component.predict.build]
            command = "cargo build"
            watch = ["src/**/*.rs"]
            [component.predict.profile.gpu]
            source = "target/gpu.wasm"
            [component.inner]
            source = "target/inner.wasm"
            "#,
        )
        .unwrap();
        assert_eq!((manifest.name.as_str(), manifest.root.as_path()), ("app", Path::new("dir")));
        assert_eq!(manifest.router.routes().count(), 1);
        let predict = &manifest.components["predict"];
        assert_eq!(
            predict.files,
            [
                Mount::Pattern("static/**/*".into()),
                Mount::Placement { source: "models".into(), destination: "/models".into() }
            ]
        );
        assert_eq!(predict.build.as_deref(), Some("cargo build"));
        assert_eq!(manifest.variables["region"].default.as_deref(), Some("eu"));
    }

    #[test]
    fn a_wrong_field_is_named_with_its_remedy() {
        let component = "[component.c]\nsource = \"c.wasm\"\n";
        let route = "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"c\"\n";
        for (text, field, remedy) in [
            ("[component.c]\nsorce = \"c.wasm\"\n".to_owned(), "component.c.source", "is missing"),
            (format!("{component}fils = []\n{route}"), "component.c.fils", "did you mean `files`"),
            (format!("{component}files = 3\n{route}"), "component.c.files", "a list"),
            (format!("{component}files = [{{ source = \"a\" }}]\n{route}"), "component.c.files[0].destination", "miss"),
            (format!("{component}ai_models = [\"x\"]\n{route}"), "component.c.ai_models", "spin up"),
            (format!("{component}environment = {{ A = 1 }}\n{route}"), "component.c.environment.A", "string"),
            (component.to_owned(), "trigger", "is missing"),
            (format!("{component}[[trigger.redis]]\nchannel = \"x\""), "trigger.redis", "HTTP triggers only"),
            (route.to_owned(), "trigger.http[0].component", "no [component.c]"),
            (format!("{component}{route}{route}"), "trigger.http[1].route", "remove one"),
            (format!("{component}{route}executor = {{ type = \"wagi\" }}"), "trigger.http[0].executor.type", "wagi"),
            (format!("{component}{route}[variables]\nx = {{}}"), "variables.x", "default"),
        ] {
            let message = refusal(&text);
            assert!(message.contains(&format!(" {field}: ")) && message.contains(remedy), "{text}\n{message}");
        }
        assert!(parse("spin_version = \"1\"").unwrap_err().contains("spin_manifest_version = 2"));
        assert!(parse("= 3").unwrap_err().contains("not valid TOML"));
    }
}
