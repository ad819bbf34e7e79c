//! `require_signed`: whether a key in the file of allowed signers signed the commit or tag.

use std::time::Duration;

use crate::clock;
use crate::config::Command;
use crate::exec::{self, CommandSpec, Ended, Stream};
use crate::git::SignedObject;
use crate::model::CommitId;
use crate::signature::{Kind, Refusal, Signer, Signers};

use super::{Run, Stop};

/// Longest run of `gpgv`, which takes milliseconds.
const GPGV_TIME: Duration = Duration::from_secs(30);

/// From TERM to KILL, for a `gpgv` that hangs.
const GPGV_GRACE: Duration = Duration::from_secs(1);

impl Run<'_> {
    /// With `require_signed`: the commit must be signed, or the tag that names it; by a key of the file as it is now.
    pub(super) async fn require_signature(&mut self, commit: &CommitId) -> Result<(), Stop> {
        let Some(file) = self.site.target.require_signed.clone() else {
            return Ok(());
        };
        let signers = tokio::task::spawn_blocking(move || Signers::read(&file)).await;
        let signers = signers.map_err(|e| Stop::failed(e.to_string()))?;
        let signers = signers.map_err(|e| Stop::failed(format!("`require_signed`: {e}")))?;
        let (mirror, git_ref) = (self.mirror(), self.git_ref.clone());
        let objects = self.world.git.signed(&mirror, &git_ref, commit, &self.halt.token);
        let mut refusals = Vec::new();
        // The tag first, if there is one: who tags a release vouches for it.
        for object in objects.await?.iter().rev() {
            match self.signer(&signers, object).await? {
                Ok(signer) => {
                    let text = format!("{} is signed by {signer}", told(object));
                    self.say_once(commit, &text);
                    return Ok(());
                }
                Err(refusal) => refusals.push(format!("{} {refusal}", told(object))),
            }
        }
        Err(Stop::failed(refusals.join(", and ")))
    }

    async fn signer(&self, signers: &Signers, object: &SignedObject) -> Result<Result<Signer, Refusal>, Stop> {
        let Some(signature) = &object.signature else {
            return Ok(Err(Refusal::NotSigned));
        };
        let own_name = self.git_ref.short();
        if let Some(name) = object.tag.as_ref().filter(|name| *name != own_name) {
            // Whoever may push could else put an old signed tag under a new name.
            let why = format!("it calls itself {}", name.escape_debug());
            return Ok(Err(Refusal::Unsupported(why)));
        }
        match Kind::of(signature) {
            Err(refusal) => Ok(Err(refusal)),
            Ok(Kind::Ssh) => Ok(signers.check_ssh(signature, &object.payload, object.time, clock::now())),
            Ok(Kind::OpenPgp) => self.ask_gpgv(signers, signature, &object.payload).await,
        }
    }

    async fn ask_gpgv(
        &self,
        signers: &Signers,
        signature: &[u8],
        payload: &[u8],
    ) -> Result<Result<Signer, Refusal>, Stop> {
        let failed = |what: &dyn std::fmt::Display| Stop::failed(format!("the signature can't be checked: {what}"));
        let directory = tempfile::Builder::new().prefix("hookd-gpgv-").tempdir();
        let directory = directory.map_err(|e| failed(&e))?;
        let (argv, mut asked) = match signers.ask_gpgv(signature, payload, directory.path()) {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(laid_out) => laid_out.map_err(|e| failed(&e))?,
        };
        let spec = CommandSpec::new(Command::Argv(argv), directory.path(), GPGV_TIME, GPGV_GRACE);
        let take = |line: exec::OutputLine| {
            if line.stream == Stream::Stdout {
                asked.line(&line.text);
            }
        };
        let ended = exec::run(&self.world.program, &spec, take, &self.halt.token).await;
        match ended.map_err(|e| failed(&e))? {
            Ended::Cancelled => Err(Stop::Halted),
            Ended::Exited(code) => Ok(asked.judge(code == 0)),
            Ended::NotStarted(why) => Err(failed(&format!("{why} (apt install gpgv)"))),
            ended => Err(failed(&format!("gpgv {ended}"))),
        }
    }
}

/// `commit 1a2b3c4`, `tag v1`.
fn told(object: &SignedObject) -> String {
    match &object.tag {
        Some(name) => format!("tag {}", name.escape_debug()),
        None => format!("commit {}", object.id.short()),
    }
}
