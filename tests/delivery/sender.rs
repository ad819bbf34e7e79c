//! Who signs and sends: the library that GitHub publishes, that of Standard Webhooks, Python's `hmac`, openssl.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::hooks::Hook;
use crate::support::git_server::program;
use crate::support::http::Address;
use crate::support::world::World;

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// What signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// `@octokit/webhooks-methods`, and `standardwebhooks`: `tests/senders/send.mjs`.
    Node,
    /// `hmac`, or openssl: `tests/senders/send.py`.
    Python,
}

/// What the daemon answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u64,
    pub json: Value,
    pub text: String,
}

impl Answer {
    pub fn word(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_default()
    }
}

/// One delivery, before it is signed.
#[derive(Debug, Clone)]
pub struct Delivery<'h> {
    hook: &'h Hook,
    body: Vec<u8>,
    secret: String,
    path: String,
    headers: Vec<(String, String)>,
    signed: bool,
    cut: Option<usize>,
}

/// A body below `tests/payloads`, or the body itself.
pub fn body(named: &str) -> Vec<u8> {
    if named.starts_with('{') {
        return named.into();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads").join(named);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl<'h> Delivery<'h> {
    /// As the hook's forge sends this event to `/hook/site`, with an id of its own.
    pub fn new(hook: &'h Hook, event: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut delivery = Self {
            hook,
            body: body.into(),
            secret: hook.secret.to_owned(),
            path: "/hook/site".to_owned(),
            headers: Vec::new(),
            signed: true,
            cut: None,
        };
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        if let Some(name) = hook.id_header {
            delivery = delivery.header(name, &format!("72d3162e-cc78-11e3-81ab-{number:012}"));
        }
        for name in hook.event_headers {
            delivery = delivery.header(name, event);
        }
        delivery
    }

    pub fn to(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub fn secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.secret);
        self
    }

    /// With a header, instead of what it had of that name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub fn unsigned(mut self) -> Self {
        self.signed = false;
        self
    }

    /// Half of its body gets lost after it was signed.
    pub fn cut(mut self) -> Self {
        self.cut = Some(self.body.len() / 2);
        self
    }

    /// Has it signed and sent.
    #[track_caller]
    pub fn send(&self, world: &World) -> Answer {
        let Address::Tcp(address) = world.address() else {
            panic!("no TCP")
        };
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let body = world.path(&format!("body-{number}"));
        fs::write(&body, &self.body).unwrap();
        let mut order = if self.signed {
            self.hook.order.clone()
        } else {
            json!({})
        };
        order["form"] = self.hook.form.into();
        if let Some(cut) = self.cut {
            order["cut"] = cut.into();
        }
        order["url"] = format!("http://{address}{}", self.path).into();
        order["body"] = body.to_string_lossy().into();
        order["secret"] = in_world(&self.secret, world).into();
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        order["headers"] = headers.collect::<serde_json::Map<_, _>>().into();
        if let Some(header) = self.hook.secret_header.filter(|_| self.signed) {
            order["headers"][header] = self.secret.as_str().into();
        }
        let signer = if self.signed { self.hook.signer } else { Signer::Python };
        let said = run(signer, &order);
        let text = said["text"].as_str().unwrap().to_owned();
        Answer {
            status: said["status"].as_u64().unwrap(),
            json: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }
}

/// `$DIR` is the world's directory.
fn in_world(text: &str, world: &World) -> String {
    text.replace("$DIR", &world.dir().to_string_lossy())
}

fn senders() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/senders")
}

#[track_caller]
fn run(signer: Signer, order: &Value) -> Value {
    let (interpreter, script) = match signer {
        Signer::Python => (program("python3", "python3"), "send.py"),
        Signer::Node => (program("node", "nodejs"), "send.mjs"),
    };
    let installed = senders().join("node_modules/standardwebhooks").is_dir();
    assert!(
        signer == Signer::Python || installed,
        "this test needs the senders: npm ci --prefix tests/senders"
    );
    let mut child = Command::new(interpreter)
        .arg(senders().join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(order.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{order}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Makes an Ed25519 key with openssl in the world's directory; gives its public half in hexadecimal.
pub fn make_key(world: &World, name: &str) -> String {
    let openssl = |arguments: &[&str]| {
        let output = Command::new(program("openssl", "openssl"))
            .args(arguments)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {error}");
        output.stdout
    };
    let path = world.path(name).to_string_lossy().into_owned();
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", &path]);
    // The last 32 bytes of the DER are the key.
    let der = openssl(&["pkey", "-in", &path, "-pubout", "-outform", "DER"]);
    hex::encode(&der[der.len() - 32..])
}
