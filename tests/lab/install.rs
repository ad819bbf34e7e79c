//! The README's way from nothing to a site that follows its repository, line by line.

use std::path::Path;

use crate::container::{Machine, PLAIN};
use crate::deb;
use crate::site;
use crate::support::forge::Delivery;

/// The line that is not executed: it takes minutes and a compiler, and tests/run has executed it before. What it leaves behind is put
/// where it leaves it.
const BUILD: &str = "packaging/build-deb";

/// Where the checkout is.
const CHECKOUT: &str = "/root/hookd";

/// What stands for the internet and for a generator of sites: https://github.com with a certificate that this machine trusts, where the
/// repository of the example is, and a `hugo` that does what the example needs of it.
const WORLD: &str = r#"
printf '127.0.0.1 github.com blog.example.org\n' >>/etc/hosts
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=github.com \
  -addext subjectAltName=DNS:github.com -keyout /etc/nginx/github.key \
  -out /usr/local/share/ca-certificates/github.crt 2>/dev/null
update-ca-certificates >/dev/null 2>&1
cat >/etc/nginx/conf.d/github.conf <<'END'
server {
    listen 127.0.0.1:443 ssl;
    server_name github.com;
    ssl_certificate /usr/local/share/ca-certificates/github.crt;
    ssl_certificate_key /etc/nginx/github.key;
    location / {
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
        fastcgi_param GIT_PROJECT_ROOT /srv/github;
        fastcgi_param GIT_HTTP_EXPORT_ALL "";
        fastcgi_param PATH_INFO $uri;
        fastcgi_pass unix:/run/fcgiwrap.socket;
    }
}
END
systemctl restart nginx
cat >/usr/local/bin/hugo <<'END'
#!/bin/sh
set -eu
[ "$*" = --minify ]
mkdir public
sed 's,.*,<p>&</p>,' content.md >public/index.html
END
chmod 755 /usr/local/bin/hugo
git config --global safe.directory '*'
git init --quiet --bare --initial-branch=main /srv/github/alice/blog.git
git clone --quiet /srv/github/alice/blog.git /root/blog 2>/dev/null
cd /root/blog
git checkout --quiet -b main
git config user.name Alice
git config user.email alice@example.org
"#;

/// Publishes a page as its author does; gives the commit.
fn publish(machine: &Machine, page: &str) -> String {
    let commit = machine.sh(&format!(
        "cd /root/blog; echo '{page}' >content.md; git add -A; git commit -qm '{page}'; git push -q origin main
         chown -R www-data: /srv/github; git rev-parse HEAD"
    ));
    commit.trim().to_owned()
}

/// The shell blocks of the README's section, in order.
fn blocks() -> Vec<String> {
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## Install\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_install_section_leads_to_a_site_that_follows_its_repository() {
    let machine = Machine::boot(PLAIN);
    machine.until("systemctl is-active nginx");
    machine.sh(WORLD);
    publish(&machine, "first");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    machine.copy(&examples, &format!("{CHECKOUT}/examples"));

    let mut lines = Vec::new();
    for line in blocks().iter().flat_map(|block| block.lines()) {
        if line == BUILD {
            machine.copy(deb::package(), &format!("{CHECKOUT}/target/debian/hookd_0_amd64.deb"));
        } else {
            machine.sh(&format!("cd {CHECKOUT}; {line}"));
        }
        lines.push(line.to_owned());
    }
    assert!(lines.contains(&BUILD.to_owned()), "{lines:?}");
    assert!(lines.len() >= 10, "{lines:?}");

    let page = |text: &str| {
        let served = format!("curl -sf http://blog.example.org/ | grep -q '<p>{text}</p>'");
        machine.until(&served);
    };
    page("first");
    let commit = publish(&machine, "second");
    let secret = machine.sh("cat /etc/hookd/blog.secret");
    let delivery = Delivery::push("alice/blog", "refs/heads/main", &commit).signed(secret.trim());
    let to = "blog.example.org:80:127.0.0.1";
    let answer = site::curl(
        &machine,
        &delivery,
        &["--resolve", to, "http://blog.example.org/hook/blog"],
    );
    assert!(answer.contains("\"status\":\"accepted\""), "{answer}");
    page("second");
    assert!(machine.sh("hookd history").contains(&commit[..7]));
    assert!(machine.sh("hookd deliveries").contains("accepted"));
}
