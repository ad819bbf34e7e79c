//! Requests that are wrong, each with its answer; the site stays as it is.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::forge::{Delivery, SECRET, hmac_sha256, push};
use crate::support::http::{Answer, head, read_answer, request};
use crate::support::world::World;

/// A world with a page that is live, to see that nothing of it moves.
fn world() -> World {
    let world = World::site("");
    world.deploy("one");
    world.looked();
    world.site.publish("two");
    world
}

/// Sends a request without a body.
fn ask(world: &World, method: &str, path: &str) -> Answer {
    world.address().send(&request(method, path, &[], b"")).unwrap()
}

/// The answer without what differs from one second to the next.
fn comparable(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| name != "date")
        .cloned()
        .collect();
    (answer.status, headers, answer.body.clone())
}

#[test]
fn whoever_can_not_sign_gets_one_and_the_same_answer() {
    let world = world();
    let right = world.pushed();
    let unsigned = right.clone().without("X-Hub-Signature-256");
    let sha256 = |hex: &str| right.clone().header("X-Hub-Signature-256", &format!("sha256={hex}"));
    let other_body = Delivery {
        body: b"{}".to_vec(),
        ..right.clone()
    };
    let deliveries = [
        ("a wrong signature", sha256(&"ab".repeat(32))),
        ("no signature", unsigned.clone()),
        ("an empty header", right.clone().header("X-Hub-Signature-256", "")),
        ("an empty signature", sha256("")),
        ("a short signature", sha256("abcd")),
        ("no hexadecimal digits", sha256(&"zz".repeat(32))),
        ("another body", other_body),
        ("another secret", right.clone().signed("another secret")),
        ("no secret at all", right.clone().signed("")),
        (
            "a signature that is only SHA-1",
            unsigned
                .clone()
                .header("X-Hub-Signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"),
        ),
        ("a path in the name", right.clone().to("/hook/..%2Fsite")),
        ("an unknown repo", right.clone().to("/hook/nobody")),
        ("an unknown repo, unsigned", unsigned.clone().to("/hook/nobody")),
        ("no name and a wrong signature", sha256(&"ab".repeat(32)).to("/hook")),
        (
            "no name and an unknown full name",
            Delivery::push("mallory/site", "refs/heads/main", &world.site.head())
                .signed("nobody's")
                .to("/hook"),
        ),
        (
            "no name and no full name",
            Delivery::github("push", "{}").signed("nobody's").to("/hook"),
        ),
        (
            "a repo that is no repo",
            Delivery {
                body: b"[1]".to_vec(),
                ..right.clone()
            }
            .to("/hook"),
        ),
        (
            "another forge",
            unsigned
                .clone()
                .header("X-Gitlab-Event", "Push Hook")
                .without("X-GitHub-Event")
                .header("X-Gitlab-Token", "guess"),
        ),
    ];
    let expected = world.send(&deliveries[0].1).expect(401);
    assert_eq!(expected.json()["status"], "error");
    for (what, delivery) in &deliveries {
        let answer = world.send(delivery);
        assert_eq!(comparable(&answer), comparable(&expected), "{what}");
        assert!(
            !answer.text().contains(&hmac_sha256(SECRET, &delivery.body)),
            "{what}: the right signature is told"
        );
    }
    world.settled();
    assert_eq!(world.served(), "one");
    // They can be seen afterwards, with the true reason.
    let told = world.hookd(&["deliveries", "--json", "-n", "100"]).expect(0).json();
    let reasons: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["reason"].as_str())
        .collect();
    for reason in [
        "signature-wrong",
        "signature-missing",
        "signature-empty",
        "unknown repo",
    ] {
        assert!(reasons.contains(&reason), "{reason} is not among {reasons:?}");
    }
    world.send(&right).expect(202);
    world.settled();
    assert_eq!(world.served(), "two");
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    // What is live is delivered: some of these are signed, so hookd looks at the remote, which has nothing more.
    let world = World::site("");
    world.deploy("one");
    let right = world.pushed();
    let body = |bytes: &[u8]| {
        Delivery {
            body: bytes.to_vec(),
            ..right.clone()
        }
        .signed(SECRET)
    };
    let half = &right.body[..right.body.len() / 2];
    for (what, delivery, status, words) in [
        ("an empty body", body(b""), 400, "empty body"),
        ("half of the JSON", body(half), 400, "JSON"),
        ("no JSON", body(b"hello"), 400, "JSON"),
        ("bytes that are no text", body(b"\xff\xfe{"), 400, "JSON"),
        (
            "no event header",
            right.clone().without("X-GitHub-Event"),
            400,
            "X-GitHub-Event",
        ),
        (
            "a strange type",
            right.clone().header("Content-Type", "text/plain"),
            415,
            "application/json",
        ),
        (
            "a type that is none",
            right.clone().header("Content-Type", "multipart/form-data; boundary=x"),
            415,
            "application/json",
        ),
        (
            "MD5",
            right
                .clone()
                .without("X-Hub-Signature-256")
                .header("X-Hub-Signature", "md5=d41d8cd98f00b204e9800998ecf8427e"),
            501,
            "not supported",
        ),
    ] {
        let answer = world.send(&delivery);
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let json = answer.json();
        assert_eq!(json["status"], "error", "{what}: {json}");
        assert!(json["error"].as_str().unwrap().contains(words), "{what}: {json}");
    }
    for (method, path, status, allow) in [
        ("GET", "/hook/site", 405, Some("POST")),
        ("PUT", "/hook/site", 405, Some("POST")),
        ("DELETE", "/hook", 405, Some("POST")),
        ("POST", "/healthz", 405, Some("GET, HEAD")),
        ("GET", "/", 404, None),
        ("POST", "/hook/site/live", 404, None),
        ("POST", "/hook/../etc/passwd", 404, None),
        ("POST", "/hooks/site", 404, None),
        ("GET", "/.git/config", 404, None),
    ] {
        let answer = ask(&world, method, path);
        assert_eq!(
            (answer.status, answer.header("allow")),
            (status, allow),
            "{method} {path}"
        );
    }
    assert_eq!(ask(&world, "GET", "/healthz").expect(200).text().trim(), "ok");
    world.settled();
    assert_eq!((world.served().as_str(), world.history().len()), ("one", 1));
}

#[test]
fn what_is_signed_is_never_an_error_however_strange() {
    let world = world();
    let signed = |event: &str, body: &str| Delivery::github(event, body).signed(SECRET);
    let head = world.site.head();
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut payload = push("alice/site", "refs/heads/main", &"a".repeat(40), &head);
        change(&mut payload);
        signed("push", &payload.to_string())
    };
    for (what, delivery) in [
        ("an empty object", signed("push", "{}")),
        ("a list", signed("push", "[]")),
        ("a number", signed("push", "5")),
        ("an unknown event", signed("no_such_event", "{}")),
        (
            "an event of no consequence",
            signed(
                "star",
                r#"{"action":"created","repository":{"full_name":"alice/site"}}"#,
            ),
        ),
        ("no ref", with(&|p| drop(p.as_object_mut().unwrap().remove("ref")))),
        (
            "no repository",
            with(&|p| drop(p.as_object_mut().unwrap().remove("repository"))),
        ),
        (
            "another repository",
            with(&|p| p["repository"]["full_name"] = "alice/other".into()),
        ),
        ("a ref that is an option", with(&|p| p["ref"] = "refs/heads/-rf".into())),
        (
            "a ref that is no ref",
            with(&|p| p["ref"] = "refs/heads/../../etc/passwd".into()),
        ),
        (
            "a ref with a line end",
            with(&|p| p["ref"] = "refs/heads/main\nx".into()),
        ),
        ("a ref that is a number", with(&|p| p["ref"] = 5.into())),
        (
            "a ref of a pull request",
            with(&|p| p["ref"] = "refs/pull/1/head".into()),
        ),
        (
            "a ref as long as a book",
            with(&|p| p["ref"] = format!("refs/heads/{}", "x".repeat(100_000)).into()),
        ),
        ("a commit that is none", with(&|p| p["after"] = "; rm -rf /".into())),
    ] {
        let answer = world.send(&delivery);
        // The commit is a hint: the ref's tip is what is deployed.
        let expected = if what.starts_with("a commit") {
            &[200, 202][..]
        } else {
            &[200]
        };
        assert!(
            expected.contains(&answer.status),
            "{what}: {} {}",
            answer.status,
            answer.text()
        );
        assert!(
            answer.status == 202 || !answer.word("reason").is_empty(),
            "{what}: {}",
            answer.text()
        );
    }
    // Deep, but JSON all the same.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = world.send(&signed("push", &deep));
    assert!([200, 400].contains(&answer.status), "{}", answer.text());
    world.settled();
    for told in ["/etc/passwd", "rm -rf"] {
        assert!(!world.outcomes().iter().any(|outcome| outcome == "failed"), "{told}");
    }
    assert_eq!(world.target("site/live")["state"], "live");
}

#[test]
fn a_body_above_the_limit_is_refused_whether_announced_or_not() {
    let world = world();
    let large = vec![b' '; 26 * 1024 * 1024];
    let delivery = Delivery {
        body: large,
        ..world.pushed()
    };
    let answer = world.address().send(&delivery.bytes()).unwrap();
    assert_eq!((answer.status, answer.word("error").as_str()), (413, "body too large"));

    // In chunks, so that only counting tells.
    let mut stream = world.address().connect().unwrap();
    let chunked = delivery
        .headers
        .iter()
        .cloned()
        .chain([("Transfer-Encoding".to_owned(), "chunked".to_owned())]);
    let headers: Vec<(String, String)> = chunked.collect();
    stream
        .write_all(format!("{}\r\n", head("POST", "/hook/site", &headers)).as_bytes())
        .unwrap();
    let chunk = vec![b' '; 1024 * 1024];
    for _ in 0..26 {
        let mut bytes = b"100000\r\n".to_vec();
        bytes.extend_from_slice(&chunk);
        bytes.extend_from_slice(b"\r\n");
        if stream.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    assert_eq!(read_answer(&mut stream).unwrap().status, 413);

    // Right at the limit it is read, and fails for what it is.
    let limit = Delivery {
        body: vec![b' '; 25 * 1024 * 1024],
        ..world.pushed()
    };
    assert_eq!(world.address().send(&limit.signed(SECRET).bytes()).unwrap().status, 400);
    world.send(&world.pushed()).expect(202);
    world.settled();
    assert_eq!(world.served(), "two");
}

#[test]
fn a_head_above_the_limit_is_refused() {
    let world = world();
    let with = |count: usize, length: usize| {
        let headers = (0..count).map(|n| (format!("X-Filler-{n}"), "x".repeat(length)));
        let all: Vec<(String, String)> = world.pushed().headers.into_iter().chain(headers).collect();
        request("POST", "/hook/site", &all, &world.pushed().body)
    };
    for (count, length) in [(150, 10), (2, 60_000), (1, 200_000)] {
        let answer = world.address().send(&with(count, length)).unwrap();
        assert_eq!(answer.status, 431, "{count} headers of {length} bytes");
    }
    let garbage = world
        .address()
        .send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n")
        .unwrap();
    assert_eq!(garbage.status, 400);
    world.send(&world.pushed()).expect(202);
    world.settled();
}

/// The usual repo with tight limits.
fn limited(limits: &str) -> World {
    let world = World::limited(limits);
    world.site.publish("one");
    world
}

#[test]
fn whoever_is_slow_is_told_so() {
    let world = limited("header_time = \"300ms\"\nbody_time = \"400ms\"");
    let start = Instant::now();
    // The head never ends.
    let mut slow = world.address().connect().unwrap();
    slow.write_all(b"POST /hook/site HTTP/1.1\r\nHost: x\r\nX-Half")
        .unwrap();
    let answer = read_answer(&mut slow).unwrap();
    assert_eq!(answer.status, 408);
    // Not a byte comes.
    let mut silent = world.address().connect().unwrap();
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).unwrap();
    // The body never ends.
    let delivery = world.pushed();
    let mut bytes = delivery.bytes();
    bytes.truncate(bytes.len() - 10);
    let mut slow = world.address().connect().unwrap();
    slow.write_all(&bytes).unwrap();
    let answer = read_answer(&mut slow).unwrap();
    assert_eq!(answer.status, 408, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert!(start.elapsed() < Duration::from_secs(20));
    world.send(&delivery).expect(202);
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn a_body_that_only_drips_is_cut_off() {
    let world = limited("body_time = \"60s\"\nbody_rate = \"1MiB\"");
    let delivery = world.pushed();
    let mut slow = world.address().connect().unwrap();
    let bytes = delivery.bytes();
    let (most, last) = bytes.split_at(bytes.len() - 400);
    slow.write_all(most).unwrap();
    // A byte now and then keeps no connection open.
    for byte in last.chunks(1) {
        if slow.write_all(byte).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    assert_eq!(read_answer(&mut slow).unwrap().status, 408);
}

#[test]
fn one_connection_can_bring_several_deliveries() {
    let world = limited("");
    let mut stream = world.address().connect().unwrap();
    let keep = |delivery: Delivery| {
        let text = String::from_utf8(delivery.bytes()).unwrap();
        text.replace("Connection: close\r\n", "").into_bytes()
    };
    for _ in 0..3 {
        stream.write_all(&keep(world.pushed())).unwrap();
    }
    stream.write_all(&world.pushed().bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 20").count(), 4, "{text}");
    world.settled();
    assert_eq!(world.deliveries().len(), 4);
}

#[test]
fn a_sender_that_leaves_before_the_answer_has_delivered_all_the_same() {
    let world = limited("");
    let mut stream = world.address().connect().unwrap();
    stream.write_all(&world.pushed().bytes()).unwrap();
    drop(stream);
    crate::support::world::wait_until("it is stored", || !world.deliveries().is_empty());
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn a_form_is_taken_as_json_is() {
    let world = world();
    let form = Delivery::push("alice/site", "refs/heads/main", &world.site.head()).form();
    world.send(&form.clone().signed("wrong")).expect(401);
    world.send(&form.signed(SECRET)).expect(202);
    world.settled();
    assert_eq!(world.served(), "two");
    let empty = Delivery {
        body: b"no_payload=1".to_vec(),
        ..Delivery::push("alice/site", "x", "y").form()
    };
    world.send(&empty.signed(SECRET)).expect(400);
}

#[test]
fn a_sender_that_closes_its_half_gets_its_answer() {
    let world = limited("");
    let mut stream = world.address().connect_from(std::net::Ipv4Addr::LOCALHOST).unwrap();
    stream.write_all(&world.pushed().bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_answer(&mut stream).unwrap().status, 202);
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn chunks_that_are_none_are_a_bad_request() {
    let world = limited("");
    for chunks in ["zz\r\n{}\r\n0\r\n\r\n", "2\r\n{}xx\r\n0\r\n\r\n", "-1\r\n\r\n"] {
        let mut headers = world.pushed().headers;
        headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
        let text = format!("{}\r\n{chunks}", head("POST", "/hook/site", &headers));
        let answer = world.address().send(text.as_bytes()).unwrap();
        assert_eq!(answer.status, 400, "{chunks:?}: {}", answer.text());
    }
}

#[test]
fn the_limit_of_the_head_is_exact() {
    let world = limited("headers = \"2KiB\"");
    let of = |size: usize| {
        let begin = "POST /hook/site HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\nX-Filler: ";
        let filler = "x".repeat(size - begin.len() - 4);
        world
            .address()
            .send(format!("{begin}{filler}\r\n\r\n").as_bytes())
            .unwrap()
    };
    assert_eq!(of(2048).text(), of(500).text());
    assert_eq!((of(2048).status, of(2049).status), (400, 431));
}

#[test]
fn what_is_no_request_is_answered_with_a_reason_too() {
    let world = limited("header_count = 10");
    let many = "X: x\r\n".repeat(11);
    for (request, status) in [
        ("GET /healthz\r\n\r\n".to_owned(), 400),
        ("GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400),
        ("GET /healthz HTTP/1.1\r\nHo st: x\r\n\r\n".to_owned(), 400),
        (
            "POST /hook/site HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}".to_owned(),
            400,
        ),
        ("\u{16}\u{3}\u{1}hello\r\n\r\n".to_owned(), 400),
        (format!("GET /healthz HTTP/1.1\r\n{many}\r\n"), 431),
    ] {
        let answer = world.address().send(request.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
        assert_eq!(answer.json()["status"], "error", "{request:?}");
        assert_eq!(answer.header("retry-after"), None, "{request:?}");
    }
}

#[test]
fn a_connection_that_is_only_kept_open_ends_without_a_word() {
    let world = limited("header_time = \"2s\"");
    let asked = || {
        let mut connection = world.address().connect().unwrap();
        connection
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\nok\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            got.extend(byte);
        }
        connection
    };
    let (mut kept, mut slow) = (asked(), asked());
    // This one has begun a further request.
    slow.write_all(b"GET /heal").unwrap();
    let mut rest = Vec::new();
    kept.read_to_end(&mut rest).unwrap();
    assert_eq!(String::from_utf8_lossy(&rest), "");
    assert_eq!(read_answer(&mut slow).unwrap().status, 408);
}
