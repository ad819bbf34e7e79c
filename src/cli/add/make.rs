//! Makes what a plan names, or only says what it would make.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Step;
use super::plan::Plan;
use crate::cli::output::{self, Failure};
use crate::setup::{self, Made, Owner};

/// What stands in a configuration file that is made because there is none.
const EMPTY_CONFIG: &str =
    "# hookd's configuration: man hookd.toml. Repos are in hookd.d/, a file each; hookd add makes them.\n";

/// Makes what is missing. On an error everything that was made goes away again.
pub(super) fn make(plan: &Plan) -> Result<(Vec<Step>, Made), Failure> {
    let (place, name) = (&plan.place, &plan.name);
    let mut made = Made::default();
    let mut steps = Vec::new();
    let mut step = |path: &Path, result: std::io::Result<bool>, told: &str| -> Result<bool, Failure> {
        let new = result.map_err(|e| Failure::failed(format!("{}: {e}; nothing was changed", path.display())))?;
        let told = if told.is_empty() {
            String::new()
        } else {
            format!(" ({told})")
        };
        steps.push(Step::new(
            if new { "made" } else { "there" },
            format!("{}{told}", path.display()),
        ));
        Ok(new)
    };
    let key = |e: setup::KeyError| Failure::failed(e.to_string());
    let all = Owner::default();
    made.directory(&place.secrets, 0o750, place.admin)
        .map_err(|e| Failure::failed(format!("{}: {e}", place.secrets.display())))?;
    made.directory(&place.drop_ins, 0o755, all)
        .map_err(|e| Failure::failed(format!("{}: {e}", place.drop_ins.display())))?;
    if !place.config.exists() {
        step(
            &place.config,
            made.file(&place.config, EMPTY_CONFIG.as_bytes(), 0o640, place.admin),
            "",
        )?;
    }
    let file = place.secret(name);
    let secret = setup::webhook_secret().map_err(key)?;
    step(&file, made.file(&file, secret.as_bytes(), 0o400, place.daemon), "")?;
    if plan.fragment.ssh_key.is_some() {
        let file = place.key(name);
        let private = setup::deploy_key(&format!("hookd-{name}")).map_err(key)?;
        step(&file, made.file(&file, private.as_bytes(), 0o400, place.daemon), "")?;
        let public = public_key(&file)?;
        let file = place.public_key(name);
        made.file(&file, format!("{public}\n").as_bytes(), 0o644, all)
            .map_err(|e| Failure::failed(format!("{}: {e}", file.display())))?;
    }
    if let Some((line, told)) = &plan.host_key {
        let file = place.known_hosts(name);
        step(&file, made.file(&file, line.as_bytes(), 0o644, all), told)?;
    }
    let path = &plan.fragment.path;
    step(path, made.directory(path, 0o755, place.daemon), "")?;
    if let Some((file, text)) = &plan.opening {
        let directory = file.parent().unwrap_or(Path::new("/"));
        made.directory(directory, 0o755, all)
            .map_err(|e| Failure::failed(format!("{}: {e}", directory.display())))?;
        step(
            file,
            made.file(file, text.as_bytes(), 0o644, all),
            "lets the unit write there",
        )?;
    }
    if let Some((file, text)) = &plan.rule {
        let made = made.file(file, text.as_bytes(), 0o644, all);
        step(file, made, "lets the reload ask systemd")?;
    }
    // The last: only now is everything there that it names.
    let file = place.fragment(name);
    step(
        &file,
        made.file(&file, plan.fragment.text().as_bytes(), 0o640, place.admin),
        "",
    )?;
    Ok((steps, made))
}

/// The files of a repo, in the order in which they are made.
fn files(plan: &Plan) -> Vec<PathBuf> {
    let (place, name) = (&plan.place, &plan.name);
    let mut files = vec![place.config.clone(), place.secret(name)];
    if plan.fragment.ssh_key.is_some() {
        files.extend([place.key(name), place.public_key(name)]);
    }
    files.extend(plan.fragment.known_hosts.clone());
    files.extend([plan.fragment.path.clone(), place.fragment(name)]);
    files
}

pub(super) fn public_key(file: &Path) -> Result<String, Failure> {
    let private = setup::read(file).map_err(|e| Failure::failed(format!("{}: {e}", file.display())))?;
    setup::public_key(&private).map_err(|e| Failure::failed(format!("{}: {e}", file.display())))
}

pub(super) fn dry_run(plan: &Plan, json: bool) -> Result<ExitCode, Failure> {
    let state = |path: &Path| if path.exists() { "there" } else { "would make" };
    let mut steps: Vec<Step> = files(plan)
        .iter()
        .map(|path| Step::new(state(path), path.display().to_string()))
        .collect();
    for (file, _) in plan.opening.iter().chain(&plan.rule) {
        steps.push(Step::new("would make", file.display().to_string()));
    }
    let text = plan.fragment.text();
    if json {
        return output::json(&serde_json::json!({ "dry_run": true, "steps": steps, "fragment": text }));
    }
    steps.iter().for_each(Step::show);
    output::line(&format!("\n{}:", plan.place.fragment(&plan.name).display()));
    output::line(text.trim_end());
    Ok(ExitCode::SUCCESS)
}
