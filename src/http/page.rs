//! The status page: what is live, for people with a browser.

use std::fmt::Write;

use super::answer::{self, Answer};
use super::api::Status;
use crate::model::Timestamp;

/// The page has no script and loads nothing; it asks the browser to look again now and then.
const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<meta http-equiv=\"refresh\" content=\"10\"><title>hookd</title><style>\
body{font:16px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4em .8em;border-bottom:1px solid #8884;vertical-align:top}\
.warning{background:#fc03;padding:.5em 1em}code{font-size:.9em}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}\
</style><h1>hookd</h1>";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Makes the page.
pub fn render(status: &Status) -> Answer {
    let mut html = String::from(HEAD);
    for warning in &status.warnings {
        let _ = write!(html, "<p class=\"warning\">{}</p>", escape(warning));
    }
    html.push_str("<table><tr><th>Target<th>Follows<th>Live<th>Since<th>State<th>Last deployment</tr>");
    for target in &status.targets {
        let commit = target.commit.as_deref().and_then(|c| c.get(..7)).unwrap_or("nothing");
        let since = target
            .live_since
            .map(|at| Timestamp(at).to_string())
            .unwrap_or_default();
        let last = target.last.as_ref().map(|row| {
            let outcome = row.outcome.as_deref().unwrap_or_default();
            let reason = row.reason.as_deref().unwrap_or_default();
            format!(
                "<a href=\"/api/v1/deployments/{0}/log\">#{0}</a> {1}: {2}",
                row.id,
                escape(outcome),
                escape(reason)
            )
        });
        let _ = write!(
            html,
            "<tr><td>{}<td>{}<td><code>{commit}</code><td>{since}<td>{}<td>{}</tr>",
            escape(&target.target),
            escape(&target.follows),
            escape(target.waits_for.as_deref().unwrap_or(&target.state)),
            last.unwrap_or_default()
        );
    }
    let _ = write!(
        html,
        "</table><p>hookd {} · {} waiting, {} running</p>",
        escape(&status.version),
        status.waiting,
        status.running
    );
    answer::with_type(http::StatusCode::OK, "text/html; charset=utf-8", html)
}
