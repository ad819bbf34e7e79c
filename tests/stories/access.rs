//! Who may send, and from where.

use crate::support::forge::Delivery;
use crate::support::http::Address;
use crate::support::world::World;

/// The usual repo, with keys of the repo and a head.
fn config(head: &str, keys: &str) -> String {
    format!(
        r#"{head}
[repo.site]
url = "$DIR/site.git"
full_name = "alice/site"
forge = "github"
{keys}
poll = "off"
$LIVE
"#
    )
}

const SIGNED: &str = "secret = \"file:$DIR/secret\"";

#[test]
fn an_address_that_is_not_allowed_is_refused_however_it_signs() {
    let world = World::new(&config("", &format!("{SIGNED}\nallow_from = [\"192.0.2.0/24\"]")));
    world.site.publish("one");
    let answer = world.send(&world.pushed()).expect(403);
    assert_eq!(answer.json()["status"], "error");
    // Nobody is believed who only says that he comes from elsewhere.
    for header in ["X-Forwarded-For", "X-Real-IP", "Forwarded"] {
        world.send(&world.pushed().header(header, "192.0.2.7")).expect(403);
    }
    world.settled();
    assert_eq!(world.served(), "");
    assert_eq!(world.deliveries()[0]["reason"], "source address not allowed");
}

#[test]
fn behind_a_trusted_proxy_the_address_is_what_the_proxy_says() {
    let head = "[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let world = World::new(&config(head, &format!("{SIGNED}\nallow_from = [\"192.0.2.0/24\"]")));
    world.site.publish("one");
    world.send(&world.pushed()).expect(403);
    world
        .send(&world.pushed().header("X-Forwarded-For", "192.0.2.7, 203.0.113.5"))
        .expect(403);
    world
        .send(&world.pushed().header("X-Forwarded-For", "203.0.113.5, 192.0.2.7"))
        .expect(202);
    world.settled();
    assert_eq!(world.served(), "one");
    let accepted = world
        .deliveries()
        .into_iter()
        .find(|row| row["result"] == "accepted")
        .unwrap();
    assert_eq!(accepted["remote_addr"], "192.0.2.7");
}

#[test]
fn without_a_secret_it_is_open_on_this_machine_alone_and_loud() {
    let world = World::still(&config("listen = \"0.0.0.0:0\"\n", "secret = \"insecure-none\""));
    let said = world.hookd(&["check"]).expect(78);
    assert!(
        said.err.contains("insecure-none") && said.err.contains("which others can reach"),
        "{said:?}"
    );
    world.configure(&config(
        "listen = \"unix:$DIR/public.sock\"\n",
        "secret = \"insecure-none\"",
    ));
    let said = world.hookd(&["check"]).expect(0);
    assert!(
        said.err.to_lowercase().contains("secret"),
        "it is not even warned of: {said:?}"
    );
}

#[test]
fn a_unix_socket_is_a_listener_like_any_other() {
    let mut world = World::still(&config(
        "listen = \"unix:$DIR/public.sock\"\n",
        "secret = \"insecure-none\"",
    ));
    world.without_socket();
    world.start();
    world.site.publish("one");
    let public = Address::Unix(world.path("public.sock"));
    let delivery = Delivery::push("alice/site", "refs/heads/main", &world.site.head());
    assert_eq!(public.send(&delivery.bytes()).unwrap().status, 202);
    world.settled();
    assert_eq!(world.served(), "one");
    let warnings = world.status()["warnings"].to_string();
    assert!(warnings.contains("has no secret"), "{warnings}");
    assert!(world.log().contains("WHOEVER REACHES THE LISTENER CAN DEPLOY IT"));
    world.stop();
    assert!(
        !world.path("public.sock").exists() && !world.path("control.sock").exists(),
        "a socket is left behind"
    );
}
