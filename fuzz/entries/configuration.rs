//! Any text as a configuration: problems have their place, and what is good can be used.

use std::path::Path;

use hookd::config;
use hookd::rules;

/// A configuration file.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment = |name: &str| (name == "STATE_DIRECTORY").then(|| "/var/lib/hookd".into());
    match config::parse(Path::new("/etc/hookd.toml"), text, &environment) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                assert!(!warning.to_string().is_empty());
            }
            for target in loaded.config.repos.values().flat_map(|repo| repo.targets.values()) {
                let patterns = target.refs.patterns();
                let _ = rules::matches(patterns, "release/1.0");
                let _ = rules::matches(&target.paths, "content/a/b.md");
            }
        }
        Err(report) => {
            assert!(!report.diagnostics.is_empty());
            for diagnostic in &report.diagnostics {
                if let (Some(line), Some(column)) = (diagnostic.line, diagnostic.column) {
                    let line = text.split('\n').nth(line - 1).expect("a line of the text");
                    assert!(column <= line.chars().count() + 1, "{diagnostic}");
                }
            }
            assert!(!report.to_string().is_empty());
        }
    }
}
