//! `allow_from` with the ranges that a forge publishes.

use std::net::Ipv4Addr;

use super::api::Api;
use crate::support::http::{self, Answer};
use crate::support::world::{World, wait_until};

fn config(api: &Api, more: &str) -> String {
    format!(
        r#"
[forge.github]
ranges = "{}"
$SITE
allow_from = ["github", "192.0.2.0/24"]
{more}
$LIVE
"#,
        api.url("/meta")
    )
}

fn meta(hooks: &str) -> impl FnMut(&str) -> (u16, String) + Send + 'static {
    let body = format!("{{\"hooks\": [{hooks}], \"actions\": [\"0.0.0.0/0\"]}}");
    move |path| {
        if path == "/meta" {
            (200, body.clone())
        } else {
            (404, String::new())
        }
    }
}

fn knows(world: &World) -> bool {
    world.path("state/ranges/github.json").exists() && world.status()["warnings"].as_array().unwrap().is_empty()
}

fn from(world: &World, source: [u8; 4], path: &str) -> Answer {
    let mut stream = world.address().connect_from(Ipv4Addr::from(source)).unwrap();
    let bytes = world.pushed().to(path).bytes();
    std::io::Write::write_all(&mut stream, &bytes).unwrap();
    http::read_answer(&mut stream).unwrap()
}

#[test]
fn only_the_published_addresses_may_send() {
    let api = Api::new(meta("\"127.8.0.0/16\", \"2001:db8::/32\""));
    let world = World::new(&config(&api, "poll = \"off\""));
    wait_until("the ranges are known", || knows(&world));
    world.site.publish("one");
    for path in ["/hook/site", "/hook"] {
        from(&world, [127, 9, 0, 1], path).expect(403);
    }
    assert!(world.history().is_empty());
    let reasons: Vec<_> = world.deliveries().iter().map(|d| d["reason"].clone()).collect();
    assert_eq!(reasons, ["source address not allowed", "source address not allowed"]);
    from(&world, [127, 8, 0, 1], "/hook/site").expect(202);
    world.settled();
    assert_eq!(world.served(), "one");
    world.site.publish("two");
    from(&world, [127, 8, 255, 1], "/hook").expect(202);
    world.settled();
    assert_eq!(world.served(), "two");
}

#[test]
fn until_they_are_known_nobody_is_believed_and_the_poll_finds_the_push() {
    let api = Api::new(|_| (500, "{}".to_owned()));
    let world = World::new(&config(&api, "poll = \"1s\""));
    wait_until("the first try failed", || {
        world.status()["warnings"].to_string().contains("answered 500")
    });
    let told = world.status()["warnings"].to_string();
    assert!(
        told.contains("the addresses of github are NOT KNOWN YET") && told.contains("the poll finds"),
        "{told}"
    );
    let said = world.hookd(&["status"]).expect(0);
    assert!(
        said.out.contains("WARNING: the addresses of github are NOT KNOWN YET"),
        "{said:?}"
    );
    world.site.publish("one");
    for path in ["/hook/site", "/hook"] {
        let answer = from(&world, [127, 0, 0, 1], path);
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("60"));
    }
    wait_until("the poll has found it", || world.served() == "one");
    assert_eq!(world.last()["source"], "poll");
    // A network that was written down is allowed meanwhile, whoever the others are.
    world.configure(&config(&api, "poll = \"off\"").replace("192.0.2.0/24", "127.7.0.0/16"));
    world.daemon().reload();
    world.site.publish("two");
    from(&world, [127, 7, 0, 1], "/hook/site").expect(202);
    world.settled();
    let told = world.status()["warnings"].to_string();
    assert!(told.contains("NOTHING finds its pushes"), "{told}");
    // The API is there again, and a reload does not wait for the next try.
    api.answer(meta("\"127.0.0.1/32\""));
    world.daemon().reload();
    wait_until("the ranges are known", || knows(&world));
    world.site.publish("three");
    from(&world, [127, 0, 0, 1], "/hook/site").expect(202);
    world.settled();
    assert_eq!(world.served(), "three");
}

#[test]
fn what_was_known_is_kept_for_when_the_api_is_away() {
    let api = Api::new(meta("\"127.0.0.1/32\""));
    let mut world = World::new(&config(&api, "poll = \"off\""));
    wait_until("the ranges are known", || knows(&world));
    world.stop();
    let asked = api.asked().len();
    for request in api.asked() {
        let secret = |(name, _): &(String, String)| name == "authorization" || name == "cookie";
        assert!(
            !request.headers.iter().any(secret),
            "what is public needs no token: {}",
            request.path
        );
    }
    api.answer(|_| (500, String::new()));
    world.start();
    world.deploy("one");
    assert_eq!(world.served(), "one");
    // They are a few moments old, so nobody asks.
    assert_eq!(api.asked().len(), asked);
    world.stop();

    // Four days old: in force, asked for again, and told.
    let file = world.path("state/ranges/github.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    kept["fetched_at"] = (kept["fetched_at"].as_i64().unwrap() - 4 * 24 * 3_600_000).into();
    std::fs::write(&file, kept.to_string()).unwrap();
    world.start();
    wait_until("it was asked for", || {
        world.status()["warnings"].to_string().contains("answered 500")
    });
    world.deploy("two");
    assert_eq!(world.served(), "two");
    world.stop();

    // What was fetched from elsewhere, or is damaged, is not believed.
    for damaged in [
        kept.to_string().replace("/meta", "/other"),
        "{".to_owned(),
        String::new(),
    ] {
        std::fs::write(&file, damaged).unwrap();
        world.start();
        world.send(&world.pushed()).expect(503);
        world.stop();
    }
}

#[test]
fn the_address_is_the_one_that_a_trusted_proxy_names() {
    let api = Api::new(meta("\"198.51.100.0/24\""));
    let world = World::new(&format!(
        "http.trusted_proxies = \"127.0.0.1\"\n{}",
        config(&api, "poll = \"off\"")
    ));
    wait_until("the ranges are known", || knows(&world));
    world.site.publish("one");
    world.send(&world.pushed()).expect(403);
    world
        .send(&world.pushed().header("X-Forwarded-For", "203.0.113.7"))
        .expect(403);
    world
        .send(&world.pushed().header("X-Forwarded-For", "198.51.100.7"))
        .expect(202);
    world.settled();
    assert_eq!(world.served(), "one");
}
