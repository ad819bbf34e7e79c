//! Which ssh host keys are trusted: `known_hosts` files as sshd(8) describes them. libgit2's own check reads one fixed
//! file, ignores `@revoked` and takes port-less entries for any port; so this one decides.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::address::Address;
use super::{Access, GitError, GitErrorKind};
use crate::config::Transport;

/// A `known_hosts` file is a few kilobytes; what is beyond this is not one.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// What a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    Authority,
}

/// One line that concerns the host.
#[derive(Debug, Clone)]
struct Entry {
    file: PathBuf,
    line: usize,
    marker: Marker,
    key_type: String,
    key: Vec<u8>,
}

/// The lines of all files that concern one host.
pub struct KnownHosts {
    /// `host`, or `[host]:port` if it isn't port 22, as ssh writes it.
    name: String,
    entries: Vec<Entry>,
    files: Vec<PathBuf>,
}

impl KnownHosts {
    /// Reads the files; those that don't exist are passed over.
    pub fn read(files: &[PathBuf], host: &str, port: u16) -> Result<Self, GitError> {
        let mut known = Self::of_host(host, port);
        known.files = files.to_vec();
        for file in files {
            let text = match read_limited(file) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(GitError::new(
                        GitErrorKind::HostKey,
                        format!("known_hosts file {} can't be read: {error}", file.display()),
                    ));
                }
            };
            known.add(file, &text);
        }
        Ok(known)
    }

    /// Nothing is known yet of this host.
    pub fn of_host(host: &str, port: u16) -> Self {
        Self {
            name: lookup_name(host, port),
            entries: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Adds the lines of a text that concern the host, as if it stood in `file`.
    pub fn add(&mut self, file: &Path, text: &str) {
        for (index, line) in text.lines().enumerate() {
            if let Some((marker, key_type, key)) = parse(line, &self.name) {
                self.entries.push(Entry {
                    file: file.to_owned(),
                    line: index + 1,
                    marker,
                    key_type,
                    key,
                });
            }
        }
    }

    /// Lines for libgit2's own file, from which it takes the preferred key type and nothing else that counts; for the address that
    /// it connects to.
    pub fn plain_lines(&self, host: &str, port: u16) -> String {
        let name = lookup_name(host, port);
        let trusted = self.entries.iter().filter(|e| e.marker == Marker::None);
        trusted.fold(String::new(), |text, e| {
            format!("{text}{name} {} {}\n", e.key_type, STANDARD.encode(&e.key))
        })
    }

    /// Whether the key that the server shows is the host's. `Err` says why not.
    pub fn check(&self, key: &[u8]) -> Result<(), GitError> {
        let refuse = |message: String| Err(GitError::new(GitErrorKind::HostKey, message));
        let name = &self.name;
        let print = fingerprint(key);
        let find = |marker| self.entries.iter().find(move |e| e.marker == marker && e.key == key);
        if let Some(entry) = find(Marker::Revoked) {
            let place = place(entry);
            return refuse(format!("the host key of {name} ({print}) is revoked by {place}"));
        }
        if find(Marker::None).is_some() {
            return Ok(());
        }
        let key_type = key_type(key);
        let plain: Vec<_> = self.entries.iter().filter(|e| e.marker == Marker::None).collect();
        if let Some(entry) = plain.iter().find(|e| e.key_type == key_type) {
            let (known, place) = (fingerprint(&entry.key), place(entry));
            return refuse(format!(
                "the {key_type} host key of {name} is {print}, but {place} says {known}: it was changed, \
                 or somebody intercepts the connection"
            ))
            .map_err(|e| e.hint("ask the host's owner for the new fingerprint, then replace the line"));
        }
        if plain.is_empty() && self.entries.iter().any(|e| e.marker == Marker::Authority) {
            return refuse(format!(
                "{name} is only known by `@cert-authority`, which is not supported"
            ))
            .map_err(|e| e.hint("add the host key itself to known_hosts"));
        }
        let files = self
            .files
            .iter()
            .map(|f| f.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        let listed = if plain.is_empty() {
            "not in any line"
        } else {
            "of a type that is not in the host's lines"
        };
        refuse(format!(
            "the {key_type} host key of {name} ({print}) is {listed} of {files}"
        ))
        .map_err(|e| {
            e.hint(format!(
                "if the fingerprint is the one that the host's owner publishes: ssh-keyscan {}",
                scan(name)
            ))
        })
    }
}

/// Whether a key of the host that is asked is in one of its `known_hosts` files; true for transports that have none.
pub fn is_known(access: &Access) -> Result<bool, GitError> {
    match Address::parse(&access.url) {
        Some(address) if address.transport == Transport::Ssh => {
            let known = KnownHosts::read(&access.known_hosts, &address.host, address.port)?;
            Ok(known.entries.iter().any(|entry| entry.marker == Marker::None))
        }
        _ => Ok(true),
    }
}

/// The key that an ssh server shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKey {
    /// As `known_hosts` has it: name, type and key.
    pub line: String,
    /// `SHA256:…`
    pub fingerprint: String,
}

impl HostKey {
    pub(super) fn new(host: &str, port: u16, key: &[u8]) -> Self {
        Self {
            line: format!("{} {} {}", lookup_name(host, port), key_type(key), STANDARD.encode(key)),
            fingerprint: fingerprint(key),
        }
    }
}

/// Arguments of ssh-keyscan for a name.
fn scan(name: &str) -> String {
    match name.strip_prefix('[').and_then(|n| n.split_once("]:")) {
        Some((host, port)) => format!("-p {port} {host}"),
        None => name.to_owned(),
    }
}

fn place(entry: &Entry) -> String {
    format!("{}:{}", entry.file.display(), entry.line)
}

fn read_limited(file: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn lookup_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// The key of a line if the line concerns `name`. Lines that make no sense are passed over, as ssh does.
fn parse(line: &str, name: &str) -> Option<(Marker, String, Vec<u8>)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split_ascii_whitespace();
    let mut hosts = words.next()?;
    let mut marker = Marker::None;
    if hosts.starts_with('@') {
        marker = match hosts {
            "@revoked" => Marker::Revoked,
            "@cert-authority" => Marker::Authority,
            _ => return None,
        };
        hosts = words.next()?;
    }
    let named = words.next()?;
    let key = STANDARD.decode(words.next()?).ok()?;
    // The blob begins with its own type; a line where the two differ is damaged.
    let honest = marker == Marker::Authority || key_type(&key) == named;
    (honest && concerns(hosts, name)).then(|| (marker, named.to_owned(), key))
}

/// Whether the first field of a line means the host: `|1|salt|hash`, or patterns with `*`, `?` and `!`.
fn concerns(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return hash_matches(hashed, name).unwrap_or(false);
    }
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if wildcard(negated.to_ascii_lowercase().as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= wildcard(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()),
        }
    }
    found
}

/// `salt|hash`, both base64: the hash is the HMAC-SHA1 of the name under the salt.
fn hash_matches(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let mut mac = Hmac::<Sha1>::new_from_slice(&STANDARD.decode(salt).ok()?).ok()?;
    mac.update(name.as_bytes());
    Some(mac.verify_slice(&STANDARD.decode(hash).ok()?).is_ok())
}

/// `*` is any text, `?` one byte. Linear: goes back to the last `*` only.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    t = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// The type that a key blob (RFC 4253, 6.6) begins with.
fn key_type(key: &[u8]) -> String {
    let name = key
        .split_first_chunk::<4>()
        .and_then(|(length, rest)| rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?));
    name.map_or_else(|| "unknown".to_owned(), |n| String::from_utf8_lossy(n).into_owned())
}

/// As `ssh-keygen -l` prints it.
fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(key_type: &str, fill: u8) -> Vec<u8> {
        let mut key = u32::try_from(key_type.len()).unwrap().to_be_bytes().to_vec();
        key.extend_from_slice(key_type.as_bytes());
        key.extend_from_slice(&[0, 0, 0, 4, fill, fill, fill, fill]);
        key
    }

    fn line(hosts: &str, key: &[u8]) -> String {
        format!("{hosts} {} {}\n", key_type(key), STANDARD.encode(key))
    }

    fn known(text: &str, host: &str, port: u16) -> KnownHosts {
        let mut known = KnownHosts {
            name: lookup_name(host, port),
            entries: Vec::new(),
            files: vec![PathBuf::from("/kh")],
        };
        known.add(Path::new("/kh"), text);
        known
    }

    #[test]
    fn plain_patterns_and_ports() {
        let key = blob("ssh-ed25519", 1);
        for (hosts, host, port, good) in [
            ("example.org", "Example.ORG", 22, true),
            ("example.org", "example.org", 2222, false),
            ("[example.org]:2222", "example.org", 2222, true),
            ("[example.org]:2222", "example.org", 22, false),
            ("a,b,example.org", "example.org", 22, true),
            ("*.org,!bad.org", "good.org", 22, true),
            ("*.org,!bad.org", "bad.org", 22, false),
            ("ex?mple.org", "example.org", 22, true),
            ("example.or", "example.org", 22, false),
        ] {
            assert_eq!(
                known(&line(hosts, &key), host, port).check(&key).is_ok(),
                good,
                "{hosts} {host}:{port}"
            );
        }
    }

    #[test]
    fn hashed_names() {
        // Made by `ssh-keygen -H` from `example.org` and `[example.org]:2222`.
        let hash = |name: &str| {
            let mut mac = Hmac::<Sha1>::new_from_slice(b"0123456789abcdefghij").unwrap();
            mac.update(name.as_bytes());
            format!(
                "|1|{}|{}",
                STANDARD.encode(b"0123456789abcdefghij"),
                STANDARD.encode(mac.finalize().into_bytes())
            )
        };
        let key = blob("ssh-ed25519", 1);
        let text = line(&hash("example.org"), &key);
        assert!(known(&text, "example.org", 22).check(&key).is_ok());
        assert!(known(&text, "example.com", 22).check(&key).is_err());
        assert!(known(&text, "example.org", 2222).check(&key).is_err());
        assert!(
            known(&line(&hash("[example.org]:2222"), &key), "example.org", 2222)
                .check(&key)
                .is_ok()
        );
    }

    #[test]
    fn refusals_say_why() {
        let (key, other) = (blob("ssh-ed25519", 1), blob("ssh-ed25519", 2));
        let rsa = blob("ssh-rsa", 3);
        let why = |text: &str, key: &[u8]| known(text, "h", 22).check(key).unwrap_err().message;
        assert!(why("", &key).contains("not in any line"));
        assert!(why(&line("h", &rsa), &key).contains("of a type"));
        assert!(why(&line("h", &other), &key).contains("/kh:1 says SHA256:"));
        let revoked = line("h", &key) + &line("@revoked *", &key);
        assert!(why(&revoked, &key).contains("revoked by /kh:2"));
        assert!(
            known(&(line("h", &key) + &line("@revoked *", &other)), "h", 22)
                .check(&key)
                .is_ok()
        );
        assert!(why(&line("@cert-authority *", &other), &key).contains("not supported"));
        assert!(why(&line("@cert-authority *", &key), &key).contains("not supported"));
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        let key = blob("ssh-ed25519", 1);
        let lying = format!("h ssh-rsa {}\n", STANDARD.encode(&key));
        for text in [
            "h",
            "h ssh-ed25519",
            "h ssh-ed25519 !!!",
            "# h",
            "@strange h x y",
            "|1|x h",
            &lying,
        ] {
            assert!(known(text, "h", 22).check(&key).is_err(), "{text}");
            assert!(
                known(&format!("{text}\n{}", line("h", &key)), "h", 22)
                    .check(&key)
                    .is_ok(),
                "{text}"
            );
        }
    }

    #[test]
    fn lines_for_libgit2_hold_trusted_keys_only() {
        let (key, other) = (blob("ssh-ed25519", 1), blob("ssh-rsa", 2));
        let text = line("*", &key) + &line("@revoked *", &other);
        assert_eq!(
            known(&text, "h", 2222).plain_lines("10.0.0.1", 2222),
            line("[10.0.0.1]:2222", &key)
        );
    }
}
