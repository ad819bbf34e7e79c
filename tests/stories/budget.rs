//! Stored deliveries have a budget in bytes: payloads go before reasons, and those that led to nothing first.

use crate::support::forge::{Delivery, SECRET};
use crate::support::world::{World, wait_until};

const SMALL: &str = r#"
[limits]
deliveries = "1MiB"
$SITE
poll = "off"
$LIVE
"#;

/// The same delivery with a payload of 400 kB: blanks after JSON mean nothing.
fn large(mut delivery: Delivery) -> Delivery {
    delivery.body.extend(vec![b' '; 400_000]);
    delivery.signed(SECRET)
}

#[test]
fn payloads_of_what_was_ignored_go_first_and_reasons_stay() {
    let world = World::new(SMALL);
    world.site.publish("one");
    let pushed = large(Delivery::push("alice/site", "refs/heads/main", &world.site.head()));
    world.send(&pushed).expect(202);
    world.settled();
    for _ in 0..4 {
        let elsewhere = Delivery::push("alice/site", "refs/heads/elsewhere", &world.site.head());
        let answer = world.send(&large(elsewhere));
        assert!(answer.status < 300, "{answer:?}");
    }
    let gone = |row: &serde_json::Value| {
        let said = world.hookd(&["explain", &row["number"].to_string()]);
        said.code != 0 && said.err.contains("no longer kept")
    };
    wait_until("the oldest ignored payloads are gone", || {
        world.deliveries().iter().filter(|row| gone(row)).count() >= 3
    });
    let rows = world.deliveries();
    assert_eq!(rows.len(), 5);
    for row in &rows {
        assert_ne!(row["reason"], "");
        assert!(row["result"] != "accepted" || !gone(row), "{row}");
    }
    assert_eq!(world.send(&pushed).expect(200).word("status"), "duplicate");
}
