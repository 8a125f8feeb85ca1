//! The web page, served from the files that `spin.toml` mounts at `/page`: GET and HEAD, content types, entity tags.
//!
//! [`answer`] decides everything and reads through a function that its caller gives, so that it is tested without a
//! component; the component itself is the adapter at the end of this file.

mod path;

use std::io;

use serde_json::json;

/// What is sent back, before it becomes an HTTP response.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Header names (lower case) and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty for HEAD and 304.
    pub body: Vec<u8>,
}

/// Answers a request for `path` (percent-encoded, as in the request line, without its query).
///
/// `read` gives the bytes of a file by its path relative to the page's folder, which has no `..`, no empty and no hidden
/// part. A file that it does not find, or finds to be a folder, is a 404; any other failure of it is a 500.
pub fn answer(
    method: &str,
    path: &str,
    if_none_match: Option<&str>,
    read: impl Fn(&str) -> io::Result<Vec<u8>>,
) -> Answer {
    if method != "GET" && method != "HEAD" {
        let mut refusal = problem(405, "Method Not Allowed", &format!("{path} can be read only; use GET or HEAD"));
        refusal.headers.push(("allow", "GET, HEAD".to_owned()));
        return refusal;
    }
    let file = match path::file(path) {
        Ok(file) => file,
        Err(path::Refused::Malformed) => {
            return problem(400, "Bad Request", &format!("{path} is not percent-encoded UTF-8"));
        }
        Err(path::Refused::Outside) => return not_found(path),
    };
    let bytes = match read(&file) {
        Ok(bytes) => bytes,
        Err(error) if is_absence(&error) => return not_found(path),
        Err(error) => return problem(500, "Internal Server Error", &format!("{path} cannot be read: {error}")),
    };
    let tag = format!("\"{:016x}\"", farmhash::fingerprint64(&bytes));
    let mut headers = vec![
        ("content-type", path::content_type(&file).to_owned()),
        // Names do not change with content, so a browser asks each time, and is mostly told 304.
        ("cache-control", "no-cache".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("content-security-policy", POLICY.to_owned()),
    ];
    let is_known = if_none_match.is_some_and(|tags| matches(tags, &tag));
    headers.push(("etag", tag));
    if is_known {
        return Answer { status: 304, headers, body: Vec::new() };
    }
    Answer { status: 200, headers, body: if method == "HEAD" { Vec::new() } else { bytes } }
}

/// The page loads nothing from elsewhere; `wasm-unsafe-eval` lets it compile its own WebAssembly and no JavaScript.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data:";

/// No such file, or one that is no file.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory | InvalidFilename)
}

/// `If-None-Match`: `*` or a list of entity tags, compared weakly (RFC 9110, section 13.1.2).
fn matches(tags: &str, tag: &str) -> bool {
    tags.split(',').map(str::trim).any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

fn not_found(path: &str) -> Answer {
    problem(404, "Not Found", &format!("the page has no file {path}"))
}

/// An error as RFC 9457 has it.
fn problem(status: u16, title: &str, detail: &str) -> Answer {
    let body = json!({"type": "about:blank", "title": title, "status": status, "detail": detail});
    let headers = vec![("content-type", "application/problem+json".to_owned())];
    Answer { status, headers, body: body.to_string().into_bytes() }
}

/// The component: the page's folder is mounted at `/page`.
#[cfg(target_family = "wasm")]
mod component {
    use bytes::Bytes;
    use spin_sdk::http::{FullBody, Request, Result};
    use spin_sdk::http_service;

    #[http_service]
    async fn handle(request: Request) -> Result<http::Response<FullBody<Bytes>>> {
        let known = request.headers().get("if-none-match").and_then(|value| value.to_str().ok());
        let read = |file: &str| std::fs::read(format!("/page/{file}"));
        let answer = super::answer(request.method().as_str(), request.uri().path(), known, read);
        let mut response = http::Response::builder().status(answer.status);
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        Ok(response.body(FullBody::new(Bytes::from(answer.body)))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> io::Result<Vec<u8>> {
        match file {
            "index.html" => Ok(b"<!doctype html>".to_vec()),
            "pkg/skewless_bg.wasm" => Ok(b"\0asm".to_vec()),
            "pkg" => Err(io::ErrorKind::IsADirectory.into()),
            "locked" => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn get(path: &str) -> Answer {
        answer("GET", path, None, read)
    }

    fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
        answer.headers.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    #[test]
    fn the_root_is_the_index_with_its_type() {
        let page = get("/");
        assert_eq!((page.status, page.body.as_slice()), (200, b"<!doctype html>".as_slice()));
        assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
        assert_eq!(page, get("/index.html"));
        assert_eq!(header(&get("/pkg/skewless_bg.wasm"), "content-type"), "application/wasm");
    }

    #[test]
    fn a_browser_that_has_the_file_is_told_so() {
        let first = get("/");
        let tag = header(&first, "etag").to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = answer("GET", "/", Some(&known), read);
            assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
            assert_eq!(header(&again, "etag"), tag);
        }
        assert_eq!(answer("GET", "/", Some("\"other\""), read).status, 200);
        assert_ne!(header(&get("/pkg/skewless_bg.wasm"), "etag"), tag);
    }

    #[test]
    fn head_has_the_headers_of_get_and_no_body() {
        let head = answer("HEAD", "/", None, read);
        assert_eq!((head.status, head.headers, head.body.len()), (200, get("/").headers, 0));
    }

    #[test]
    fn what_is_not_there_is_a_problem_that_names_it() {
        for path in ["/missing.html", "/pkg", "/../secret", "/%2e%2e/secret", "/a%00b", "/.git/config"] {
            let refusal = get(path);
            assert_eq!(refusal.status, 404, "{path}");
            assert_eq!(header(&refusal, "content-type"), "application/problem+json");
            let body: serde_json::Value = serde_json::from_slice(&refusal.body).expect("JSON");
            assert_eq!(body["status"], 404);
            assert!(body["detail"].as_str().is_some_and(|detail| detail.contains(path)), "{body}");
        }
        assert_eq!(get("/%zz").status, 400);
        assert_eq!(get("/locked").status, 500);
    }

    #[test]
    fn other_methods_are_refused_with_those_allowed() {
        let refusal = answer("POST", "/", None, read);
        assert_eq!((refusal.status, header(&refusal, "allow")), (405, "GET, HEAD"));
    }
}
