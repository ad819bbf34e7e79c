//! The story that the demo tells: two pushes that go live, a webhook that is refused, a mistake that is rolled back,
//! and its repair. Each step is compared with the expected result.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::daemon::Daemon;
use super::forge::{Delivery, Forge, Push};
use super::git::Git;
use super::narrate::Narrator;
use super::show::{Mark, Show};
use super::stage::Stage;
use crate::cli::client::Client;
use crate::cli::output::Failure;
use crate::clock;
use crate::model::{Outcome, Secret};

/// Longest time for a push and all that comes of it: many times what it takes on a slow machine.
const STEP_TIME: Duration = Duration::from_mins(1);

/// The site's files, and the headlines that the page has in turn.
const FILES: [(&str, &str); 3] = [
    ("index.html", include_str!("sample/index.html")),
    ("style.css", include_str!("sample/style.css")),
    ("build.sh", include_str!("sample/build.sh")),
];
const FIRST: &str = "The garden is open";
const SECOND: &str = "The first pears are ripe";

/// What a clone needs on a machine whose user has told git no name.
const IDENTITY: &str = "-c user.name=You -c user.email=you@example.org";

/// Plays it, to the end with `once`, else until it is stopped.
pub async fn play(stage: &mut Stage, show: &Show, once: bool) -> Result<(), Failure> {
    let place = stage.place().to_owned();
    show.line("hookd demo: what happens from the push to the page. All of it is on 127.0.0.1");
    show.line(&format!("and in {}, and is gone when the demo ends.", place.display()));
    show.title("Set up", clock::now());
    let props = stage.set_up().await?;
    let said = |word, text: &str| show.step(clock::now(), Mark::Good, word, text);
    said("forge", &format!("an empty repository at {}", props.forge.clone_url()));
    said(
        "web",
        &format!("a web server for www/current/public at http://{}/", props.site),
    );
    let daemon = Daemon::start(&props.config, props.listener, &props.daemon).await?;
    let daemon = stage.daemon.insert(daemon);
    let config = props.config;
    said("daemon", &format!("hookd serve --config {}", config.display()));
    said("webhook", &format!("the forge sends it to {}", props.forge.hook));
    show.line(&format!("\n  Watch all of it in a browser: http://{}/", props.page));
    let mut story = Story {
        narrator: Narrator {
            show,
            client: Client::new(&config),
            site: props.site,
        },
        show,
        work: place.join("work"),
        git: props.git,
        page: props.page,
        forge: props.forge,
        sent: props.sent,
    };
    let ended = |why| Err(Failure::failed(why));
    tokio::select! {
        told = story.tell() => told?,
        why = daemon.ended() => return ended(why),
    }
    if once {
        return Ok(());
    }
    stage.told = true;
    story.invite(&config);
    tokio::select! {
        () = story.listen() => Ok(()),
        why = daemon.ended() => ended(why),
    }
}

struct Story<'a> {
    narrator: Narrator<'a>,
    show: &'a Show,
    /// Alice's clone.
    work: PathBuf,
    git: Git,
    /// Where hookd's own page is.
    page: std::net::SocketAddr,
    forge: std::sync::Arc<Forge>,
    sent: UnboundedReceiver<Delivery>,
}

impl Story<'_> {
    async fn tell(&mut self) -> Result<(), Failure> {
        let begun = clock::now();
        self.title("1. Alice pushes a site");
        self.begin().await?;
        self.commit("Open the garden").await?;
        self.goes_live(FIRST).await?;

        self.title("2. She changes it");
        self.edit("index.html", FIRST, SECOND)?;
        self.commit("Tell about the pears").await?;
        let push = self.goes_live(SECOND).await?;

        self.title("3. Somebody who doesn't know the secret sends a webhook");
        self.refuses_a_guess(push).await?;

        self.title("4. She makes a mistake: the build forgets the start page, and the check sees it");
        self.edit("build.sh", "public/index.html", "public/home.html")?;
        self.commit("Call the start page home.html").await?;
        self.rolls_back(SECOND).await?;

        self.title("5. She takes it back");
        self.git.run(&self.work, &["revert", "--no-edit", "HEAD"]).await?;
        self.goes_live(SECOND).await?;

        self.title("The deployments, as `hookd history` lists them");
        self.history().await?;
        let seconds = clock::now().since(begun).as_secs_f64();
        self.show.line(&format!("\nAll as it should be, in {seconds:.1} s."));
        Ok(())
    }

    fn title(&self, text: &str) {
        self.show.title(text, clock::now());
    }

    async fn begin(&self) -> Result<(), Failure> {
        let url = self.forge.clone_url();
        std::fs::create_dir(&self.work).map_err(|e| file_failed(&self.work, &e))?;
        for arguments in [
            ["init", "--quiet", "--initial-branch=main"].as_slice(),
            &["remote", "add", "origin", &url],
        ] {
            self.git.run(&self.work, arguments).await?;
        }
        FILES.iter().try_for_each(|(name, text)| self.write(name, text))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.work.join(name);
        std::fs::write(&path, text).map_err(|e| file_failed(&path, &e))
    }

    fn edit(&self, name: &str, from: &str, to: &str) -> Result<(), Failure> {
        let path = self.work.join(name);
        let text = std::fs::read_to_string(&path).map_err(|e| file_failed(&path, &e))?;
        self.write(name, &text.replace(from, to))
    }

    async fn commit(&self, subject: &str) -> Result<(), Failure> {
        self.git.run(&self.work, &["add", "--all"]).await?;
        self.git
            .run(&self.work, &["commit", "--quiet", "--message", subject])
            .await?;
        Ok(())
    }

    /// Pushes, and tells all that comes of it; fails if it does not end with `expected`.
    async fn push(&mut self, expected: Outcome) -> Result<Push, Failure> {
        let (git, narrator, sent) = (&self.git, &self.narrator, &mut self.sent);
        let pushed = git.run(&self.work, &["push", "--quiet", "origin", "main"]);
        let told = async {
            let Some(delivery) = sent.recv().await else {
                return Err(Failure::failed("the forge is gone"));
            };
            // The times count from here.
            self.show.since(delivery.push.at);
            let row = narrator.delivery(&delivery).await?;
            Ok((delivery.push, row))
        };
        let both = async { tokio::try_join!(pushed, told) };
        let both = tokio::time::timeout(STEP_TIME, both).await;
        let (_, (push, row)) = both.unwrap_or_else(|_| {
            let seconds = STEP_TIME.as_secs();
            Err(Failure::failed(format!(
                "the deployment did not end within {seconds} s"
            )))
        })?;
        let row = row.ok_or_else(|| Failure::failed("the webhook did not lead to a deployment"))?;
        let outcome = row.outcome.as_deref().unwrap_or_default();
        if outcome != expected.as_str() || row.commit.as_deref() != Some(push.after.as_str()) {
            let commit = push.after.short();
            let text = format!(
                "deployment {} of {commit} ended as {outcome}, not as {expected}",
                row.id
            );
            return Err(Failure::failed(text).cause(row.reason.unwrap_or_default()));
        }
        Ok(push)
    }

    async fn goes_live(&mut self, headline: &str) -> Result<Push, Failure> {
        let push = self.push(Outcome::Live).await?;
        self.page_has(&[headline, push.after.short()]).await?;
        Ok(push)
    }

    /// The page is the one of the commit before, again.
    async fn rolls_back(&mut self, headline: &str) -> Result<(), Failure> {
        let push = self.push(Outcome::RolledBack).await?;
        self.page_has(&[headline, push.before.short()]).await
    }

    async fn page_has(&self, wanted: &[&str]) -> Result<(), Failure> {
        let page = self.narrator.page().await?;
        match wanted.iter().find(|text| !page.contains(**text)) {
            None => Ok(()),
            Some(text) => Err(Failure::failed(format!("the page does not have “{text}”"))),
        }
    }

    async fn refuses_a_guess(&self, push: Push) -> Result<(), Failure> {
        let delivery = self.forge.deliver(push, &Secret::new(b"a guess".to_vec())).await;
        let (status, _) = delivery.answer.map_err(Failure::failed)?;
        if status != 401 {
            return Err(Failure::failed(format!(
                "a webhook with a wrong signature was answered with {status}"
            )));
        }
        let text = "the signature is wrong: answered with 401, and nothing is deployed";
        self.show.step(clock::now(), Mark::Bad, "refused", text);
        Ok(())
    }

    async fn history(&self) -> Result<(), Failure> {
        let rows = self.narrator.history().await?;
        let outcomes: Vec<&str> = rows.iter().filter_map(|row| row.outcome.as_deref()).collect();
        let expected = [Outcome::Live, Outcome::RolledBack, Outcome::Live, Outcome::Live].map(Outcome::as_str);
        if outcomes == expected {
            return Ok(());
        }
        Err(Failure::failed(format!("{} were expected", expected.join(", "))))
    }

    /// What to do now.
    fn invite(&self, config: &Path) {
        let (url, site) = (self.forge.clone_url(), self.narrator.site);
        let (hookd, config) = (program(), config.display());
        self.show.title("Now you. It stays up until Ctrl-C", clock::now());
        self.show.line(&format!("  The site:     http://{site}/"));
        self.show.line(&format!("  hookd's page: http://{}/\n", self.page));
        self.show.line("  Change it, in another terminal:\n");
        self.show.line(&format!("    git clone {url} garden \\"));
        self.show.line(&format!("      {IDENTITY}"));
        self.show.line("    cd garden");
        self.show
            .line("    sed -i 's/pears/figs/' index.html      # or with an editor");
        self.show.line("    git commit -am 'Figs' && git push\n");
        self.show.line("  Ask the daemon:\n");
        self.show.line(&format!("    export HOOKD_CONFIG={config}"));
        for command in ["status", "history", "logs", "rollback site"] {
            self.show.line(&format!("    {hookd} {command}"));
        }
        self.show.aside("\n  What it says itself: hookd.log beside that file.");
    }

    /// Tells of the pushes of whoever accepted the invitation.
    async fn listen(&mut self) {
        while let Some(delivery) = self.sent.recv().await {
            self.show.title("A push", delivery.push.at);
            let told = async {
                let row = self.narrator.delivery(&delivery).await?;
                if row.is_some() {
                    self.narrator.page().await?;
                }
                Ok::<(), Failure>(())
            };
            if let Err(failure) = told.await {
                self.show.step(clock::now(), Mark::Bad, "problem", &failure.to_string());
            }
        }
    }
}

fn file_failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
}

/// How this program was called.
fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    let called = called.to_string_lossy();
    if called.is_empty() {
        "hookd".to_owned()
    } else {
        called.into_owned()
    }
}
