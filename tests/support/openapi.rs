//! The forge's own description of its API, as a judge of requests.

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

/// The operations of a description, with their schemas ready.
pub struct Description {
    operations: Vec<Operation>,
    schemas: Schemas,
}

struct Operation {
    method: String,
    path: String,
    query: Vec<String>,
    body: Option<(SchemaIndex, Vec<String>)>,
}

impl Description {
    /// GitHub's: tests/payloads/github.openapi.json says where it is from.
    pub fn github() -> Self {
        let text = include_str!("../payloads/github.openapi.json");
        let described: Value = serde_json::from_str(text).unwrap();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let mut operations = Vec::new();
        for (number, operation) in described["operations"].as_array().unwrap().iter().enumerate() {
            let schema = &operation["body"]["schema"];
            let body = schema.is_object().then(|| {
                let place = format!("https://example.org/{number}.json");
                compiler.add_resource(&place, schema.clone()).unwrap();
                (compiler.compile(&place, &mut schemas).unwrap(), properties(schema))
            });
            let names = operation["query"].as_array().unwrap().iter();
            operations.push(Operation {
                method: operation["method"].as_str().unwrap().to_owned(),
                path: operation["path"].as_str().unwrap().to_owned(),
                query: names.map(|query| query["name"].as_str().unwrap().to_owned()).collect(),
                body,
            });
        }
        Self { operations, schemas }
    }

    /// What is wrong with a request, if anything is: an unknown operation, query or key, or a body that its schema refuses.
    pub fn judge(&self, method: &str, target: &str, body: &Value) -> Result<(), String> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let is_it = |operation: &&Operation| operation.method == method && fits(&operation.path, path);
        let operation = self
            .operations
            .iter()
            .find(is_it)
            .ok_or(format!("{method} {path} is not described"))?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap();
            if !operation.query.iter().any(|known| known == name) {
                return Err(format!("{method} {path} has no query `{name}`"));
            }
        }
        let Some((schema, known)) = &operation.body else {
            return if body.is_null() {
                Ok(())
            } else {
                Err(format!("{method} {path} takes no body"))
            };
        };
        if let Some(key) = body
            .as_object()
            .into_iter()
            .flat_map(|o| o.keys())
            .find(|key| !known.contains(key))
        {
            return Err(format!("{method} {path} has no key `{key}`"));
        }
        let judged = self.schemas.validate(body, *schema);
        judged.map_err(|error| format!("{method} {path}: {error:#}"))
    }
}

fn properties(schema: &Value) -> Vec<String> {
    let keys = schema["properties"].as_object().into_iter().flat_map(|o| o.keys());
    keys.cloned().collect()
}

/// Whether a path is what a template like `/repos/{owner}/{repo}` means.
fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let alike = |(pattern, part): (&&str, &&str)| pattern == part || (pattern.starts_with('{') && !part.is_empty());
    template.len() == path.len() && template.iter().zip(&path).all(alike)
}
