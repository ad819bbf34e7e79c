//! Makes and removes the tokens of programs.

use super::{By, Operator, Result, done, invalid};
use crate::access::{self, Scope};
use crate::api::{Asked, Token, TokenRequest};
use crate::clock;
use crate::model::{Refusal, RefusalKind, RepoName};
use crate::store::TokenRow;

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        Self {
            name: row.name,
            may: row.scope,
            created_at: row.created_at,
            created_by: row.created_by,
            token: None,
        }
    }
}

impl Operator {
    /// All tokens, without their secrets, which are stored as hashes only.
    pub async fn tokens(&self) -> Result<Vec<Token>> {
        let rows = self.world.store.tokens().await?;
        Ok(rows.into_iter().map(Token::from).collect())
    }

    /// Makes a token; the answer is the only place where it can be read.
    pub async fn add_token(&self, by: &By, request: TokenRequest) -> Result<Token> {
        let scope: Scope = request.may.parse().map_err(invalid)?;
        request.name.parse::<RepoName>().map_err(invalid)?;
        let random = |error| Refusal::new(RefusalKind::Unavailable, format!("no random numbers: {error}"));
        let token = access::new_token().map_err(random)?;
        let row = TokenRow {
            name: request.name.clone(),
            scope: scope.to_string(),
            created_at: clock::now().0,
            created_by: by.asker.to_string(),
        };
        let making = async {
            if self.world.store.add_token(row.clone(), access::hash(&token)).await? {
                return Ok(done("made", format!("may {scope}")));
            }
            let refusal = Refusal::conflict(format!("there is a token {} already", request.name));
            Err(refusal.hint(format!("hookd token remove {}", request.name)))
        };
        self.noted(by, "token add", request.name.clone(), making).await?;
        Ok(Token {
            token: Some(token),
            ..row.into()
        })
    }

    /// Removes a token: from now on it is not known.
    pub async fn remove_token(&self, by: &By, name: &str) -> Result<Asked> {
        let removing = async {
            if self.world.store.remove_token(name.to_owned()).await? {
                return Ok(done("removed", format!("the token {name} is removed")));
            }
            Err(Refusal::not_found(format!("there is no token {name}")).hint("hookd token list"))
        };
        self.noted(by, "token remove", name.to_owned(), removing).await
    }
}
