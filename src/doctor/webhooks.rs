//! Webhook deliveries from the forges: none, rejected, or accepted.

use super::Scene;
use super::finding::{Area, Findings};
use super::web::Web;
use crate::api::{Delivery, Problem, Status};
use crate::clock;
use crate::config::{ForgeKind, Repo, SecretSource};
use crate::model::{Timestamp, span};

const AREA: Area = Area::Webhooks;

/// Looks at what the daemon tells of each repo's deliveries.
pub fn look(scene: &Scene<'_>, web: &Web, found: &mut Findings) {
    let Some(deliveries) = &scene.told.deliveries else {
        found.skipped(AREA, "what came in is not known without the daemon");
        return;
    };
    for repo in scene.config.repos.values() {
        if scene
            .told
            .status
            .as_ref()
            .is_some_and(|status| has_mismatch(status, repo))
        {
            // Its targets say so, with what to do.
            continue;
        }
        let of_repo: Vec<&Delivery> = deliveries.iter().filter(|row| row.repo == repo.name.as_str()).collect();
        judge(
            repo,
            &of_repo,
            &three_lines(repo, &web.public_url(repo.name.as_str())),
            clock::now(),
            found,
        );
    }
}

/// Whether what comes in for the repo is about another one.
fn has_mismatch(status: &Status, repo: &Repo) -> bool {
    let mut targets = status.targets.iter();
    let is_mismatch = |problem: &Problem| problem.code == "webhook-mismatch";
    targets.any(|target| {
        let of_repo = target.target.split('/').next() == Some(repo.name.as_str());
        of_repo && target.problems.iter().any(is_mismatch)
    })
}

/// What is typed at the forge.
pub fn three_lines(repo: &Repo, url: &str) -> String {
    let (page, secret) = repo.forge.unwrap_or(ForgeKind::GitHub).dialect().form;
    let source = match repo.secret.first() {
        Some(SecretSource::File(path)) => format!("what is in {}", path.display()),
        Some(SecretSource::Credential(name)) => format!("what is in the file of credential {name}"),
        Some(SecretSource::Env(name)) => format!("what is in ${name}"),
        Some(SecretSource::InsecureNone) | None => "none".to_owned(),
    };
    format!("at the forge, {page}:\n  URL           {url}\n  Content type  application/json\n  {secret:<12}  {source}")
}

fn judge(repo: &Repo, newest_first: &[&Delivery], lines: &str, now: Timestamp, found: &mut Findings) {
    let name = &repo.name;
    let good = newest_first.iter().find(|row| row.result != "rejected");
    let bad = newest_first.iter().find(|row| row.result == "rejected");
    match (good, bad) {
        (None, None) => {
            let text = format!("repo {name}: no webhook was ever seen; pushes are found only by looking at the remote");
            found.warning(AREA, text).hint(lines);
        }
        (Some(good), Some(bad)) if good.received_at < bad.received_at && good.remote_addr == bad.remote_addr => {
            let ago = ago(now, bad.received_at);
            let text = format!(
                "repo {name}: the last delivery, {ago} ago from {}, was refused: {}; before it, one of that address was taken",
                bad.remote_addr, bad.reason
            );
            let hint = format!("if the forge sent it, its secret was changed on one side:\n{lines}");
            found.warning(AREA, text).hint(hint);
        }
        (None, Some(bad)) => {
            let ago = ago(now, bad.received_at);
            let text = format!(
                "repo {name}: no webhook was ever accepted; the last one, {ago} ago from {}, was refused: {}",
                bad.remote_addr, bad.reason
            );
            found.warning(AREA, text).hint(format!(
                "if the forge sent it, compare its secret and address:\n{lines}"
            ));
        }
        (Some(good), _) => {
            let ago = ago(now, good.received_at);
            found.ok(
                AREA,
                format!(
                    "repo {name}: the last webhook came {ago} ago: {} ({})",
                    good.event, good.result
                ),
            );
        }
    }
}

/// `3 min`, `2 days`
fn ago(now: Timestamp, then: i64) -> String {
    span(now.0.saturating_sub(then))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::config;
    use std::path::Path;
    use std::sync::Arc;

    fn repo() -> Arc<Repo> {
        let text = "[repo.blog]\nurl = \"https://github.com/alice/blog\"\nsecret = \"file:/etc/hookd/blog.secret\"\n\
                    [repo.blog.deploy.production]\nbranch = \"main\"\npath = \"/srv/blog\"\n";
        let loaded = config::parse(Path::new("/etc/hookd.toml"), text, &|_| None).unwrap();
        loaded.config.repos.values().next().unwrap().clone()
    }

    fn row(result: &str, received_at: i64) -> Delivery {
        Delivery {
            number: None,
            delivery: String::new(),
            repo: "blog".into(),
            forge: String::new(),
            event: "push".into(),
            received_at,
            remote_addr: "192.0.2.7".into(),
            result: result.into(),
            reason: "wrong signature".into(),
            jobs: Vec::new(),
            secret: None,
            count: 1,
        }
    }

    fn judged(rows: &[Delivery]) -> Findings {
        let mut found = Findings::default();
        let repo = repo();
        let lines = three_lines(&repo, "https://blog.example.org/hook/blog");
        judge(
            &repo,
            &rows.iter().collect::<Vec<_>>(),
            &lines,
            Timestamp(10_000_000),
            &mut found,
        );
        found
    }

    #[test]
    fn what_came_last_counts() {
        let never = judged(&[]);
        assert_eq!(never.0[0].level, Level::Warning);
        let hint = never.0[0].hint.as_deref().unwrap();
        for line in [
            "https://blog.example.org/hook/blog",
            "application/json",
            "what is in /etc/hookd/blog.secret",
        ] {
            assert!(hint.contains(line), "{hint}");
        }
        let refused = judged(&[row("rejected", 9_990_000)]);
        assert_eq!(
            refused.texts(Level::Warning),
            [
                "repo blog: no webhook was ever accepted; the last one, 10 s ago from 192.0.2.7, was refused: wrong signature"
            ]
        );
        let mut stranger = [row("rejected", 9_990_000), row("accepted", 9_000_000)];
        let perhaps = judged(&stranger);
        assert_eq!((perhaps.count(Level::Error), perhaps.count(Level::Warning)), (0, 1));
        stranger[0].remote_addr = "198.51.100.1".into();
        let stranger = judged(&stranger);
        assert_eq!((stranger.count(Level::Error), stranger.count(Level::Warning)), (0, 0));
        let well = judged(&[row("accepted", 9_000_000), row("rejected", 1)]);
        assert_eq!(
            well.texts(Level::Ok),
            ["repo blog: the last webhook came 16 min ago: push (accepted)"]
        );
    }
}
