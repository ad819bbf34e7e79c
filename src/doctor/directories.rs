//! Where deployments write: the rights of the directories, the unit's sandbox, and the room that is left.

use std::fs;
use std::path::Path;

use super::Scene;
use super::finding::{Area, Findings};
use super::settings::word;
use crate::config::{Strategy, Target};
use crate::machine::{Access, Account, PASS, WRITE, rights};
use crate::machine::{Block, block, drop_in, opening};
use crate::release::{Layout, free_space};

/// With fewer free inodes than this a release of a common site may not fit: one file each.
const INODES_FEW: u64 = 10_000;

/// With less than so many times `limits.free_space` the next releases may not fit.
const SPACE_FEW: u64 = 4;

/// Looks at the state directory and at the directories of all targets.
pub fn look(scene: &Scene<'_>, found: &mut Findings) {
    let Some(daemon) = &scene.machine.daemon else {
        let user = scene
            .machine
            .unit
            .as_ref()
            .map_or("hookd", |unit| unit.text.value("User"));
        let error = found.error(Area::Directories, format!("the unit's user {user} does not exist"));
        error.fix(format!(
            "adduser --system --group --no-create-home --home /var/lib/hookd {user}"
        ));
        return;
    };
    // Under systemd `StateDirectory=` makes it.
    if !scene.machine.managed() || scene.config.state_dir.exists() {
        writable(daemon, &scene.config.state_dir, "`state_dir`", found);
    }
    for target in scene.config.repos.values().flat_map(|repo| repo.targets.values()) {
        one(scene, daemon, target, found);
    }
    space(scene, found);
}

fn one(scene: &Scene<'_>, daemon: &Account, target: &Target, found: &mut Findings) {
    let what = format!("target {}:", target.id);
    let mut good = writable(daemon, &target.path, &what, found);
    if good && target.strategy == Strategy::Release {
        let layout = Layout::new(&target.path);
        for below in [layout.releases(), layout.shared()] {
            good &= !below.exists() || writable(daemon, &below, &what, found);
        }
        if layout.releases().is_symlink() {
            let text = format!(
                "{what} {} is a link, and links from there to `shared` would lead elsewhere",
                layout.releases().display()
            );
            found
                .error(Area::Directories, text)
                .hint("let `path` name the place that it points at");
        }
    }
    if let Some(user) = &target.run_as
        && Account::named(user).is_none()
    {
        let text = format!("{what} `run_as` names {user}, and there is no such user");
        found
            .error(Area::Directories, text)
            .fix(format!("adduser --system --group {user}"));
    }
    if let Some(unit) = &scene.machine.unit
        && let Some(block) = block(&unit.text, &target.path)
    {
        good = false;
        blocked(target, block, found);
    }
    if good {
        found.ok(
            Area::Directories,
            format!("{what} {} can be written by {}", target.path.display(), daemon.name),
        );
    }
}

fn blocked(target: &Target, block: Block, found: &mut Findings) {
    let path = target.path.display();
    let text = match block {
        Block::Home => format!("target {}: ProtectHome= of the unit hides {path}", target.id),
        Block::ReadOnly => format!(
            "target {}: {path} is read-only within the unit: ReadWritePaths= lacks it",
            target.id
        ),
        Block::Temporary => format!(
            "target {}: PrivateTmp= of the unit hides what is in {path} from everybody else",
            target.id
        ),
    };
    let error = found.error(Area::Directories, text);
    if block == Block::Temporary {
        error.hint("choose another `path`, /srv/NAME say");
        return;
    }
    let name = format!("{}-{}", target.id.repo, target.id.target);
    error.fix.extend(drop_in(&name, &opening(block, &target.path)));
}

/// Whether a directory can be written, or made; if not, that is a finding.
fn writable(daemon: &Account, path: &Path, what: &str, found: &mut Findings) -> bool {
    let me = &daemon.name;
    let in_the_way = match daemon.may(path, WRITE | PASS) {
        Access::Yes if path.is_dir() => return true,
        Access::Yes => {
            let text = format!("{what} {} is not a directory", path.display());
            found
                .error(Area::Directories, text)
                .fix(format!("mv {0} {0}.old", word(path)));
            return false;
        }
        Access::Unknown(part) => {
            let text = format!("{what} you may not look at {}", part.display());
            found.skipped(Area::Directories, text).hint("sudo hookd doctor");
            return false;
        }
        Access::Missing(part) => {
            let parent = part.parent().unwrap_or(Path::new("/"));
            if daemon.may(parent, WRITE | PASS) == Access::Yes {
                return true;
            }
            let text = format!("{what} {} is not there, and {me} may not make it", path.display());
            let (user, group) = owner(daemon);
            found
                .error(Area::Directories, text)
                .fix(format!("install -d -o {user} -g {group} {}", word(path)));
            return false;
        }
        Access::No(part) => part,
    };
    let about = fs::metadata(&in_the_way)
        .map(|about| rights(&about))
        .unwrap_or_default();
    if in_the_way == path {
        let text = format!("{what} {me} may not write in {} ({about})", path.display());
        found
            .error(Area::Directories, text)
            .fix(format!("chown {} {}", daemon.owner(), word(path)));
    } else {
        let text = format!("{what} {me} may not pass through {} ({about})", in_the_way.display());
        found
            .error(Area::Directories, text)
            .fix(format!("chmod o+x {}", word(&in_the_way)));
    }
    false
}

fn owner(daemon: &Account) -> (String, String) {
    let owner = daemon.owner();
    let (user, group) = owner.split_once(':').unwrap_or((&owner, &owner));
    (user.to_owned(), group.to_owned())
}

fn space(scene: &Scene<'_>, found: &mut Findings) {
    let least = scene.config.limits.free_space;
    let targets = scene.config.repos.values().flat_map(|repo| repo.targets.values());
    let mut places = vec![scene.config.state_dir.clone()];
    places.extend(targets.map(|target| target.path.clone()));
    let mut seen = Vec::new();
    for place in places {
        // The nearest directory that is there says which file system it is.
        let there = place
            .ancestors()
            .find(|part| part.exists())
            .unwrap_or(Path::new("/"))
            .to_owned();
        let Ok(about) = fs::metadata(&there) else { continue };
        let device = std::os::unix::fs::MetadataExt::dev(&about);
        if seen.contains(&device) {
            continue;
        }
        seen.push(device);
        match free_space(&there) {
            Ok((bytes, inodes)) => room(&there, bytes, inodes, least, found),
            Err(error) => {
                found.skipped(
                    Area::Space,
                    format!("{}: can't tell the free space: {error}", there.display()),
                );
            }
        }
    }
}

fn room(place: &Path, bytes: u64, inodes: u64, least: u64, found: &mut Findings) {
    let (place, free, needed) = (place.display(), bytes >> 20, least >> 20);
    let hint = format!("make room: du -xh --max-depth=2 {place} | sort -h | tail; or keep fewer releases (`keep`)");
    if bytes < least {
        let text =
            format!("{place}: {free} MiB are free, and a deployment begins only with {needed} (`limits.free_space`)");
        found.error(Area::Space, text).hint(hint);
    } else if inodes == 0 {
        found
            .error(
                Area::Space,
                format!("{place}: no inodes are free: no file can be made there"),
            )
            .hint(hint);
    } else if bytes < least.saturating_mul(SPACE_FEW) {
        let text = format!("{place}: only {free} MiB are free; below {needed} nothing is deployed");
        found.warning(Area::Space, text).hint(hint);
    } else if inodes < INODES_FEW {
        found
            .warning(
                Area::Space,
                format!("{place}: only {inodes} inodes are free, and each file takes one"),
            )
            .hint(hint);
    } else {
        found.ok(Area::Space, format!("{place}: {free} MiB are free"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn room_is_judged_by_bytes_and_inodes() {
        let level = |bytes, inodes| {
            let mut found = Findings::default();
            room(Path::new("/srv"), bytes, inodes, 64 << 20, &mut found);
            found.0[0].level
        };
        assert_eq!(level(1 << 40, 1 << 20), Level::Ok);
        assert_eq!(level(63 << 20, 1 << 20), Level::Error);
        assert_eq!(level(1 << 40, 0), Level::Error);
        assert_eq!(level(100 << 20, 1 << 20), Level::Warning);
        assert_eq!(level(1 << 40, 9), Level::Warning);
        assert_eq!(level(1 << 40, u64::MAX), Level::Ok);
    }
}
