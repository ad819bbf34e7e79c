//! The functions that are fuzzed: with what the fuzzers found once, with the recorded payloads, and with whatever comes up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

#[path = "../fuzz/entries/mod.rs"]
mod entries;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use entries::ENTRIES;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a directory, sorted; `None` if there is none.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn what_was_found_once_is_found_no_more() {
    for (name, entry) in ENTRIES {
        for file in files(&top().join("fuzz/findings").join(name)) {
            eprintln!("{}", file.display());
            entry(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn the_seeds_do_no_harm() {
    let mut count = 0;
    for (name, entry) in ENTRIES {
        for seed in seeds(name) {
            entry(&seed);
            count += 1;
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn every_entry_has_its_target() {
    let manifest = fs::read_to_string(top().join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in ENTRIES {
        let target = fs::read_to_string(top().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("entries::{name}::run")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

/// Payloads with their headers, for the entries that take requests; examples of what the others take.
fn seeds(entry: &str) -> Vec<Vec<u8>> {
    match entry {
        "payloads" => requests(&[]),
        "forms" => requests(b"a"),
        "signatures" => requests(b"\x05\x07"),
        "configuration" => files(&top().join("examples"))
            .iter()
            .map(|file| fs::read(file).unwrap())
            .collect(),
        _ => EXAMPLES.iter().map(|text| text.as_bytes().to_vec()).collect(),
    }
}

/// The recorded payloads as requests, for every forge, behind some bytes of the entry's own.
fn requests(more: &[u8]) -> Vec<Vec<u8>> {
    let payloads = top().join("tests/payloads");
    let manifest = fs::read_to_string(payloads.join("MANIFEST.tsv")).unwrap();
    let rows = manifest
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let request = |(number, row): (usize, Vec<&str>)| {
        let body = fs::read(payloads.join(row[0])).unwrap();
        let head = if row[3] == "-" {
            String::new()
        } else {
            format!("{}: {}\n", row[3], row[4])
        };
        [
            &[u8::try_from(number % 26).unwrap()],
            more,
            head.as_bytes(),
            b"\n",
            &body,
        ]
        .concat()
    };
    rows.enumerate().map(request).collect()
}

/// Texts near to names, URLs, headers, hosts, keys and signed objects.
const EXAMPLES: &[&str] = &[
    "main",
    "release/1.0",
    "refs/heads/main",
    "refs/tags/v1.0",
    "blog/production",
    "20261122T101500Z-1a2b3c4",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "https://git.example.org/a/b.git\n../c.git",
    "ssh://git@git.example.org:2222/a/b.git\nssh://git@[::1]/x",
    "git@git.example.org:a/b.git\n../../c.git",
    "git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOOEgfvCVHmwdCaWbpkp2rKM0Qo7k6h9rVsIybwTbFC8 us",
    "@revoked *.example.org,[git.example.org]:2222 ssh-rsa AAAAB3NzaC1yc2E=",
    "|1|c2FsdA==|aGFzaA== ssh-ed25519 AAAA",
    "x-forwarded-for: 10.0.0.1, 192.0.2.1\nforwarded: for=\"[2001:db8::1]:4711\";proto=https",
    "tree 1\nauthor a\ngpgsig -----BEGIN SSH SIGNATURE-----\n ab\n -----END SSH SIGNATURE-----\n\nmessage\n",
    "object 1\ntag v1\n\n-----BEGIN PGP SIGNATURE-----\nab\n",
    "alice@example.org namespaces=\"git\",valid-before=\"20261231Z\" ssh-ed25519 \
     AAAAC3NzaC1lZDI1NTE5AAAAIOOEgfvCVHmwdCaWbpkp2rKM0Qo7k6h9rVsIybwTbFC8",
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQAB\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n",
    "{\"hooks\": [\"192.30.252.0/22\", \"2a0a:a440::/29\"]}",
];

/// A seed with some of its bytes changed, left out or put in, and whole pieces of another.
fn nearly(entry: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let seeds: Vec<Vec<u8>> = seeds(entry).into_iter().filter(|seed| seed.len() < SEED_MAX).collect();
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let cut = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let seed = prop::sample::select(seeds);
    (seed.clone(), seed, prop::collection::vec(change, 0..6), cut).prop_map(|(mut data, other, changes, cut)| {
        for (at, byte, how) in changes {
            let at = at.index(data.len() + 1).min(data.len().saturating_sub(1));
            match how {
                _ if data.is_empty() => data.push(byte),
                0 => data[at] = byte,
                1 => data[at] ^= 1 << (byte % 8),
                2 => data.insert(at, byte),
                _ => drop(data.remove(at)),
            }
        }
        let (from, to) = (cut.0.index(other.len() + 1), cut.1.index(other.len() + 1));
        if from % 3 == 0 && from < to {
            data.extend(&other[from..to]);
        }
        data
    })
}

/// Longest seed that is changed, bytes: the longer ones take time and show little more.
const SEED_MAX: usize = 6000;

fn any_entry() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    prop::sample::select(ENTRIES).prop_flat_map(|(name, _)| {
        let bytes = prop::collection::vec(any::<u8>(), 0..300);
        let text = "\\PC{0,80}".prop_map(String::into_bytes);
        let data = prop_oneof![1 => bytes, 2 => text, 6 => nearly(name)];
        data.prop_map(move |data| (name, data))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_comes_up_does_harm((name, data) in any_entry()) {
        let (_, entry) = ENTRIES.iter().find(|(known, _)| *known == name).unwrap();
        entry(&data);
    }
}
