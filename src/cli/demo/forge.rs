//! The demo's forge: serves a git repository over HTTP, and says by a signed webhook what was pushed to it, as GitHub does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use url::Url;

use super::git::{Git, feed};
use super::peer;
use super::serve::{Answer, words};
use crate::cli::output::Failure;
use crate::cli::send::delivery_id;
use crate::clock;
use crate::config::ForgeKind;
use crate::forge::{self, Sample, Signing};
use crate::model::{CommitId, GitRef, Secret, Timestamp};
use crate::web;

/// The repository's full name.
pub const FULL_NAME: &str = "alice/site";

/// Largest request that is taken, bytes: a push is held in memory as a whole.
const BODY_MAX: usize = 64 << 20;

/// Longest wait for the answer to a webhook: GitHub's own.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The forge.
pub struct Forge {
    /// Directory with the repository.
    pub root: PathBuf,
    /// Where it listens.
    pub here: SocketAddr,
    /// Where the webhook goes to.
    pub hook: Url,
    /// What it is signed with.
    pub secret: Secret,
    /// The program that serves.
    pub git: Git,
    /// Who is told of the webhooks that were sent.
    pub sent: UnboundedSender<Delivery>,
    /// One push at a time, so that each knows what it changed.
    pub turn: Mutex<()>,
}

/// A ref that was pushed.
#[derive(Debug, Clone)]
pub struct Push {
    /// When it was there.
    pub at: Timestamp,
    /// Which one.
    pub git_ref: GitRef,
    /// Where it was before; zeros if it is new.
    pub before: CommitId,
    /// Where it is now; zeros if it is gone.
    pub after: CommitId,
    /// First line of the commit's message.
    pub subject: String,
}

/// A webhook that was sent.
#[derive(Debug)]
pub struct Delivery {
    /// What it tells.
    pub push: Push,
    /// How long the answer took.
    pub took: Duration,
    /// Status and body of the answer; or why there was none.
    pub answer: Result<(u16, Value), String>,
}

/// Refs with their commits and the first lines of their messages.
type Refs = BTreeMap<GitRef, (CommitId, String)>;

impl Forge {
    /// What `git clone` takes.
    pub fn clone_url(&self) -> String {
        format!("http://{}/{FULL_NAME}.git", self.here)
    }

    fn repository(&self) -> PathBuf {
        self.root.join(format!("{FULL_NAME}.git"))
    }

    /// Makes the repository, empty.
    pub async fn create(&self) -> Result<(), Failure> {
        let repository = self.repository();
        std::fs::create_dir_all(&repository).map_err(|e| Failure::failed(format!("{}: {e}", repository.display())))?;
        let git = |arguments| self.git.run(&repository, arguments);
        git(&["init", "--quiet", "--bare", "--initial-branch=main"]).await?;
        git(&["config", "http.receivepack", "true"]).await?;
        Ok(())
    }

    /// Answers a request of a git client.
    pub async fn respond(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let (head, body) = request.into_parts();
        if let Some(refusal) = self.refusal(&head, peer) {
            return refusal;
        }
        let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
            return words(StatusCode::PAYLOAD_TOO_LARGE, "too much for a demo");
        };
        let body = body.to_bytes();
        let answer = if head.method == Method::POST && head.uri.path().ends_with("/git-receive-pack") {
            self.receive(&head, &body).await
        } else {
            self.backend(&head, &body).await
        };
        answer.unwrap_or_else(|failure| words(StatusCode::INTERNAL_SERVER_ERROR, &failure))
    }

    /// What keeps a request from being served.
    fn refusal(&self, head: &Parts, peer: SocketAddr) -> Option<Answer> {
        let here = self.here.to_string();
        // A web page that has its own name point to this machine comes under that name.
        if head.headers.get(header::HOST).is_none_or(|host| *host != here) {
            return Some(words(StatusCode::FORBIDDEN, &format!("this is {here}")));
        }
        if !head.uri.path().starts_with(&format!("/{FULL_NAME}.git/")) {
            let text = format!("git clone {}", self.clone_url());
            return Some(words(StatusCode::NOT_FOUND, &text));
        }
        let pushes = head.uri.to_string().contains("git-receive-pack");
        if pushes && !peer::is_own_user(peer, self.here) {
            let text = "only the user who runs the demo may push";
            return Some(words(StatusCode::FORBIDDEN, text));
        }
        None
    }

    /// Takes a push, and sends the webhooks for what it changed.
    async fn receive(self: &Arc<Self>, head: &Parts, body: &Bytes) -> Result<Answer, String> {
        let _turn = self.turn.lock().await;
        let before = self.refs().await?;
        let answer = self.backend(head, body).await?;
        let pushes = changes(&before, &self.refs().await?, clock::now());
        let forge = Arc::clone(self);
        // The pusher does not wait for the webhook.
        tokio::spawn(async move {
            for push in pushes {
                let delivery = forge.deliver(push, &forge.secret).await;
                // The receiver is gone only when the demo ends.
                drop(forge.sent.send(delivery));
            }
        });
        Ok(answer)
    }

    async fn refs(&self) -> Result<Refs, String> {
        let format = "--format=%(objectname) %(refname) %(contents:subject)";
        let listed = self.git.run(&self.repository(), &["for-each-ref", format]).await;
        Ok(read_refs(&listed.map_err(|failure| failure.to_string())?))
    }

    /// `git http-backend`, which speaks CGI.
    async fn backend(&self, head: &Parts, body: &Bytes) -> Result<Answer, String> {
        let mut command = self.git.command(&self.root);
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", head.method.as_str())
            .env("PATH_INFO", head.uri.path())
            .env("QUERY_STRING", head.uri.query().unwrap_or_default())
            .env("CONTENT_LENGTH", body.len().to_string());
        let passed = [
            (header::CONTENT_TYPE.as_str(), "CONTENT_TYPE"),
            (header::CONTENT_ENCODING.as_str(), "HTTP_CONTENT_ENCODING"),
            ("git-protocol", "GIT_PROTOCOL"),
        ];
        for (name, variable) in passed {
            if let Some(value) = head.headers.get(name).and_then(|value| value.to_str().ok()) {
                command.env(variable, value);
            }
        }
        let output = feed(command, body)
            .await
            .map_err(|e| format!("git http-backend can't be run: {e}"))?;
        from_cgi(&output).ok_or_else(|| {
            let words = String::from_utf8_lossy(&output.stderr);
            format!("git http-backend: {}", words.trim())
        })
    }

    /// Sends the webhook for a push, signed with `secret`.
    pub async fn deliver(&self, push: Push, secret: &Secret) -> Delivery {
        let begun = Instant::now();
        let answer = self.post(&push, secret).await;
        Delivery {
            push,
            took: begun.elapsed(),
            answer,
        }
    }

    async fn post(&self, push: &Push, secret: &Secret) -> Result<(u16, Value), String> {
        let kind = ForgeKind::GitHub;
        let id = delivery_id().map_err(|failure| failure.to_string())?;
        let sample = Sample {
            full_name: FULL_NAME,
            git_ref: &push.git_ref,
            before: &push.before,
            after: &push.after,
            id: &id,
            generic: None,
        };
        let body = forge::sample_push(kind, &sample);
        let with = Signing {
            id: &id,
            now: clock::now(),
            generic: None,
            auth_header: None,
        };
        let headers = forge::sign(kind, Some(secret), &body, &with).map_err(|e| e.to_string())?;
        let posted = web::post(&self.hook, &headers, body, ANSWER_TIME).await;
        let answer = posted.map_err(|e| e.to_string())?;
        Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or_default()))
    }
}

/// Reads lines of `commit ref subject`; what is neither branch nor tag has no webhook.
fn read_refs(listed: &str) -> Refs {
    let read = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let commit = words.next()?.parse().ok()?;
        let git_ref = words.next()?.parse().ok()?;
        Some((git_ref, (commit, words.next().unwrap_or_default().to_owned())))
    };
    listed.lines().filter_map(read).collect()
}

fn changes(before: &Refs, after: &Refs, at: Timestamp) -> Vec<Push> {
    let commit = |refs: &Refs, git_ref: &GitRef| {
        let found = refs.get(git_ref).cloned();
        found.unwrap_or_else(|| (CommitId::zero(), String::new()))
    };
    let mut names: Vec<&GitRef> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let push = |git_ref: &GitRef| {
        let (before, _) = commit(before, git_ref);
        let (after, subject) = commit(after, git_ref);
        (before != after).then(|| Push {
            at,
            git_ref: git_ref.clone(),
            before,
            after,
            subject,
        })
    };
    names.into_iter().filter_map(push).collect()
}

/// The answer that a CGI program wrote (RFC 3875, section 6); `None` if it is not one.
fn from_cgi(output: &Output) -> Option<Answer> {
    let end = output.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&output.stdout[..end]).ok()?;
    let mut answer = Answer::new(Bytes::copy_from_slice(&output.stdout[end + 4..]).into());
    for line in head.lines() {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            *answer.status_mut() = value.split(' ').next()?.parse().ok()?;
        } else {
            let name: HeaderName = name.parse().ok()?;
            answer.headers_mut().insert(name, HeaderValue::from_str(value).ok()?);
        }
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn cgi(text: &str) -> Option<Answer> {
        from_cgi(&Output {
            status: std::process::ExitStatus::from_raw(0),
            stdout: text.as_bytes().to_vec(),
            stderr: Vec::new(),
        })
    }

    #[test]
    fn reads_what_a_cgi_program_wrote() {
        let found = cgi("Expires: never\r\nContent-Type: text/plain\r\n\r\nbody\r\n\r\nmore").unwrap();
        assert_eq!(found.status(), StatusCode::OK);
        assert_eq!(found.headers()["content-type"], "text/plain");
        let missing = cgi("Status: 404 Not Found\r\nPragma: no-cache\r\n\r\n").unwrap();
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        for broken in ["", "fatal: no", "Status: none\r\n\r\n", "no colon\r\n\r\n"] {
            assert!(cgi(broken).is_none(), "{broken:?}");
        }
    }

    #[test]
    fn tells_what_a_push_changed() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let before = read_refs(&format!(
            "{a} refs/heads/main One\n{a} refs/heads/old\n{a} refs/tags/v1 x\n"
        ));
        let after = read_refs(&format!(
            "{b} refs/heads/main Two words\n{b} refs/notes/x y\n{a} refs/tags/v1 x\n{b} refs/tags/v2\n"
        ));
        let pushes = changes(&before, &after, Timestamp(7));
        let told: Vec<String> = pushes
            .iter()
            .map(|p| {
                format!(
                    "{} {}{} {}",
                    p.git_ref,
                    &p.before.as_str()[..1],
                    &p.after.as_str()[..1],
                    p.subject
                )
            })
            .collect();
        assert_eq!(
            told,
            ["refs/heads/main ab Two words", "refs/heads/old a0 ", "refs/tags/v2 0b "]
        );
        assert!(changes(&after, &after, Timestamp(7)).is_empty());
    }
}
