//! `[repo.NAME.deploy.TARGET]`

use std::path::{Path, PathBuf};

use super::across::Seen;
use super::target_options::TargetOptions;
use super::{apis, command};
use crate::config::section::Section;
use crate::config::source::At;
use crate::config::types::{RefFilter, Tags, Target};
use crate::config::value::{OnEvent, QueueMode, Strategy};
use crate::config::{Pattern, suggest};
use crate::model::{GitRef, RefKind, RepoName, TargetId, TargetName};

/// Directories that the system or every user needs: `releases` and `current` do not belong among what is there.
const SYSTEM_DIRECTORIES: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/share",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/tmp",
];

/// Names of events that are often meant; forges have more.
const EVENTS: &[&str] = &[
    "push",
    "release",
    "workflow_run",
    "workflow_job",
    "check_run",
    "check_suite",
    "status",
    "pipeline",
    "job",
    "pull_request",
];

/// The same of those that are about tags.
pub(super) fn tags(s: &Section, patterns: Vec<Pattern>) -> Tags {
    Tags {
        patterns,
        order: s.choice("order"),
        prereleases: s.boolean("prereleases"),
    }
}

/// The name of a deployment environment: GitHub takes 255 characters, and none of them shows a control character well.
fn environment_name(section: &Section) -> Option<String> {
    let text = section.string("environment")?;
    if text.value.contains(char::is_control) || text.value.chars().count() > 255 || text.value.trim() != text.value {
        let hint = "up to 255 characters, such as \"production\"".to_owned();
        section.wrong(text.place, "`environment` is not the name of an environment", hint);
    }
    Some(text.value.to_owned())
}

pub(super) fn read(
    repo: &str,
    repo_name: Option<&RepoName>,
    name: At<&str>,
    section: &Section,
    notify_names: &[&str],
    seen: &mut Seen,
) -> Option<Target> {
    let target_name = name.value.parse::<TargetName>();
    if let Err(e) = &target_name {
        section.wrong(name.place, format!("`{}`: {e}", name.value.escape_debug()), None);
    }
    let path = path(repo, name.value, section, seen);
    let mut options = TargetOptions::read(section, notify_names);
    let refs = refs(section);
    contradictions(section, &options);
    let build = command::read(section, "build");
    let reload = command::read(section, "reload");
    for key in ["reload", "run_as"] {
        seen.note(
            &format!("repo.{repo}.deploy.{}.{key}", name.value),
            section.value_at(key),
        );
    }
    let url = section.string("url").and_then(|text| apis::web_url(section, text));
    let environment = environment_name(section);
    let check = command::check(section);
    let paths = section.each("paths", |text| path_pattern(section, text));
    let pusher = section.each("pusher", |text| pattern(section, "pusher", text, text.value));
    let on = section.each("on", |text| event(section, text));
    // From [defaults] it is meant for branches: tags have no commits in between that could be run in order.
    if matches!(refs, Some(RefFilter::Tags(_))) {
        options.queue = QueueMode::Latest;
    }
    if options.strategy == Strategy::InPlace {
        options.shared.clear();
    }
    Some(Target {
        id: TargetId {
            repo: repo_name?.clone(),
            target: target_name.ok()?,
        },
        refs: refs?,
        path: path?,
        environment: environment.unwrap_or_else(|| name.value.to_owned()),
        url,
        build,
        reload,
        check,
        paths,
        pusher,
        on,
        options,
    })
}

fn path(repo: &str, target: &str, section: &Section, seen: &mut Seen) -> Option<PathBuf> {
    section.require("path", "the directory that the site lives in, such as /srv/blog");
    let path = section.path("path")?;
    if path.value.parent().is_none() {
        section.wrong(
            path.place,
            "`path` is the root of the file system",
            "write /srv/NAME, say",
        );
        return None;
    }
    if SYSTEM_DIRECTORIES
        .iter()
        .any(|directory| path.value == Path::new(directory))
    {
        let message = format!(
            "`path` is {}, which the system has for other things",
            path.value.display()
        );
        section.wrong(path.place, message, "write /srv/NAME, say");
        return None;
    }
    unusual_path(section, &path);
    seen.targets.push((format!("{repo}/{target}"), path.clone()));
    Some(path.value)
}

/// Paths that can be meant, and mostly are not.
fn unusual_path(section: &Section, path: &At<PathBuf>) {
    let shown = path.value.display();
    let is_home = path.value.parent() == Some(Path::new("/home"));
    if is_home {
        let message = format!("`path` is the home directory {shown}: it gets `releases` and `current`");
        section
            .problems
            .warning(path.place, message, format!("write {shown}/site, say"));
    } else if path.value.starts_with("/etc") {
        let message = format!("`path` is {shown}, since relative paths begin at the directory of this file");
        section
            .problems
            .warning(path.place, message, "write it from the root, /srv/NAME say");
    }
}

/// Contradictions between a target's own keys; keys from `[defaults]` that contradict simply do not apply.
fn contradictions(section: &Section, options: &TargetOptions) {
    if options.strategy == Strategy::InPlace {
        for key in ["shared", "keep", "spare"] {
            if let Some(entry) = section.own(key) {
                let message = format!("`{key}` has no meaning with `strategy = \"in-place\"`");
                section.wrong(entry.key, message, "there are no releases to share between or to keep");
            }
        }
    }
    if let (Some(entry), true, Strategy::InPlace) = (section.own("history"), options.history, options.strategy) {
        let hint = "the directory is no work tree of its own; use `strategy = \"release\"`".to_owned();
        section.wrong(
            entry.key,
            "`history` has no meaning with `strategy = \"in-place\"`",
            hint,
        );
    }
    for key in ["order", "prereleases"] {
        if let (Some(entry), true) = (section.own(key), section.own("branch").is_some()) {
            let message = format!("`{key}` is for tags, and the target follows branches");
            section.wrong(entry.key, message, "leave it out");
        }
    }
    if let (Some(entry), true, QueueMode::All) = (section.own("queue"), section.own("tag").is_some(), options.queue) {
        let hint = "leave `queue` out: each tag is deployed as it is".to_owned();
        section.wrong(entry.key, "`queue = \"all\"` is for branches, not for tags", hint);
    }
}

fn refs(section: &Section) -> Option<RefFilter> {
    let of = |key, kind| {
        let list = section.some_strings(key)?;
        Some(
            list.value
                .into_iter()
                .filter_map(|text| ref_pattern(section, key, kind, text))
                .collect::<Vec<_>>(),
        )
    };
    let (branches, tags) = (of("branch", RefKind::Branch), of("tag", RefKind::Tag));
    match (section.own("branch"), section.own("tag")) {
        (Some(_), Some(tag)) => {
            let hint = "a target follows either; make two of them".to_owned();
            section.wrong(tag.key, "`branch` and `tag` in one target", hint);
        }
        (None, None) => {
            let message = format!("`[{}]` has neither `branch` nor `tag`", section.name);
            section.wrong(section.place, message, "add `branch = \"main\"`, say");
        }
        _ => {}
    }
    let follows_tags = tags.is_some();
    // Read for branches, too, so that each key is told what is wrong with it.
    let tags = self::tags(section, tags.unwrap_or_default());
    let tags = follows_tags.then_some(RefFilter::Tags(tags));
    branches.map(RefFilter::Branches).or(tags)
}

/// A pattern of branches or tags that some branch or tag can match.
fn ref_pattern(section: &Section, key: &str, kind: RefKind, text: At<&str>) -> Option<Pattern> {
    let pattern = pattern(section, key, text, text.value)?;
    let bare = pattern.bare();
    let refuse = |message: String, hint: Option<String>| {
        section.wrong(text.place, message, hint);
        None
    };
    let (own, other, other_key) = match kind {
        RefKind::Branch => ("refs/heads/", "refs/tags/", "tag"),
        RefKind::Tag => ("refs/tags/", "refs/heads/", "branch"),
    };
    if let Some(short) = bare.strip_prefix(own) {
        let hint = format!("write `{}`, without `{own}`", short.escape_debug());
        return refuse(format!("`{key}` takes short names"), Some(hint));
    }
    if let Some(short) = bare.strip_prefix(other) {
        let hint = format!("write `{other_key} = \"{}\"`", short.escape_debug());
        return refuse(format!("`{key}` takes no names below `{other}`"), Some(hint));
    }
    if let (RefKind::Branch, Some((_, short))) = (kind, bare.split_once("origin/")) {
        let message = format!(
            "`{bare}` is the name that a clone has for a branch of its remote",
            bare = bare.escape_debug()
        );
        section
            .problems
            .warning(text.place, message, format!("write \"{}\"", short.escape_debug()));
    }
    if let Some(Err(e)) = sample(bare).map(|name| GitRef::branch(&name)) {
        let hint = match bare {
            several if several.contains(',') => Some(format!("several are a list: {key} = [\"a\", \"b\"]")),
            regex if regex.contains(['^', '\\']) => Some("patterns have `*`, `?` and `[ab]`, as a shell's".to_owned()),
            _ => None,
        };
        return refuse(format!("no {key} can match `{}`: {e}", bare.escape_debug()), hint);
    }
    Some(pattern)
}

/// A name that the pattern matches as plainly as can be, with an `x` for each wildcard: if git refuses it, git refuses
/// every name that the pattern matches. None for alternatives, of which some may be good.
fn sample(glob: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = glob.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' | '\\' => return None,
            '*' => {
                while rest.next_if_eq(&'*').is_some() {}
                name.push('x');
            }
            '?' => name.push('x'),
            '[' => {
                // A class ends at the first `]` that is not its first character; globset has seen to it that there is one.
                rest.next_if(|c| matches!(c, '!' | '^'));
                rest.next();
                rest.by_ref().find(|c| *c == ']')?;
                name.push('x');
            }
            plain => name.push(plain),
        }
    }
    Some(name)
}

/// A pattern of paths in the tree; one that ends with `/` stands for all that is below, and a plain name for itself and
/// for that.
fn path_pattern(section: &Section, text: At<&str>) -> Option<Pattern> {
    let bare = text.value.strip_prefix('!').unwrap_or(text.value);
    if bare.starts_with('/') || bare.starts_with("./") || bare.split('/').any(|part| part == "..") {
        let message = format!(
            "`paths`: no file of a repository matches `{}`",
            text.value.escape_debug()
        );
        section.wrong(
            text.place,
            message,
            "paths begin at the top of the repository, without `/`",
        );
        return None;
    }
    let pattern = pattern(section, "paths", text, &Pattern::whole_path(text.value))?;
    Some(Pattern {
        text: text.value.to_owned(),
        ..pattern
    })
}

fn pattern(section: &Section, key: &str, text: At<&str>, glob: &str) -> Option<Pattern> {
    Pattern::new(glob)
        .map_err(|e| section.wrong(text.place, format!("`{key}`: {e}"), None))
        .ok()
}

fn event(section: &Section, text: At<&str>) -> Option<OnEvent> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if !text.value.chars().all(plain) {
        let message = format!("`on`: `{}` is not the name of an event", text.value.escape_debug());
        section.wrong(text.place, message, "such as release, workflow_run or pipeline");
        return None;
    }
    let meant = suggest::hint(text.value, EVENTS.iter().copied());
    if let (false, Some(hint)) = (EVENTS.contains(&text.value), meant) {
        let message = format!("`on`: `{}` is an event that hookd does not know", text.value);
        section.problems.warning(text.place, message, hint);
    }
    Some(OnEvent(text.value.to_owned()))
}
