//! From verdicts to what the store keeps: jobs, and the states of CI checks.

use crate::config::Repo;
use crate::model::TargetId;
use crate::rules::{Decision, Note, Verdict};
use crate::store::{NewCheck, NewJob, Source};

/// The jobs that the verdicts ask for. Of several events for one target the last one counts, unless each is to run.
pub(super) fn jobs(repo: &Repo, verdicts: Vec<Verdict>, source: Source) -> Vec<NewJob> {
    let mut jobs: Vec<NewJob> = Vec::new();
    for verdict in verdicts {
        let Decision::Deploy {
            git_ref,
            commit,
            pusher,
        } = verdict.decision
        else {
            continue;
        };
        let keep_all = keeps_requests(repo, &verdict.target);
        if !keep_all {
            jobs.retain(|job| job.target != verdict.target);
        }
        jobs.push(NewJob {
            target: verdict.target,
            git_ref,
            wanted: commit,
            source,
            pusher,
            release: None,
            keep_all,
            asked_by: None,
        });
    }
    jobs
}

/// What CI said, for the store.
pub(super) fn checks(repo: &Repo, notes: Vec<Note>) -> Vec<NewCheck> {
    let with_queue = |target: TargetId| {
        let keep_all = keeps_requests(repo, &target);
        (target, keep_all)
    };
    let stored = |note: Note| NewCheck {
        commit: note.commit,
        name: note.check,
        state: note.state,
        git_ref: note.git_ref,
        targets: note.targets.into_iter().map(with_queue).collect(),
    };
    notes.into_iter().map(stored).collect()
}

fn keeps_requests(repo: &Repo, target: &TargetId) -> bool {
    repo.targets
        .get(&target.target)
        .is_some_and(|target| target.keeps_requests())
}
