//! Tests a channel or the token for a forge, and reports the answer.

use super::{By, Operator, Result, done};
use crate::api::Asked;
use crate::clock;
use crate::model::{Refusal, RefusalKind};
use crate::notify::Notice;
use crate::{relay, report};

impl Operator {
    /// Sends a sample message to a `[notify.NAME]`.
    pub async fn test_notify(&self, by: &By, name: &str) -> Result<Asked> {
        self.noted(by, "notify test", name.to_owned(), self.send_sample(name))
            .await
    }

    /// Sets a sample status on a repo's live commit, at its forge. If that works, reports that the forge had refused are sent again.
    pub async fn test_report(&self, by: &By, name: &str) -> Result<Asked> {
        self.noted(by, "report test", name.to_owned(), self.report_sample(name))
            .await
    }

    async fn send_sample(&self, name: &str) -> Result<Asked> {
        let settings = self.settings();
        if !settings.config.notify.contains_key(name) {
            let known: Vec<&str> = settings.config.notify.keys().map(String::as_str).collect();
            let hint = format!(
                "there are: {}",
                if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                }
            );
            return Err(Refusal::not_found(format!("there is no [notify.{name}]")).hint(hint));
        }
        let uses = |id: &&crate::model::TargetId| {
            let target = settings.config.target(id);
            target.is_some_and(|(_, target)| target.notify.iter().any(|used| used == name))
        };
        let targets: Vec<_> = settings
            .config
            .repos
            .values()
            .flat_map(|repo| repo.targets.values())
            .map(|t| &t.id)
            .collect();
        let target = targets
            .iter()
            .copied()
            .find(uses)
            .map_or_else(|| "blog/production".to_owned(), ToString::to_string);
        let now = clock::now();
        let notice = Notice::sample(&target, now.0);
        match relay::send(&self.world, &settings, name, &notice, &format!("hookd-test-{}", now.0)).await {
            Ok(heard) => Ok(done("sent", format!("sent \"{}\"; {}", notice.title(), heard.answer))),
            Err(error) => Err(Refusal::new(
                RefusalKind::Unavailable,
                format!("notify {name}: {error}"),
            )),
        }
    }

    async fn report_sample(&self, name: &str) -> Result<Asked> {
        let settings = self.settings();
        let found = settings.config.repos.values().find(|repo| repo.name.as_str() == name);
        let repo = found.ok_or_else(|| Refusal::not_found(format!("there is no repo {name}")))?;
        if settings.config.api_of(repo).is_none() {
            let hint = "[forge.github] token = \"file:/etc/hookd/github.token\", and the like for other forges";
            return Err(Refusal::conflict(format!("no `[forge.NAME]` has a token for {name}")).hint(hint));
        }
        for target in repo.targets.values() {
            let row = self.world.store.target(&target.id).await?;
            if let (Some(commit), Some(git_ref)) = (row.live_commit, row.live_ref) {
                return match report::test(&settings, repo, &commit, &git_ref).await {
                    Ok(said) => {
                        self.world.store.retry_reports(&repo.name).await?;
                        Ok(done("sent", said))
                    }
                    Err(error) => {
                        let refusal = Refusal::new(RefusalKind::Unavailable, error.to_string());
                        Err(error.hint.into_iter().fold(refusal, Refusal::hint))
                    }
                };
            }
        }
        Err(
            Refusal::conflict(format!("{name} has nothing live whose commit could get a status"))
                .hint(format!("hookd deploy {name}")),
        )
    }
}
