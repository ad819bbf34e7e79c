//! What of a commit or annotated tag is signed, and by which signature: as git itself takes the two apart.
//!
//! libgit2's own `extract_signature` is not used: it also takes lines of the message for headers.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use git2::{ObjectType, Oid, Repository};

use super::history::find_commit;
use super::mirror::{Hold, Mirror, oid, tip_ref};
use super::wire::WireSigned;
use super::{GitError, GitErrorKind};
use crate::model::{CommitId, GitRef, RefKind, Timestamp};

/// Largest commit or tag whose signature is looked at, bytes: real ones have a few kilobytes.
const OBJECT_MAX: usize = 1 << 20;

/// The header of a commit that holds its signature.
const HEADER: &[u8] = b"gpgsig";

/// How a signature begins at the end of a tag, as git knows it.
const ARMOURS: &[&[u8]] = &[
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN SIGNED MESSAGE-----",
    b"-----BEGIN SSH SIGNATURE-----",
];

/// The commit, and the annotated tag under the ref if it is one that names this commit.
pub(super) fn signed(mirror: &Path, git_ref: &GitRef, commit: &CommitId) -> Result<Vec<WireSigned>, GitError> {
    let mirror = Mirror::lock(mirror, Hold::Read)?;
    let repo = mirror.open()?;
    let found = find_commit(&repo, commit)?;
    let raw = read(&repo, found.id())?;
    let (payload, signature) = split_commit(&raw)?;
    let mut all = vec![wire(
        found.id(),
        None,
        found.time().seconds(),
        &payload,
        signature.as_deref(),
    )?];
    if git_ref.kind() == RefKind::Tag {
        all.extend(tag(&repo, git_ref, oid(commit)?)?);
    }
    Ok(all)
}

/// The tag object under a ref of the mirror; `None` if the ref names the commit itself, or something else by now.
fn tag(repo: &Repository, git_ref: &GitRef, commit: Oid) -> Result<Option<WireSigned>, GitError> {
    let failed = |e: git2::Error| GitError::from_git2(&e, "reading a tag");
    let reference = repo.find_reference(&tip_ref(git_ref.as_str())).map_err(failed)?;
    let Some(tag) = reference.target().and_then(|id| repo.find_tag(id).ok()) else {
        return Ok(None);
    };
    let named = tag.as_object().peel(ObjectType::Commit).map_err(failed)?;
    if named.id() != commit {
        return Ok(None);
    }
    let raw = read(repo, tag.id())?;
    let (payload, signature) = split_tag(&raw);
    let name = String::from_utf8_lossy(tag.name_bytes()).into_owned();
    let time = tag.tagger().map_or(0, |tagger| tagger.when().seconds());
    wire(tag.id(), Some(name), time, payload, signature).map(Some)
}

fn wire(
    id: Oid,
    tag: Option<String>,
    time: i64,
    payload: &[u8],
    signature: Option<&[u8]>,
) -> Result<WireSigned, GitError> {
    Ok(WireSigned {
        id: super::fetch::parse_id(id)?,
        tag,
        time: Timestamp::of_seconds(time),
        payload: STANDARD.encode(payload),
        signature: signature.map(|bytes| STANDARD.encode(bytes)),
    })
}

fn read(repo: &Repository, id: Oid) -> Result<Vec<u8>, GitError> {
    let failed = |e: git2::Error| GitError::from_git2(&e, "reading a commit");
    let odb = repo.odb().map_err(failed)?;
    let (size, _) = odb.read_header(id).map_err(failed)?;
    if size > OBJECT_MAX {
        let message = format!("{id} has {size} bytes, too many for its signature to be looked at");
        return Err(GitError::new(GitErrorKind::Unsupported, message));
    }
    Ok(odb.read(id).map_err(failed)?.data().to_vec())
}

/// Takes the signature out of a commit, and gives what is signed and the signature: the value of its header, with the one space gone that each further line begins
/// with. The payload is the rest; signatures for repositories with another hash are in neither.
pub fn split_commit(raw: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), GitError> {
    let (mut payload, mut signature) = (Vec::with_capacity(raw.len()), None::<Vec<u8>>);
    let mut within = Within::Payload;
    let mut rest = raw;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |at| at + 1));
        if line == b"\n" {
            // The message.
            payload.extend_from_slice(rest);
            break;
        }
        let mut text = line;
        if let Some(more) = line.strip_prefix(b" ") {
            if within == Within::Signature {
                text = more;
            }
        } else if let Some(value) = line.strip_prefix(HEADER).and_then(|value| value.strip_prefix(b" ")) {
            if signature.is_some() {
                return Err(GitError::new(
                    GitErrorKind::Unsupported,
                    "the commit has two signatures",
                ));
            }
            (within, text) = (Within::Signature, value);
        } else if line.starts_with(HEADER) {
            within = Within::OtherSignature;
        } else {
            within = Within::Payload;
        }
        match within {
            Within::Payload => payload.extend_from_slice(text),
            Within::Signature => signature.get_or_insert_default().extend_from_slice(text),
            Within::OtherSignature => {}
        }
        rest = after;
    }
    Ok((payload, signature))
}

/// Which header a line belongs to.
#[derive(PartialEq, Eq)]
enum Within {
    Payload,
    Signature,
    OtherSignature,
}

/// The signature of a tag stands at its end: from the last line that begins one.
pub fn split_tag(raw: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut begin = None;
    let mut at = 0;
    for line in raw.split_inclusive(|b| *b == b'\n') {
        if ARMOURS.iter().any(|armour| line.starts_with(armour)) {
            begin = Some(at);
        }
        at += line.len();
    }
    match begin {
        Some(at) => (&raw[..at], Some(&raw[at..])),
        None => (raw, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (String, Option<String>) {
        let (payload, signature) = split_commit(text.as_bytes()).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(payload), signature.map(text))
    }

    #[test]
    fn the_header_is_taken_out_with_its_further_lines() {
        let (payload, signature) =
            split("tree 1\nauthor a\ngpgsig -----BEGIN X-----\n \n ab\n -----END X-----\nencoding x\n\nmessage\n");
        assert_eq!(payload, "tree 1\nauthor a\nencoding x\n\nmessage\n");
        assert_eq!(signature.unwrap(), "-----BEGIN X-----\n\nab\n-----END X-----\n");
    }

    #[test]
    fn what_stands_in_the_message_or_in_another_header_is_no_signature() {
        for whole in [
            "tree 1\n\ngpgsig -----BEGIN X-----\n ab\n",
            "tree 1\nmergetag object 1\n gpgsig ab\n\nm",
            "tree 1",
            "",
        ] {
            assert_eq!(split(whole), (whole.to_owned(), None));
        }
        let other = split("tree 1\ngpgsig-sha256 ab\n cd\ngpgsig ef\nx y\n\nm");
        assert_eq!(other, ("tree 1\nx y\n\nm".to_owned(), Some("ef\n".to_owned())));
        assert!(split_commit(b"tree 1\ngpgsig a\nx y\ngpgsig b\n\nm").is_err());
    }

    #[test]
    fn the_last_armour_of_a_tag_is_its_signature() {
        let tag = "object 1\ntag v1\n\n-----BEGIN PGP SIGNATURE-----\nold\n-----BEGIN SSH SIGNATURE-----\nnew\n";
        let (payload, signature) = split_tag(tag.as_bytes());
        assert!(payload.ends_with(b"old\n"));
        assert_eq!(signature.unwrap(), b"-----BEGIN SSH SIGNATURE-----\nnew\n");
        assert_eq!(split_tag(b"object 1\n\n> -----BEGIN SSH SIGNATURE-----\n").1, None);
    }
}
