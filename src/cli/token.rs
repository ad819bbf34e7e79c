//! `hookd token`: bearer tokens for programs that ask the status address.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::block_on;
use super::client::{Client, part};
use super::output::{self, Failure};
use super::paint::{self, Cell, Tone};
use crate::api::{Asked, Token};

/// `hookd token`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, and print it alone on the last line; only its hash is kept.
    Add {
        /// What to call it.
        name: String,
        /// What it may: `view`, or `deploy:` and a target, as in `deploy:shop/*`.
        #[arg(long, value_name = "SCOPE")]
        may: String,
    },
    /// List the tokens.
    List,
    /// Remove a token: it stops working at once.
    Remove {
        /// Its name.
        name: String,
    },
}

/// Runs the command.
pub fn run(config: &Path, json: bool, command: &TokenCommand) -> Result<ExitCode, Failure> {
    let client = Client::new(config);
    match command {
        TokenCommand::Add { name, may } => {
            let body = json!({ "name": name, "may": may });
            let made: Token = block_on(client.post("/api/v1/tokens", &body))?;
            if json {
                return output::json(&made);
            }
            output::line(&format!("the token {name} may {}; it is shown this once:", made.may));
            output::line(made.token.as_deref().unwrap_or_default());
        }
        TokenCommand::List => {
            let tokens: Vec<Token> = block_on(client.get("/api/v1/tokens"))?;
            if json {
                return output::json(&tokens);
            }
            let row = |token: Token| -> Vec<Cell> {
                let made = Cell::new(Tone::Dim, paint::ago(token.created_at));
                vec![token.name.into(), token.may.into(), made, token.created_by.into()]
            };
            let rows: Vec<Vec<Cell>> = tokens.into_iter().map(row).collect();
            output::table(&["NAME", "MAY", "MADE", "BY"], &rows);
        }
        TokenCommand::Remove { name } => {
            let path = format!("/api/v1/tokens/{}/remove", part(name));
            let asked: Asked = block_on(client.post(&path, &json!({})))?;
            if json {
                return output::json(&asked);
            }
            output::line(&asked.message);
        }
    }
    Ok(ExitCode::SUCCESS)
}
