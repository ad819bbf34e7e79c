//! Tokens, sessions, and who did what.

use super::*;

fn token(name: &str) -> TokenRow {
    TokenRow {
        name: name.to_owned(),
        scope: "deploy:shop/*".to_owned(),
        created_at: NOW.0,
        created_by: "root".to_owned(),
    }
}

#[tokio::test]
async fn a_token_has_one_name_and_works_until_it_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    assert!(store.add_token(token("robot"), "hash".to_owned()).await.unwrap());
    assert!(!store.add_token(token("robot"), "other".to_owned()).await.unwrap());
    assert!(store.add_token(token("ci"), "third".to_owned()).await.unwrap());
    let names = async || -> Vec<String> { store.tokens().await.unwrap().into_iter().map(|row| row.name).collect() };
    assert_eq!(names().await, ["ci", "robot"]);
    let found = store.token("hash".to_owned()).await.unwrap().unwrap();
    assert_eq!(
        (found.name, found.scope),
        ("robot".to_owned(), "deploy:shop/*".to_owned())
    );
    assert!(store.token("other".to_owned()).await.unwrap().is_none());
    assert!(store.remove_token("robot".to_owned()).await.unwrap());
    assert!(!store.remove_token("robot".to_owned()).await.unwrap());
    assert!(store.token("hash".to_owned()).await.unwrap().is_none());
    assert_eq!(names().await, ["ci"]);
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over_and_when_there_are_too_many() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let session = |user: &str, expires_at: i64| SessionRow {
        user: user.to_owned(),
        password: "password".to_owned(),
        expires_at: Timestamp(expires_at),
    };
    let begin = async |hash: &str, row: SessionRow| store.begin_session(hash.to_owned(), row).await.unwrap();
    let user_of = async |hash: &str, now: i64| -> Option<String> {
        let row = store.session(hash.to_owned(), Timestamp(now)).await.unwrap()?;
        assert_eq!(row.password, "password");
        Some(row.user)
    };
    begin("bob", session("bob", 50)).await;
    for number in 0..21 {
        begin(&format!("alice{number}"), session("alice", 100 + number)).await;
    }
    assert_eq!(user_of("alice0", 0).await, None, "the oldest of twenty-one");
    assert_eq!(user_of("alice1", 0).await.as_deref(), Some("alice"));
    assert_eq!(user_of("bob", 49).await.as_deref(), Some("bob"));
    assert_eq!(user_of("bob", 50).await, None);
    store.end_session("alice2".to_owned()).await.unwrap();
    assert_eq!(user_of("alice2", 0).await, None);
    store.tidy_access(Timestamp(0), Timestamp(101)).await.unwrap();
    assert_eq!(user_of("alice1", 0).await, None, "it was over");
    assert_eq!(user_of("alice3", 0).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn an_act_is_noted_with_what_came_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _writer) = open(directory.path());
    let note = async |who: &str, at: i64| {
        let act = NewAct {
            who: who.to_owned(),
            act: "deploy",
            object: "blog/live".to_owned(),
            address: None,
        };
        store.note_act(act, Timestamp(at)).await.unwrap()
    };
    let (first, second, third) = (note("a", 1).await, note("b", 2).await, note("c", 3).await);
    assert!(first < second && second < third);
    let job = ask(&store).await.unwrap()[0].id;
    let claim = store.claim(job, NOW).await.unwrap().unwrap();
    let deployment = claim.deployment;
    store
        .finish(claim, Finish::plain(Outcome::Failed, "for the test"), NOW)
        .await
        .unwrap();
    store.note_result(second, "queued".to_owned(), Some(job)).await.unwrap();
    let rows = store.acts(None, 2).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [third, second]);
    assert_eq!(
        (rows[0].result.as_deref(), rows[0].outcome, rows[0].deployment),
        (None, None, None)
    );
    assert_eq!(rows[1].result.as_deref(), Some("queued"));
    assert_eq!(
        (rows[1].outcome, rows[1].deployment),
        (Some(Outcome::Failed), Some(deployment))
    );
    assert_eq!(store.acts(Some(second), 9).await.unwrap()[0].who, "a");
    store.tidy_access(Timestamp(2), NOW).await.unwrap();
    assert_eq!(store.acts(None, 9).await.unwrap().len(), 2);
}
