//! The routes of the API, in one table: the control listener answers by it, and its description is made from it.

use http::Method;

/// What all paths of the API begin with.
pub const BASE: &str = "/api/v1";

/// Largest number that all of JSON's readers can hold exactly.
pub const NUMBER_MAX: i64 = (1 << 53) - 1;

/// Pattern of the names of repos, targets and tokens.
pub const NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$";

/// What is done at a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Something is looked at: GET and HEAD.
    Look(Look),
    /// Something is done: POST.
    Change(Change),
}

/// What is looked at; the table has a sentence on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table has a sentence on each")]
pub enum Look {
    Description,
    Status,
    Deployments,
    Deployment,
    Log,
    Job,
    Deliveries,
    Explanation,
    Releases,
    Tokens,
    Audit,
}

/// What is done; the table has a sentence on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table has a sentence on each")]
pub enum Change {
    Replay,
    Deploy,
    Retry,
    Rollback,
    Cancel,
    Pause,
    Resume,
    TestNotify,
    TestReport,
    AddToken,
    RemoveToken,
}

/// What a value must look like.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// A text that the pattern describes.
    Pattern(&'static str),
    /// A whole number from 1 on.
    Number,
    /// One of these words.
    Words(&'static [&'static str]),
}

/// A parameter of a path or of a query.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What it must look like.
    pub kind: Kind,
}

/// Which of the types in [`crate::api`] a request or an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// An object.
    One(&'static str),
    /// The answer to an act: 202 as long as its jobs wait or run, 200 else, and where it asks for none.
    Asked,
    /// 201, with what was made.
    Made(&'static str),
    /// A list, newest first, which goes on at the address in the `Link` header.
    Page(&'static str),
    /// A list without an end to go on at.
    All(&'static str),
    /// The lines of a log.
    Log,
    /// A JSON document that other standards describe.
    Document,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// What is done.
    pub operation: Operation,
    /// Where, below [`BASE`]; `{…}` is one part of the path.
    pub path: &'static str,
    /// In a sentence.
    pub about: &'static str,
    /// The parameters of its query.
    pub query: &'static [Parameter],
    /// The JSON object that it takes, and whether it must be there.
    pub takes: Option<(&'static str, bool)>,
    /// What it answers.
    pub gives: Body,
}

/// Parameters that stand in paths, by their names there.
pub const IN_PATHS: &[Parameter] = &[
    parameter("id", "Number of the deployment or of the job.", Kind::Number),
    parameter("repo", "Name of the repo in the configuration.", Kind::Pattern(NAME)),
    parameter("target", "Name of the target within its repo.", Kind::Pattern(NAME)),
    parameter("name", "Its name.", Kind::Pattern(NAME)),
    parameter(
        "delivery",
        "Number of the delivery, or the forge's id of it.",
        Kind::Text,
    ),
];

const LIMIT: Parameter = parameter(
    "limit",
    "How many rows to give: 20 unless said, 1,000 at most.",
    Kind::Number,
);
const BEFORE: Parameter = parameter("before", "Only rows with a lower number.", Kind::Number);
const WAIT: &[Parameter] = &[parameter(
    "wait",
    "How long to wait for the end of the job, up to ten minutes: `50s`. Without it the answer comes at once.",
    Kind::Pattern("^([0-9]{1,5}ms|[1-5]?[0-9]{1,2}s|[0-9]m|10m)$"),
)];
const OF_DEPLOYMENTS: &[Parameter] = &[
    parameter(
        "target",
        "Only of this target, `repo/target`, or of this repo.",
        Kind::Text,
    ),
    parameter(
        "outcome",
        "Only those with this outcome.",
        Kind::Words(&[
            "live",
            "unchanged",
            "superseded",
            "failed",
            "rolled-back",
            "cancelled",
            "interrupted",
        ]),
    ),
    BEFORE,
    LIMIT,
];
const OF_DELIVERIES: &[Parameter] = &[
    parameter("repo", "Only of this repo.", Kind::Text),
    parameter(
        "result",
        "Only those that became this.",
        Kind::Words(&["accepted", "ignored", "pong", "duplicate", "rejected"]),
    ),
    BEFORE,
    LIMIT,
];
const OF_LOG: &[Parameter] = &[parameter(
    "follow",
    "Whether to go on until the deployment ends, as server-sent events.",
    Kind::Words(&["", "1", "true", "0", "false"]),
)];

const fn parameter(name: &'static str, about: &'static str, kind: Kind) -> Parameter {
    Parameter { name, about, kind }
}

const fn get(look: Look, path: &'static str, gives: Body, about: &'static str) -> Route {
    Route {
        operation: Operation::Look(look),
        path,
        about,
        query: &[],
        takes: None,
        gives,
    }
}

const fn post(change: Change, path: &'static str, gives: Body, about: &'static str) -> Route {
    Route {
        operation: Operation::Change(change),
        path,
        about,
        query: &[],
        takes: None,
        gives,
    }
}

/// An act whose jobs may be waited for.
const fn act(change: Change, path: &'static str, takes: Option<(&'static str, bool)>, about: &'static str) -> Route {
    Route {
        query: WAIT,
        takes,
        ..post(change, path, Body::Asked, about)
    }
}

/// All routes.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    get(Look::Description, "/openapi.json", Body::Document, "This description."),
    get(Look::Status, "/status", Body::One("Status"), "What is live, running and queued, and each problem."),
    Route {
        query: OF_DEPLOYMENTS,
        ..get(Look::Deployments, "/deployments", Body::Page("Deployment"), "Deployments, newest first.")
    },
    get(Look::Deployment, "/deployments/{id}", Body::One("DeploymentDetail"), "A deployment with its phases."),
    Route {
        query: OF_LOG,
        ..get(Look::Log, "/deployments/{id}/log", Body::Log, "What a deployment printed.")
    },
    get(Look::Job, "/jobs/{id}", Body::One("Job"), "A job: how far it has come, or how it ended."),
    Route {
        query: OF_DELIVERIES,
        ..get(Look::Deliveries, "/deliveries", Body::Page("Delivery"), "Deliveries of webhooks, newest first.")
    },
    get(Look::Explanation, "/deliveries/{delivery}/explain", Body::One("Explanation"),
        "What a stored delivery would do by today's configuration, and why."),
    act(Change::Replay, "/deliveries/{delivery}/replay", None, "Handles a stored delivery as if it had just arrived."),
    get(Look::Releases, "/targets/{repo}/{target}/releases", Body::One("Releases"), "The releases that are kept."),
    act(Change::Deploy, "/targets/{repo}/{target}/deploy", Some(("DeployRequest", false)),
        "Brings a target to the tip of its ref. The only act that a `deploy:` token allows, and only without a `ref`."),
    act(Change::Retry, "/targets/{repo}/{target}/retry", Some(("DeployRequest", false)),
        "Retries a failed or rolled-back deployment."),
    act(Change::Rollback, "/targets/{repo}/{target}/rollback", Some(("RollbackRequest", false)),
        "Rolls back to an earlier release, and pins the target to it until it is resumed."),
    post(Change::Cancel, "/targets/{repo}/{target}/cancel", Body::Asked, "Stops the running deployment, and drops the queued one."),
    post(Change::Pause, "/targets/{repo}/{target}/pause", Body::Asked, "Deploys nothing until it is resumed."),
    act(Change::Resume, "/targets/{repo}/{target}/resume", None, "Resumes a paused or pinned target."),
    post(Change::TestNotify, "/notify/{name}/test", Body::Asked, "Sends a sample message to a channel."),
    post(Change::TestReport, "/repos/{repo}/report/test", Body::Asked,
        "Sets a sample status on what a repo has live, at its forge."),
    get(Look::Tokens, "/tokens", Body::All("Token"), "All tokens, without their secrets."),
    Route {
        takes: Some(("TokenRequest", true)),
        ..post(Change::AddToken, "/tokens", Body::Made("Token"), "Makes a token, and shows it once.")
    },
    post(Change::RemoveToken, "/tokens/{name}/remove", Body::Asked, "Removes a token."),
    Route {
        query: &[BEFORE, LIMIT],
        ..get(Look::Audit, "/audit", Body::Page("Act"), "Who did what, newest first.")
    },
];

/// What the table has for a request.
#[derive(Debug)]
pub enum Found<'p> {
    /// A route, and the parts of the path that stand at its parameters, still encoded.
    Route(&'static Route, Vec<&'p str>),
    /// The path is there for other methods only: those, as an `Allow` header names them.
    Other(&'static str),
    /// There is no such path.
    Nothing,
}

impl Route {
    /// The names in its path.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        let parts = self.path.split('/');
        parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    fn takes_method(&self, method: &Method) -> bool {
        match self.operation {
            Operation::Look(_) => matches!(*method, Method::GET | Method::HEAD),
            Operation::Change(_) => *method == Method::POST,
        }
    }

    /// The parts of a path at its parameters, if it is this route's.
    fn matched<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let mut parts = path.split('/');
        let mut values = Vec::new();
        for expected in self.path.split('/') {
            let part = parts.next()?;
            if expected.starts_with('{') && !part.is_empty() {
                values.push(part);
            } else if expected != part {
                return None;
            }
        }
        parts.next().is_none().then_some(values)
    }
}

/// Looks a request up.
pub fn find<'p>(method: &Method, path: &'p str) -> Found<'p> {
    let Some(path) = path.strip_prefix(BASE) else {
        return Found::Nothing;
    };
    let mut allowed = Found::Nothing;
    for route in ROUTES {
        let Some(values) = route.matched(path) else { continue };
        if route.takes_method(method) {
            return Found::Route(route, values);
        }
        allowed = Found::Other(match (&allowed, route.operation) {
            (Found::Nothing, Operation::Look(_)) => "GET, HEAD",
            (Found::Nothing, _) => "POST",
            _ => "GET, HEAD, POST",
        });
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: &Method, path: &str) -> Option<(Operation, Vec<String>)> {
        match find(method, path) {
            Found::Route(route, values) => Some((route.operation, values.into_iter().map(str::to_owned).collect())),
            Found::Other(_) | Found::Nothing => None,
        }
    }

    #[test]
    fn a_request_finds_its_route_and_the_values_in_its_path() {
        let found = operation(&Method::GET, "/api/v1/deployments/7/log").unwrap();
        assert_eq!(found, (Operation::Look(Look::Log), vec!["7".to_owned()]));
        let found = operation(&Method::POST, "/api/v1/targets/a/b/deploy").unwrap();
        assert_eq!(
            found,
            (Operation::Change(Change::Deploy), vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(
            operation(&Method::HEAD, "/api/v1/status").unwrap().0,
            Operation::Look(Look::Status)
        );
        for path in [
            "",
            "/api/v1",
            "/api/v1/",
            "/api/v1/status/",
            "/api/v2/status",
            "/api/v1/deployments//log",
            "/api/v1/jobs/",
        ] {
            assert!(matches!(find(&Method::GET, path), Found::Nothing), "{path}");
        }
        for (method, path, allow) in [
            (Method::DELETE, "/api/v1/tokens", "GET, HEAD, POST"),
            (Method::POST, "/api/v1/status", "GET, HEAD"),
            (Method::GET, "/api/v1/targets/a/b/pause", "POST"),
        ] {
            assert!(
                matches!(find(&method, path), Found::Other(found) if found == allow),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn each_route_is_found_by_its_own_path_alone() {
        for route in ROUTES {
            let path = format!("{BASE}{}", route.path.replace('{', "x").replace('}', ""));
            let method = match route.operation {
                Operation::Look(_) => Method::GET,
                Operation::Change(_) => Method::POST,
            };
            let (found, values) = operation(&method, &path).unwrap();
            assert_eq!(found, route.operation);
            assert_eq!(values.len(), route.parameters().count());
            for name in route.parameters() {
                assert!(IN_PATHS.iter().any(|parameter| parameter.name == name), "{name}");
            }
        }
    }
}
