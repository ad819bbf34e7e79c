//! The webhooks at the forges, where a token may look at them: is there one that delivers here, and is it as it has to be?

use std::fs;

use serde_json::json;

use super::Scene;
use super::finding::{Area, Findings};
use super::web::Web;
use super::webhooks::three_lines;
use crate::config::{ForgeApi, Repo, drop_ins};
use crate::forge_api::{Api, ApiError, Hook, Tokens, has_hooks};
use crate::model::Secret;
use crate::setup::Header;

const AREA: Area = Area::Webhooks;

/// Asks the forge of each repo whose webhook `hookd add` made.
pub async fn look(scene: &Scene<'_>, web: &Web, found: &mut Findings) {
    for repo in scene.config.repos.values() {
        let api = scene.config.api_of(repo).filter(|(_, api)| has_hooks(api.kind));
        let (Some(api), Some(url)) = (api, webhook(scene, repo)) else {
            continue;
        };
        let name = &repo.name;
        let again = || {
            let lines = three_lines(repo, &web.public_url(name.as_str()));
            format!(
                "run the `hookd add` that made the repo once more, with --token file:PATH, or mend it by hand; {lines}"
            )
        };
        match state(scene, repo, api, &url).await {
            Ok(Some(true)) => found.ok(AREA, format!("repo {name}: the forge's webhook delivers to {url}")),
            Ok(Some(false)) => {
                let text = format!("repo {name}: the forge's webhook to {url} is off, or was changed there");
                found.warning(AREA, text).hint(again());
            }
            Ok(None) => {
                let text = format!("repo {name}: the forge has no webhook that delivers to {url}");
                found.warning(AREA, text).hint(again());
            }
            Err(error) => {
                let text = format!("repo {name}: the forge's webhooks can't be looked at: {error}");
                let skipped = found.skipped(AREA, text);
                skipped.hint = error.hint;
            }
        }
    }
}

/// Where the forge delivers, as the drop-in of the repo says.
fn webhook(scene: &Scene<'_>, repo: &Repo) -> Option<String> {
    let drop_in = drop_ins(&scene.config.file).join(format!("{}.toml", repo.name));
    Header::read(&fs::read_to_string(drop_in).ok()?).webhook
}

/// Whether the hook is right; `None` without a hook.
async fn state(
    scene: &Scene<'_>,
    repo: &Repo,
    (name, api): (&str, &ForgeApi),
    url: &str,
) -> Result<Option<bool>, ApiError> {
    let may = json!({ "repository_hooks": "read" });
    let tokens = Tokens::default();
    let time = scene.config.limits.api_time;
    let token = tokens
        .get((name, api), &scene.secrets, &repo.full_name, &may, time)
        .await?;
    let forge = Api::new(repo, api.url.as_ref(), token, time)?;
    // No forge tells the secret, so none is compared.
    let secret = Secret::new(Vec::new());
    forge.looks_right(&Hook { url, secret: &secret }).await
}
