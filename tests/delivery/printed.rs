//! `hookd send --print` prints a line for the shell that delivers what each forge would: run here as it stands.

use std::process::Command;

use super::hooks;

/// A user may well have put such a thing into a message or a name.
const BRANCH: &str = "it's-$HOME";

#[test]
fn the_line_delivers_for_every_forge_that_signs_with_a_secret() {
    for hook in hooks::all() {
        let [_, _, full_name, _] = hook.push;
        let targets = [
            ("live", format!("branch = \"{BRANCH}\"")),
            ("tagged", "tag = \"v1\"".to_owned()),
        ];
        let targets: Vec<(&str, &str)> = targets.iter().map(|(name, keys)| (*name, keys.as_str())).collect();
        let mut world = hook.set_up(&hook.repo("site", full_name, &targets));
        world.site.commit(&[("index.html", "delivered")]);
        for git_ref in [&format!("refs/heads/{BRANCH}"), "refs/tags/v1"] {
            world.site.push_to(git_ref);
        }
        world.start();
        let crate::support::http::Address::Tcp(address) = world.address() else {
            panic!("no TCP")
        };
        let url = format!("http://{address}/hook/site");
        for (git_ref, target) in [(BRANCH, "live"), ("refs/tags/v1", "tagged")] {
            let said = world.hookd(&["send", "site", "--print", "--url", &url, "--ref", git_ref]);
            if hook.secret.starts_with("$DIR") {
                // Whoever holds the private key prints nothing either.
                assert!(said.expect(1).err.contains("private key"), "{}", hook.name);
                continue;
            }
            let line = said.expect(0).out;
            assert_eq!(line.lines().count(), 1, "{line}");
            let output = Command::new("sh").args(["-c", &line]).output().unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
                let told = String::from_utf8_lossy(&output.stderr);
                panic!("{}: {error}: {told}: {line}", hook.name)
            });
            assert_eq!(answer["status"], "accepted", "{}: {line}: {answer}", hook.name);
            world.settled();
            let page = world.path(&format!("site/{target}/current/index.html"));
            assert_eq!(std::fs::read_to_string(page).unwrap(), "delivered", "{}", hook.name);
        }
    }
}
