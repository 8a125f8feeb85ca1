//! The requests of the protocol, and what is answered.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use skewless_catalog::suggest::did_you_mean;
use skewless_model::Error as ModelError;

use crate::tensor::{InputTensor, OutputTensor, columns, describe_input, describe_output};
use crate::{Model, Problem, Repository};

/// Bytes that a body may have.
pub const MAX_BODY: usize = 16 << 20;

/// Rows that one request may have.
pub const MAX_ROWS: usize = 100_000;

/// A request, whoever received it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path, percent-encoded, with or without a query.
    pub path: &'a str,
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// An answer, whoever sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type` header.
    pub content_type: &'static str,
    /// The `Allow` header of a 405.
    pub allow: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self { status: 200, content_type: "application/json", allow: None, body },
            Err(error) => Problem::internal(format!("the answer is no JSON: {error}")).into(),
        }
    }
}

/// What a path asks for.
enum Resource<'a> {
    Server,
    Live,
    Ready,
    Model(&'a str),
    ModelReady(&'a str),
    Infer(&'a str),
}

/// Answers any request; whatever is wrong with it is a problem in the answer.
pub fn handle(request: Request<'_>, repository: &Repository) -> Response {
    answer(request, repository).unwrap_or_else(|refusal| match refusal {
        Refusal::Problem(problem) => problem.into(),
        Refusal::Method(problem, allow) => Response { allow: Some(allow), ..problem.into() },
    })
}

enum Refusal {
    Problem(Problem),
    Method(Problem, &'static str),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

fn answer(request: Request<'_>, repository: &Repository) -> Result<Response, Refusal> {
    let path = request.path.split(['?', '#']).next().unwrap_or_default();
    let segments: Vec<String> = path.trim_matches('/').split('/').map(decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (resource, version) = match segments.as_slice() {
        ["v2"] => (Resource::Server, None),
        ["v2", "health", "live"] => (Resource::Live, None),
        ["v2", "health", "ready"] => (Resource::Ready, None),
        ["v2", "models", name] => (Resource::Model(name), None),
        ["v2", "models", name, "ready"] => (Resource::ModelReady(name), None),
        ["v2", "models", name, "infer"] => (Resource::Infer(name), None),
        ["v2", "models", name, "versions", version] => (Resource::Model(name), Some(*version)),
        ["v2", "models", name, "versions", version, "ready"] => (Resource::ModelReady(name), Some(*version)),
        ["v2", "models", name, "versions", version, "infer"] => (Resource::Infer(name), Some(*version)),
        _ => {
            return Err(Problem::not_found(format!(
                "there is nothing at {path:?}; the paths are /v2, /v2/health/live, /v2/health/ready and \
                 /v2/models/{{model}}[/versions/{{version}}][/ready|/infer]"
            ))
            .into());
        }
    };
    let allow = if matches!(resource, Resource::Infer(_)) { "POST" } else { "GET, HEAD" };
    if !allow.split(", ").any(|method| method == request.method) {
        let detail = format!("{path} takes {allow}, not {}", request.method);
        return Err(Refusal::Method(Problem::method_not_allowed(detail), allow));
    }
    Ok(match resource {
        Resource::Server => Response::json(&json!({
            "name": "skewless", "version": env!("CARGO_PKG_VERSION"), "extensions": [],
        })),
        Resource::Live => Response::json(&json!({ "live": true })),
        Resource::Ready => {
            for name in repository.names() {
                repository.model(&name).map_err(|problem| Problem::unavailable(problem.detail))?;
            }
            Response::json(&json!({ "ready": true }))
        }
        Resource::Model(name) => {
            let model = at_version(repository, name, version)?;
            Response::json(&describe(name, &model))
        }
        Resource::ModelReady(name) => {
            at_version(repository, name, version)?;
            Response::json(&json!({ "name": name, "ready": true }))
        }
        Resource::Infer(name) => {
            let model = at_version(repository, name, version)?;
            infer(name, &model, request)?
        }
    })
}

/// `%41` is `A`; what is no such escape, or no UTF-8, stays as it is.
fn decode(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (byte, hex(0), hex(1)) {
            bytes.push((high * 16 + low) as u8);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| segment.to_owned())
}

/// A bundle has one version: its own, or 1 where it states none.
fn version_of(model: &Model) -> &str {
    model.bundle.metadata().version.as_deref().unwrap_or("1")
}

fn at_version(repository: &Repository, name: &str, version: Option<&str>) -> Result<std::sync::Arc<Model>, Problem> {
    let model = repository.model(name)?;
    match version {
        Some(version) if version != version_of(&model) => Err(Problem::not_found(format!(
            "model `{name}` has no version {version:?}; it has {:?}",
            version_of(&model)
        ))),
        _ => Ok(model),
    }
}

fn describe(name: &str, model: &Model) -> Value {
    let signature = model.bundle.signature();
    json!({
        "name": name,
        "versions": [version_of(model)],
        "platform": "onnx",
        "inputs": signature.inputs.iter().map(describe_input).collect::<Vec<_>>(),
        "outputs": signature.outputs.iter().map(describe_output).collect::<Vec<_>>(),
        "parameters": { "digest": model.bundle.digest() },
    })
}

/// The body of an inference request. Parameters that are not known here change nothing.
#[derive(Debug, Deserialize)]
struct InferRequest {
    #[serde(default)]
    id: Option<String>,
    inputs: Vec<InputTensor>,
    #[serde(default)]
    outputs: Option<Vec<RequestedOutput>>,
}

#[derive(Debug, Deserialize)]
struct RequestedOutput {
    name: String,
    #[serde(default, rename = "parameters")]
    _parameters: Map<String, Value>,
}

#[derive(Serialize)]
struct InferResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    model_name: &'a str,
    model_version: &'a str,
    parameters: Value,
    outputs: Vec<OutputTensor<'a>>,
}

fn infer(name: &str, model: &Model, request: Request<'_>) -> Result<Response, Problem> {
    if let Some(content_type) = request.content_type {
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media != "application/json" && !(media.starts_with("application/") && media.ends_with("+json")) {
            return Err(Problem::unsupported(format!(
                "the body is {media:?}; send JSON as application/json (binary tensors are not offered)"
            )));
        }
    }
    if request.body.len() > MAX_BODY {
        let (length, limit) = (request.body.len(), MAX_BODY);
        return Err(Problem::too_large(format!("the body has {length} bytes, over the limit of {limit}; split it")));
    }
    // Serde would take a list for a struct.
    if !request.body.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::bad_request("the body is no JSON object; send {\"inputs\": [...]}"));
    }
    let InferRequest { id, inputs, outputs } = serde_json::from_slice(request.body)
        .map_err(|error| Problem::bad_request(format!("the body is no inference request: {error}")))?;

    let signature = model.bundle.signature();
    let selected: Vec<usize> = match outputs.filter(|outputs| !outputs.is_empty()) {
        None => (0..signature.outputs.len()).collect(),
        Some(outputs) => outputs
            .iter()
            .map(|output| {
                let position = signature.outputs.iter().position(|known| known.name == output.name);
                position.ok_or_else(|| {
                    let names = signature.outputs.iter().map(|known| known.name.as_str());
                    let hint = did_you_mean(&output.name, names.clone());
                    let names: Vec<_> = names.collect();
                    Problem::bad_request(format!(
                        "model `{name}` has no output `{}`{hint}; its outputs are {}",
                        output.name,
                        names.join(", ")
                    ))
                })
            })
            .collect::<Result<_, _>>()?,
    };

    let mut given = Vec::new();
    for input in inputs {
        given.extend(columns(input, signature)?);
    }
    if let Some((input, column)) = given.iter().find(|(_, column)| column.len() > MAX_ROWS) {
        let rows = column.len();
        return Err(Problem::bad_request(format!(
            "input `{input}` has {rows} rows, over the limit of {MAX_ROWS} a request; split it"
        )));
    }
    let (names, columns): (Vec<String>, Vec<_>) = given.into_iter().unzip();
    let given: Vec<_> = names.iter().map(String::as_str).zip(columns).collect();
    let bound = signature.bind(&given).map_err(|error| refuse(name, error))?;
    let results = model.session.run(&bound).map_err(|error| refuse(name, error))?;
    let outputs = selected
        .into_iter()
        .filter_map(|index| Some(OutputTensor { spec: signature.outputs.get(index)?, tensor: results.get(index)? }))
        .collect();
    Ok(Response::json(&InferResponse {
        id,
        model_name: name,
        model_version: version_of(model),
        parameters: json!({ "digest": model.bundle.digest() }),
        outputs,
    }))
}

/// What the model says about the inputs is the client's to mend; the rest is not.
fn refuse(name: &str, error: ModelError) -> Problem {
    match error {
        ModelError::Input { reason, .. } => Problem::bad_request(format!("model `{name}`: {reason}")),
        other => Problem::internal(other.to_string()),
    }
}
