//! `hookd --help`: the commands by purpose, and examples.

use std::fmt::Write;

use clap::Command;
use clap::error::{ContextKind, ContextValue};

use super::paint::{self, Tone};

/// Columns of the names of commands.
const NAME: usize = 14;

/// Widest help, columns: longer lines are hard to read.
const WIDTH_MAX: usize = 100;

/// What to type first.
pub const EXAMPLES: [(&str, &str); 6] = [
    ("hookd demo", "see it work, in a minute and on this machine alone"),
    ("hookd add git@github.com:alice/blog.git", "set up a repo"),
    ("hookd status", "what is live, and what needs you"),
    ("hookd deploy blog", "bring it to the tip of its branch, and watch"),
    ("hookd rollback blog", "back to the release before, at once"),
    ("hookd logs -f blog", "follow what a deployment prints"),
];

/// The error with the suggestion alone that is the most like what was typed: clap names all that are somewhat like it, and the best
/// last.
pub fn with_one_suggestion(mut error: clap::Error) -> clap::Error {
    let suggested = error.get(ContextKind::SuggestedSubcommand).cloned();
    if let Some(ContextValue::Strings(mut names)) = suggested
        && let Some(best) = names.pop()
    {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::String(best));
    }
    error
}

/// What one wants, and the commands for it.
pub type Group = (&'static str, &'static [&'static str]);

/// The command line, with its commands by these groups in the help.
pub fn grouped(command: Command, by: &[Group]) -> Command {
    let template = template(&command, by);
    command.help_template(template)
}

fn template(command: &Command, by: &[Group]) -> String {
    let width = terminal_size::terminal_size().map_or(WIDTH_MAX, |(width, _)| usize::from(width.0));
    let heading = |text: &str| paint::paint(Tone::Strong, &format!("{text}:"));
    let mut text = String::from("{about-with-newline}\n{usage-heading} {usage}\n");
    for (group, names) in groups(command, by) {
        let _ = writeln!(text, "\n{}", heading(&group));
        for name in names {
            let about = command.find_subcommand(&name).and_then(Command::get_about);
            let about = about.map_or_else(|| PRINT_HELP.to_owned(), ToString::to_string);
            let lines = paint::wrapped(
                about.trim_end_matches('.'),
                &" ".repeat(NAME + 2),
                Some(width.min(WIDTH_MAX)),
            );
            let name = paint::paint(Tone::Strong, &format!("{name:<NAME$}"));
            let _ = writeln!(text, "  {name}{}", lines.join("\n").trim_start());
        }
    }
    let _ = write!(
        text,
        "\n{}\n{{options}}\n\n{}\n",
        heading("Options"),
        heading("Examples")
    );
    for (line, meaning) in EXAMPLES {
        let _ = writeln!(text, "  {line:<42}{}", paint::paint(Tone::Dim, meaning));
    }
    text + "\n`hookd COMMAND --help` tells more of a command, `hookd man` prints the manual."
}

/// What clap says of its own command.
const PRINT_HELP: &str = "Print this, or the help of a command";

/// The groups with the commands that there are. One that no group names is among the last.
fn groups(command: &Command, by: &[Group]) -> Vec<(String, Vec<String>)> {
    let is_there = |name: &str| name == "help" || command.find_subcommand(name).is_some();
    let is_grouped = |name: &str| by.iter().any(|(_, names)| names.contains(&name));
    let others = command
        .get_subcommands()
        .map(Command::get_name)
        .filter(|name| !is_grouped(name));
    let mut groups: Vec<(String, Vec<String>)> = by
        .iter()
        .map(|(group, names)| {
            let present = names.iter().filter(|name| is_there(name));
            ((*group).to_owned(), present.map(|name| (*name).to_owned()).collect())
        })
        .collect();
    if let Some((_, last)) = groups.last_mut() {
        last.splice(0..0, others.map(str::to_owned));
    }
    groups
}
