//! The command line as scripts see it: exit codes, `hookd: error:` with a hint, and the shapes of `--json`.

use serde_json::Value;

use crate::support::world::{World, wait_until};

/// An object has at least the fields of these names.
#[track_caller]
fn has(value: &Value, names: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    let lacking: Vec<_> = names.split(' ').filter(|name| !object.contains_key(*name)).collect();
    assert!(lacking.is_empty(), "{lacking:?} is not in {value}");
}

#[test]
fn exit_codes_are_the_contracts() {
    let mut world = World::site("build = \"! grep -q bad index.html\"");
    world.deploy("one");
    for (code, arguments) in [
        (0, &["status"][..]),
        (0, &["history"]),
        (0, &["history", "site/live"]),
        (0, &["deliveries"]),
        (0, &["logs"]),
        (0, &["releases", "site"]),
        (0, &["check"]),
        (0, &["deploy", "site"]),
        (0, &["--help"]),
        (0, &["--version"]),
        (2, &["no-such-command"]),
        (2, &["rollback"]),
        (2, &["status", "--no-such-option"]),
        (3, &["deploy", "no-such-repo"]),
        (3, &["deploy", "site/no-such-target"]),
        (3, &["history", "no-such-repo"]),
        (3, &["logs", "99"]),
        (3, &["replay", "99"]),
        (3, &["explain", "no-such-delivery"]),
        (3, &["send", "no-such-repo"]),
    ] {
        let said = world.hookd(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        if code == 3 {
            assert!(
                said.err.starts_with("hookd: error: ") && said.out.is_empty(),
                "{arguments:?}: {said:?}"
            );
        }
    }
    world.site.publish("bad");
    let failed = world.hookd(&["deploy", "site"]).expect(1);
    assert!(
        failed
            .err
            .contains("hookd: error: site/live: failed: build exited with 1"),
        "{failed:?}"
    );
    let unknown = world.hookd(&["deploy", "no-such-repo"]);
    assert!(unknown.err.contains("hint: there are: site/live"), "{unknown:?}");

    world.stop();
    for arguments in [&["status"][..], &["deploy", "site"], &["logs"], &["deliveries"]] {
        let said = world.hookd(arguments).expect(4);
        assert!(
            said.err.contains("the daemon can't be reached") && said.err.contains("hint: is it running?"),
            "{said:?}"
        );
    }
    // What needs no daemon needs none.
    world.hookd(&["check"]).expect(0);
    world.configure_site("branch = 5");
    world.hookd(&["check"]).expect(78);
    world.hookd(&["send", "site"]).expect(78);
    assert_eq!(world.try_start().err().and_then(|status| status.code()), Some(78));
}

#[test]
fn json_has_the_fields_that_scripts_read() {
    let world = World::site("");
    let commit = world.deploy("one");
    let status = world.hookd(&["status", "--json"]).expect(0).json();
    has(
        &status,
        "version pid started_at config warnings waiting running targets",
    );
    let target = &status["targets"][0];
    has(
        target,
        "target follows path state commit ref release live_since pinned paused behind last waiting",
    );
    assert_eq!(
        (&target["target"], &target["commit"]),
        (&"site/live".into(), &commit.as_str().into())
    );
    assert_eq!(
        (&target["follows"], &target["ref"]),
        (&"branch main".into(), &"refs/heads/main".into())
    );

    let history = world.hookd(&["history", "--json"]).expect(0).json();
    let row = history
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["outcome"] == "live")
        .unwrap();
    has(
        row,
        "id job target ref source delivery commit subject previous_commit release phase outcome reason started_at finished_at",
    );
    let deliveries = world.hookd(&["deliveries", "--json"]).expect(0).json();
    has(
        &deliveries[0],
        "number delivery repo forge event received_at remote_addr result reason jobs",
    );
    assert_eq!(deliveries[0]["result"], "accepted");
    let releases = world.hookd(&["releases", "site", "--json"]).expect(0).json();
    has(&releases["releases"][0], "name commit ref deployment state created_at");
    for line in world.hookd(&["logs", "1", "--json"]).expect(0).out.lines() {
        has(&serde_json::from_str(line).unwrap(), "at phase stream text");
    }
    let one = world.get("/api/v1/deployments/1");
    has(&one, "id outcome phases");
    let phases: Vec<_> = one["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| phase["phase"].as_str().unwrap())
        .collect();
    assert_eq!(phases, ["fetch", "build", "activate", "reload", "check", "finish"]);
    let asked = world.hookd(&["deploy", "site", "--no-wait", "--json"]).expect(0).json();
    has(&asked, "status jobs");
    world.settled();
}

#[test]
fn a_stored_delivery_can_be_explained() {
    let world = World::site("");
    world.deploy("one");
    let id = world.deliveries()[0]["delivery"].as_str().unwrap().to_owned();
    let told = world.hookd(&["explain", &id, "--json"]).expect(0).json();
    has(&told, "forge delivery events signature verdicts");
    assert_eq!(told["forge"], "github");
    assert_eq!(told["events"][0]["repo"], "alice/site");
    assert_eq!(told["verdicts"][0]["target"], "site/live");
    assert_eq!(told["verdicts"][0]["verdict"], "deploy");
}

#[test]
fn send_makes_a_delivery_that_the_daemon_takes() {
    let world = World::site("");
    world.site.publish("one");
    let crate::support::http::Address::Tcp(address) = world.address() else {
        unreachable!()
    };
    let url = format!("http://{address}/hook/site");
    let sent = world.hookd(&["send", "site", "--url", &url, "--json"]).expect(0).json();
    assert_eq!(
        (&sent["http_status"], &sent["answer"]["status"]),
        (&202.into(), &"accepted".into())
    );
    world.settled();
    assert_eq!(world.served(), "one");
    assert_eq!(world.last()["delivery"], sent["answer"]["delivery"]);

    // A curl line sends the same, without the secret in it.
    let printed = world.hookd(&["send", "site", "--url", &url, "--print"]).expect(0).out;
    assert!(
        printed.starts_with("curl ") && printed.contains("X-Hub-Signature-256: sha256="),
        "{printed}"
    );
    let refused = world
        .hookd(&["send", "site", "--url", &format!("http://{address}/hook/other")])
        .expect(1);
    assert!(refused.out.contains("401"), "{refused:?}");
    world
        .hookd(&["send", "site", "--url", "http://127.0.0.1:1/hook/site"])
        .expect(4);
}

#[test]
fn the_status_page_and_the_metrics_tell_of_it() {
    let world = World::site("build = \"! grep -q bad index.html\"");
    world.deploy("<b>one</b>");
    world.deploy("bad");
    let page = world.ask("GET", "/", "").unwrap().expect(200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.text().contains("site/live") && page.text().contains("build exited with 1"));
    // They are counted right after the end of a deployment is recorded.
    let counted = r#"hookd_deployments_total{target="site/live",outcome="failed"} 1"#;
    let metrics = || world.ask("GET", "/metrics", "").unwrap().expect(200).text();
    wait_until("the failure is counted", || metrics().contains(counted));
    let metrics = metrics();
    for line in [
        r#"hookd_deliveries_total{repo="site",result="accepted"} 2"#,
        r#"hookd_deployments_total{target="site/live",outcome="live"} 1"#,
        "hookd_jobs_queued 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    for name in [
        "hookd_deployment_duration_seconds_bucket",
        "hookd_last_success_timestamp_seconds",
        "hookd_target_behind",
        "hookd_build_info",
        "hookd_oldest_queued_seconds",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    assert_eq!(world.ask("GET", "/readyz", "").unwrap().status, 200);
    // None of it on the public listener.
    for path in ["/", "/metrics", "/readyz", "/api/v1/status"] {
        let request = crate::support::http::request("GET", path, &[], b"");
        assert_eq!(world.address().send(&request).unwrap().status, 404, "{path}");
    }
}
