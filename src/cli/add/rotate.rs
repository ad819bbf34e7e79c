//! `hookd add --rotate`: another webhook secret, and no moment in which a delivery is refused.
//!
//! | step | what is true after it |
//! |---|---|
//! | 1 | the new secret is in NAME.secret.next |
//! | 2 | the drop-in names both, and the daemon takes both |
//! | 3 | the forge has the new one, and a delivery was taken that is signed with it |
//! | 4 | NAME.secret is the new one, too |
//! | 5 | the drop-in names NAME.secret alone, and the daemon has read it; NAME.secret.next is gone |
//!
//! What is there says how far it came, so the same command goes on from wherever it was interrupted.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::Step;
use super::confirm::{Arrivals, TEST_TIME};
use super::plan::Plan;
use crate::cli::output::Failure;
use crate::cli::reload::{How, Reloaded, reload};
use crate::forge_api::{Api, ApiError, Hook};
use crate::model::{Secret, Timestamp};
use crate::setup::{self, Made};

/// The number of the new secret while both are good: the drop-in names it second.
const NEW: u32 = 2;

/// Replaces the secret; gives what was done.
pub(super) async fn rotate(plan: &Plan, forge: &Api, url: &str) -> Result<Vec<Step>, Failure> {
    let (place, name) = (&plan.place, &plan.name);
    let (file, next) = (place.secret(name), place.next_secret(name));
    let mut made = Made::default();
    let secret = setup::webhook_secret().map_err(|e| Failure::failed(e.to_string()))?;
    made.file(&next, secret.as_bytes(), 0o400, place.daemon)
        .map_err(failed(&next))?;
    made.keep();
    let new = setup::read(&next).map_err(failed(&next))?;
    if *setup::read(&file).map_err(failed(&file))? != *new {
        let mut both = plan.fragment.clone();
        both.next_secret = Some(next.clone());
        in_force(plan, &both.text()).await?;
        // What the new one is proven by can have come before an interruption.
        let since = made_at(&next).map_err(failed(&next))?;
        at_the_forge(plan, forge, url, new.as_bytes(), since).await?;
        setup::replace(&file, new.as_bytes(), 0o400, place.daemon).map_err(failed(&file))?;
    }
    in_force(plan, &plan.fragment.text()).await?;
    fs::remove_file(&next).map_err(failed(&next))?;
    Ok(vec![Step::new(
        "replaced",
        format!("webhook secret, here and at the forge: {}", file.display()),
    )])
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    let shown = path.display().to_string();
    move |e| Failure::failed(format!("{shown}: {e}")).hint("run the same command again".to_owned())
}

/// Writes the drop-in, and waits until the daemon has read it.
async fn in_force(plan: &Plan, text: &str) -> Result<(), Failure> {
    let file = plan.place.fragment(&plan.name);
    setup::replace(&file, text.as_bytes(), 0o640, plan.place.admin).map_err(failed(&file))?;
    let why = match reload(&plan.place.config, How::Signal).await {
        Reloaded::Yes => return Ok(()),
        Reloaded::NotRunning => "no daemon runs that could take both secrets".to_owned(),
        Reloaded::NotAllowed => "the daemon can't be told to read the configuration".to_owned(),
        Reloaded::Refused(why) => why,
    };
    Err(Failure::failed(format!("the secret is not replaced yet: {why}"))
        .hint("mend that, then run the same command again".to_owned()))
}

/// When a file was made that nobody has changed.
fn made_at(file: &Path) -> std::io::Result<Timestamp> {
    let made = fs::metadata(file)?.modified()?;
    let since = made.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp(since.as_millis().try_into().unwrap_or(i64::MAX)))
}

/// Gives the forge the new secret, and waits for a delivery that is signed with it.
async fn at_the_forge(plan: &Plan, forge: &Api, url: &str, new: &[u8], since: Timestamp) -> Result<(), Failure> {
    let refused = |error: ApiError| {
        Failure::failed(format!(
            "the secret is not replaced yet, both are good: {}",
            error.message
        ))
        .hint(error.hint.unwrap_or_else(|| "run the same command again".to_owned()))
    };
    let secret = Secret::new(new.trim_ascii().to_vec());
    forge.put_hook(&Hook { url, secret: &secret }).await.map_err(refused)?;
    let mut arrivals = Arrivals::since(&plan.place.config, &plan.name, since, Some(NEW));
    // A forge that has no such request delivers with the next push.
    let _ = forge.test_hook(url).await;
    if arrivals.one_within(TEST_TIME).await {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the forge has the new secret, and no delivery that is signed with it came within {} s; the old one stays good, too",
        TEST_TIME.as_secs()
    ))
    .hint("make the forge deliver (a push, or its test button), and run the same command again".to_owned()))
}
