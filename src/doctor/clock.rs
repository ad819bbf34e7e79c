//! The machine's clock: signed time stamps and certificates are judged by it.

use super::finding::{Area, Findings};
use crate::exec;
use crate::machine::{Machine, show_time};

const AREA: Area = Area::Clock;

/// Looks whether somebody keeps it right.
pub async fn look(machine: &Machine, found: &mut Findings) {
    if machine.container {
        found.skipped(AREA, "the clock of a container is its host's");
        return;
    }
    if !machine.systemd || !exec::installed("timedatectl") {
        found.skipped(AREA, "without timedatectl nobody here says whether the clock is right");
        return;
    }
    match show_time().await {
        Some(time) => judge(
            time.get("NTPSynchronized").is_some_and(|value| value == "yes"),
            time.get("CanNTP").is_some_and(|value| value == "yes"),
            time.get("NTP").is_some_and(|value| value == "yes"),
            found,
        ),
        None => {
            found.skipped(AREA, "timedatectl does not answer");
        }
    }
}

fn judge(synchronised: bool, can: bool, on: bool, found: &mut Findings) {
    if synchronised {
        found.ok(AREA, "the clock is synchronised");
        return;
    }
    let text = "the clock is not synchronised: signed time stamps and certificates may be taken for too old";
    let warning = found.warning(AREA, text);
    match (can, on) {
        (false, _) => warning.fix("apt-get install -y systemd-timesyncd"),
        (true, false) => warning.fix("timedatectl set-ntp true"),
        (true, true) => warning.hint("time sync is enabled but not in sync yet: timedatectl timesync-status says why"),
    };
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn what_lacks_is_what_is_typed() {
        let judged = |synchronised, can, on| {
            let mut found = Findings::default();
            judge(synchronised, can, on, &mut found);
            found.0.remove(0)
        };
        assert_eq!(judged(true, true, true).level, Level::Ok);
        assert_eq!(
            judged(false, false, false).fix,
            ["apt-get install -y systemd-timesyncd"]
        );
        assert_eq!(judged(false, true, false).fix, ["timedatectl set-ntp true"]);
        assert!(judged(false, true, true).fix.is_empty());
    }
}
