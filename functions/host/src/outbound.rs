//! `allowed_outbound_hosts`: which addresses a component may call.

use std::fmt;

/// Requests to `<component>.spin.internal` stay inside the app.
const INTERNAL: &str = ".spin.internal";

/// The addresses that a component may call; by default none.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedHosts(Vec<Pattern>);

/// `scheme://host[:port]`, each part possibly `*`.
#[derive(Clone, Debug)]
struct Pattern {
    scheme: Option<String>,
    host: Host,
    port: Port,
}

#[derive(Clone, Debug)]
enum Host {
    Any,
    Subdomain(String),
    Exact(String),
}

#[derive(Clone, Copy, Debug)]
enum Port {
    Any,
    Default,
    Range(u16, u16),
}

/// Where an outgoing request goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Target {
    /// Of an absolute URI; a missing scheme is `http`.
    pub(crate) fn of(uri: &http::Uri) -> Option<Self> {
        Some(Self {
            scheme: uri.scheme_str().unwrap_or("http").to_ascii_lowercase(),
            host: uri.host()?.to_ascii_lowercase(),
            port: uri.port_u16(),
        })
    }

    /// The component of a request that stays inside the app.
    pub(crate) fn component(&self) -> Option<&str> {
        self.host.strip_suffix(INTERNAL)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl AllowedHosts {
    pub(crate) fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        patterns.into_iter().map(Pattern::parse).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn allow(&self, target: &Target) -> bool {
        self.0.iter().any(|pattern| pattern.allows(target))
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("{text:?} {why}; write scheme://host[:port], each part may be `*`, as in \"https://*.example.com\"")
        };
        let (scheme, rest) = text.trim().split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        if rest.contains(['/', '?', '#']) {
            return Err(wrong("has a path"));
        }
        // An IPv6 address holds colons of its own.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest.as_str(), None),
        };
        let number = |port: &str| port.parse::<u16>().map_err(|_| wrong("has a port that is no number"));
        let port = match port {
            None => Port::Default,
            Some("*") => Port::Any,
            Some(port) => match port.split_once("..") {
                Some((from, to)) => Port::Range(number(from)?, number(to)?.saturating_sub(1)),
                None => Port::Range(number(port)?, number(port)?),
            },
        };
        let host = match host {
            "" => return Err(wrong("has no host")),
            "*" => Host::Any,
            host => match host.strip_prefix('*') {
                Some(suffix) if suffix.starts_with('.') && !suffix.contains('*') => Host::Subdomain(suffix.to_owned()),
                None if !host.contains('*') => Host::Exact(host.to_owned()),
                _ => return Err(wrong("has a wildcard inside its host")),
            },
        };
        let scheme = (scheme != "*").then(|| scheme.to_ascii_lowercase());
        Ok(Self { scheme, host, port })
    }

    fn allows(&self, target: &Target) -> bool {
        let scheme = self.scheme.as_ref().is_none_or(|scheme| *scheme == target.scheme);
        let host = match &self.host {
            // Other components of the app must be named as such.
            Host::Any => target.component().is_none(),
            Host::Subdomain(suffix) => target.host.ends_with(suffix),
            Host::Exact(host) => *host == target.host,
        };
        let default = default_port(&target.scheme);
        let port = target.port.or(default);
        let port = match self.port {
            Port::Any => true,
            Port::Default => port == default,
            Port::Range(from, to) => port.is_some_and(|port| (from..=to).contains(&port)),
        };
        scheme && host && port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], uri: &str) -> bool {
        let target = Target::of(&uri.parse().unwrap()).unwrap();
        AllowedHosts::parse(patterns.iter().copied()).unwrap().allow(&target)
    }

    #[test]
    fn nothing_is_allowed_unless_it_is_named() {
        assert!(!allows(&[], "http://example.com/"));
        assert!(allows(&["https://example.com"], "https://EXAMPLE.com/path?query"));
        assert!(!allows(&["https://example.com"], "http://example.com/"));
        assert!(!allows(&["https://example.com"], "https://example.com:8443/"));
        assert!(!allows(&["https://example.com"], "https://evil-example.com/"));
        assert!(!allows(&["https://example.com"], "https://example.com.evil.net/"));
        assert!(!allows(&["https://example.com"], "https://example.com@evil.net/"));
    }

    #[test]
    fn wildcards_and_port_ranges() {
        assert!(allows(&["https://*.example.com"], "https://a.b.example.com/"));
        assert!(!allows(&["https://*.example.com"], "https://example.com/"));
        assert!(allows(&["*://*:*"], "http://[::1]:9000/"));
        assert!(allows(&["http://[::1]:9000"], "http://[::1]:9000/"));
        assert!(allows(&["http://127.0.0.1:8000..8010"], "http://127.0.0.1:8009/"));
        assert!(!allows(&["http://127.0.0.1:8000..8010"], "http://127.0.0.1:8010/"));
    }

    #[test]
    fn other_components_must_be_named() {
        assert!(allows(&["http://predict.spin.internal"], "http://predict.spin.internal/v2"));
        assert!(allows(&["http://*.spin.internal"], "http://predict.spin.internal/v2"));
        assert!(!allows(&["*://*:*"], "http://predict.spin.internal/v2"));
        let target = Target::of(&"http://predict.spin.internal/v2".parse().unwrap()).unwrap();
        assert_eq!(target.component(), Some("predict"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in ["*", "example.com", "https://example.com/path", "https://ex*mple.com", "https://x:port", "a://"]
        {
            assert!(AllowedHosts::parse([pattern]).is_err(), "{pattern}");
        }
    }
}
