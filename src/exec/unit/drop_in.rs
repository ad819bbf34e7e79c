//! The drop-ins that root must write for a target's limits, user and hidden paths.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{FILES_GROUP, Template, UnitName};
use crate::config::{Config, Isolation, Target};

/// Where root keeps what it adds to units (`systemd.unit(5)`).
const UNITS: &str = "/etc/systemd/system";

/// Among the files of a directory of drop-ins, which are read in the order of their names.
const FILE: &str = "50-hookd.conf";

/// With `network = false`, nothing of `/run` but hookd's own and whether systemd is there: the sockets of resolved, nscd, avahi, snapd
/// and their like would still reach the network. sssd has its sockets elsewhere.
///
/// The templates make `/run` read-only, which would win over another file system there (systemd 252 and 257 keep one of two settings
/// of the same path).
const OFFLINE: &str = "PrivateNetwork=yes
ReadOnlyPaths=
TemporaryFileSystem=/run:ro
BindReadOnlyPaths=/run/hookd
InaccessiblePaths=-/var/lib/sss/pipes
";

/// What `RuntimeMaxSec=` is beyond the target's own times: hookd itself keeps those, and should be faster.
const RUNTIME_SLACK: Duration = Duration::from_mins(1);

/// What the packaged templates make inaccessible, so that commands can't read secrets of the daemon. The templates have
/// the same list.
const HIDDEN: [&str; 8] = [
    "/etc/hookd",
    "/etc/hookd.d",
    "/etc/hookd.toml",
    "/var/lib/hookd",
    "/run/hookd/control.sock",
    "/home",
    "/root",
    "/run/user",
];

/// A file for root to write, before `systemctl daemon-reload`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropIn {
    /// The unit that it is for.
    pub unit: String,
    /// The file.
    pub path: PathBuf,
    /// All that is to stand in it.
    pub text: String,
}

/// All drop-ins that a configuration asks for: of both templates, for what they have to hide besides, and of each target's
/// units, for its limits and its user. `None` if the templates alone do. Targets with `isolation = "process"` need none.
pub fn drop_ins(config: &Config) -> Vec<DropIn> {
    const TEMPLATES: [Template; 2] = [Template::Run, Template::Reload];
    let hidden = exposed(config).iter().fold(String::new(), |lines, path| {
        lines + &format!("InaccessiblePaths=-{}\n", quoted(path))
    });
    let mut all = Vec::new();
    if !hidden.is_empty() {
        let of = |template: Template| {
            drop_in(
                config,
                &format!("{}@.service", template.prefix()),
                "all commands",
                &hidden,
            )
        };
        all.extend(TEMPLATES.map(of));
    }
    let targets = config.repos.values().flat_map(|repo| repo.targets.values());
    for target in targets.filter(|target| target.isolation != Some(Isolation::Process)) {
        for template in TEMPLATES {
            if let Some(settings) = settings(config, template, target) {
                let unit = UnitName::new(template, &target.id).to_string();
                all.push(drop_in(
                    config,
                    &unit,
                    &format!("the commands of {}", target.id),
                    &settings,
                ));
            }
        }
    }
    all
}

fn drop_in(config: &Config, unit: &str, whose: &str, settings: &str) -> DropIn {
    DropIn {
        unit: unit.to_owned(),
        path: Path::new(UNITS).join(format!("{unit}.d")).join(FILE),
        text: format!(
            "# What {} says about {whose}. Made by hookd; after a change: systemctl daemon-reload\n[Service]\n{settings}",
            config.file.display()
        ),
    }
}

/// The directories of targets whose commands run as another user: a lock on a file there would hold them up, and what is closed to
/// strangers may be open to hookd.
fn of_other_users<'c>(config: &'c Config, target: &Target) -> impl Iterator<Item = PathBuf> + 'c {
    let (own, user) = (target.path.clone(), target.run_as.clone());
    let targets = config.repos.values().flat_map(|repo| repo.targets.values());
    targets
        .filter(move |other| other.run_as != user && !own.starts_with(&other.path))
        .map(|other| other.path.clone())
}

/// The lines of the drop-in, if there are any.
fn settings(config: &Config, template: Template, target: &Target) -> Option<String> {
    let mut lines = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{key}={value}");
    };
    if let Some(user) = &target.run_as {
        line("User", user);
        // The daemon is in it, too: what is built is removed through it.
        line("Group", FILES_GROUP);
    }
    for (key, value) in [
        ("MemoryMax", target.memory_max),
        ("TasksMax", target.tasks_max),
        ("CPUWeight", target.cpu_weight),
        ("IOWeight", target.io_weight),
    ] {
        if let Some(value) = value {
            line(key, &value.to_string());
        }
    }
    if target.memory_max.is_some() {
        // Else what is over the limit goes to the swap, and the machine slows down instead of the build.
        line("MemorySwapMax", "0");
    }
    for path in of_other_users(config, target) {
        line("InaccessiblePaths", &format!("-{}", quoted(&path)));
    }
    if !target.network && template == Template::Run {
        lines += OFFLINE;
    }
    if lines.is_empty() {
        return None;
    }
    let longest = target.timeout.max(target.check_timeout) + target.kill_grace + RUNTIME_SLACK;
    Some(format!("{lines}RuntimeMaxSec={}\n", longest.as_secs()))
}

/// As a word of a unit file: `%` begins a specifier, and quotes keep spaces in.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
    )
}

/// What the configuration keeps where the templates do not hide it: secrets, keys, state and control socket in places of
/// this machine's own. The drop-ins hide it.
fn exposed(config: &Config) -> Vec<PathBuf> {
    let mut all = vec![config.file.clone(), config.state_dir.clone(), config.control.clone()];
    if let Some(directory) = config.file.parent() {
        all.push(directory.join("hookd.d"));
    }
    all.extend(config.secret_files());
    all.retain(|path| !HIDDEN.iter().any(|hidden| path.starts_with(hidden)));
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn load(text: &str) -> (tempfile::TempDir, Config) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hookd.toml");
        std::fs::write(&file, text).unwrap();
        let mut config = config::load(&file).unwrap().config;
        config.file = "/etc/hookd.toml".into();
        (directory, config)
    }

    fn with(top: &str, secret: &str, target: &str) -> Vec<DropIn> {
        let text = format!(
            "state_dir = \"/var/lib/hookd\"\ncontrol = \"/run/hookd/control.sock\"\n{top}\n[repo.blog]\n\
             url = \"https://example.com/a/b.git\"\nsecret = \"file:{secret}\"\n[repo.blog.deploy.live]\n\
             branch = \"main\"\npath = \"/srv/blog\"\n{target}"
        );
        drop_ins(&load(&text).1)
    }

    #[test]
    fn what_the_templates_settle_needs_no_drop_in() {
        assert!(with("", "/etc/hookd/blog.secret", "").is_empty());
        let own = "memory_max = \"1GiB\"\nisolation = \"process\"";
        assert!(with("", "/etc/hookd/blog.secret", own).is_empty());
    }

    #[test]
    fn limits_and_users_are_written_out() {
        let target = "memory_max = \"1GiB\"\ntasks_max = 64\ncpu_weight = 20\nnetwork = false\nrun_as = \"alice\"";
        let [run, reload] = &with("", "/etc/hookd/blog.secret", target)[..] else {
            panic!("one for each template")
        };
        assert_eq!(
            run.path,
            Path::new("/etc/systemd/system/hookd-run@blog@live.service.d/50-hookd.conf")
        );
        assert_eq!(
            run.text,
            "# What /etc/hookd.toml says about the commands of blog/live. Made by hookd; after a change: systemctl \
             daemon-reload\n[Service]\nUser=alice\nGroup=hookd-files\nMemoryMax=1073741824\nTasksMax=64\nCPUWeight=20\n\
             MemorySwapMax=0\nPrivateNetwork=yes\nReadOnlyPaths=\nTemporaryFileSystem=/run:ro\nBindReadOnlyPaths=/run/hookd\n\
             InaccessiblePaths=-/var/lib/sss/pipes\nRuntimeMaxSec=670\n"
        );
        // A reload talks to services.
        assert_eq!(reload.unit, "hookd-reload@blog@live.service");
        assert_eq!(reload.text, run.text.replace(OFFLINE, ""));
    }

    #[test]
    fn directories_of_targets_with_another_user_are_hidden() {
        let other = "[repo.blog.deploy.theirs]\nbranch = \"main\"\npath = \"/srv/theirs\"\n";
        assert!(with("", "/etc/hookd/blog.secret", other).is_empty());
        let drop_ins = with("", "/etc/hookd/blog.secret", &format!("{other}run_as = \"alice\"\n"));
        let hidden = |unit: &str| {
            let text = &drop_ins.iter().find(|drop_in| drop_in.unit == unit).unwrap().text;
            text.lines()
                .find(|line| line.starts_with("Inaccessible"))
                .map(str::to_owned)
        };
        assert_eq!(
            hidden("hookd-run@blog@live.service").unwrap(),
            "InaccessiblePaths=-\"/srv/theirs\""
        );
        assert_eq!(
            hidden("hookd-reload@blog@theirs.service").unwrap(),
            "InaccessiblePaths=-\"/srv/blog\""
        );
    }

    #[test]
    fn secrets_in_other_places_are_hidden_from_all() {
        let [run, _] = &with("", "/srv/my %secrets", "")[..] else {
            panic!("one for each template")
        };
        assert_eq!(run.unit, "hookd-run@.service");
        assert!(
            run.text.ends_with("InaccessiblePaths=-\"/srv/my %%secrets\"\n"),
            "{}",
            run.text
        );
    }

    #[test]
    fn every_kind_of_secret_is_hidden() {
        let text = "state_dir = \"/var/lib/hookd\"\ncontrol = \"/run/hookd/control.sock\"\n\
             [http]\ntls = { cert = \"/srv/cert.pem\", key = \"/srv/tls.key\" }\nstatus = \"127.0.0.1:9001\"\n\
             [http.login]\nusers = \"/srv/users\"\n\
             [forge.github]\napp_id = \"1\"\ntoken = \"file:/srv/app.pem\"\n\
             [notify.chat]\nkind = \"slack\"\nurl = \"file:/srv/slack\"\n\
             [notify.room]\nkind = \"matrix\"\nurl = \"https://m.example.org\"\nroom = \"!a:b.c\"\ntoken = \"file:/srv/matrix\"\n\
             [notify.mail]\nkind = \"email\"\nsmtp = \"smtps://mail.example.org\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n\
             username = \"a\"\npassword = \"file:/srv/mail\"\n\
             [repo.blog]\nurl = \"git@example.com:a/b.git\"\nsecret = \"file:/srv/secret\"\nssh_key = \"/srv/key\"\n\
             keys = { \"git@example.com:a/lib.git\" = \"/srv/lib.key\" }\n[repo.blog.deploy.live]\nbranch = \"main\"\npath = \"/srv/blog\"\n";
        let drop_ins = drop_ins(&load(text).1);
        for file in [
            "tls.key", "users", "app.pem", "slack", "matrix", "mail", "secret", "key", "lib.key",
        ] {
            let line = format!("InaccessiblePaths=-\"/srv/{file}\"\n");
            assert!(drop_ins.iter().all(|drop_in| drop_in.text.contains(&line)), "{file}");
        }
    }
}
