//! The README's way from nothing to a site that follows its repository, line by line.

use std::path::Path;

use crate::container::{Kind, Machine, NEWER, PLAIN};
use crate::deb;
use crate::site::{self, Site};
use crate::support::forge::Delivery;

/// The line that is not executed: it takes minutes and a compiler, and tests/run has executed it before. What it leaves behind is put
/// where it leaves it.
const BUILD: &str = "packaging/build-deb";

/// The line that another system's administrator replaces by the archive and its `install`.
const PACKAGE: &str = "sudo apt install ./target/debian/hookd_*.deb";

/// Where the checkout is.
const CHECKOUT: &str = "/root/hookd";

/// What stands for the internet and for a generator of sites: <https://github.com> with a certificate that this machine trusts, where the
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
echo '#!/bin/sh' >/usr/local/bin/hugo
cat >>/usr/local/bin/hugo <<'END'
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

/// A machine with the internet and the author's repository as [`WORLD`] makes them, and one page in it.
fn machine(kind: Kind) -> Machine {
    let machine = Machine::boot(kind);
    machine.until("systemctl is-active nginx");
    machine.sh(WORLD);
    publish(&machine, "first");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    machine.copy(&examples, &format!("{CHECKOUT}/examples"));
    machine
}

/// Executes the README's lines, one by one; `instead` may take one of them over.
fn follow(machine: &Machine, instead: impl Fn(&str) -> bool) {
    let blocks = blocks();
    let lines: Vec<&str> = blocks.iter().flat_map(|block| block.lines()).collect();
    assert!(lines.len() >= 7, "{lines:?}");
    assert!(lines.contains(&BUILD) && lines.contains(&PACKAGE), "{lines:?}");
    for line in lines {
        if !instead(line) {
            machine.sh(&format!("cd {CHECKOUT}; {line}"));
        }
    }
}

/// The first page is live, and after a push and its delivery the second.
fn follows_its_repository(machine: &Machine) {
    let page = |text: &str| {
        let served = format!("curl -sf http://blog.example.org/ | grep -q '<p>{text}</p>'");
        machine.until(&served);
    };
    page("first");
    let commit = publish(machine, "second");
    let secret = machine.sh("cat /etc/hookd/blog.secret");
    let delivery = Delivery::push("alice/blog", "refs/heads/main", &commit).signed(secret.trim());
    let to = "blog.example.org:80:127.0.0.1";
    let answer = site::curl(
        machine,
        &delivery,
        &["--resolve", to, "http://blog.example.org/hook/blog"],
    );
    assert!(answer.contains("\"status\":\"accepted\""), "{answer}");
    page("second");
    assert!(machine.sh("hookd history").contains(&commit[..7]));
    assert!(machine.sh("hookd deliveries").contains("accepted"));
}

#[test]
fn the_install_section_leads_to_a_site_that_follows_its_repository() {
    let machine = machine(PLAIN);
    follow(&machine, |line| {
        if line == BUILD {
            machine.copy(deb::package(), &format!("{CHECKOUT}/target/debian/hookd_0_amd64.deb"));
        }
        line == BUILD
    });
    follows_its_repository(&machine);
}

/// In one go, and away again.
#[test]
fn add_lets_a_reload_ask_systemd_and_remove_takes_that_back() {
    const RULE: &str = "/etc/polkit-1/rules.d/60-hookd-blog-production.rules";
    let site = Site::stopped();
    let machine = &site.machine;
    machine.until("systemctl is-active nginx");
    machine.sh("systemctl enable --now hookd");
    site.publish("one");
    let add = "hookd add /srv/git/site.git --name blog --forge github --full-name alice/blog --path /srv/blog \
               --reload 'systemctl reload nginx'";
    let said = machine.sh(add);
    assert!(said.contains(RULE), "{said}");
    let rule = machine.sh(&format!("cat {RULE}; stat -c '%a %U' {RULE}"));
    assert!(
        rule.contains("\"nginx.service\"") && rule.ends_with("644 root\n"),
        "{rule}"
    );
    machine.sh("hookd deploy blog");
    assert!(machine.sh("hookd history").contains("live"));
    assert_eq!(machine.sh("cat /srv/blog/current/index.html"), "one\n");
    let again = machine.sh(add);
    assert!(again.contains("nothing was changed"), "{again}");
    machine.sh("hookd remove blog");
    machine.sh(&format!(
        "test ! -e {RULE}; test ! -e /etc/systemd/system/hookd-run@blog@production.service.d"
    ));
    assert_eq!(machine.sh("ls /etc/hookd.d"), "");
}

#[test]
fn the_archive_does_the_same_on_another_system_and_can_be_removed() {
    let machine = machine(NEWER);
    machine.copy(&deb::archive(), "/root/hookd.tar.gz");
    let install = "cd /root; tar -xzf hookd.tar.gz; ./hookd-*/install";
    follow(&machine, |line| match line {
        BUILD => true,
        PACKAGE => {
            machine.sh(install);
            true
        }
        _ => false,
    });
    follows_its_repository(&machine);
    machine.sh("man hookd-deploy | grep -q . && systemd-analyze verify hookd.service hookd.socket");
    // The same again is an upgrade: what runs is restarted, what is configured stays.
    let before = machine.sh("cat /etc/hookd.toml; hookd history --json; systemctl show -p MainPID hookd");
    machine.sh(install);
    machine.until("hookd status");
    let after = machine.sh("cat /etc/hookd.toml; hookd history --json; systemctl show -p MainPID hookd");
    let pid = |text: &str| text.lines().last().map(str::to_owned);
    assert_ne!(pid(&after), pid(&before));
    assert_eq!(
        after.replace(&pid(&after).unwrap(), ""),
        before.replace(&pid(&before).unwrap(), "")
    );

    reloads_as_systemd_waits_for_it(&machine);
    machine.sh("/root/hookd-*/install --remove");
    let left = machine.sh("find /usr /etc -xdev -name '*hookd*' | sort");
    assert_eq!(left, "/etc/hookd\n/etc/hookd.d\n/etc/hookd.toml\n");
    assert!(machine.sh("curl -sf http://blog.example.org/").contains("second"));
}

/// With `Type=notify-reload`, which Debian 12's systemd lacks, a reload is over when hookd has said so, with the right time.
fn reloads_as_systemd_waits_for_it(machine: &Machine) {
    machine.sh("mkdir /etc/systemd/system/hookd.service.d
         printf '[Service]\\nType=notify-reload\\nExecReload=\\n' >/etc/systemd/system/hookd.service.d/reload.conf
         systemctl daemon-reload; systemctl restart hookd; systemctl reload hookd
         journalctl -u hookd -n 5 | grep -q 'the configuration was read again'
         rm -r /etc/systemd/system/hookd.service.d");
}
