//! Whether a payload's name of a repo and the configured one mean the same repo.

use std::borrow::Cow;

use crate::config::ForgeKind;

/// True if both are the same repo: forges ignore case, and some write paths that differ from the URL's.
pub fn same_repo(forge: ForgeKind, configured: &str, claimed: &str) -> bool {
    let alike = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    alike(configured, claimed) || alike(&as_in_payload(forge, configured), claimed)
}

/// Forges, and senders of one's own, whose payloads may leave the repo out.
pub fn may_be_unnamed(forge: ForgeKind) -> bool {
    matches!(
        forge,
        ForgeKind::SourceHut | ForgeKind::Standard | ForgeKind::Generic | ForgeKind::AzureDevOps
    )
}

/// The path of a URL as the forge's payloads write it.
fn as_in_payload(forge: ForgeKind, path: &str) -> Cow<'_, str> {
    match forge {
        // https://host/scm/KEY/slug.git
        ForgeKind::BitbucketServer => Cow::Borrowed(path.rsplit_once("scm/").map_or(path, |(_, rest)| rest)),
        ForgeKind::AzureDevOps => azure(path),
        // URLs have fork/user/project, payloads forks/user/project.
        ForgeKind::Pagure => path
            .strip_prefix("fork/")
            .map_or(Cow::Borrowed(path), |rest| format!("forks/{rest}").into()),
        _ => Cow::Borrowed(path),
    }
}

/// `org/project/_git/repo` and `v3/org/project/repo` are `project/repo`; `org/_git/repo` is the project of that name.
fn azure(path: &str) -> Cow<'_, str> {
    let plain = path.replace("%20", " ");
    if let Some((before, repo)) = plain.rsplit_once("_git/") {
        let segments: Vec<&str> = before.split('/').filter(|segment| !segment.is_empty()).collect();
        let project = if segments.len() < 2 {
            repo
        } else {
            segments[segments.len() - 1]
        };
        return format!("{project}/{repo}").into();
    }
    let mut ends = plain.rsplitn(3, '/');
    match (ends.next(), ends.next(), ends.next()) {
        (Some(repo), Some(project), Some(_)) => format!("{project}/{repo}").into(),
        _ => plain.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_forge_means_them() {
        let same = |forge, configured, claimed| same_repo(forge, configured, claimed);
        assert!(same(ForgeKind::GitHub, "alice/blog", "Alice/Blog"));
        assert!(!same(ForgeKind::GitHub, "alice/blog", "mallory/blog"));
        assert!(same(ForgeKind::BitbucketServer, "scm/prj/my-repo", "PRJ/my-repo"));
        assert!(same(ForgeKind::BitbucketServer, "prj/my-repo", "PRJ/my-repo"));
        assert!(same(
            ForgeKind::AzureDevOps,
            "org/My%20Project/_git/repo",
            "My Project/repo"
        ));
        assert!(same(ForgeKind::AzureDevOps, "org/_git/repo", "repo/repo"));
        assert!(same(ForgeKind::AzureDevOps, "v3/org/project/repo", "project/repo"));
        assert!(!same(ForgeKind::AzureDevOps, "org/project/_git/repo", "other/repo"));
        assert!(same(ForgeKind::Pagure, "fork/dev/site", "forks/dev/site"));
        assert!(same(ForgeKind::GitLab, "a/b/c", "a/b/c"));
        assert!(!same(ForgeKind::GitLab, "a/b/c", "b/c"));
    }
}
