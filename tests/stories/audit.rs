//! What the API tells programs: who asked for what, errors as problems, lists in pages, and what has not changed.

use crate::support::http::{self, Address};
use crate::support::world::World;

fn own_uid() -> String {
    format!("uid:{}", nix::unistd::geteuid())
}

#[test]
fn who_asked_on_the_control_socket_is_noted_with_what_came_of_it() {
    let world = World::site("");
    world.deploy("one");
    assert!(world.last()["asked_by"].is_null(), "{}", world.last());
    world.looked();
    world.site.publish("two");
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.last()["asked_by"], own_uid());
    world.hookd(&["rollback", "site"]).expect(0);
    // Refused, and noted as such.
    world.hookd(&["deploy", "site"]).expect(1);
    world.hookd(&["resume", "site"]).expect(0);
    let rows = world.get("/api/v1/audit");
    let acts: Vec<(&str, &str)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["act"].as_str().unwrap(), row["result"].as_str().unwrap()))
        .collect();
    assert!(
        acts[0].0 == "resume" && acts[0].1.starts_with("queued job "),
        "{acts:?}"
    );
    assert!(
        acts[1].0 == "deploy" && acts[1].1.starts_with("refused: site/live is pinned"),
        "{acts:?}"
    );
    assert!(
        acts[2].0 == "rollback" && acts[2].1.starts_with("queued job "),
        "{acts:?}"
    );
    assert_eq!(acts.len(), 4);
    let own_name = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .unwrap()
        .name;
    for row in rows.as_array().unwrap() {
        assert!(row["who"] == own_uid() && row["object"] == "site/live", "{row}");
        assert_eq!(row["name"], own_name);
    }
    // How the deployment ended that an act led to is what came of the act.
    assert_eq!(
        (&rows[3]["outcome"], &rows[3]["deployment"]),
        (&"live".into(), &2.into())
    );
    assert!(rows[1]["outcome"].is_null(), "{}", rows[1]);
    let said = world.hookd(&["audit"]).expect(0).out;
    assert!(
        said.contains(&own_name) && said.contains("#2 live") && !said.contains("uid:"),
        "{said}"
    );
}

#[test]
fn a_result_that_is_asked_for_is_found_among_many_others() {
    let world = World::site("");
    world.site.publish("one");
    let accepted = world.pushed();
    world.send(&accepted).expect(202);
    for _ in 0..30 {
        world.send(&accepted).expect(200);
    }
    let list = |query: &str| {
        world
            .ask("GET", &format!("/api/v1/deliveries?{query}"), "")
            .unwrap()
            .expect(200)
    };
    for query in ["limit=5&result=accepted", "limit=5&result=accepted&repo=site"] {
        let rows = list(query);
        assert!(rows.header("link").is_none(), "{query}");
        let rows = rows.json();
        assert_eq!(
            (rows.as_array().unwrap().len(), &rows[0]["number"]),
            (1, &1.into()),
            "{query}"
        );
    }
    // The list goes on with rows of that result alone, up to its end.
    let (mut next, mut seen) = (Some("limit=7&result=duplicate".to_owned()), 0);
    while let Some(query) = next {
        let answer = list(&query);
        let rows = answer.json();
        let rows = rows.as_array().unwrap();
        assert!(rows.iter().all(|row| row["result"] == "duplicate"));
        seen += rows.len();
        next = answer.header("link").map(|link| {
            let (path, _) = link.trim_start_matches('<').split_once('>').unwrap();
            path.split_once('?').unwrap().1.to_owned()
        });
    }
    assert_eq!(seen, 30);
    let said = world
        .hookd(&["deliveries", "-n", "5", "--result", "accepted"])
        .expect(0)
        .out;
    assert!(said.contains("accepted") && !said.contains("duplicate"), "{said}");
}

#[test]
fn an_error_is_a_problem() {
    let world = World::site("");
    for (method, path, status) in [
        ("GET", "/api/v1/deployments/99", 404),
        ("GET", "/api/v1/nothing", 404),
        ("POST", "/api/v1/targets/site/none/deploy", 404),
        ("POST", "/api/v1/targets/site/live/rollback", 404),
    ] {
        let answer = world.ask(method, path, "").unwrap().expect(status);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        let problem = answer.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["title"], "Not Found");
        assert_eq!(problem["status"], 404);
        let (error, detail) = (answer.word("error"), answer.word("detail"));
        assert!(!error.is_empty() && detail.starts_with(&error), "{problem}");
    }
    let world_has = world.ask("POST", "/api/v1/targets/site/none/deploy", "").unwrap();
    assert_eq!(world_has.word("hint"), "there are: site/live");
    world
        .ask("POST", "/api/v1/targets/site/live/deploy", "{\"url\":\"elsewhere\"}")
        .unwrap()
        .expect(400);
}

#[test]
fn lists_come_in_pages_and_only_when_they_changed() {
    let world = World::site("");
    for page in ["one", "two", "three"] {
        world.deploy(page);
    }
    for list in ["deployments", "deliveries"] {
        let number = if list == "deployments" { "id" } else { "number" };
        let mut next = Some(format!("/api/v1/{list}?limit=2"));
        let mut seen = Vec::new();
        while let Some(path) = next {
            let answer = world.ask("GET", &path, "").unwrap().expect(200);
            let link = answer.header("link").map(str::to_owned);
            next = link.map(|link| {
                let (path, rest) = link.trim_start_matches('<').split_once('>').unwrap();
                assert_eq!(rest, "; rel=\"next\"");
                path.to_owned()
            });
            let rows = answer.json();
            seen.extend(rows.as_array().unwrap().iter().map(|row| row[number].as_i64().unwrap()));
        }
        assert_eq!(seen, [3, 2, 1], "{list}");
    }
    let control = Address::Unix(world.path("control.sock"));
    let ask = |tag: &str| {
        let tag = ("If-None-Match".to_owned(), tag.to_owned());
        control
            .send(&http::request("GET", "/api/v1/deployments", &[tag], b""))
            .unwrap()
    };
    let tag = ask("\"none\"").expect(200).header("etag").unwrap().to_owned();
    assert_eq!(ask(&tag).expect(304).text(), "");
    assert_eq!(ask(&format!("\"other\", W/{tag}")).status, 304);
    world.deploy("four");
    ask(&tag).expect(200);
}
