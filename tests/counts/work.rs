//! The hot paths, each as so many rounds of the same work.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hookd::config::{ForgeKind, Repo, Transport};
use hookd::daemon::read_settings;
use hookd::forge::{self, Delivery, Sample, Signing, Trust};
use hookd::git::{Access, CheckoutOptions, Git, Reuse};
use hookd::model::{CommitId, GitRef, Secret, Timestamp};
use hookd::rules;
use hookd::store::{NewDelivery, NewJob, Source, Store};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio_util::sync::CancellationToken;

const NOW: Timestamp = Timestamp(1_750_000_000_000);
const SECRET: &[u8] = b"a secret that is long enough";

/// Files of the site that is released, and how many of them a push changes.
const FILES: usize = 200;
const CHANGED: usize = 4;

/// All paths.
pub fn names() -> Vec<String> {
    // What is generic is as each configuration has it.
    let forges = ForgeKind::ALL.iter().filter(|kind| **kind != ForgeKind::Generic);
    let forges = forges.map(|kind| format!("parse-{}", kind.as_str()));
    let others = ["release-diff", "release-copy", "accept", "verify", "judge"].map(str::to_owned);
    others.into_iter().chain(forges).collect()
}

/// Two counts of rounds, whose difference is work alone.
pub fn rounds(name: &str) -> (u64, u64) {
    match name {
        _ if name.starts_with("release") => (1, 3),
        "accept" => (20, 60),
        _ => (10, 30),
    }
}

/// Does so many rounds of that work.
pub fn run(name: &str, rounds: u64, directory: &Path) {
    match name.split_once('-') {
        Some(("parse", kind)) => parse(kind, rounds),
        Some(("release", what)) => asynchronous(release(what == "copy", rounds, directory)),
        _ if name == "verify" => verify(rounds, directory),
        _ if name == "judge" => judge(rounds, directory),
        _ => asynchronous(accept(rounds, directory)),
    }
}

fn asynchronous(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work);
}

fn push(kind: ForgeKind, after: &str) -> (HeaderMap, Vec<u8>) {
    let id = "sample-1".parse().unwrap();
    let sample = Sample {
        full_name: "alice/blog",
        git_ref: &GitRef::branch("main").unwrap(),
        before: &CommitId::zero(),
        after: &after.parse().unwrap(),
        id: &id,
        generic: None,
    };
    let mut body = forge::sample_push(kind, &sample);
    // As long as many pushes are; forges send much that nobody needs.
    let end = body.len() - 1;
    body.splice(
        end..end,
        format!(",\"more\":[{}{{}}]", "{\"a\":1,\"b\":\"two\"},".repeat(400)).into_bytes(),
    );
    let signing = Signing {
        id: &id,
        now: NOW,
        generic: None,
        auth_header: Some("x-secret"),
    };
    // Nobody can sign for SourceHut; what it says is parsed all the same.
    let signed = forge::sign(kind, Some(&Secret::new(SECRET.to_vec())), &body, &signing).unwrap_or_default();
    let header = |(name, value): (String, String)| {
        (
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(&value).unwrap(),
        )
    };
    (signed.into_iter().map(header).collect(), body)
}

/// A repo as the configuration has it.
fn repo(directory: &Path) -> Arc<Repo> {
    let secret = directory.join("secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let file = directory.join("hookd.toml");
    let text = "state_dir = \"state\"\n[repo.blog]\nurl = \"https://github.com/alice/blog.git\"\nsecret = \"file:secret\"\n\
         [repo.blog.deploy.live]\nbranch = [\"main\", \"release/*\"]\npath = \"www\"\n\
         [repo.blog.deploy.preview]\nbranch = \"topic/*\"\npath = \"preview\"\n";
    fs::write(&file, text).unwrap();
    let (settings, _) = read_settings(&file).unwrap();
    Arc::clone(settings.config.repos.values().next().unwrap())
}

fn parse(kind: &str, rounds: u64) {
    let kind = *ForgeKind::ALL.iter().find(|known| known.as_str() == kind).unwrap();
    let (headers, body) = push(kind, &"1".repeat(40));
    for _ in 0..rounds {
        let parsed = forge::parse_unverified(&headers, &body, Some(kind), None).unwrap();
        assert!(!parsed.events.is_empty());
    }
}

fn verify(rounds: u64, directory: &Path) {
    let repo = repo(directory);
    let (headers, body) = push(ForgeKind::GitHub, &"1".repeat(40));
    let delivery = Delivery {
        headers: &headers,
        body: &body,
    };
    let secrets = [Secret::new(SECRET.to_vec())];
    for _ in 0..rounds {
        assert!(forge::verify(&delivery, &Trust::of(&repo, &secrets, NOW)).is_ok());
    }
}

fn judge(rounds: u64, directory: &Path) {
    let repo = repo(directory);
    let (headers, body) = push(ForgeKind::GitHub, &"1".repeat(40));
    let parsed = forge::parse_unverified(&headers, &body, Some(ForgeKind::GitHub), None).unwrap();
    for _ in 0..rounds {
        assert!(rules::concerns(&repo, &parsed));
        assert_eq!(rules::judge(&repo, &parsed).len(), 2);
    }
}

async fn accept(rounds: u64, directory: &Path) {
    let (store, writer) = Store::open(&directory.join("hookd.db"), 100).unwrap();
    for number in 0..rounds {
        let body = vec![b'x'; 10240];
        let job = NewJob {
            target: "blog/live".parse().unwrap(),
            git_ref: GitRef::branch("main").unwrap(),
            wanted: Some(format!("{number:040x}").parse().unwrap()),
            source: Source::Webhook,
            pusher: Some("alice".to_owned()),
            release: None,
            keep_all: false,
            asked_by: None,
        };
        let new = NewDelivery {
            repo: "blog".to_owned(),
            delivery: format!("delivery-{number}").parse().unwrap(),
            forge: "github",
            event: "push".to_owned(),
            id_is_made: false,
            received_at: NOW,
            remote_addr: "192.0.2.1".to_owned(),
            result: "ignored",
            reason: "blog/live: branch main is followed".to_owned(),
            body_sha256: format!("{number:064x}"),
            headers: "[]".to_owned(),
            body,
            jobs: vec![job],
            checks: Vec::new(),
            secret: Some(1),
            id_is_unsigned: true,
        };
        store.accept(new).await.unwrap();
    }
    drop(store);
    writer.join();
}

/// Releases of a site: with all that is in it copied from the release before, or with a few files from git.
async fn release(copy: bool, rounds: u64, directory: &Path) {
    let origin = directory.join("origin.git");
    let commits = site(&origin, rounds);
    let access = access(&origin);
    let git = Git::new(program(), Duration::from_mins(5), Duration::from_mins(10));
    let (mirror, cancel) = (directory.join("mirror.git"), CancellationToken::new());
    let branch = GitRef::branch("main").unwrap();
    git.fetch(&access, &mirror, &branch, 0, &cancel, |_| {}).await.unwrap();
    let options = CheckoutOptions {
        submodules: false,
        refuse_lfs: false,
        submodule_mirrors: directory.join("submodules"),
    };
    let mut reuse = Reuse::default();
    for (number, commit) in commits.iter().enumerate() {
        let to = directory.join(format!("release{number}"));
        reuse.manifest = Some(directory.join(format!("manifest{number}")));
        let commit = if copy { &commits[0] } else { commit };
        let done = git
            .checkout(&access, &mirror, commit, &to, &options, &reuse, &cancel, |_| {})
            .await;
        done.unwrap();
        reuse.previous = Some(to);
        reuse.previous_manifest = reuse.manifest.clone();
    }
}

/// The program, not this one: its worker does the work.
fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_hookd").into()
}

fn access(origin: &Path) -> Access {
    Access {
        url: format!("file://{}", origin.display()).parse().unwrap(),
        transport: Transport::Local,
        host: None,
        ssh_key: None,
        known_hosts: Vec::new(),
        token: None,
        ca_file: None,
        proxy: None,
        keys: Vec::new(),
        submodule_hosts: Vec::new(),
        follows: None,
    }
}

/// A repository with one commit more than there are rounds.
fn site(origin: &Path, rounds: u64) -> Vec<CommitId> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(origin).args(arguments);
        git
    };
    fs::create_dir(origin).unwrap();
    assert!(git(&["init", "-q", "--bare", "-b", "main"]).status().unwrap().success());
    let mut stream = Vec::new();
    for commit in 0..=rounds {
        let at = 1_700_000_000 + commit;
        writeln!(
            stream,
            "commit refs/heads/main\ncommitter b <b@localhost> {at} +0000\ndata 0"
        )
        .unwrap();
        let changed = if commit == 0 { FILES } else { CHANGED };
        for file in 0..changed {
            let (directory, text) = (file % 10, format!("{commit} {file}\n").repeat(300));
            let length = text.len();
            writeln!(
                stream,
                "M 644 inline d{directory}/page{file}.html\ndata {length}\n{text}"
            )
            .unwrap();
        }
    }
    let mut import = git(&["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(&stream).unwrap();
    assert!(import.wait().unwrap().success());
    let listed = git(&["rev-list", "--reverse", "main"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.lines().map(|commit| commit.parse().unwrap()).collect()
}
