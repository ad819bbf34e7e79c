//! `[forge.NAME]`: the APIs of forges.

use std::collections::BTreeMap;

use super::across::Seen;
use super::source_of_secret;
use crate::config::forges::ForgeApi;
use crate::config::section::Section;
use crate::config::source::At;
use crate::config::{ForgeKind, published, suggest};

/// All `[forge.NAME]` that are right.
pub(super) fn forges(root: &Section, seen: &mut Seen) -> BTreeMap<String, ForgeApi> {
    let mut all = BTreeMap::new();
    for (name, section) in root.tables("forge", "forge.NAME", None) {
        check_name(&section, name);
        let kind = if section.own("kind").is_some() {
            section.some_choice("kind")
        } else {
            kind_by_name(&section, name)
        };
        let app_id = section.string("app_id").map(|text| text.value.to_owned());
        if let (Some(entry), Some(kind)) = (section.own("app_id"), kind)
            && kind != ForgeKind::GitHub
        {
            section.wrong(entry.key, "`app_id`: only GitHub has Apps", None);
        }
        if section.own("ranges").is_none() {
            section.require("token", source_of_secret::HINT);
        }
        seen.note(&format!("forge.{}.token", name.value), section.string("token"));
        let url = section.string("url").and_then(|text| web_url(&section, text));
        let ranges = section.string("ranges").and_then(|text| web_url(&section, text));
        let token = section
            .string("token")
            .and_then(|text| source_of_secret::parse(&section, "token", text));
        if let Some(kind) = kind {
            let api = ForgeApi {
                kind,
                url,
                token,
                app_id,
                ranges,
            };
            if let (Some(_), Err(reason)) = (&api.ranges, published::find(name.value, kind, Some(&api))) {
                section.wrong(name.place, format!("`ranges`: {reason}"), None);
            }
            all.insert(name.value.to_owned(), api);
        }
    }
    all
}

fn kind_by_name(section: &Section, name: At<&str>) -> Option<ForgeKind> {
    let kind = name.value.parse::<ForgeKind>().ok();
    if kind.is_none() {
        let meant = suggest::nearest(name.value, ForgeKind::WORDS.iter().copied());
        let meant = meant.map(|kind| format!("did you mean `[forge.{kind}]`?"));
        let hint = meant.unwrap_or_else(|| "give it a `kind`, such as `kind = \"gitea\"`".to_owned());
        section.wrong(
            name.place,
            format!("`{}` is not the name of a forge", name.value.escape_debug()),
            hint,
        );
    }
    kind
}

/// Names are shown in logs and answers, so they are as plain as those of repos.
pub(super) fn check_name(section: &Section, name: At<&str>) {
    if let Err(e) = name.value.parse::<crate::model::RepoName>() {
        section.wrong(name.place, format!("`{}`: {e}", name.value.escape_debug()), None);
    }
}

/// An http or https URL with a host.
pub(super) fn web_url(section: &Section, text: At<&str>) -> Option<url::Url> {
    match url::Url::parse(text.value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Some(url),
        Ok(_) => {
            section.wrong(
                text.place,
                "the URL begins neither with `https://` nor with `http://`",
                None,
            );
            None
        }
        Err(e) => {
            section.wrong(
                text.place,
                format!("not a URL: {e}"),
                "a URL is written like https://HOST/PATH",
            );
            None
        }
    }
}
