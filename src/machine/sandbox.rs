//! What the unit's sandbox lets the daemon do with a path, and the drop-in that lets it do more. See systemd.exec(5).

use std::path::{Path, PathBuf};

use super::unit_text::{UnitText, path_word, same_value};
use crate::exec::quoted;

/// Where the drop-ins of the unit are.
pub const DROP_INS: &str = "/etc/systemd/system/hookd.service.d";

/// What `ProtectHome=` closes.
const HOMES: &[&str] = &["/home", "/root", "/run/user"];

/// What `ProtectSystem=yes` and `full` close.
const SYSTEM: &[&str] = &["/usr", "/boot", "/efi"];

/// What stays writable under `ProtectSystem=strict`.
const ALWAYS: &[&str] = &["/dev", "/proc", "/sys", "/tmp", "/var/tmp"];

/// What prevents writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// `ProtectHome=`
    Home,
    /// `ProtectSystem=`, `ReadOnlyPaths=` or `InaccessiblePaths=`
    ReadOnly,
    /// `PrivateTmp=`: it could be written, but nobody else sees it
    Temporary,
}

/// Whether a path is in somebody's home directory.
pub fn in_home(path: &Path) -> bool {
    HOMES.iter().any(|home| path.starts_with(home))
}

/// Whether the sandbox keeps the daemon from writing below a path.
pub fn block(unit: &UnitText, path: &Path) -> Option<Block> {
    let below = |roots: &[&str]| roots.iter().any(|root| path.starts_with(root));
    let home = unit.value("ProtectHome");
    if in_home(path) && !home.is_empty() && !same_value(home, "no") {
        return Some(Block::Home);
    }
    if below(&["/tmp", "/var/tmp"]) && same_value(unit.value("PrivateTmp"), "yes") {
        return Some(Block::Temporary);
    }
    let system = unit.value("ProtectSystem");
    let closed = match system {
        "strict" => !below(ALWAYS),
        "full" => below(SYSTEM) || below(&["/etc"]),
        other => same_value(other, "yes") && below(SYSTEM),
    };
    // Of several that hold a path the longest counts.
    let depth = |keys: &[&str]| {
        let paths = keys.iter().flat_map(|key| unit.words(key));
        let paths = paths.map(|word| PathBuf::from(word.trim_start_matches(['-', '+'])));
        paths
            .chain(
                own_directories(unit)
                    .into_iter()
                    .filter(|_| keys.contains(&"ReadWritePaths")),
            )
            .filter(|opened| path.starts_with(opened))
            .map(|opened| opened.components().count())
            .max()
    };
    let (open, shut) = (
        depth(&["ReadWritePaths", "BindPaths"]),
        depth(&["ReadOnlyPaths", "InaccessiblePaths"]),
    );
    match (open, shut) {
        (Some(open), shut) if shut.is_none_or(|shut| open > shut) => None,
        (None, None) if !closed => None,
        _ => Some(Block::ReadOnly),
    }
}

/// What systemd makes for the unit.
fn own_directories(unit: &UnitText) -> Vec<PathBuf> {
    let kinds = [
        ("StateDirectory", "/var/lib"),
        ("CacheDirectory", "/var/cache"),
        ("LogsDirectory", "/var/log"),
        ("RuntimeDirectory", "/run"),
        ("ConfigurationDirectory", "/etc"),
    ];
    let each = |(key, root): (&str, &str)| -> Vec<PathBuf> {
        unit.words(key).iter().map(|name| Path::new(root).join(name)).collect()
    };
    kinds.into_iter().flat_map(each).collect()
}

/// The settings that open a path for writing.
pub fn opening(block: Block, path: &Path) -> Vec<String> {
    let mut lines = vec![format!("ReadWritePaths=-{}", path_word(path))];
    if block == Block::Home {
        lines.insert(0, "ProtectHome=no".to_owned());
    }
    lines
}

/// The file of a drop-in.
pub fn drop_in_file(name: &str) -> PathBuf {
    Path::new(DROP_INS).join(format!("{name}.conf"))
}

/// Shell lines that put settings into a drop-in of their own and make them count.
pub fn drop_in(name: &str, settings: &[String]) -> Vec<String> {
    let file = drop_in_file(name).display().to_string();
    let lines: Vec<String> = settings.iter().map(|line| quoted(line)).collect();
    vec![
        format!("mkdir -p {DROP_INS}"),
        format!(r"printf '%s\n' '[Service]' {} > {}", lines.join(" "), quoted(&file)),
        "systemctl daemon-reload".to_owned(),
        // What does not run yet is started when the rest is mended, too.
        "systemctl try-restart hookd".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(more: &str) -> UnitText {
        let mut unit = UnitText::default();
        unit.add(Path::new("/u"), include_str!("../../packaging/hookd.service"));
        unit.add(Path::new("/d"), more);
        unit
    }

    #[test]
    fn the_shipped_unit_opens_srv_and_the_state() {
        let of = |path: &str| block(&shipped(""), Path::new(path));
        assert_eq!(of("/srv/blog"), None);
        assert_eq!(of("/var/lib/hookd/mirrors"), None);
        assert_eq!(of("/var/www/blog"), Some(Block::ReadOnly));
        assert_eq!(of("/home/alice/site"), Some(Block::Home));
        assert_eq!(of("/tmp/site"), Some(Block::Temporary));
    }

    #[test]
    fn a_drop_in_opens_what_it_names() {
        let path = Path::new("/var/www/my site");
        let lines = opening(Block::ReadOnly, path);
        let unit = shipped(&format!("[Service]\n{}", lines.join("\n")));
        assert_eq!(block(&unit, path), None);
        assert_eq!(block(&unit, Path::new("/var/www/other")), Some(Block::ReadOnly));
        let home = Path::new("/home/alice/site");
        let unit = shipped(&format!("[Service]\n{}", opening(Block::Home, home).join("\n")));
        assert_eq!(block(&unit, home), None);
        let shut = shipped("[Service]\nReadOnlyPaths=/srv/blog");
        assert_eq!(block(&shut, Path::new("/srv/blog")), Some(Block::ReadOnly));
        assert_eq!(drop_in("x", &lines)[1].matches('\'').count() % 2, 0);
    }
}
