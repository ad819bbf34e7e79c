//! Brings one ref of the remote into the mirror.

use std::path::Path;

use super::mirror::{Hold, Mirror, open, tip_ref};
use super::remote::Remote;
use super::spec::Spec;
use super::{Fetched, GitError, GitErrorKind};
use crate::config::Transport;
use crate::model::{GitRef, Timestamp, words};

/// Fetches `git_ref` and says which commit it names. A damaged mirror is made anew, once.
pub(super) fn fetch(remote: &Remote<'_>, path: &Path, git_ref: &GitRef, depth: u32) -> Result<Fetched, GitError> {
    let mirror = Mirror::lock(path, Hold::Write)?;
    mirror.sweep()?;
    let whole = |at: &Path| download_tip(remote, at, git_ref, depth).map(|(fetched, _)| fetched);
    match must_renew(&mirror, remote, depth) {
        Ok(true) => return mirror.renew(whole),
        Err(error) if error.kind == GitErrorKind::Corrupt => return mirror.renew(whole),
        Err(error) => return Err(error),
        Ok(false) => {}
    }
    match download_tip(remote, path, git_ref, depth) {
        Err(error) if error.kind == GitErrorKind::Corrupt || is_our_damage(&mirror, remote, &error) => {
            mirror.renew(whole)
        }
        Ok((fetched, is_unsynced)) => {
            if is_unsynced {
                mirror.sync()?;
            }
            Ok(fetched)
        }
        Err(error) => Err(error),
    }
}

/// The `git` program tells damage of a local remote and damage of the mirror in the same words.
fn is_our_damage(mirror: &Mirror, remote: &Remote<'_>, error: &GitError) -> bool {
    use GitErrorKind::{Cut, NotFound, Other};
    remote.address.transport == Transport::Local
        && matches!(error.kind, Cut | NotFound | Other)
        && !mirror.is_sound(remote.reporter)
}

/// Makes the mirror if there is none. A shallow one can't be deepened at less cost than that of a new one.
fn must_renew(mirror: &Mirror, remote: &Remote<'_>, depth: u32) -> Result<bool, GitError> {
    let repo = mirror.open_or_make()?;
    let deepen = depth == 0 && repo.is_shallow();
    Ok(deepen || mirror.outgrown(remote.reporter))
}

/// Also says whether it changed what is not on the disk by now: libgit2 syncs packs, refs and their directories, but not the list
/// of a shallow mirror's last commits; the `git` program, which fetches from local remotes, syncs no directories.
fn download_tip(remote: &Remote<'_>, at: &Path, git_ref: &GitRef, depth: u32) -> Result<(Fetched, bool), GitError> {
    let spec = Spec {
        from: git_ref.as_str().to_owned(),
        to: tip_ref(git_ref.as_str()),
    };
    let repo = open(at)?;
    let failed = |e: git2::Error| GitError::from_git2(&e, "reading the mirror");
    // A shallow fetch would cut the history that a full mirror already has.
    let full = !repo.is_shallow() && repo.references().map_err(failed)?.next().is_some();
    let depth = if full { 0 } else { depth };
    let to = spec.to.clone();
    let before = repo.refname_to_id(&to).ok();
    if let Err(error) = remote.download(at, &[spec], depth) {
        if error.kind == GitErrorKind::RefMissing
            && let Ok(mut stale) = repo.find_reference(&to)
        {
            stale.delete().map_err(failed)?;
        }
        return Err(error);
    }
    let by_program = remote.address.transport == Transport::Local;
    let is_unsynced = (by_program || repo.is_shallow()) && repo.refname_to_id(&to).ok() != before;
    drop(repo);
    Ok((describe_tip(at, git_ref, &to)?, is_unsynced))
}

/// Reads the fetched commit, and its tree's root as a first proof that the objects are there.
fn describe_tip(at: &Path, git_ref: &GitRef, tip: &str) -> Result<Fetched, GitError> {
    let repo = open(at)?;
    let failed = |e: git2::Error| GitError::from_git2(&e, "reading what was fetched");
    let reference = repo.find_reference(tip).map_err(failed)?;
    let object = reference.peel(git2::ObjectType::Any).map_err(failed)?;
    let commit = object.into_commit().map_err(|object| {
        let kind = object.kind().map_or("object", |k| k.str());
        let message = format!("{git_ref} names a {kind}, and only commits can be deployed");
        GitError::new(GitErrorKind::Unsupported, message)
    })?;
    commit.tree().map_err(failed)?;
    describe(&commit)
}

/// Whatever a pusher wrote is cut here: the daemon must not grow with it.
pub(super) fn describe(commit: &git2::Commit<'_>) -> Result<Fetched, GitError> {
    let encoding = commit.message_encoding().ok().flatten().unwrap_or_default();
    let raw = commit.message_bytes();
    let whole_message = decoded(raw.get(..words::MESSAGE_MAX).unwrap_or(raw), encoding);
    let author = commit.author();
    let name = author.name_bytes();
    let name = decoded(name.get(..words::MESSAGE_MAX).unwrap_or(name), encoding);
    Ok(Fetched {
        commit: parse_id(commit.id())?,
        subject: words::subject(&whole_message),
        whole_message,
        author: words::shown(name.trim(), words::AUTHOR_MAX),
        committed: Timestamp::of_seconds(commit.time().seconds()),
    })
}

/// Text in the encoding that a commit names; UTF-8 if it names none or one that nobody knows. What does not fit is replaced.
fn decoded(text: &[u8], encoding: &str) -> String {
    let label = encoding.trim().to_ascii_lowercase().replace('_', "-");
    let known = encoding_rs::Encoding::for_label_no_replacement(label.as_bytes());
    let known = known.or_else(|| {
        ICONV
            .iter()
            .find(|(name, _)| *name == label)
            .map(|(_, encoding)| *encoding)
    });
    match known {
        Some(encoding) => encoding.decode_without_bom_handling(text).0.into_owned(),
        None => String::from_utf8_lossy(text).into_owned(),
    }
}

/// Names that git takes, by iconv, and that are no labels of the WHATWG's Encoding Standard.
const ICONV: &[(&str, &encoding_rs::Encoding)] = &[
    ("latin-1", encoding_rs::WINDOWS_1252),
    ("latin9", encoding_rs::ISO_8859_15),
    ("latin-9", encoding_rs::ISO_8859_15),
    ("eucjp", encoding_rs::EUC_JP),
    ("euckr", encoding_rs::EUC_KR),
    ("cp932", encoding_rs::SHIFT_JIS),
    ("cp936", encoding_rs::GBK),
    ("cp949", encoding_rs::EUC_KR),
    ("cp950", encoding_rs::BIG5),
    ("koi8r", encoding_rs::KOI8_R),
    ("koi8u", encoding_rs::KOI8_U),
];

pub(super) fn parse_id(oid: git2::Oid) -> Result<crate::model::CommitId, GitError> {
    oid.to_string()
        .parse()
        .map_err(|e| GitError::new(GitErrorKind::Other, format!("{oid}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn texts_are_decoded_as_the_commit_says() {
        for (bytes, encoding, text) in [
            (&b"gr\xfc\xdfe"[..], "ISO-8859-1", "gr\u{fc}\u{df}e"),
            (b"gr\xfc\xdfe", "latin1", "gr\u{fc}\u{df}e"),
            (b"5 \xa4", "ISO8859-15", "5 \u{20ac}"),
            (b"\x83\x4e", "SJIS", "\u{30af}"),
            (b"\xa5\xaf", "eucJP", "\u{30af}"),
            (b"\xcb", "KOI8-R", "\u{43a}"),
            (b"\xf0", "CP1251", "\u{440}"),
            ("gr\u{fc}n".as_bytes(), "", "gr\u{fc}n"),
            ("gr\u{fc}n".as_bytes(), "UTF-8", "gr\u{fc}n"),
            (b"gr\xfcn", "no-such-encoding", "gr\u{fffd}n"),
        ] {
            assert_eq!(decoded(bytes, encoding), text, "{encoding}");
        }
    }
}
