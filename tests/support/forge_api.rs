//! A forge's API for webhooks and deploy keys: a small HTTP server that keeps what it is given, speaks the dialect of one
//! forge and asks for its token.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::forge::Delivery;
use super::http::Address;

/// One request, as it came in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub body: Value,
}

/// Where things are and what they are called.
#[derive(Debug, Clone, Copy)]
struct Dialect {
    hooks: &'static str,
    keys: &'static str,
    auth: (&'static str, &'static str),
    /// How a hook is changed.
    update: &'static str,
}

/// The dialects, as the forges' manuals have them, for the repository alice/site.
fn dialect(forge: &str) -> Dialect {
    let of = |hooks, keys, auth, update| Dialect {
        hooks,
        keys,
        auth,
        update,
    };
    let repos = ("/repos/alice/site/hooks", "/repos/alice/site/keys");
    match forge {
        "github" => of(repos.0, repos.1, ("authorization", "Bearer t0ken"), "PATCH"),
        "gitlab" => of(
            "/projects/alice%2Fsite/hooks",
            "/projects/alice%2Fsite/deploy_keys",
            ("private-token", "t0ken"),
            "PUT",
        ),
        "bitbucket" => of(
            "/repositories/alice/site/hooks",
            "/repositories/alice/site/deploy-keys",
            ("authorization", "Bearer t0ken"),
            "PUT",
        ),
        _ => of(repos.0, repos.1, ("authorization", "token t0ken"), "PATCH"),
    }
}

#[derive(Default)]
struct Kept {
    hooks: Vec<Value>,
    keys: Vec<Value>,
    asked: Vec<Asked>,
    count: u64,
    pings_to: Option<SocketAddr>,
    /// Paths whose lists show nothing, so many times more.
    unlisted: HashMap<&'static str, usize>,
    /// Another repository has every key.
    has_keys: bool,
    /// Takes no webhook, and says so.
    takes_no_hooks: bool,
}

/// See the module; its thread ends with the test's process.
pub struct ForgeApi {
    address: SocketAddr,
    forge: &'static str,
    kept: Arc<Mutex<Kept>>,
}

impl ForgeApi {
    /// Starts one.
    pub fn new(forge: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let shared = Arc::clone(&kept);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is no concern of the server.
                let _ = serve(stream, forge, &shared);
            }
        });
        Self { address, forge, kept }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The hooks that it has.
    pub fn hooks(&self) -> Vec<Value> {
        self.kept.lock().unwrap().hooks.clone()
    }

    /// The deploy keys that it has.
    pub fn keys(&self) -> Vec<Value> {
        self.kept.lock().unwrap().keys.clone()
    }

    /// What it was asked since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.kept.lock().unwrap().asked)
    }

    /// Delivers its pings there from now on.
    pub fn deliver_pings_to(&self, address: Option<SocketAddr>) {
        self.kept.lock().unwrap().pings_to = address;
    }

    /// Changes each hook, as a person does on its page.
    pub fn change_hooks(&self, change: impl FnMut(&mut Value)) {
        self.kept.lock().unwrap().hooks.iter_mut().for_each(change);
    }

    /// Deletes all hooks, as a person does on their page.
    pub fn forget_hooks(&self) {
        self.kept.lock().unwrap().hooks.clear();
    }

    /// Shows nothing the next times that hooks are listed, and that keys are.
    pub fn list_nothing(&self, hooks: usize, keys: usize) {
        let dialect = dialect(self.forge);
        let paths = [(dialect.hooks, hooks), (dialect.keys, keys)];
        self.kept.lock().unwrap().unlisted = HashMap::from(paths);
    }

    /// From now on says of every key that another repository has it, or not.
    pub fn have_keys_elsewhere(&self, yes: bool) {
        self.kept.lock().unwrap().has_keys = yes;
    }

    /// From now on refuses every webhook, or not.
    pub fn refuse_hooks(&self, yes: bool) {
        self.kept.lock().unwrap().takes_no_hooks = yes;
    }

    /// Puts hooks of somebody else there first.
    pub fn crowd(&self, hooks: impl IntoIterator<Item = Value>) {
        self.kept.lock().unwrap().hooks.extend(hooks);
    }
}

fn serve(mut stream: TcpStream, forge: &str, kept: &Mutex<Kept>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split(' ');
    let (method, target) = (
        words.next().unwrap_or_default().to_owned(),
        words.next().unwrap_or_default().to_owned(),
    );
    let (mut length, mut auth) = (0, None);
    let dialect = dialect(forge);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            name if name == dialect.auth.0 => auth = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, answer) = if auth.as_deref() == Some(dialect.auth.1) {
        let mut kept = kept.lock().unwrap();
        kept.asked.push(Asked {
            method: method.clone(),
            path: target.clone(),
            body: body.clone(),
        });
        answer(forge, dialect, &mut kept, &method, &target, body)
    } else {
        (401, json!({ "message": "Bad credentials" }))
    };
    let text = if status == 204 {
        String::new()
    } else {
        answer.to_string()
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(text.as_bytes())?;
    // Until the client has read it.
    let _ = stream.read(&mut [0]);
    Ok(())
}

fn answer(forge: &str, dialect: Dialect, kept: &mut Kept, method: &str, target: &str, mut body: Value) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if let Some(id) = path.strip_suffix("/pings").and_then(|path| path.rsplit('/').next()) {
        return ping(kept, id);
    }
    let url = |entry: &Value| {
        entry["config"]["url"]
            .as_str()
            .or(entry["url"].as_str())
            .map(str::to_owned)
    };
    let is_hook = path.starts_with(dialect.hooks);
    let Kept {
        hooks,
        keys,
        count,
        unlisted,
        has_keys,
        takes_no_hooks,
        ..
    } = kept;
    let (list, rest) = if let Some(rest) = path.strip_prefix(dialect.hooks) {
        (hooks, rest)
    } else if let Some(rest) = path.strip_prefix(dialect.keys) {
        (keys, rest)
    } else {
        return (404, json!({ "message": "Not Found" }));
    };
    let id = rest.trim_start_matches('/').replace("%7B", "{").replace("%7D", "}");
    let number: Option<u64> = id.parse().ok();
    let own = |entry: &Value| entry["uuid"] == json!(id) || (number.is_some() && entry["id"].as_u64() == number);
    match (method, id.is_empty()) {
        ("GET", true) if unlisted.get(path).is_some_and(|times| *times > 0) => {
            unlisted
                .entry(if is_hook { dialect.hooks } else { dialect.keys })
                .and_modify(|times| *times -= 1);
            (200, page(forge, &[], query))
        }
        ("GET", true) => (200, page(forge, list, query)),
        ("POST", true) => {
            if is_hook && *takes_no_hooks {
                return (
                    422,
                    json!({ "message": "Validation Failed", "errors": [{ "message": "no such hooks here" }] }),
                );
            }
            let known = if is_hook {
                list.iter().any(|entry| url(entry) == url(&body))
            } else {
                *has_keys || list.iter().any(|entry| entry["key"] == body["key"])
            };
            if known {
                return taken(forge, is_hook);
            }
            *count += 1;
            body["id"] = json!(*count);
            if forge == "bitbucket" && path == dialect.hooks {
                body["uuid"] = json!(format!("{{u-{count}}}"));
            }
            list.push(body.clone());
            (201, masked(&body))
        }
        ("DELETE", false) => {
            let before = list.len();
            list.retain(|entry| !own(entry));
            (if list.len() < before { 204 } else { 404 }, Value::Null)
        }
        (method, false) if method == dialect.update => match list.iter_mut().find(|entry| own(entry)) {
            Some(entry) => {
                for (name, value) in body.as_object().cloned().unwrap_or_default() {
                    entry[name] = value;
                }
                (200, masked(entry))
            }
            None => (404, json!({ "message": "Not Found" })),
        },
        _ => (405, json!({ "message": "Method Not Allowed" })),
    }
}

/// A page of a list.
fn page(forge: &str, list: &[Value], query: &str) -> Value {
    let number = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, _)| *key == name)
            .find_map(|(_, value)| value.parse().ok())
    };
    let size: usize = ["per_page", "limit", "pagelen"]
        .iter()
        .find_map(|name| number(name))
        .unwrap_or(30);
    let page: usize = number("page").unwrap_or(1);
    // What no forge tells is the secret. Gogs knows no pages.
    let mut shown: Vec<Value> = list.iter().map(masked).collect();
    if forge != "gogs" {
        shown = shown.into_iter().skip((page - 1) * size).take(size).collect();
    }
    if forge == "bitbucket" {
        json!({ "values": shown })
    } else {
        json!(shown)
    }
}

/// How the forge says that it has a hook or a key already.
fn taken(forge: &str, is_hook: bool) -> (u16, Value) {
    match (forge, is_hook) {
        ("github", true) => (
            422,
            json!({ "message": "Validation Failed", "errors": [{ "resource": "Hook", "code": "custom",
                "message": "Hook already exists on this repository" }] }),
        ),
        ("github", false) => (
            422,
            json!({ "message": "Validation Failed", "errors": [{ "resource": "PublicKey", "code": "custom", "field": "key",
                "message": "key is already in use" }] }),
        ),
        ("gitlab", true) => (422, json!({ "message": { "url": ["has already been taken"] } })),
        ("gitlab", false) => (
            400,
            json!({ "message": { "deploy_key.fingerprint": ["has already been taken"] } }),
        ),
        ("bitbucket", true) => (
            400,
            json!({ "type": "error", "error": { "message": "A webhook with this URL already exists" } }),
        ),
        ("bitbucket", false) => (
            400,
            json!({ "type": "error", "error": { "message": "Someone has already registered that SSH key." } }),
        ),
        (_, true) => (422, json!({ "message": "hook already exists" })),
        (_, false) => (422, json!({ "message": "Key content has been used as non-deploy key" })),
    }
}

/// Delivers a ping, as GitHub does: behind the answer.
fn ping(kept: &Kept, id: &str) -> (u16, Value) {
    let hook = kept
        .hooks
        .iter()
        .find(|hook| hook["id"] == json!(id.parse::<u64>().unwrap_or_default()));
    let Some(hook) = hook else {
        return (404, json!({ "message": "Not Found" }));
    };
    if let Some(address) = kept.pings_to {
        let url = url::Url::parse(hook["config"]["url"].as_str().unwrap()).unwrap();
        let secret = hook["config"]["secret"].as_str().unwrap();
        let ping = Delivery::github(
            "ping",
            json!({ "zen": "Keep it logically awesome.", "hook_id": hook["id"] }).to_string(),
        );
        let bytes = ping.to(url.path()).signed(secret).bytes();
        // Nobody waits for what it is answered.
        std::thread::spawn(move || Address::Tcp(address).send(&bytes).map(drop));
    }
    (204, Value::Null)
}

fn masked(entry: &Value) -> Value {
    let mut entry = entry.clone();
    if let Some(object) = entry.as_object_mut() {
        object.remove("token");
        object.remove("secret");
        if let Some(config) = object.get_mut("config").and_then(Value::as_object_mut) {
            config.remove("secret");
        }
    }
    entry
}
