//! OpenPGP signatures made by the real gpg, judged by the real gpgv.

use std::path::Path;
use std::process::Command;

use hookd::signature::{Kind, Signers};
use tempfile::TempDir;

use super::keys::{Gpg, run};

const PAYLOAD: &[u8] = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nmessage\n";

/// Who signed, as hookd says it; `file` is the file of allowed signers.
fn check(file: &str, signature: &str, payload: &[u8]) -> Result<String, String> {
    let signers = Signers::parse(Path::new("/etc/keys"), file).map_err(|e| e.to_string())?;
    assert_eq!(Kind::of(signature.as_bytes()), Ok(Kind::OpenPgp));
    let directory = TempDir::new().unwrap();
    let asked = signers.ask_gpgv(signature.as_bytes(), payload, directory.path());
    let (argv, mut asked) = asked.map_err(|e| e.to_string())?.unwrap();
    let output = Command::new(&argv[0]).args(&argv[1..]).output().unwrap();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        asked.line(line);
    }
    let judged = asked.judge(output.status.success());
    judged.map(|s| s.to_string()).map_err(|e| format!("{e}"))
}

#[test]
fn keys_of_the_file_count_and_no_others() {
    let gpg = Gpg::new();
    for kind in ["ed25519", "rsa2048", "nistp256"] {
        let name = format!("Alice {kind} <{kind}@example.org>");
        let key = gpg.key(&name, kind, "sign", "never");
        let signature = gpg.sign(&key, PAYLOAD, &[]);
        let file = format!("# Alice's\n{}", gpg.public(&key));
        assert_eq!(check(&file, &signature, PAYLOAD), Ok(format!("{name} ({key})")));
        let refusal = check(&file, &signature, b"something else").unwrap_err();
        assert!(
            refusal.starts_with("has a signature that does not fit it (OpenPGP key "),
            "{refusal}"
        );
    }
    let (alice, mallory) = (
        gpg.key("alice2", "ed25519", "sign", "never"),
        gpg.key("mallory", "ed25519", "sign", "never"),
    );
    let signature = gpg.sign(&mallory, PAYLOAD, &[]);
    let refusal = check(&gpg.public(&alice), &signature, PAYLOAD).unwrap_err();
    assert!(
        refusal.starts_with("is signed by a key that is not in /etc/keys: OpenPGP key "),
        "{refusal}"
    );
    // Several keys, in one block or in two.
    let both = format!("{}{}", gpg.public(&alice), gpg.public(&mallory));
    assert!(check(&both, &signature, PAYLOAD).is_ok());
    let exported = run(&mut gpg.command(&["--armor", "--export"]));
    assert!(check(&exported, &signature, PAYLOAD).is_ok());
}

#[test]
fn a_subkey_signs_for_its_key() {
    let gpg = Gpg::new();
    let key = gpg.key("Alice", "ed25519", "cert", "never");
    run(&mut gpg.command(&["--quick-add-key", &key, "ed25519", "sign", "never"]));
    let signature = gpg.sign(&key, PAYLOAD, &[]);
    assert!(
        check(&gpg.public(&key), &signature, PAYLOAD)
            .unwrap()
            .starts_with("Alice (")
    );
}

#[test]
fn keys_that_expired_or_were_revoked_do_not_count() {
    let gpg = Gpg::new();
    let past = ["--faked-system-time", "20240101T000000"];
    let mut make = gpg.command(&past);
    run(make.args(["--quick-generate-key", "Old", "ed25519", "sign", "1m"]));
    let signature = gpg.sign("Old", PAYLOAD, &past);
    let refusal = check(&gpg.public("Old"), &signature, PAYLOAD).unwrap_err();
    assert!(refusal.ends_with("a key that has expired"), "{refusal}");

    let key = gpg.key("Lost", "ed25519", "sign", "never");
    let signature = gpg.sign(&key, PAYLOAD, &[]);
    assert!(check(&gpg.public(&key), &signature, PAYLOAD).is_ok());
    let revocation = gpg.revocation(&key);
    run(&mut gpg.command(&["--import", &revocation]));
    let refusal = check(&gpg.public(&key), &signature, PAYLOAD).unwrap_err();
    assert!(refusal.ends_with("a key that was revoked"), "{refusal}");

    let key = gpg.key("Brief", "ed25519", "sign", "never");
    let old = ["--faked-system-time", "20240101T000000", "--ignore-time-conflict"];
    let brief = [&old[..], &["--default-sig-expire", "1d"]].concat();
    let signature = gpg.sign(&key, PAYLOAD, &brief);
    assert!(check(&gpg.public(&key), &signature, PAYLOAD).is_err());
}

#[test]
fn weak_digests_and_several_signatures_do_not_count() {
    let gpg = Gpg::new();
    let key = gpg.key("Alice", "rsa2048", "sign", "never");
    let file = gpg.public(&key);
    let weak = gpg.sign(&key, PAYLOAD, &["--digest-algo", "SHA1", "--allow-weak-digest-algos"]);
    let refusal = check(&file, &weak, PAYLOAD).unwrap_err();
    assert!(refusal.contains("can't be checked"), "{refusal}");

    let other = gpg.key("Bob", "ed25519", "sign", "never");
    let twice = gpg.sign(&key, PAYLOAD, &["--local-user", &other]);
    let both = format!("{file}{}", gpg.public(&other));
    let refusal = check(&both, &twice, PAYLOAD).unwrap_err();
    assert!(refusal.contains("several signatures"), "{refusal}");
}

#[test]
fn a_file_of_ssh_keys_says_that_it_has_no_others() {
    let gpg = Gpg::new();
    let key = gpg.key("Alice", "ed25519", "sign", "never");
    let directory = TempDir::new().unwrap();
    let ssh = super::keys::SshKey::ed25519(directory.path(), "key");
    let signature = gpg.sign(&key, PAYLOAD, &[]);
    let refusal = check(&format!("bob {}", ssh.public), &signature, PAYLOAD).unwrap_err();
    assert!(refusal.contains("has SSH keys only"), "{refusal}");
    // A file may hold both kinds: what people sign, and what the forge signs when it merges.
    let file = format!("bob {}\n{}", ssh.public, gpg.public(&key));
    assert!(check(&file, &signature, PAYLOAD).is_ok());
}
