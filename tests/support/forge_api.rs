//! A forge's API for webhooks and deploy keys: a small HTTP server that keeps what it is given, speaks the dialect of one
//! forge and asks for its token.

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
}

/// See the module; its thread ends with the test's process.
pub struct ForgeApi {
    address: SocketAddr,
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
        Self { address, kept }
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
    let Kept { hooks, keys, count, .. } = kept;
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
        ("GET", true) => {
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
            let shown: Vec<Value> = list.iter().map(masked).collect();
            let shown = match forge {
                "gogs" => shown,
                _ => shown.into_iter().skip((page - 1) * size).take(size).collect(),
            };
            (
                200,
                if forge == "bitbucket" {
                    json!({ "values": shown })
                } else {
                    json!(shown)
                },
            )
        }
        ("POST", true) => {
            if list
                .iter()
                .any(|entry| entry["key"].is_string() && entry["key"] == body["key"])
            {
                return (422, json!({ "message": "key is already in use" }));
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
