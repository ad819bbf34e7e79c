//! `hookd man`: the manual pages, made from the table of arguments and from the table of keys, so that they lack nothing.

use std::fmt::Write;
use std::process::ExitCode;

use clap::{ArgAction, Command, ValueEnum};
use clap_mangen::Man;

use super::output::{self, Failure};
use crate::api::routes::{Body, Kind, Operation, ROUTES};
use crate::config::keys::{KEYS, Key};

/// The manual pages.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ManPage {
    /// The commands: hookd(1).
    Hookd,
    /// The configuration: hookd.toml(5).
    #[value(name = "hookd.toml")]
    Toml,
    /// What happens in a deployment: hookd-deploy(7).
    #[value(name = "hookd-deploy")]
    Deploy,
    /// What to type into each forge: hookd-forges(7).
    #[value(name = "hookd-forges")]
    Forges,
    /// The API for programs: hookd-api(7).
    #[value(name = "hookd-api")]
    Api,
}

/// What hookd(1) says besides the arguments.
const COMMANDS_END: &str = include_str!("../../packaging/man/hookd.1.in");

/// hookd.toml(5) around the keys, which come in the place of [`KEYS_HERE`].
const TOML: &str = include_str!("../../packaging/man/hookd.toml.5.in");

/// The line of [`TOML`] that stands for the keys.
const KEYS_HERE: &str = ".\\\" KEYS\n";

/// hookd-deploy(7), as it is.
const DEPLOY: &str = include_str!("../../packaging/man/hookd-deploy.7");

/// hookd-forges(7), as it is.
const FORGES: &str = include_str!("../../packaging/man/hookd-forges.7");

/// hookd-api(7) around the paths, which come in the place of [`PATHS_HERE`].
const API: &str = include_str!("../../packaging/man/hookd-api.7.in");

/// The line of [`API`] that stands for the paths.
const PATHS_HERE: &str = ".\\\" PATHS\n";

/// Prints a page; hookd(1) of this command line.
pub fn run(page: ManPage, command: Command) -> Result<ExitCode, Failure> {
    let text = match page {
        ManPage::Hookd => commands(command).map_err(|e| Failure::failed(e.to_string()))?,
        ManPage::Toml => TOML.replace(KEYS_HERE, &keys()),
        ManPage::Deploy => DEPLOY.to_owned(),
        ManPage::Forges => FORGES.to_owned(),
        ManPage::Api => API.replace(PATHS_HERE, &paths()),
    };
    output::line(text.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// hookd(1): one page, with each command below its own heading.
fn commands(command: Command) -> std::io::Result<String> {
    let mut command = command.name("hookd");
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).section("1");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.extend_from_slice(
        b".SH SYNOPSIS\n\\fBhookd\\fR [\\fB\\-\\-config\\fR \\fIFILE\\fR] [\\fB\\-\\-json\\fR] \\fICOMMAND\\fR\n",
    );
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    page.extend_from_slice(b".SH COMMANDS\n");
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let name = format!("hookd {}", sub.get_name());
        page.extend_from_slice(format!(".SS \"{name}\"\n").as_bytes());
        page.extend(one_command(sub.clone().bin_name(name))?);
    }
    page.extend_from_slice(COMMANDS_END.as_bytes());
    // clap_mangen begins each section with a definition for old troffs; one is enough.
    let text = String::from_utf8_lossy(&page).into_owned();
    let (head, body) = text.split_at(text.find(".TH").unwrap_or(0));
    let plain: Vec<&str> = body.lines().filter(|line| !is_definition(line)).collect();
    Ok(format!("{head}{}\n", plain.join("\n")))
}

fn is_definition(line: &str) -> bool {
    line.starts_with(".ie \\n(.g .ds Aq") || line.starts_with(".el .ds Aq")
}

/// Synopsis, description and options of one command, without headings and without what all commands have; and those of its own
/// commands.
fn one_command(command: Command) -> std::io::Result<Vec<u8>> {
    let command = command.disable_help_flag(true).mut_args(|argument| {
        let common = argument.is_global_set() || matches!(argument.get_id().as_str(), "help" | "version");
        argument.hide(common)
    });
    let below: Vec<Command> = command.get_subcommands().cloned().collect();
    let mut text = Vec::new();
    if below.is_empty() {
        text.extend(format!("{}\n.PP\n", synopsis(&command)).into_bytes());
    }
    let name = command.get_bin_name().unwrap_or_default().to_owned();
    let man = Man::new(command);
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    for sub in below.into_iter().filter(|sub| sub.get_name() != "help") {
        text.extend_from_slice(b".PP\n");
        let name = format!("{name} {}", sub.get_name());
        text.extend(one_command(sub.bin_name(name))?);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let plain: Vec<&str> = text.lines().filter(|line| !line.starts_with(".SH")).collect();
    Ok(format!("{}\n", plain.join("\n")).into_bytes())
}

/// The synopsis of a command: each option with its value, which `clap_mangen` leaves out.
fn synopsis(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut words = vec![format!("\\fB{}\\fR", roff(name))];
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let many = if matches!(argument.get_action(), ArgAction::Append) {
            "..."
        } else {
            ""
        };
        let value = argument.get_value_names().and_then(<[_]>::first);
        let value = value.map(|name| format!("\\fI{}\\fR", roff(name)));
        let takes_value = argument.get_action().takes_values();
        words.push(match (argument.get_long(), value.filter(|_| takes_value)) {
            (Some(long), Some(value)) => format!("[\\fB\\-\\-{}\\fR {value}]{many}", roff(long)),
            (Some(long), None) => format!("[\\fB\\-\\-{}\\fR]", roff(long)),
            (None, Some(value)) if argument.is_required_set() => value,
            (None, value) => format!("[{}]", value.unwrap_or_default()),
        });
    }
    words.join(" ")
}

/// All keys, table by table.
fn keys() -> String {
    let mut text = String::new();
    let mut table = None;
    for key in KEYS {
        if table != Some(key.table()) {
            table = Some(key.table());
            let heading = if key.table().is_empty() {
                "The top level".to_owned()
            } else {
                format!("[{}]", key.table())
            };
            line(&mut text, &format!(".SS \"{heading}\""));
        }
        one_key(&mut text, key);
    }
    text
}

fn one_key(text: &mut String, key: &Key) {
    line(text, ".TP");
    line(text, &format!(".B {}", key.path));
    line(text, &roff(key.meaning));
    if key.in_defaults {
        line(text, "Also allowed in [defaults].");
    }
    line(text, ".br");
    line(
        text,
        &format!(
            "Takes: {}. Default: {}",
            roff(&key.kind.words()),
            roff(&key.unset.words())
        ),
    );
}

/// All paths of the API.
fn paths() -> String {
    let mut text = String::new();
    for route in ROUTES {
        let method = match route.operation {
            Operation::Look(_) => "GET",
            Operation::Change(_) => "POST",
        };
        line(&mut text, ".TP");
        line(&mut text, &format!(".B {method} {}", roff(route.path)));
        line(&mut text, &roff(route.about));
        if let Some((name, required)) = route.takes {
            let needed = if required { "Takes" } else { "May take" };
            line(&mut text, &format!("{needed} a \\fB{name}\\fR."));
        }
        if let Body::One(name) | Body::Made(name) = route.gives {
            line(&mut text, &format!("Gives a \\fB{name}\\fR."));
        } else if let Body::Page(name) | Body::All(name) = route.gives {
            line(&mut text, &format!("Gives a list of \\fB{name}\\fR."));
        }
        for parameter in route.query {
            let words = match parameter.kind {
                Kind::Words(words) => format!(
                    " One of: {}.",
                    words
                        .iter()
                        .filter(|word| !word.is_empty())
                        .copied()
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
                Kind::Text | Kind::Pattern(_) | Kind::Number => String::new(),
            };
            line(&mut text, ".br");
            line(
                &mut text,
                &format!("\\fB{}\\fR: {}{}", parameter.name, roff(parameter.about), roff(&words)),
            );
        }
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{line}");
}

/// Text for troff: what stands in backticks is bold, and nothing is a request.
fn roff(text: &str) -> String {
    let mut out = String::from(if text.starts_with(['.', '\'']) { "\\&" } else { "" });
    let mut bold = false;
    for c in text.chars() {
        match c {
            '`' => {
                bold = !bold;
                out.push_str(if bold { "\\fB" } else { "\\fR" });
            }
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::roff;

    #[test]
    fn nothing_is_a_request() {
        assert_eq!(roff("`a-b` or \\n"), "\\fBa\\-b\\fR or \\en");
        assert_eq!(roff(".SH x"), "\\&.SH x");
    }
}
