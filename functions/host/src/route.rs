//! Routes of the HTTP trigger, matched as Spin matches them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A route: literal segments, `:name` for one segment, `/...` at the end for any rest.
#[derive(Clone, Debug)]
struct Pattern {
    segments: Vec<Segment>,
    end: End,
}

#[derive(Clone, Debug)]
enum Segment {
    Parameter(String),
    Literal(String),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Wildcard,
    Exact,
}

/// All public routes of an app.
#[derive(Clone, Debug, Default)]
pub(crate) struct Router {
    /// Most specific first.
    routes: Vec<(Pattern, Route)>,
}

/// A route as written, and the component it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The pattern, as in the manifest.
    pub route: String,
    /// The component's name in the manifest.
    pub component: String,
}

/// What a path matched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Match<'a> {
    pub(crate) route: &'a str,
    pub(crate) component: &'a str,
    /// The rest that `/...` took.
    pub(crate) path_info: String,
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Router {
    /// Refuses a malformed route, and two routes that match the same paths.
    pub(crate) fn new(routes: impl IntoIterator<Item = Route>) -> Result<Self, (String, String)> {
        let mut parsed: Vec<(Pattern, Route)> = Vec::new();
        for route in routes {
            let pattern = Pattern::parse(&route.route).map_err(|reason| (route.route.clone(), reason))?;
            if let Some((_, other)) = parsed.iter().find(|(other, _)| other.same_paths(&pattern)) {
                let reason = format!(
                    "leads to component `{}` and, as `{}`, to `{}`; remove one of them",
                    route.component, other.route, other.component
                );
                return Err((route.route, reason));
            }
            parsed.push((pattern, route));
        }
        parsed.sort_by_key(|(pattern, _)| Reverse(pattern.rank()));
        Ok(Self { routes: parsed })
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().map(|(_, route)| route)
    }

    /// The most specific route for a path: literal before parameter, parameter before wildcard, longest wildcard.
    pub(crate) fn matching(&self, path: &str) -> Option<Match<'_>> {
        self.routes.iter().find_map(|(pattern, route)| {
            let (path_info, parameters) = pattern.matches(path)?;
            Some(Match { route: &route.route, component: &route.component, path_info, parameters })
        })
    }
}

/// The segments of a path; slashes at both ends do not count.
fn segments(path: &str) -> Vec<&str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() { Vec::new() } else { path.split('/').collect() }
}

impl Pattern {
    fn parse(route: &str) -> Result<Self, String> {
        if !route.starts_with('/') {
            return Err(format!("must start with `/`; write \"/{route}\""));
        }
        let (path, end) = match route.strip_suffix("/...").or_else(|| route.strip_suffix("/*")) {
            Some(path) => (path, End::Wildcard),
            None => (route, End::Exact),
        };
        let segments = segments(path)
            .into_iter()
            .map(|segment| match segment.strip_prefix(':') {
                _ if segment.contains("...") || segment.contains('*') => {
                    Err("a wildcard can only be the last segment, as `/...`".to_owned())
                }
                Some("") => Err("`:` needs a name, as in `/users/:id`".to_owned()),
                Some(name) => Ok(Segment::Parameter(name.to_owned())),
                None => Ok(Segment::Literal(segment.to_owned())),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { segments, end })
    }

    /// Segment kinds in order, then the end: compares so that the more specific is greater.
    fn rank(&self) -> Vec<u8> {
        let kinds = self.segments.iter().map(|segment| match segment {
            Segment::Literal(_) => 3,
            Segment::Parameter(_) => 2,
        });
        kinds
            .chain([match self.end {
                End::Exact => 1,
                End::Wildcard => 0,
            }])
            .collect()
    }

    fn same_paths(&self, other: &Self) -> bool {
        self.rank() == other.rank()
            && self.segments.iter().zip(&other.segments).all(|(left, right)| match (left, right) {
                (Segment::Literal(left), Segment::Literal(right)) => left == right,
                _ => true,
            })
    }

    fn matches(&self, path: &str) -> Option<(String, BTreeMap<String, String>)> {
        let given = segments(path);
        let mut parameters = BTreeMap::new();
        let rest = given.get(self.segments.len()..)?;
        for (segment, given) in self.segments.iter().zip(&given) {
            match segment {
                Segment::Literal(literal) if literal == given => {}
                Segment::Literal(_) => return None,
                Segment::Parameter(name) => drop(parameters.insert(name.clone(), (*given).to_owned())),
            }
        }
        match self.end {
            End::Exact if rest.is_empty() => Some((String::new(), parameters)),
            End::Exact => None,
            End::Wildcard => {
                let mut path_info: String = rest.iter().flat_map(|segment| ["/", segment]).collect();
                // A slash at the end belongs to the rest, as in Spin.
                if path.ends_with('/') {
                    path_info.push('/');
                }
                Some((path_info, parameters))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[&str]) -> Router {
        Router::new(routes.iter().map(|route| Route { route: (*route).into(), component: (*route).into() })).unwrap()
    }

    fn lands(router: &Router, path: &str) -> String {
        router.matching(path).map_or("-".to_owned(), |found| format!("{}|{}", found.component, found.path_info))
    }

    #[test]
    fn exact_beats_parameter_beats_longest_wildcard() {
        let router = router(&["/...", "/v2/...", "/v2/models/...", "/v2/:what", "/v2/health", "/"]);
        for (path, expected) in [
            ("/", "/|"),
            ("/x", "/...|/x"),
            ("/v2", "/v2/...|"),
            ("/v2/", "/v2/...|/"),
            ("/v2/health", "/v2/health|"),
            ("/v2/health/", "/v2/health|"),
            ("/v2/other", "/v2/:what|"),
            ("/v2/a/b", "/v2/...|/a/b"),
            ("/v2/models/m/infer", "/v2/models/...|/m/infer"),
            ("/v2x", "/...|/v2x"),
        ] {
            assert_eq!(lands(&router, path), expected, "{path}");
        }
        assert_eq!(router.matching("/v2/other").unwrap().parameters["what"], "other");
    }

    #[test]
    fn a_path_outside_all_routes_matches_nothing() {
        let router = router(&["/a", "/b/..."]);
        assert_eq!(lands(&router, "/"), "-");
        assert_eq!(lands(&router, "/a/b"), "-");
        assert_eq!(lands(&router, "//a"), "-");
    }

    #[test]
    fn wrong_routes_are_refused_with_a_remedy() {
        let route = |route: &str| Route { route: route.into(), component: "c".into() };
        let refuse = |routes: &[&str]| Router::new(routes.iter().map(|r| route(r))).unwrap_err().1;
        assert!(refuse(&["a"]).contains("\"/a\""));
        assert!(refuse(&["/.../a"]).contains("last segment"));
        assert!(refuse(&["/:"]).contains("needs a name"));
        assert!(refuse(&["/a/:x", "/a/:y"]).contains("remove one"));
        assert!(refuse(&["/a", "/a/"]).contains("remove one"));
    }
}
