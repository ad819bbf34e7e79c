//! What the tests of the forges share: the recorded payloads, headers from pairs, and repos without a configuration file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use hookd::config::{
    Config, Encoding, ForgeKind, Generic, HashAlgorithm, Http, Limits, OnEvent, Pattern, RefFilter, Remote, Repo,
    RepoOptions, SecretSource, Target, TargetOptions, Transport,
};
use hookd::forge::{Delivery, Trust};
use hookd::model::{Secret, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};

/// 2021-02-25T16:02:10Z, when the official vector of Standard Webhooks was signed.
pub const NOW: Timestamp = Timestamp(1_614_265_330_000);

pub const ALL: &[ForgeKind] = ForgeKind::ALL;

fn payloads() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/payloads")
}

pub fn payload(path: &str) -> Vec<u8> {
    std::fs::read(payloads().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of a table, without its head.
pub fn table(name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(payload(name)).unwrap();
    let row = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().skip(1).map(row).collect()
}

pub struct Fixture {
    pub path: String,
    pub forge: String,
    pub headers: HeaderMap,
    pub kind: String,
    pub body: Vec<u8>,
}

pub fn fixtures() -> Vec<Fixture> {
    let fixture = |row: Vec<String>| Fixture {
        body: payload(&row[0]),
        // The manifest's words differ from hookd's for one forge.
        forge: if row[1] == "bitbucket-cloud" {
            "bitbucket".into()
        } else {
            row[1].clone()
        },
        headers: if row[3] == "-" {
            HeaderMap::new()
        } else {
            headers(&[(&row[3], &row[4])])
        },
        kind: row[7].clone(),
        path: row[0].clone(),
    };
    table("MANIFEST.tsv").into_iter().map(fixture).collect()
}

pub fn headers<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_ref().as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value.as_ref()).unwrap());
    }
    map
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

pub fn verdict_of(forge: Option<ForgeKind>, key: &str, pairs: &[(&str, &str)], body: &[u8]) -> Result<(), String> {
    check(
        &Repo {
            forge,
            ..repo("blog", "alice/blog")
        },
        key,
        pairs,
        body,
    )
}

/// `Ok`, or the reason for journal and metrics.
pub fn check(repo: &Repo, key: &str, pairs: &[(&str, &str)], body: &[u8]) -> Result<(), String> {
    let keys = [secret(key)];
    let headers = headers(pairs);
    let trust = Trust::of(repo, &keys, NOW);
    let verified = hookd::forge::verify(
        &Delivery {
            headers: &headers,
            body,
        },
        &trust,
    );
    verified.map(|_| ()).map_err(|rejection| rejection.reason().to_owned())
}

pub fn generic() -> Generic {
    Generic {
        header: "X-Signature".into(),
        algorithm: HashAlgorithm::Sha256,
        encoding: Encoding::Hex,
        prefix: String::new(),
        repo: "/repository/full_name".into(),
        git_ref: "/ref".into(),
        commit: "/after".into(),
        delivery_header: "X-Delivery".into(),
    }
}

pub fn repo(name: &str, full_name: &str) -> Repo {
    Repo {
        name: name.parse().unwrap(),
        remote: Remote {
            url: format!("https://git.example/{full_name}.git").parse().unwrap(),
            host: Some("git.example".into()),
            path: full_name.into(),
            transport: Transport::Https,
        },
        forge: None,
        full_name: full_name.into(),
        secret: vec![SecretSource::Env("SECRET".into())],
        token: None,
        proxy: None,
        keys: Vec::new(),
        public_key: None,
        auth_header: None,
        dispatch: None,
        generic: generic(),
        targets: BTreeMap::new(),
        options: RepoOptions::default(),
    }
}

pub fn patterns(texts: &[&str]) -> Vec<Pattern> {
    let pattern = |text: &&str| {
        let plain = text.strip_prefix('!').unwrap_or(text);
        let glob = globset::GlobBuilder::new(plain)
            .literal_separator(true)
            .build()
            .unwrap();
        Pattern {
            text: (*text).into(),
            negated: text.starts_with('!'),
            glob: glob.compile_matcher(),
        }
    };
    texts.iter().map(pattern).collect()
}

pub fn on(names: &[&str]) -> Vec<OnEvent> {
    names.iter().map(|name| OnEvent((*name).into())).collect()
}

/// `blog/production`, which follows the branch main.
pub fn target() -> Target {
    Target {
        id: "blog/production".parse().unwrap(),
        refs: RefFilter::Branches(patterns(&["main"])),
        path: "/srv/blog".into(),
        url: None,
        environment: "live".to_owned(),
        build: None,
        reload: None,
        check: None,
        paths: Vec::new(),
        pusher: Vec::new(),
        on: Vec::new(),
        options: TargetOptions::default(),
    }
}

pub fn with_target(repo: Repo, target: Target) -> Repo {
    Repo {
        targets: BTreeMap::from([(target.id.target.clone(), Arc::new(target))]),
        ..repo
    }
}

pub fn config(repos: Vec<Repo>) -> Config {
    Config {
        places: hookd::config::Places::default(),
        file: "/etc/hookd.toml".into(),
        listen: Vec::new(),
        state_dir: "/var/lib/hookd".into(),
        control: "/run/hookd/control.sock".into(),
        max_jobs: 2,
        limits: Limits::default(),
        http: Http::default(),
        repos: repos
            .into_iter()
            .map(|repo| (repo.name.clone(), Arc::new(repo)))
            .collect(),
        notify: BTreeMap::new(),
        forges: BTreeMap::new(),
    }
}

/// The options of a repo that takes, or refuses, the older signature of GitHub.
pub fn with_sha1(allow_sha1: bool) -> RepoOptions {
    RepoOptions {
        allow_sha1,
        ..RepoOptions::default()
    }
}
