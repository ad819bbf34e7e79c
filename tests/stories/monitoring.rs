//! What Prometheus is told: each metric, the alerts that are made of them, and the dashboard.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::forge::{Delivery, SECRET};
use crate::support::world::{World, wait_until};

const KEYS: &str = "build = \"! grep -q bad index.html\"\nnotify = [\"ops\"]\n\
     [notify.ops]\nkind = \"command\"\ncommand = \"false\"\non = [\"failed\"]\n";

fn metrics(world: &World) -> String {
    world.ask("GET", "/metrics", "").unwrap().expect(200).text()
}

/// The value of a sample, as it is written with its labels.
fn sample(text: &str, name: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.parse().ok()
}

#[test]
fn each_metric_says_what_happened() {
    let mut world = World::site(KEYS);
    world.deploy("one");
    world.deploy("bad");
    let ping = r#"{"zen":"x","hook":{},"repository":{"full_name":"alice/site"}}"#;
    world.send(&Delivery::github("ping", ping).signed(SECRET)).expect(200);
    world.send(&world.pushed().signed("wrong")).expect(401);
    wait_until(
        "the message waits for its next try, and the remote was looked at",
        || {
            let text = metrics(&world);
            sample(&text, "hookd_outbox_pending{channel=\"ops\"}") == Some(1.0)
                && sample(&text, "hookd_target_behind{target=\"site/live\"}") == Some(1.0)
        },
    );
    let text = metrics(&world);
    let version = format!("hookd_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    for (name, least, most) in [
        (version.as_str(), 1.0, 1.0),
        ("hookd_deliveries_total{repo=\"site\",result=\"accepted\"}", 1.0, 2.0),
        ("hookd_deliveries_total{repo=\"site\",result=\"pong\"}", 1.0, 1.0),
        ("hookd_rejected_total{reason=\"signature-wrong\"}", 1.0, 1.0),
        (
            "hookd_deployments_total{target=\"site/live\",outcome=\"live\"}",
            1.0,
            1.0,
        ),
        (
            "hookd_deployments_total{target=\"site/live\",outcome=\"failed\"}",
            1.0,
            1.0,
        ),
        (
            "hookd_deployment_duration_seconds_count{target=\"site/live\",phase=\"build\"}",
            2.0,
            2.0,
        ),
        (
            "hookd_deployment_duration_seconds_bucket{target=\"site/live\",phase=\"build\",le=\"+Inf\"}",
            2.0,
            2.0,
        ),
        (
            "hookd_deployment_duration_seconds_sum{target=\"site/live\",phase=\"build\"}",
            0.0,
            120.0,
        ),
        (
            "hookd_last_success_timestamp_seconds{target=\"site/live\"}",
            1.7e9,
            1e11,
        ),
        ("hookd_target_behind{target=\"site/live\"}", 1.0, 1.0),
        ("hookd_target_problem{target=\"site/live\",code=\"failed\"}", 1.0, 1.0),
        ("hookd_outbox_pending{channel=\"forge\"}", 0.0, 0.0),
        ("hookd_jobs_queued", 0.0, 0.0),
        ("hookd_oldest_queued_seconds", 0.0, 0.0),
    ] {
        let value = sample(&text, name).unwrap_or_else(|| panic!("no {name} in\n{text}"));
        assert!((least..=most).contains(&value), "{name} {value}\n{text}");
    }
    world.hookd(&["pause", "site"]).expect(0);
    world.site.publish("two");
    world.send(&world.pushed()).expect(202);
    let text = metrics(&world);
    assert_eq!(sample(&text, "hookd_jobs_queued"), Some(1.0));
    assert_eq!(
        sample(&text, "hookd_target_problem{target=\"site/live\",code=\"paused\"}"),
        Some(1.0)
    );
    // What is live is live since then, whoever deployed it.
    world.stop();
    world.start();
    let text = metrics(&world);
    assert!(
        sample(&text, "hookd_last_success_timestamp_seconds{target=\"site/live\"}").is_some_and(|at| at > 1.7e9),
        "{text}"
    );
    let kinds = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    let helps = text.lines().filter(|line| line.starts_with("# HELP ")).count();
    assert_eq!(kinds, helps);
}

fn top(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_alerts_hold_and_come_when_they_should() {
    for arguments in [
        ["check", "rules", "examples/prometheus/alerts.yml"],
        ["test", "rules", "tests/prometheus/alerts.test.yml"],
    ] {
        let output = Command::new(top("tests/prometheus/promtool"))
            .args(arguments)
            .current_dir(top(""))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
    }
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let own = words.filter(|word| word.starts_with("hookd_"));
    own.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn alerts_and_dashboard_speak_of_metrics_that_are_there() {
    let world = World::site("");
    let exported = metrics(&world);
    let exported: BTreeSet<&str> = exported
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let text = |path: &str| std::fs::read_to_string(top(path)).unwrap();
    let (alerts, dashboard) = (
        text("examples/prometheus/alerts.yml"),
        text("examples/grafana/hookd.json"),
    );
    for name in named(&alerts).iter().chain(&named(&dashboard)) {
        assert!(exported.contains(name.as_str()), "{name} is not exported");
    }
    // And whatever is exported can be seen.
    for name in exported {
        assert!(named(&dashboard).contains(name), "the dashboard lacks {name}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        assert!(
            panel["title"].as_str().is_some_and(|title| !title.is_empty()),
            "{panel}"
        );
        let place = &panel["gridPos"];
        let (x, w) = (place["x"].as_i64().unwrap(), place["w"].as_i64().unwrap());
        assert!(x >= 0 && x + w <= 24, "{panel}");
    }
}
