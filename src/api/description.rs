//! The description of the API for programs: `OpenAPI` 3.1, made from the table of routes and the wire types.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::routes::{BASE, Body, Change, IN_PATHS, Kind, Look, NUMBER_MAX, Operation, Parameter, ROUTES, Route};
use super::{
    Act, Asked, Delivery, DeployRequest, Deployment, DeploymentDetail, ErrorBody, Explanation, Job, LogLine, Releases,
    RollbackRequest, Status, Token, TokenRequest,
};

/// Where types are described, as a pointer into the document.
const SCHEMAS: &str = "/components/schemas";

/// The errors that any operation may give, beside those of the connection: status, and when it comes.
const PROBLEMS: &[(&str, &str)] = &[
    ("400", "A parameter or the body is invalid."),
    (
        "401",
        "The token is not known; or people log in here, and the request has neither a token nor a session.",
    ),
    ("403", "Not allowed."),
    ("404", "Not found."),
    ("409", "The state of what is named does not allow this."),
    ("500", "The log of the deployment can't be read."),
    ("503", "The store, the remote or the other end is not available now."),
];

/// The whole document.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hookd",
            "description": "What is live, the deployments, the webhook deliveries, and what people and programs can do. Times are \
                milliseconds since the epoch. Names and meanings stay; clients must ignore fields that they do not know.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The control socket, or `[http] status`." }],
        "security": [{}, { "token": [] }],
        "paths": paths(),
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `hookd token add`. The control socket asks for none.",
                },
            },
            "responses": problems(),
            "headers": {
                "ETag": { "description": "For `If-None-Match`.", "schema": { "type": "string" } },
                "Link": {
                    "description": "The next page: `</api/v1/…?before=17>; rel=\"next\"`. Not there at its end.",
                    "schema": { "type": "string" },
                },
            },
            "schemas": schemas(),
        },
    })
}

fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths
            .entry(format!("{BASE}{}", route.path))
            .or_insert_with(|| json!({}));
        path[method(route)] = operation(route);
    }
    paths
}

fn method(route: &Route) -> &'static str {
    match route.operation {
        Operation::Look(_) => "get",
        Operation::Change(_) => "post",
    }
}

fn operation(route: &Route) -> Value {
    let in_path = |name| IN_PATHS.iter().find(|parameter| parameter.name == name);
    let mut parameters: Vec<Value> = route
        .parameters()
        .filter_map(in_path)
        .map(|parameter| described(parameter, "path"))
        .collect();
    parameters.extend(route.query.iter().map(|parameter| described(parameter, "query")));
    let mut responses = answers(route);
    for (status, _) in PROBLEMS.iter().filter(|(status, _)| may_answer(route, status)) {
        responses.insert((*status).to_owned(), reference("/components/responses", status));
    }
    let mut operation = json!({
        "operationId": id(route),
        "summary": route.about,
        "parameters": parameters,
        "responses": responses,
    });
    if !takes_tokens(route) {
        operation["security"] = json!([{}]);
    }
    if let Some((name, required)) = route.takes {
        operation["requestBody"] =
            json!({ "required": required, "content": content("application/json", &schema_of(name)) });
    }
    operation
}

/// Whether an operation may fail so. Each may be refused to a visitor, and each asks the store who that is.
fn may_answer(route: &Route, status: &str) -> bool {
    match status {
        "400" => !route.query.is_empty() || route.takes.is_some(),
        "404" => route.parameters().next().is_some(),
        "409" => matches!(
            route.operation,
            Operation::Change(
                Change::Deploy
                    | Change::Retry
                    | Change::Rollback
                    | Change::Replay
                    | Change::TestReport
                    | Change::AddToken
            )
        ),
        "500" => route.gives == Body::Log,
        _ => true,
    }
}

/// Whether there are tokens that may do it: they look, and one act is theirs.
fn takes_tokens(route: &Route) -> bool {
    matches!(route.operation, Operation::Look(_) | Operation::Change(Change::Deploy))
}

/// Whether it may ask for jobs, which then wait or run.
fn queues(route: &Route) -> bool {
    matches!(
        route.operation,
        Operation::Change(Change::Deploy | Change::Retry | Change::Rollback | Change::Resume | Change::Replay)
    )
}

/// `addToken`
fn id(route: &Route) -> String {
    let mut id = match route.operation {
        Operation::Look(look) => format!("{look:?}"),
        Operation::Change(change) => format!("{change:?}"),
    };
    if let Some(first) = id.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    id
}

fn described(parameter: &Parameter, place: &str) -> Value {
    let schema = match parameter.kind {
        Kind::Text => json!({ "type": "string", "minLength": 1 }),
        Kind::Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
        Kind::Number => json!({ "type": "integer", "minimum": 1, "maximum": NUMBER_MAX }),
        Kind::Words(words) => json!({ "type": "string", "enum": words }),
    };
    json!({
        "name": parameter.name,
        "in": place,
        "required": place == "path",
        "description": parameter.about,
        "schema": schema,
    })
}

fn answers(route: &Route) -> Map<String, Value> {
    let one = |status: &str, about: &str, content: Value, headers: &[&str]| {
        let headers: Map<String, Value> = headers
            .iter()
            .map(|name| ((*name).to_owned(), reference("/components/headers", name)))
            .collect();
        let answer = json!({ "description": about, "content": content, "headers": headers });
        (status.to_owned(), answer)
    };
    let json_of = |name| content("application/json", &schema_of(name));
    let list_of = |name| {
        content(
            "application/json",
            &json!({ "type": "array", "items": schema_of(name) }),
        )
    };
    let mut answers = Map::from_iter(match route.gives {
        Body::One(name) => vec![one("200", "As asked for.", json_of(name), &["ETag"])],
        Body::All(name) => vec![one("200", "All of them.", list_of(name), &["ETag"])],
        Body::Page(name) => vec![one("200", "The newest of them.", list_of(name), &["ETag", "Link"])],
        Body::Document => {
            let any = content("application/json", &json!({ "type": "object" }));
            vec![one("200", "An OpenAPI document.", any, &["ETag"])]
        }
        Body::Log => {
            let mut log = content(
                "application/jsonl",
                &json!({ "type": "string", "description": "A `LogLine` in each line." }),
            );
            log["text/event-stream"] = json!({ "schema": {
                "type": "object",
                "description": "Each event has a `LogLine` as its data; the event `end` is the last.",
                "properties": { "event": { "enum": ["message", "end"] }, "data": { "type": "string" } },
                "required": ["data"],
            } });
            vec![one(
                "200",
                "The lines so far, or with `follow` all of them until the end.",
                log,
                &[],
            )]
        }
        Body::Made(name) => vec![one("201", "Made.", json_of(name), &[])],
        Body::Asked if queues(route) => vec![
            one("200", "Done, or ended within `wait`.", json_of("Asked"), &[]),
            one("202", "Stored; the job is queued or running.", json_of("Asked"), &[]),
        ],
        Body::Asked => vec![one("200", "Done.", json_of("Asked"), &[])],
    });
    if matches!(route.operation, Operation::Look(look) if look != Look::Log) {
        let known = json!({ "description": "Not changed since the entity tag in `If-None-Match`." });
        answers.insert("304".to_owned(), known);
    }
    answers
}

fn problems() -> Map<String, Value> {
    let problem = content("application/problem+json", &schema_of("ErrorBody"));
    let all = PROBLEMS.iter().map(|(status, about)| {
        let response = json!({ "description": about, "content": problem });
        ((*status).to_owned(), response)
    });
    all.collect()
}

fn content(kind: &str, schema: &Value) -> Value {
    let mut content = json!({});
    content[kind] = json!({ "schema": schema });
    content
}

fn reference(place: &str, name: &str) -> Value {
    json!({ "$ref": format!("#{place}/{name}") })
}

fn schema_of(name: &str) -> Value {
    reference(SCHEMAS, name)
}

/// All types that routes name, with those within them.
fn schemas() -> Map<String, Value> {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        })
    };
    let mut given = SchemaGenerator::new(settings().for_serialize());
    let types: [fn(&mut SchemaGenerator) -> Schema; 12] = [
        named::<Status>,
        named::<Deployment>,
        named::<DeploymentDetail>,
        named::<Job>,
        named::<Delivery>,
        named::<Explanation>,
        named::<Releases>,
        named::<Asked>,
        named::<Token>,
        named::<Act>,
        named::<LogLine>,
        named::<ErrorBody>,
    ];
    for name in types {
        name(&mut given);
    }
    let mut taken = SchemaGenerator::new(settings().for_deserialize());
    let types: [fn(&mut SchemaGenerator) -> Schema; 3] =
        [named::<DeployRequest>, named::<RollbackRequest>, named::<TokenRequest>];
    for name in types {
        name(&mut taken);
    }
    let mut all = given.take_definitions(true);
    all.extend(taken.take_definitions(true));
    all
}

fn named<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_description_has_each_route_and_nothing_else() {
        let document = document();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, operations)| {
                let methods = operations.as_object().unwrap().keys();
                methods.map(|method| (method.clone(), path.clone()))
            })
            .collect();
        let routed: BTreeSet<(String, String)> = ROUTES
            .iter()
            .map(|route| (method(route).to_owned(), format!("{BASE}{}", route.path)))
            .collect();
        assert_eq!(described, routed);
        assert_eq!(routed.len(), ROUTES.len(), "a route stands twice");
    }

    #[test]
    fn each_reference_leads_somewhere() {
        fn visit(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    members.values().for_each(|value| visit(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| visit(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        visit(&document, &mut found);
        assert!(found.len() > ROUTES.len());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let ids: BTreeSet<String> = ROUTES.iter().map(id).collect();
        assert_eq!(ids.len(), ROUTES.len());
        assert!(ids.contains("addToken"));
    }
}
