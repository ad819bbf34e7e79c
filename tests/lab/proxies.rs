//! Caddy and Apache in front of hookd, as in examples/static-site; nginx is in the README's way.

use crate::container::{Kind, PLAIN};
use crate::site::{self, REPOSITORY, Site};

/// Debian 12 with both; neither runs at first.
const SERVERS: Kind = Kind {
    packages: "git,libssl3,curl,openssl,sudo,apache2,caddy",
    ..PLAIN
};

/// The example, with the repository of this machine and a build that needs no generator of sites.
fn configured() -> Site {
    let site = Site::stopped_on(SERVERS);
    site.machine.sh("systemctl stop apache2 caddy; systemctl reset-failed");
    let example = include_str!("../../examples/static-site/hookd.toml");
    let url = "url = \"https://github.com/alice/blog.git\"";
    assert!(example.contains(url) && example.contains("hugo --minify"));
    let local = format!("url = \"{REPOSITORY}\"\nfull_name = \"alice/site\"\nforge = \"github\"");
    let text = example
        .replace(url, &local)
        .replace("hugo --minify", "mkdir public; cp index.html public");
    site.configure(&text);
    site.machine
        .sh("mv /etc/hookd/site.secret /etc/hookd/blog.secret; install -d -o hookd -g hookd /srv/blog");
    site
}

/// A page is deployed, then another by a delivery through the server, which says where it came from.
fn works(site: &Site, base: &str, port: u16) {
    let machine = &site.machine;
    let resolve = format!("blog.example.org:{port}:127.0.0.1");
    let page = |text: &str| {
        machine.until(&format!("[ \"$(curl -skf --resolve {resolve} {base}/)\" = '{text}' ]"));
    };
    site.publish("one");
    machine.sh("systemctl start hookd");
    page("one");
    let commit = site.publish("two");
    let url = format!("{base}/hook/blog");
    let answer = site::curl(machine, &site::pushed(&commit), &["-k", "--resolve", &resolve, &url]);
    assert!(answer.contains("\"status\":\"accepted\""), "{answer}");
    page("two");
    let refused = site::pushed(&commit).signed("wrong");
    // trusted_proxies: what the server says of the sender counts, and what the sender says of itself does not.
    let refused = refused.header("X-Forwarded-For", "192.0.2.9");
    let from = ["-k", "--interface", "127.0.0.2", "--resolve", &resolve, &url];
    let answer = site::curl(machine, &refused, &from);
    assert!(answer.contains("not authorized"), "{answer}");
    let deliveries = site.json("hookd deliveries --json");
    assert!(deliveries.to_string().contains("127.0.0.2"), "{deliveries}");
    assert!(!deliveries.to_string().contains("192.0.2.9"), "{deliveries}");
    // Nothing but webhooks goes through, and nothing larger than hookd takes.
    let status = machine.sh(&format!(
        "head -c 27000000 /dev/zero | curl -sk -o /dev/null -w '%{{http_code}}' --resolve {resolve} --data-binary @- {url}
         curl -sk -o /dev/null -w ' %{{http_code}}' --resolve {resolve} {base}/healthz"
    ));
    assert_eq!(status, "413 404");
}

#[test]
fn caddy_serves_the_site_and_passes_deliveries_on() {
    let site = configured();
    // Certificates of its own authority, since there is no internet here.
    let text = include_str!("../../examples/static-site/Caddyfile");
    site.machine.write(
        "/etc/caddy/Caddyfile",
        0o644,
        &format!("{{\n\tlocal_certs\n\tskip_install_trust\n}}\n{text}"),
    );
    site.machine.sh("systemctl start caddy");
    works(&site, "https://blog.example.org", 443);
}

#[test]
fn apache_serves_the_site_and_passes_deliveries_on() {
    let site = configured();
    let text = include_str!("../../examples/static-site/apache.conf");
    site.machine
        .write("/etc/apache2/sites-available/blog.conf", 0o644, text);
    site.machine
        .sh("a2enmod -q proxy_http; a2ensite -q blog; systemctl restart apache2");
    works(&site, "http://blog.example.org", 80);
}
