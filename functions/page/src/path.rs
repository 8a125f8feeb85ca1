//! From a request's path to a file of the page, and from a file's name to its content type.

/// Why a path names no file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A `%` without two hex digits, or bytes that are not UTF-8.
    Malformed,
    /// A part that is empty, hidden, `..`, or holds a separator: it names nothing inside the page.
    Outside,
}

/// The file that a path names, relative to the page's folder; a folder's is its `index.html`.
pub(crate) fn file(path: &str) -> Result<String, Refused> {
    let decoded = decode(path).ok_or(Refused::Malformed)?;
    let relative = decoded.strip_prefix('/').ok_or(Refused::Outside)?;
    let index = if relative.is_empty() || relative.ends_with('/') { "index.html" } else { "" };
    let file = format!("{relative}{index}");
    let is_safe = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0', ':']);
    // A separator may come percent-encoded; decoding first makes it one like any other.
    if file.split('/').all(is_safe) { Ok(file) } else { Err(Refused::Outside) }
}

fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// By the name's extension; what is unknown is bytes.
pub(crate) fn content_type(file: &str) -> &'static str {
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "ts" | "txt" | "md" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_file_inside_the_page() {
        assert_eq!(file("/"), Ok("index.html".to_owned()));
        assert_eq!(file("/models/"), Ok("models/index.html".to_owned()));
        assert_eq!(file("/pkg/skewless.js"), Ok("pkg/skewless.js".to_owned()));
        assert_eq!(file("/a%20b/%C3%A9.txt"), Ok("a b/é.txt".to_owned()));
    }

    #[test]
    fn no_path_leads_out_of_the_page() {
        let outside = [
            "",
            "x",
            "//",
            "//etc/passwd",
            "/..",
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/%2E%2e%2fx",
            "/a/..%2f..%2fx",
            "/a\\..\\x",
            "/a%5c..%5cx",
            "/C:/x",
            "/a%00.html",
            "/.env",
            "/a/./b",
            "/a//b",
        ];
        for path in outside {
            assert_eq!(file(path), Err(Refused::Outside), "{path}");
        }
        for path in ["/%", "/%2", "/%2x", "/%zz", "/%ff"] {
            assert_eq!(file(path), Err(Refused::Malformed), "{path}");
        }
    }

    #[test]
    fn the_extension_decides_the_content_type() {
        assert_eq!(content_type("index.html"), "text/html; charset=utf-8");
        assert_eq!(content_type("pkg/skewless.JS"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("a/b.tar.wasm"), "application/wasm");
        assert_eq!(content_type("late.skew"), "application/octet-stream");
        assert_eq!(content_type("LICENSE"), "application/octet-stream");
    }
}
