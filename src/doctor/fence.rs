//! The isolation of commands from each other and from root: unit templates, polkit rules, the kernel, and file owners.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::unit::widened;
use super::{Area, Findings, Scene};
use crate::config::Isolation;
use crate::exec::{Fence, Template, UnitName, Units, quoted, writing};
use crate::machine::{Account, UnitText, show};

const AREA: Area = Area::Unit;

/// The rules of this version.
pub(super) const RULE: &str = include_str!("../../packaging/hookd.rules");
pub(super) const LAST_RULE: &str = include_str!("../../packaging/zz-hookd.rules");

/// Where polkit's rules are: root's own, and those of packages.
pub(super) const POLKIT_RULES: [&str; 2] = ["/etc/polkit-1/rules.d", "/usr/share/polkit-1/rules.d"];

/// The user that the rules name.
const USER: &str = "hookd";

/// The templates of this version.
const SHIPPED: [(Template, &str); 2] = [
    (Template::Run, include_str!("../../packaging/hookd-run@.service")),
    (Template::Reload, include_str!("../../packaging/hookd-reload@.service")),
];

/// The parent of all caches, and where logind notes whose user manager lingers.
const CACHES: &str = "/var/cache/hookd";
const LINGER: &str = "/var/lib/systemd/linger";

/// Looks at all of it, if commands run in units here.
pub(super) async fn look(scene: &Scene<'_>, found: &mut Findings) {
    let Some(daemon) = scene.machine.daemon.as_ref().filter(|daemon| daemon.uid != 0) else {
        return;
    };
    kernel(Fence::of_kernel(), found);
    lingering(&Path::new(LINGER).join(&daemon.name), daemon, found);
    if Units::obstacle().is_some() {
        return;
    }
    if let Ok(about) = fs::metadata(CACHES)
        && about.uid() != 0
    {
        let text = format!("{CACHES} is not root's: whoever owns it can have systemd give directories away");
        found.error(AREA, text).fix(format!("chown root:root {CACHES}"));
    }
    let targets = scene.config.repos.values().flat_map(|repo| repo.targets.values());
    for target in targets.filter(|target| target.isolation != Some(Isolation::Process)) {
        for (template, shipped) in SHIPPED {
            let name = UnitName::new(template, &target.id).to_string();
            if let Some(text) = text_of(&name).await {
                judge(&name, shipped, &text, found);
            }
        }
    }
    if daemon.name == USER {
        rules(polkit_rules(), found);
    }
}

/// A unit and its drop-ins, as systemd finds them.
async fn text_of(name: &str) -> Option<UnitText> {
    let properties = show(name, "FragmentPath,DropInPaths").await?;
    let files = [properties.get("FragmentPath")?, properties.get("DropInPaths")?];
    let mut text = UnitText::default();
    for file in files
        .into_iter()
        .flat_map(|files| files.split_whitespace())
        .map(PathBuf::from)
    {
        text.add(&file, &fs::read_to_string(&file).unwrap_or_default());
    }
    Some(text)
}

fn judge(name: &str, shipped: &str, text: &UnitText, found: &mut Findings) {
    let mut wanted = UnitText::default();
    wanted.add(Path::new(name), shipped);
    let wider = widened(name, &wanted, text);
    if wider.is_empty() {
        found.ok(AREA, format!("{name} is as closed as it is shipped"));
    }
    for (setting, what) in wider {
        let warning = found.warning(AREA, what);
        match setting {
            Some(setting) if setting.file.starts_with("/etc/systemd/system") => {
                let file = setting.file.display().to_string();
                warning.hint("keep it if a deployment needs it; else run the fix");
                warning.fix(format!("sed -i '{}s/^/#/' {}", setting.line, quoted(&file)));
                warning.fix("systemctl daemon-reload");
            }
            _ => {
                warning.hint("install the template of this version, and let no drop-in empty its lists");
            }
        }
    }
}

fn kernel(fence: Fence, found: &mut Findings) {
    match fence {
        Fence::Whole => found.ok(
            AREA,
            "the kernel keeps commands from looking into or signalling other processes",
        ),
        Fence::Memory => {
            let text = "commands can signal other processes of the same user, the daemon's too: that takes Linux 6.12 to prevent";
            found
                .warning(AREA, text)
                .hint("a target gets a user of its own by `run_as`");
        }
        Fence::None => {
            let text =
                "commands can look into other processes of the same user: this kernel has no Landlock, or it is off";
            found.warning(AREA, text).hint(
                "boot Linux 5.13 or newer with `landlock` in `lsm=`; or give targets users of their own by `run_as`",
            );
        }
    }
}

fn lingering(file: &Path, daemon: &Account, found: &mut Findings) {
    if file.exists() {
        let text = format!(
            "a user manager of {} lingers: it runs programs outside of the units of commands",
            daemon.name
        );
        found
            .error(AREA, text)
            .fix(format!("loginctl disable-linger {}", quoted(&daemon.name)))
            .fix(format!("systemctl stop user@{}.service", daemon.uid))
            .hint("hookd does not start it: find out who did");
    }
}

/// All rules but those of this version.
fn rules(others: Option<Vec<(PathBuf, String)>>, found: &mut Findings) {
    let Some(others) = others else {
        // Said where the rules of each `reload` are looked at.
        return;
    };
    let has = |rule: &str, name: &str| {
        let mut places = POLKIT_RULES.iter().map(|directory| Path::new(directory).join(name));
        places.any(|path| fs::read_to_string(path).is_ok_and(|text| text == rule))
    };
    if !has(LAST_RULE, "zz-hookd.rules") {
        let text = "polkit refuses hookd's user nothing that any user may do: a user manager that lingers, say";
        let path = Path::new(POLKIT_RULES[0]).join("zz-hookd.rules");
        found.error(AREA, text).fix.extend(writing(&path, LAST_RULE));
    }
    for (path, text) in others {
        let names_user = text.contains(&format!("\"{USER}\""));
        let shown = path.display();
        if names_user && text.contains("hookd-(run|reload)@") {
            let what = format!("{shown} lets hookd's user start other instances of its units than those of targets");
            found
                .error(AREA, what)
                .fix(format!("rm {}", quoted(&path.to_string_lossy())))
                .hint("the package has the rule of this version");
        } else if names_user && text.contains("systemd1.manage-units") && !text.contains("lookup(\"unit\")") {
            found
                .error(AREA, format!("{shown} lets hookd's user start and stop any unit"))
                .hint("compare action.lookup(\"unit\") there, as the rules do that `hookd check` prints");
        }
    }
}

/// All rules but hookd's own, with their files; `None` if they can't be read.
pub(super) fn polkit_rules() -> Option<Vec<(PathBuf, String)>> {
    let mut texts = Vec::new();
    for directory in POLKIT_RULES {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_) => return None,
        };
        for entry in entries.flatten() {
            let text = fs::read_to_string(entry.path()).ok()?;
            if text != RULE && text != LAST_RULE {
                texts.push((entry.path(), text));
            }
        }
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn judged(drop_in: &str) -> Findings {
        let (_, shipped) = SHIPPED[0];
        let mut text = UnitText::default();
        text.add(Path::new("/usr/lib/systemd/system/hookd-run@.service"), shipped);
        text.add(Path::new("/etc/systemd/system/hookd-run@.service.d/x.conf"), drop_in);
        let mut found = Findings::default();
        judge("hookd-run@a@b.service", shipped, &text, &mut found);
        found
    }

    #[test]
    fn what_opens_a_template_is_named() {
        assert!(
            judged("[Service]\nUser=alice\nPrivateNetwork=yes\nReadWritePaths=/var/www\n")
                .texts(Level::Warning)
                .is_empty()
        );
        for (line, named) in [
            ("TemporaryFileSystem=", "TemporaryFileSystem=/run/systemd:ro"),
            ("InaccessiblePaths=", "InaccessiblePaths=-/run/dbus"),
            ("BindPaths=/run/dbus", "BindPaths=/run/dbus leads past"),
            ("LimitNOFILE=infinity", "LimitNOFILE=infinity"),
            ("CacheDirectoryMode=0755", "CacheDirectoryMode=0755"),
            ("SystemCallFilter=io_uring_setup", "allows io_uring_setup"),
            ("PrivateTmp=no", "PrivateTmp=no"),
        ] {
            let found = judged(&format!("[Service]\n{line}\n"));
            let texts = found.texts(Level::Warning);
            assert!(texts.iter().any(|text| text.contains(named)), "{line}: {texts:?}");
        }
    }

    #[test]
    fn rules_that_let_more_be_started_are_named() {
        let old = RULE.replace("(probe|", "[A-Za-z0-9@_.-]+|(probe|");
        let any = "if (action.id == \"org.freedesktop.systemd1.manage-units\" && subject.user == \"hookd\") return polkit.Result.YES;";
        let mut found = Findings::default();
        rules(
            Some(vec![
                ("/etc/polkit-1/rules.d/hookd.rules".into(), old),
                ("/etc/polkit-1/rules.d/any.rules".into(), any.to_owned()),
            ]),
            &mut found,
        );
        let texts = found.texts(Level::Error).join("\n");
        assert!(
            texts.contains("hookd.rules lets hookd's user start other instances"),
            "{texts}"
        );
        assert!(
            texts.contains("any.rules lets hookd's user start and stop any unit"),
            "{texts}"
        );
    }
}
