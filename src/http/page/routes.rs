//! Which page is at which path, and what it needs.

use std::sync::Arc;

use bytes::Bytes;

use super::asked::Asked;
use super::changes::Brought;
use super::deployment::Shown;
use super::lists::History;
use super::log::{Part, Rows, Window};
use super::overview::{Extra, STRIP};
use super::{ROWS, lists, log};
use crate::api::{Deployment, Query, TargetStatus};
use crate::deploy;
use crate::http::answer::Answer;
use crate::http::visitor::Visitor;
use crate::http::{App, stream};
use crate::model::{Refusal, TargetId};
use crate::store::Page;

type Result<T> = std::result::Result<T, Refusal>;

impl App {
    /// The page at a path; `None` if there is none.
    pub async fn page(self: &Arc<Self>, asked: &Asked<'_>) -> Result<Option<Answer>> {
        let page = match *asked.parts {
            [""] => self.overview_page(asked.visitor).await?,
            ["login"] => self.log_in_page(asked)?,
            ["targets", repo, target] => self.target_page(repo, target, asked).await?,
            ["targets", repo, target, act] => self.act_page((repo, target, act), asked).await?,
            ["deployments"] => self.deployments_page(asked).await?,
            ["deployments", id] => self.deployment_page(super::super::control::number(id)?, asked).await?,
            ["deployments", id, "log"] => self.raw_log(super::super::control::number(id)?).await?,
            ["deployments", id, "rows"] => self.rows(super::super::control::number(id)?, asked).await?,
            ["deliveries"] => {
                let result = asked.query.get("result").map(String::as_str);
                let before = number_of(asked.query, "before");
                let (came, older) = self.overview.deliveries(None, result, before, ROWS).await?;
                lists::all_deliveries(asked.visitor, &came, result, (before, older))
            }
            ["audit"] => {
                let before = number_of(asked.query, "before");
                let rows = self.overview.audit(before, ROWS).await?;
                let older = rows.last().filter(|_| rows.len() == ROWS).map(|row| row.id);
                super::audit::audit(asked.visitor, &rows, (before, older))
            }
            ["deliveries", id] => self.delivery_page(id, asked).await?,
            ["deliveries", id, "replay"] => self.replay_page(id, asked.visitor).await?,
            [name] => return Ok(super::asset(name)),
            _ => return Ok(None),
        };
        Ok(Some(page))
    }

    async fn extra(&self, target: &TargetStatus) -> Result<Extra> {
        let Ok(id) = target.target.parse::<TargetId>() else {
            return Ok(Extra::default());
        };
        Ok(Extra {
            outcomes: self.world.store.outcomes(&id, STRIP).await?,
            progress: super::overview::progress_of(&self.world.logs, target),
        })
    }

    async fn overview_page(&self, visitor: &Visitor) -> Result<Answer> {
        let status = self.overview.status().await?;
        let mut extras = Vec::new();
        for target in &status.targets {
            let mut extra = self.extra(target).await?;
            if matches!(visitor, Visitor::Stranger(_)) {
                // Why something failed is for those who log in.
                extra.outcomes.iter_mut().for_each(|(.., reason)| *reason = None);
            }
            extras.push(extra);
        }
        let history = self.overview.history(Page::newest(None, ROWS / 2)).await?;
        let (came, _) = self.overview.deliveries(None, None, None, ROWS / 2).await?;
        let config = self.settings().config;
        Ok(super::overview::overview(
            visitor,
            &config,
            &status,
            &extras,
            (&history, &came),
        ))
    }

    /// A page of the history, and the number that the next one begins below.
    async fn history(&self, target: Option<String>, query: &Query) -> Result<(Page, Vec<Deployment>, Option<i64>)> {
        let page = Page {
            target,
            before: number_of(query, "before"),
            outcome: query.get("outcome").and_then(|outcome| outcome.parse().ok()),
            limit: ROWS + 1,
        };
        let mut rows = self.overview.history(page.clone()).await?;
        let more = rows.len() > ROWS;
        rows.truncate(ROWS);
        let older = rows.last().map(|row| row.id).filter(|_| more);
        Ok((page, rows, older))
    }

    async fn deployments_page(&self, asked: &Asked<'_>) -> Result<Answer> {
        let query = asked.query;
        let (page, rows, older) = self.history(query.get("target").cloned(), query).await?;
        let history = History {
            rows: &rows,
            outcome: page.outcome,
            before: page.before,
            older,
        };
        Ok(lists::all_deployments(asked.visitor, &self.settings().config, &history))
    }

    async fn target_page(&self, repo: &str, target: &str, asked: &Asked<'_>) -> Result<Answer> {
        let target = self.operator.target(repo, target)?;
        let gone = || Refusal::not_found(format!("there is no target {}", target.id));
        let status = self.overview.status_of(&target).await?.ok_or_else(gone)?;
        let releases = self.overview.releases(&target).await?;
        let extra = self.extra(&status).await?;
        let (page, rows, older) = self.history(Some(target.id.to_string()), asked.query).await?;
        let history = History {
            rows: &rows,
            outcome: page.outcome,
            before: page.before,
            older,
        };
        let config = self.settings().config;
        let repo = config.repos.get(&target.id.repo).ok_or_else(gone)?;
        Ok(super::target::target(
            asked,
            &config,
            (repo, &target),
            &status,
            &releases,
            &extra,
            &history,
        ))
    }

    async fn deployment_page(&self, id: i64, asked: &Asked<'_>) -> Result<Answer> {
        let detail = self.overview.deployment(id).await?;
        let part = part(asked.query);
        let window = self.window(id, part.clone()).await?;
        let config = self.settings().config;
        let target = detail.row.target.parse::<TargetId>().ok();
        let site = target.as_ref().and_then(|target| config.target(target));
        let progress = Some(id).filter(|_| detail.row.outcome.is_none());
        let usual = match &target {
            Some(target) => self.world.store.usual_duration(target).await?,
            None => None,
        };
        let brought = self.brought(&detail.row).await;
        let person = self.overview.asker(&detail.row).await;
        Ok(super::deployment::deployment(&Shown {
            visitor: asked.visitor,
            detail: &detail,
            site: site.map(|(repo, target)| (&**repo, &**target)),
            brought: brought.as_ref(),
            asker: person.as_deref(),
            progress: progress.and_then(|id| log::progress(&self.world.logs, id)),
            usual,
            window: &window,
            part: &part,
        }))
    }

    /// A part of a log, read where it holds up nobody.
    async fn window(&self, id: i64, part: Part) -> Result<Window> {
        let book = self.world.logs.clone();
        let read = tokio::task::spawn_blocking(move || log::window(&book, id, &part));
        let failed = |error: String| Refusal::new(crate::model::RefusalKind::Unavailable, error);
        read.await
            .map_err(|e| failed(e.to_string()))?
            .map_err(|e| failed(e.to_string()))
    }

    /// The commits and files that a deployment added to the previous one.
    async fn brought(&self, row: &Deployment) -> Option<Brought> {
        let (from, to) = (row.previous_commit.as_deref()?, row.commit.as_deref()?);
        let config = self.settings().config;
        let repo = lists::repo_of(&config, &row.target).filter(|_| from != to)?;
        let mirror = deploy::mirror(&config, repo);
        self.changes.between(&self.world, &mirror, from, to).await
    }

    /// The log as bare text.
    async fn raw_log(&self, id: i64) -> Result<Answer> {
        let row = self.overview.deployment(id).await?.row;
        let Some(place) = self.streams.place() else {
            return Ok(stream::too_many());
        };
        let reading = stream::Reading {
            offset: 0,
            follow: false,
            encode: Box::new(|lines, _| log::text(lines)),
        };
        Ok(stream::read(&self.world, &row, "text/plain; charset=utf-8", reading, place).await)
    }

    /// The rows that come, as events, from an offset and a number on.
    async fn rows(&self, id: i64, asked: &Asked<'_>) -> Result<Answer> {
        let row = self.overview.deployment(id).await?.row;
        let from = asked.last_event.or_else(|| asked.query.get("from").map(String::as_str));
        let (offset, before) = from
            .and_then(|from| from.split_once(':'))
            .and_then(|(offset, before)| Some((offset.parse().ok()?, before.parse().ok()?)))
            .unwrap_or((0, 0));
        let Some(place) = self.streams.place() else {
            return Ok(stream::too_many());
        };
        let mut rows = Rows { before };
        let reading = stream::Reading {
            offset,
            follow: true,
            encode: Box::new(move |lines, offset| -> Bytes { rows.event(lines, offset) }),
        };
        Ok(stream::read(&self.world, &row, "text/event-stream", reading, place).await)
    }

    async fn delivery_page(&self, id: &str, asked: &Asked<'_>) -> Result<Answer> {
        let (row, explanation) = self.overview.explanation(id).await?;
        let mut deployments = Vec::new();
        for job in &row.jobs {
            let job = self.overview.job(*job).await.ok();
            deployments.extend(job.and_then(|job| Some((job.deployment?, job.target))));
        }
        Ok(super::delivery::delivery(
            asked,
            &self.settings().config,
            &row,
            &explanation,
            &deployments,
        ))
    }
}

/// A number in a query.
fn number_of(query: &Query, name: &str) -> Option<i64> {
    query.get(name)?.parse().ok()
}

/// Which part of the log a query asks for.
fn part(query: &Query) -> Part {
    let number = |name: &str| number_of(query, name).and_then(|number| u64::try_from(number).ok());
    match (query.get("q").map(|text| text.trim()), number("line"), number("before")) {
        (Some(text), ..) if !text.is_empty() => Part::Matching(text.to_owned()),
        (_, Some(line), _) => Part::Around(line),
        (_, _, Some(before)) => Part::Before(before),
        _ => Part::End,
    }
}
