//! Finds mistakes in what a web server serves and forwards.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::super::finding::{Area, Findings};
use super::super::settings::word;
use super::{Forward, Kind, Place, Root, Web};
use crate::config::{AllowFrom, Command, Config, Listen, Strategy, Target};
use crate::exec::quoted;
use crate::machine::{Access, Account, PASS, READ, rights};

const AREA: Area = Area::Web;

/// What stands in nginx for webhooks, with hookd's address.
fn location(address: &str) -> String {
    format!(
        "in nginx, within `server {{ … }}`:\n  location /hook/ {{\n      proxy_pass http://{address};\n      \
         proxy_set_header X-Forwarded-For $remote_addr;\n      client_max_body_size 25m;\n  }}\n\
         in a Caddyfile: reverse_proxy /hook/* {address}"
    )
}

/// Which forwards lead to one of hookd's addresses.
pub(super) fn to_hookd(web: &Web, listeners: &[Listen]) -> Vec<usize> {
    let leads = |forward: &Forward| {
        listeners.iter().any(|listener| match listener {
            Listen::Unix(path) => Path::new(&forward.to) == path,
            Listen::Tcp(address) => {
                let Some((host, port)) = forward.to.rsplit_once(':') else {
                    return false;
                };
                let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok();
                let local = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
                let own = address.ip().is_loopback() || address.ip().is_unspecified();
                port == address.port().to_string() && (ip == Some(address.ip()) || (local && own))
            }
        })
    };
    let all = web.forwards.iter().enumerate();
    all.filter(|(_, forward)| leads(forward))
        .map(|(index, _)| index)
        .collect()
}

/// A shell line that changes a line of a file, and the reload that makes it count. No line is added or taken away, so that
/// the places that other findings name stay where they are.
fn edit(kind: Kind, place: &Place, script: &str) -> [String; 2] {
    // Debian enables a site by a link, which has to stay one.
    let line = format!(
        "sed -i --follow-symlinks {} {}",
        quoted(&format!("{}{script}", place.line)),
        word(&place.file)
    );
    [line, kind.reload().to_owned()]
}

/// `s#from#to#` for sed, with what is special to it made plain.
fn replace(from: &Path, to: &Path) -> String {
    let plain = |text: &str, special: &str| {
        text.chars().fold(String::new(), |mut out, c| {
            if special.contains(c) {
                out.push('\\');
            }
            out.push(c);
            out
        })
    };
    let from = plain(&from.display().to_string(), r"\.*[]^$#");
    format!("s#{from}#{}#", plain(&to.display().to_string(), r"\&#"))
}

/// Judges how webhooks get to hookd.
pub(super) fn forwards(config: &Config, web: &Web, listeners: &[Listen], found: &mut Findings) {
    let to_hookd: Vec<&Forward> = web
        .to_hookd
        .iter()
        .filter_map(|index| web.forwards.get(*index))
        .collect();
    if to_hookd.is_empty() {
        nobody(web, listeners, found);
        return;
    }
    for forward in to_hookd {
        let (place, kind) = (&forward.place, forward.kind);
        let Some(path) = &forward.path else {
            let text =
                format!("{place}: what is handed on to hookd does not arrive at /hook/REPO, where hookd answers");
            found.error(AREA, text).hint(location(&forward.to));
            continue;
        };
        let before = found.0.len();
        if let Some(most) = forward.body_max.filter(|most| *most < config.limits.body) {
            let (wanted, bytes) = (config.limits.body >> 20, config.limits.body);
            let (key, fix) = match (kind, &forward.body_place) {
                (Kind::Apache, own) => {
                    let change = format!("s/LimitRequestBody.*/LimitRequestBody {bytes}/");
                    ("LimitRequestBody", edit(kind, own.as_ref().unwrap_or(place), &change))
                }
                (_, Some(own)) => {
                    let change = format!("s/client_max_body_size[^;]*/client_max_body_size {wanted}m/");
                    ("client_max_body_size", edit(kind, own, &change))
                }
                (_, None) => {
                    let change = format!("s/;/; client_max_body_size {wanted}m;/");
                    ("client_max_body_size", edit(kind, place, &change))
                }
            };
            let text = format!(
                "{place}: {} refuses webhooks of more than {} KiB ({key})",
                kind.as_str(),
                most >> 10
            );
            found.warning(AREA, text).fix.extend(fix);
        }
        sender(config, forward, found);
        if found.0.len() == before {
            found.ok(AREA, format!("{place}: {} hands {path}REPO on to hookd", kind.as_str()));
        }
    }
}

/// With the wrong sender `allow_from` refuses everybody, and one stranger's failures count for all.
fn sender(config: &Config, forward: &Forward, found: &mut Findings) {
    let place = &forward.place;
    let needed = config.repos.values().find(|repo| !repo.allow_from.is_empty());
    let trusted = forward.to.starts_with('/')
        || config
            .http
            .trusted_proxies
            .iter()
            .any(|net| net.contains(&std::net::IpAddr::from([127, 0, 0, 1])));
    let (text, fix, hint) = if !forward.sender {
        let fix = edit(
            forward.kind,
            place,
            r"s/;/; proxy_set_header X-Forwarded-For $remote_addr;/",
        )
        .to_vec();
        (format!("{place}: hookd is not told who sent a delivery"), fix, None)
    } else if !trusted {
        let hint = format!(
            "write into {}: [http] trusted_proxies = [\"127.0.0.1\", \"::1\"]",
            config.file.display()
        );
        let text = format!(
            "{place}: hookd does not believe {} who sent a delivery",
            forward.kind.as_str()
        );
        (text, Vec::new(), Some(hint))
    } else {
        return;
    };
    let finding = match needed {
        Some(repo) if !repo.allow_from.iter().any(is_loopback) => found.error(
            AREA,
            format!("{text}: `allow_from` of repo {} refuses all deliveries", repo.name),
        ),
        _ => found.warning(AREA, format!("{text}: failures of one stranger count for everybody")),
    };
    finding.fix = fix;
    finding.hint = hint;
}

fn is_loopback(from: &AllowFrom) -> bool {
    matches!(from, AllowFrom::Net(net) if net.addr().is_loopback())
}

fn nobody(web: &Web, listeners: &[Listen], found: &mut Findings) {
    let reachable = |listener: &Listen| matches!(listener, Listen::Tcp(address) if !address.ip().is_loopback());
    if listeners.iter().any(reachable) {
        found.ok(AREA, "webhooks come to hookd's own address");
        return;
    }
    let address = listeners.first().map(|listener| match listener {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    });
    let address = address.unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let what = match web.servers.first() {
        Some((kind, _)) => format!("{} does not hand /hook/ on to {address}", kind.as_str()),
        None => format!("no web server was found that hands /hook/ on to {address}"),
    };
    found
        .warning(AREA, format!("{what}, which forges can't reach from outside"))
        .hint(location(&address));
}

/// Judges what is served.
pub(super) fn roots(config: &Config, web: &Web, found: &mut Findings) {
    for target in config.repos.values().flat_map(|repo| repo.targets.values()) {
        let ours: Vec<(&Root, PathBuf)> = web
            .roots
            .iter()
            .filter_map(|root| Some((root, below(root, target)?)))
            .collect();
        if ours.is_empty() && !web.servers.is_empty() {
            let text = format!(
                "target {}: no web server has a root below {}",
                target.id,
                target.path.display()
            );
            found.skipped(AREA, text);
        }
        for (root, rest) in ours {
            one(target, root, &rest, web, found);
        }
    }
}

/// The part of a root below the target's directory, through a link in its place, too.
fn below(root: &Root, target: &Target) -> Option<PathBuf> {
    if let Ok(rest) = root.path.strip_prefix(&target.path) {
        return Some(rest.to_owned());
    }
    let link = fs::read_link(&root.path).ok()?;
    let named = root.path.parent().unwrap_or(Path::new("/")).join(link);
    named.strip_prefix(&target.path).ok().map(Path::to_owned)
}

fn one(target: &Target, root: &Root, rest: &Path, web: &Web, found: &mut Findings) {
    let (place, kind) = (&root.place, root.kind);
    let parts: Vec<&str> = rest
        .components()
        .filter_map(|c| if let Component::Normal(n) = c { n.to_str() } else { None })
        .collect();
    let in_place = target.strategy == Strategy::InPlace;
    let (why, wanted) = match parts.as_slice() {
        ["current", ..] => return served(target, root, web, found),
        _ if in_place => return served(target, root, web, found),
        ["shared", ..] => return,
        ["releases", _, inner @ ..] => {
            let inner: PathBuf = inner.iter().collect();
            (
                "serves one release for ever, whatever is deployed",
                target.path.join("current").join(inner),
            )
        }
        _ => (
            "serves the directory above `current`, with all releases and `shared`",
            target.path.join("current"),
        ),
    };
    let wanted: PathBuf = wanted.components().collect();
    let error = found.error(
        AREA,
        format!("{place}: {} {why}: {}", kind.as_str(), root.path.display()),
    );
    if root.path.starts_with(&target.path) {
        error.fix.extend(edit(kind, place, &replace(&root.path, &wanted)));
    } else {
        error.fix(format!("ln -sfn {} {}", word(&wanted), word(&root.path)));
    }
}

/// It serves the right directory; does it do so in the right way?
fn served(target: &Target, root: &Root, web: &Web, found: &mut Findings) {
    let (place, kind) = (&root.place, root.kind);
    let before = found.0.len();
    if let Some(shut) = &root.no_links {
        let text = format!(
            "{shut}: {} follows no links, so nothing below `current` is served",
            kind.as_str()
        );
        found.error(AREA, text).fix.extend(edit(kind, shut, "s/^/#/"));
    }
    let reloads = matches!(&target.reload, Some(Command::Shell(line)) if line.contains(kind.as_str()))
        || matches!(&target.reload, Some(Command::Argv(argv)) if argv.iter().any(|word| word.contains(kind.as_str())));
    if let Some(cache) = root.cache.as_ref().filter(|_| !reloads) {
        let text =
            format!("{cache}: open_file_cache goes on serving files of the release before, until it looks again");
        let name = &target.id;
        found.warning(AREA, text).hint(format!(
            "write into [repo.{}.deploy.{}]: reload = \"systemctl reload nginx\"",
            name.repo, name.target
        ));
    }
    let php = web
        .php
        .iter()
        .filter(|php| php.root.starts_with(target.path.join("current")));
    for php in php {
        let text = format!(
            "{}: PHP keeps compiled files by the path through the link, and goes on with those of the release before",
            php.place
        );
        found.warning(AREA, text).hint(
            "give it the real path:\n  fastcgi_param SCRIPT_FILENAME $realpath_root$fastcgi_script_name;\n  \
             fastcgi_param DOCUMENT_ROOT $realpath_root;",
        );
    }
    let user = web
        .servers
        .iter()
        .find(|(other, _)| *other == kind)
        .and_then(|(_, user)| user.as_deref());
    if let Some(account) = user.and_then(Account::named)
        && let Access::No(part) = account.may(&root.path, READ | PASS)
    {
        let about = fs::metadata(&part).map(|about| rights(&about)).unwrap_or_default();
        let text = format!(
            "{place}: {} may not go through {} ({about})",
            account.name,
            part.display()
        );
        found.error(AREA, text).fix(format!("chmod o+rx {}", word(&part)));
    }
    if found.0.len() == before {
        found.ok(
            AREA,
            format!("{place}: {} serves {}", kind.as_str(), root.path.display()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Level;
    use super::*;
    use crate::config;

    fn judged(nginx: &str, target: &str) -> Findings {
        judged_of(Kind::Nginx, nginx, target)
    }

    fn judged_of(kind: Kind, text: &str, target: &str) -> Findings {
        let directory = tempfile::tempdir().unwrap();
        let mut web = Web::default();
        let write = |name: &str| {
            let file = directory.path().join(name);
            fs::write(&file, text).unwrap();
            file
        };
        match kind {
            Kind::Nginx => super::super::nginx::read(&write("nginx.conf"), &mut web),
            Kind::Caddy => super::super::caddy::read(&write("Caddyfile"), &mut web),
            Kind::Apache => {
                write("apache2.conf");
                super::super::apache::read(directory.path(), &mut web);
            }
        }
        let text = format!(
            "[http]\ntrusted_proxies = [\"127.0.0.1\"]\n[repo.blog]\nurl = \"https://github.com/a/b\"\nsecret = \"file:/s\"\n\
             [repo.blog.deploy.live]\nbranch = \"main\"\npath = \"/srv/blog\"\n{target}"
        );
        let config = config::parse(Path::new("/etc/hookd.toml"), &text, &|_| None)
            .unwrap()
            .config;
        let mut found = Findings::default();
        web.to_hookd = to_hookd(&web, &config.listen);
        forwards(&config, &web, &config.listen, &mut found);
        roots(&config, &web, &mut found);
        for finding in &mut found.0 {
            for line in &mut finding.fix {
                *line = line.replace(&directory.path().display().to_string(), "");
            }
        }
        found
    }

    const HOOK: &str = "location /hook/ {\nproxy_pass http://localhost:9000;\nclient_max_body_size 25m;\nproxy_set_header X-Forwarded-For $remote_addr;\n}\n";

    fn errors(found: &Findings) -> Vec<(&str, &str)> {
        let wrong = found
            .0
            .iter()
            .filter(|f| matches!(f.level, Level::Error | Level::Warning));
        wrong
            .map(|f| (f.text.as_str(), f.fix.first().map_or("", String::as_str)))
            .collect()
    }

    #[test]
    fn the_shipped_examples_are_well() {
        for (kind, text) in [
            (Kind::Nginx, include_str!("../../../examples/static-site/nginx.conf")),
            (Kind::Caddy, include_str!("../../../examples/static-site/Caddyfile")),
            (Kind::Apache, include_str!("../../../examples/static-site/apache.conf")),
        ] {
            let found = judged_of(kind, text, "");
            assert_eq!(errors(&found), [], "{}", kind.as_str());
            assert!(found.count(Level::Ok) >= 2, "{found:?}");
            let wrong = text.replace("/srv/blog/current", "/srv/blog/releases/20261122T101500Z-1a2b3c4");
            let found = judged_of(kind, &wrong, "");
            assert!(
                errors(&found).iter().all(|(_, fix)| fix.contains("#/srv/blog/current")),
                "{found:?}"
            );
            assert!(found.count(Level::Error) >= 1, "{found:?}");
        }
        let small = include_str!("../../../examples/static-site/apache.conf").replace("26214400", "1000");
        let found = judged_of(Kind::Apache, &small, "");
        assert!(
            errors(&found)[0]
                .1
                .contains("s/LimitRequestBody.*/LimitRequestBody 26214400/"),
            "{found:?}"
        );
    }

    #[test]
    fn a_root_at_current_is_well() {
        let found = judged(&format!("server {{\nroot /srv/blog/current/public;\n{HOOK}}}"), "");
        assert_eq!(errors(&found), []);
    }

    #[test]
    fn other_roots_are_mended_by_sed() {
        let one = judged(
            &format!("server {{\nroot /srv/blog/releases/20261122T101500Z-1a2b3c4/public;\n{HOOK}}}"),
            "",
        );
        let [(text, fix)] = errors(&one)[..] else {
            panic!("{one:?}")
        };
        assert!(text.contains("one release for ever"), "{text}");
        assert_eq!(
            fix,
            "sed -i --follow-symlinks '2s#/srv/blog/releases/20261122T101500Z-1a2b3c4/public#/srv/blog/current/public#' /nginx.conf"
        );
        let above = judged(&format!("server {{\nroot /srv/blog;\n{HOOK}}}"), "");
        assert_eq!(
            errors(&above)[0].1,
            "sed -i --follow-symlinks '2s#/srv/blog#/srv/blog/current#' /nginx.conf"
        );
        let in_place = judged(
            &format!("server {{\nroot /srv/blog/public;\n{HOOK}}}"),
            "strategy = \"in-place\"",
        );
        assert_eq!(errors(&in_place), []);
    }

    #[test]
    fn links_caches_and_php() {
        let nginx = format!(
            "open_file_cache max=1;\nserver {{\nroot /srv/blog/current;\ndisable_symlinks on;\nlocation ~ php {{\n\
             fastcgi_pass x;\nfastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;\n}}\n{HOOK}}}"
        );
        let found = judged(&nginx, "");
        let all = errors(&found);
        assert_eq!(all.len(), 3, "{all:?}");
        assert_eq!(all[0].1, "sed -i --follow-symlinks '4s/^/#/' /nginx.conf");
        let reloading = judged(&nginx, "reload = \"systemctl reload nginx\"");
        assert_eq!(errors(&reloading).len(), 2);
        let real = nginx.replace("$document_root", "$realpath_root");
        assert_eq!(errors(&judged(&real, "reload = \"systemctl reload nginx\"")).len(), 1);
    }

    #[test]
    fn webhooks_must_arrive_whole_and_with_their_sender() {
        let of = |lines: &str| {
            judged(
                &format!("server {{\nroot /srv/blog/current;\nlocation /hook/ {{\n{lines}\n}}\n}}"),
                "",
            )
        };
        let small = of("proxy_pass http://127.0.0.1:9000;\nproxy_set_header X-Forwarded-For $remote_addr;");
        assert_eq!(
            errors(&small)[0].1,
            "sed -i --follow-symlinks '4s/;/; client_max_body_size 25m;/' /nginx.conf"
        );
        let unnamed = of("proxy_pass http://127.0.0.1:9000;\nclient_max_body_size 0;");
        assert_eq!(
            errors(&unnamed)[0].1,
            "sed -i --follow-symlinks '4s/;/; proxy_set_header X-Forwarded-For $remote_addr;/' /nginx.conf"
        );
        let lost = of("proxy_pass http://127.0.0.1:9000/elsewhere/;");
        assert!(errors(&lost)[0].0.contains("does not arrive"), "{lost:?}");
        let none = of("return 404;");
        assert!(
            errors(&none)[0]
                .0
                .contains("nginx does not hand /hook/ on to 127.0.0.1:9000"),
            "{none:?}"
        );
    }
}
