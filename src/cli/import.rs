//! `hookd import FILE`: the configuration of another program as one of hookd's.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::output::{self, Code, Failure, printable};
use crate::config;
use crate::machine::Machine;
use crate::setup::import::{self, Bad, Draft, Format, Place, SecretFile};
use crate::setup::{self, Made, Owner};

/// `hookd import`
#[derive(Debug, Args)]
pub struct Import {
    /// hooks.json, hooks.yaml, snare.conf, webhookd's TOML, or the directory that Capistrano or Deployer deploys to.
    pub file: PathBuf,
    /// Write the configuration to this new file; default: standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write the secrets into this directory, mode 0600; default: `hookd` beside the output.
    #[arg(long, value_name = "DIRECTORY")]
    pub secrets: Option<PathBuf>,
    /// Where sites belong of which the file does not say where they are.
    #[arg(long, value_name = "DIRECTORY", default_value = "/srv")]
    pub sites: PathBuf,
    /// URL of the repository, if the file is about one and does not say it.
    #[arg(long)]
    pub url: Option<String>,
    /// What the file is; default: detected from its name and content.
    #[arg(long, value_enum)]
    pub format: Option<ImportFormat>,
}

/// What `hookd import` reads.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ImportFormat {
    /// adnanh/webhook's hooks.json.
    WebhookJson,
    /// adnanh/webhook's hooks.yaml.
    WebhookYaml,
    /// snare.conf.
    Snare,
    /// webhookd's TOML.
    Webhookd,
    /// A directory of Capistrano or Deployer.
    Releases,
}

/// Where secrets and sites belong on a machine of its own.
const SECRETS: &str = "/etc/hookd";

/// Runs the command.
pub fn run(options: &Import) -> Result<ExitCode, Failure> {
    let from = options.file.display().to_string();
    let format = options.format.map(|format| match format {
        ImportFormat::WebhookJson => Format::WebhookJson,
        ImportFormat::WebhookYaml => Format::WebhookYaml,
        ImportFormat::Snare => Format::Snare,
        ImportFormat::Webhookd => Format::Webhookd,
        ImportFormat::Releases => Format::Releases,
    });
    let mut draft = import::import(&options.file, format).map_err(|bad| refused(&from, &bad))?;
    if let (Some(url), [repo]) = (&options.url, &mut draft.repos[..]) {
        repo.url = Some(url.clone());
        draft.notes.retain(|note| !note.text.contains("write its `url`"));
    } else if options.url.is_some() {
        return Err(Failure::new(
            Code::Usage,
            format!(
                "--url is for a file of one repo, and this one has {}",
                draft.repos.len()
            ),
        ));
    }
    let (text, files) = draft.text(&from, &secrets_in(options)?, &options.sites);
    let output = options.output.as_deref();
    if let Some(file) = output.filter(|file| fs::symlink_metadata(file).is_ok()) {
        return Err(
            Failure::failed(format!("{} already exists; nothing was overwritten", file.display()))
                .hint("--output names another file".to_owned()),
        );
    }
    holds(output.unwrap_or(Path::new("hookd.toml")), &text)?;
    tell(&from, &draft);
    write_secrets(options, &files)?;
    match output {
        Some(file) => write_new(file, &text)?,
        None => output::line(text.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

fn refused(from: &str, bad: &Bad) -> Failure {
    let failure = Failure::failed(format!("{}: {}", at(from, bad.place), bad.message));
    failure.hint(bad.hint.clone())
}

fn at(from: &str, place: Place) -> String {
    if place == Place::default() {
        from.to_owned()
    } else {
        format!("{from}:{}:{}", place.line, place.column)
    }
}

/// Where the files of secrets are: as the user says, else beside the file that is written, else where hookd has them.
fn secrets_in(options: &Import) -> Result<PathBuf, Failure> {
    let beside = options.output.as_ref().map(|file| file.with_file_name("hookd"));
    let directory = options
        .secrets
        .clone()
        .or(beside)
        .unwrap_or_else(|| PathBuf::from(SECRETS));
    std::path::absolute(&directory).map_err(|e| Failure::failed(format!("{}: {e}", directory.display())))
}

/// What was made is a configuration; if it is not, the fault is told and nothing is written.
fn holds(file: &Path, text: &str) -> Result<(), Failure> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    config::parse(&file, text, &|variable| std::env::var_os(variable))
        .map(drop)
        .map_err(|report| {
            eprintln!("{report}\n");
            Failure::failed("the file does not make a valid configuration of hookd; nothing was written")
        })
}

/// What could not be carried over, line by line.
fn tell(from: &str, draft: &Draft) {
    for note in &draft.notes {
        let text = printable(&note.text.replace('\n', " "));
        eprintln!("{}: {text}", at(from, note.place));
    }
}

fn write_secrets(options: &Import, files: &[SecretFile]) -> Result<(), Failure> {
    if options.output.is_none() && options.secrets.is_none() {
        for file in files {
            let text = "not written, since neither --secrets nor --output says where; it needs mode 0600";
            eprintln!("{}: the secret of {}: {text}", file.file.display(), file.repo);
        }
        return Ok(());
    }
    let owner = super::block_on(async {
        let machine = Machine::look(Path::new(config::FILE), None).await;
        let daemon = machine.daemon.as_ref().filter(|_| machine.root());
        Ok(daemon.map_or_else(Owner::default, |account| Owner {
            uid: Some(account.uid),
            gid: account.groups.first().copied(),
        }))
    })?;
    let mut made = Made::default();
    for SecretFile { file, secret, repo } in files {
        let failed = |e: std::io::Error| Failure::failed(format!("{}: {e}; nothing was written", file.display()));
        let content = match secret {
            Some(secret) => format!("{secret}\n"),
            None => setup::webhook_secret()
                .map_err(|e| Failure::failed(e.to_string()))?
                .to_string(),
        };
        if let Some(directory) = file.parent() {
            made.directory(directory, 0o750, Owner::default()).map_err(failed)?;
        }
        if !made.file(file, content.as_bytes(), 0o600, owner).map_err(failed)? {
            return Err(
                Failure::failed(format!("{} already exists; nothing was overwritten", file.display()))
                    .hint("--secrets names another directory".to_owned()),
            );
        }
        let new = if secret.is_some() {
            "the secret"
        } else {
            "a new secret, for its forge to sign with"
        };
        eprintln!("{}: {new} of {repo}", file.display());
    }
    made.keep();
    Ok(())
}

fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let opened = fs::File::options().write(true).create_new(true).mode(0o644).open(file);
    opened
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .map_err(|e| Failure::failed(format!("{}: {e}", file.display())))
}
