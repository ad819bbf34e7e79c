//! SSH signatures made by the real ssh-keygen, and the file of allowed signers.

use std::path::Path;

use hookd::model::Timestamp;
use hookd::signature::{Kind, Refusal, Signers};
use tempfile::TempDir;

use super::keys::SshKey;

const PAYLOAD: &[u8] = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@x> 1 +0000\n\nm\xff\n";
/// 2026-11-22
const NOW: Timestamp = Timestamp(1_795_305_600_000);

fn parse(text: &str) -> Result<Signers, String> {
    Signers::parse(Path::new("/etc/signers"), text).map_err(|e| e.to_string())
}

fn check(file: &str, signature: &str, payload: &[u8]) -> Result<String, String> {
    let signers = parse(file).unwrap();
    assert_eq!(Kind::of(signature.as_bytes()), Ok(Kind::Ssh));
    let signer = signers.check_ssh(signature.as_bytes(), payload, NOW, NOW);
    signer.map(|s| s.to_string()).map_err(|e| e.to_string())
}

#[test]
fn every_kind_of_key_is_checked() {
    let directory = TempDir::new().unwrap();
    let kinds: [&[&str]; 6] = [
        &["ed25519"],
        &["ecdsa", "-b", "256"],
        &["ecdsa", "-b", "384"],
        &["ecdsa", "-b", "521"],
        &["rsa", "-b", "2048"],
        &["rsa", "-b", "4096"],
    ];
    for (number, kind) in kinds.iter().enumerate() {
        let key = SshKey::new(directory.path(), &format!("k{number}"), kind);
        let signature = key.sign("git", PAYLOAD);
        let file = format!("alice@example.org {}\n", key.public);
        let signer = check(&file, &signature, PAYLOAD).unwrap_or_else(|e| panic!("{kind:?}: {e}"));
        assert!(signer.starts_with("alice@example.org (SHA256:"), "{signer}");
        for changed in [&PAYLOAD[1..], b"", &[PAYLOAD, b"\n"].concat()] {
            let refusal = check(&file, &signature, changed).unwrap_err();
            assert!(
                refusal.starts_with("has a signature that does not fit it (alice@"),
                "{refusal}"
            );
        }
    }
}

#[test]
fn every_changed_bit_of_a_signature_breaks_it() {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    let directory = TempDir::new().unwrap();
    let key = SshKey::ed25519(directory.path(), "key");
    let signature = key.sign("git", PAYLOAD);
    let signers = parse(&format!("a {}", key.public)).unwrap();
    let inner: String = signature.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = engine.decode(inner).unwrap();
    let armoured = |bytes: &[u8]| {
        let text = engine.encode(bytes);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(70)
            .map(|l| std::str::from_utf8(l).unwrap())
            .collect();
        format!(
            "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
            lines.join("\n")
        )
    };
    let good = |text: &str| signers.check_ssh(text.as_bytes(), PAYLOAD, NOW, NOW).is_ok();
    assert!(good(&armoured(&bytes)));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!good(&armoured(&changed)), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(!good(&armoured(&bytes[..length])), "{length} bytes");
    }
}

#[test]
fn other_keys_and_other_purposes_do_not_count() {
    let directory = TempDir::new().unwrap();
    let (alice, mallory) = (
        SshKey::ed25519(directory.path(), "alice"),
        SshKey::ed25519(directory.path(), "mallory"),
    );
    let file = format!("alice {}", alice.public);
    let refusal = check(&file, &mallory.sign("git", PAYLOAD), PAYLOAD).unwrap_err();
    assert!(
        refusal.starts_with("is signed by a key that is not in /etc/signers: SHA256:"),
        "{refusal}"
    );
    let refusal = check(&file, &alice.sign("file", PAYLOAD), PAYLOAD).unwrap_err();
    assert_eq!(
        refusal,
        "has a signature that can't be checked: it is made for \"file\" and not for \"git\""
    );
    for broken in [
        "-----BEGIN SSH SIGNATURE-----",
        "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----",
    ] {
        assert!(check(&file, broken, PAYLOAD).unwrap_err().contains("can't be checked"));
    }
}

#[test]
fn options_of_a_line_limit_its_key() {
    let directory = TempDir::new().unwrap();
    let key = SshKey::ed25519(directory.path(), "key");
    let signature = key.sign("git", PAYLOAD);
    let with = |options: &str| {
        check(
            &format!("\"alice smith\",bob {options} {}", key.public)
                .replace("\"alice smith\",bob", "\"alice smith,bob\""),
            &signature,
            PAYLOAD,
        )
    };
    for good in [
        "namespaces=\"git\"",
        "namespaces=\"file,g*\"",
        "NAMESPACES=\"git\",valid-after=\"20260101Z\",valid-before=\"20270101000000Z\"",
        "valid-after=\"202601010000\"",
        "valid-before=20270101",
    ] {
        let signer = with(good).unwrap_or_else(|e| panic!("{good}: {e}"));
        assert!(signer.starts_with("alice smith,bob ("), "{signer}");
    }
    for (bad, said) in [
        ("namespaces=\"file\"", "whose `namespaces` leave out \"git\""),
        ("namespaces=\"*,!git\"", "whose `namespaces` leave out \"git\""),
        ("valid-after=\"20261123Z\"", "valid only after 2026-11-23T00:00:00Z"),
        ("valid-before=\"20261121Z\"", "valid only before 2026-11-21T00:00:00Z"),
    ] {
        let refusal = with(bad).unwrap_err();
        assert!(refusal.ends_with(said), "{refusal}");
    }
    // A second line for the same key may allow it.
    let both = format!("a namespaces=\"file\" {0}\nb {0}", key.public);
    assert!(check(&both, &signature, PAYLOAD).unwrap().starts_with("b ("));
}

#[test]
fn a_commit_that_was_dated_back_does_not_revive_an_old_key() {
    let directory = TempDir::new().unwrap();
    let key = SshKey::ed25519(directory.path(), "key");
    let signature = key.sign("git", PAYLOAD);
    let signers = parse(&format!("a valid-before=\"20260101Z\" {}", key.public)).unwrap();
    let of = |claimed, now| signers.check_ssh(signature.as_bytes(), PAYLOAD, claimed, now);
    let (then, later) = (Timestamp(1_700_000_000_000), NOW);
    assert!(of(then, then).is_ok());
    assert!(matches!(of(then, later), Err(Refusal::NotValid { .. })));
    assert!(matches!(of(later, then), Err(Refusal::NotValid { .. })));
}

#[test]
fn a_file_that_is_not_understood_allows_nobody_and_says_where() {
    let directory = TempDir::new().unwrap();
    let key = SshKey::ed25519(directory.path(), "key").public;
    for (line, said) in [
        (format!("a cert-authority {key}"), "`cert-authority` is not supported"),
        (
            format!("a cert-authority,namespaces=\"git\" {key}"),
            "`cert-authority` is not supported",
        ),
        (
            format!("a no-touch-required {key}"),
            "unknown option `no-touch-required`",
        ),
        (format!("a valid-after=\"soon\" {key}"), "`valid-after` is no time"),
        (format!("a valid-before {key}"), "`valid-before` is no time"),
        ("alice".to_owned(), "a line has principals"),
        ("\"alice".to_owned(), "a line has principals"),
        ("alice ssh-ed25519 AAAA".to_owned(), "no public key"),
        (format!("alice {}", &key[..40]), "no public key"),
        (
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA".to_owned(),
            "this OpenPGP key is damaged",
        ),
    ] {
        let error = parse(&format!("# the people\r\n\na {key}\n{line}\n")).unwrap_err();
        assert!(
            error.starts_with("/etc/signers:4: ") && error.contains(said),
            "{line}: {error}"
        );
    }
    assert_eq!(
        parse("# nobody\n\n").unwrap_err(),
        "/etc/signers allows nobody: it has no keys"
    );
    assert!(parse(&format!("  a\t{key} with a comment\r\n")).is_ok());
}

#[test]
fn a_file_that_everybody_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().unwrap();
    let key = SshKey::ed25519(directory.path(), "key").public;
    let file = directory.path().join("signers");
    let read = || Signers::read(&file).map(drop).map_err(|e| e.to_string());
    assert!(read().unwrap_err().contains("cannot be read"));
    std::fs::write(&file, format!("a {key}\n")).unwrap();
    assert_eq!(read(), Ok(()));
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    assert!(read().unwrap_err().contains("can be written by every user"));
    assert!(Signers::read(directory.path()).is_err());
}
