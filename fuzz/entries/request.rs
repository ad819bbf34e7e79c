//! Bytes as the request of a forge: lines `name: value`, an empty line, and the body; and the repo that it is for.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use hookd::config::{ForgeKind, Repo};
use hookd::model::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};

/// When all requests arrive: the time stamp of the published vector of Standard Webhooks.
pub const NOW: Timestamp = Timestamp(1_614_265_330_000);

/// The forges by their names in the configuration; the empty one leaves it to the headers.
fn forges() -> impl Iterator<Item = &'static str> {
    [""].into_iter().chain(ForgeKind::ALL.iter().map(|kind| kind.as_str()))
}

/// Repos of every forge, each without and with what makes them more lenient.
static REPOS: LazyLock<Vec<Arc<Repo>>> = LazyLock::new(|| {
    let both = forges().flat_map(|forge| [repo(forge, false), repo(forge, true)]);
    both.collect()
});

fn repo(forge: &str, lenient: bool) -> Arc<Repo> {
    let forge = match forge {
        "" => String::new(),
        "generic" => "forge = \"generic\"\ngeneric.header = \"X-Signature\"".to_owned(),
        named => format!("forge = \"{named}\""),
    };
    let more = if lenient { "allow_sha1 = true" } else { "" };
    let text = format!(
        "[repo.blog]\nurl = \"https://git.example/alice/blog.git\"\nsecret = \"env:SECRET\"\n{forge}\n{more}\n\
         [repo.blog.deploy.production]\nbranch = [\"main\", \"release/*\"]\npath = \"/srv/blog\"\n\
         [repo.blog.deploy.tagged]\ntag = \"v*\"\npath = \"/srv/tagged\"\non = [\"push\", \"release\", \"workflow_run\", \"create\"]\n"
    );
    let loaded = hookd::config::parse(Path::new("/hookd.toml"), &text, &|_| None);
    let loaded = loaded.unwrap_or_else(|report| panic!("{report}\n{text}"));
    Arc::clone(&loaded.config.repos[&"blog".parse().unwrap()])
}

/// The repo that a byte stands for.
pub fn chosen_repo(choice: u8) -> &'static Repo {
    &REPOS[usize::from(choice) % REPOS.len()]
}

/// The forge that a byte stands for; none for "by the headers".
pub fn chosen_forge(choice: u8) -> Option<ForgeKind> {
    chosen_repo(choice).forge
}

/// Takes a request apart. Lines that can be no headers are left out, as HTTP would not let them through.
pub fn parse(data: &[u8]) -> (HeaderMap, &[u8]) {
    let mut headers = HeaderMap::new();
    let mut rest = data;
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            return (headers, rest);
        }
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            headers.append(name, value);
        }
    }
    (headers, rest)
}
