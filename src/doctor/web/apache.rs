//! Apache's configuration, as Debian lays it out: what is served and what is handed on.

use std::path::{Path, PathBuf};

use super::nginx::{matching, public_path};
use super::{Forward, Kind, Place, Root, Web};

/// Reads the enabled sites and configurations below a directory.
pub(super) fn read(directory: &Path, web: &mut Web) {
    if !directory.join("apache2.conf").exists() {
        return;
    }
    web.servers.push((Kind::Apache, Some("www-data".to_owned())));
    let patterns = ["apache2.conf", "conf-enabled/*.conf", "sites-enabled/*.conf"];
    for file in patterns.iter().flat_map(|pattern| matching(&directory.join(pattern))) {
        if let Some(text) = web.read(&file) {
            one(&file, &text, web);
        }
    }
}

fn one(file: &Path, text: &str, web: &mut Web) {
    let mut names: Vec<String> = Vec::new();
    let mut location = String::new();
    let mut directory = PathBuf::new();
    let mut shut: Vec<(PathBuf, Place)> = Vec::new();
    let mut limit: Option<(u64, Place)> = None;
    let (first_root, first_forward) = (web.roots.len(), web.forwards.len());
    for (number, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches('"')).collect();
        let Some(name) = words.first().map(|word| word.to_ascii_lowercase()) else {
            continue;
        };
        let argument = words.get(1).copied().unwrap_or_default();
        let place = || Place {
            file: file.to_owned(),
            line: number + 1,
        };
        match name.as_str() {
            "<virtualhost" => names.clear(),
            "servername" => names.insert(0, argument.to_owned()),
            "serveralias" => names.extend(words.iter().skip(1).map(|word| (*word).to_owned())),
            "<location" => argument
                .trim_end_matches('>')
                .trim_matches('"')
                .clone_into(&mut location),
            "</location>" => location.clear(),
            "<directory" => directory = PathBuf::from(argument.trim_end_matches('>').trim_matches('"')),
            "documentroot" => web.roots.push(Root {
                kind: Kind::Apache,
                place: place(),
                path: PathBuf::from(argument),
                no_links: None,
                cache: None,
            }),
            "options" if words.contains(&"-FollowSymLinks") => shut.push((directory.clone(), place())),
            "limitrequestbody" => limit = argument.parse().ok().map(|most| (most, place())),
            "proxypass" => web.forwards.extend(forward(&words, &location, &names, place())),
            _ => {}
        }
    }
    // Without it there is no limit that a webhook comes near, and 0 is none either.
    if let Some((most, place)) = limit.filter(|(most, _)| *most > 0) {
        for forward in &mut web.forwards[first_forward..] {
            forward.body_max = Some(most);
            forward.body_place = Some(place.clone());
        }
    }
    for root in &mut web.roots[first_root..] {
        root.no_links = shut
            .iter()
            .find(|(directory, _)| root.path.starts_with(directory))
            .map(|(_, place)| place.clone());
    }
}

/// `ProxyPass /hook/ http://127.0.0.1:9000/hook/`, or without the path within `<Location>`.
fn forward(words: &[&str], location: &str, names: &[String], place: Place) -> Option<Forward> {
    let (path, to) = match words {
        [_, path, to, ..] if path.starts_with('/') => (*path, *to),
        [_, to, ..] => (location, *to),
        _ => return None,
    };
    let (_, rest) = to.split_once("://")?;
    let at = rest.find('/').unwrap_or(rest.len());
    // Apache always puts what follows the address in the place of the path.
    let uri = if at == rest.len() { "/" } else { &rest[at..] };
    let uri = if path == "/" && uri == "/" { None } else { Some(uri) };
    Some(Forward {
        kind: Kind::Apache,
        place,
        to: rest[..at].to_owned(),
        path: public_path(path, uri),
        body_max: None,
        body_place: None,
        sender: true,
        names: names.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_with_its_webhooks() {
        let text = "<VirtualHost *:443>\n  ServerName blog.example.org\n  DocumentRoot \"/srv/blog/releases/x\"\n\
                    <Directory /srv/blog>\n    Options -FollowSymLinks\n  </Directory>\n\
                    ProxyPass /hook/ http://127.0.0.1:9000/hook/\n</VirtualHost>\n";
        let mut web = Web::default();
        one(Path::new("/x"), text, &mut web);
        assert_eq!(
            (web.roots[0].path.as_path(), web.roots[0].place.line),
            (Path::new("/srv/blog/releases/x"), 3)
        );
        assert_eq!(web.roots[0].no_links.as_ref().unwrap().line, 5);
        let forward = &web.forwards[0];
        assert_eq!(
            (forward.to.as_str(), forward.path.as_deref()),
            ("127.0.0.1:9000", Some("/hook/"))
        );
        assert_eq!(forward.names, ["blog.example.org"]);
    }
}
