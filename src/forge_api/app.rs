//! GitHub Apps: tokens of an installation, made from the App's private key.
//!
//! Source: docs.github.com, "Generating a JSON Web Token (JWT) for a GitHub App" and "Generating an installation access token".

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use url::Url;

use super::{Api, ApiError, Call, Purpose, text};
use crate::clock;
use crate::model::{Secret, Timestamp};

/// Seconds that a signed request is valid for; GitHub takes at most ten minutes.
const JWT_SECONDS: i64 = 8 * 60;

/// Seconds that the start of validity lies in the past, for clocks that are not quite right.
const JWT_SLACK: i64 = 60;

/// Seconds before its end from which a token is no longer used.
const TOKEN_SLACK: i64 = 5 * 60;

/// Why a private key can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RSA private key in PEM form, as GitHub gives it for an App")]
pub struct AppKeyError;

/// A GitHub App.
pub struct App {
    id: String,
    key: RsaKeyPair,
}

impl App {
    /// From the App's id (or client id) and its private key.
    pub fn new(id: String, key: &Secret) -> Result<Self, AppKeyError> {
        let key = match PrivateKeyDer::from_pem_slice(key.expose()) {
            Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(AppKeyError),
        };
        Ok(Self {
            id,
            key: key.map_err(|_| AppKeyError)?,
        })
    }

    /// A token that may do `permissions` (an object of GitHub's names) at one repository, and until when it is used;
    /// `time` is the limit of one request.
    pub async fn token(
        &self,
        base: Option<&Url>,
        full_name: &str,
        permissions: &Value,
        time: Duration,
    ) -> Result<(Secret, Timestamp), ApiError> {
        let jwt = Secret::new(self.jwt(clock::now())?.into_bytes());
        let api = Api::github(base, full_name, jwt, time)?;
        let mut path = api.repository();
        path.push("installation");
        let installed = api.get(&path, &[]).await.map_err(|error| match error.status {
            Some(404) => error.hint("install the App on this repository: GitHub, Settings, GitHub Apps, Install App"),
            _ => error,
        })?;
        let id = installed
            .get("id")
            .and_then(Value::as_i64)
            .unwrap_or_default()
            .to_string();
        let name = full_name.rsplit('/').next().unwrap_or_default();
        let body = json!({ "repositories": [name], "permissions": permissions });
        let call = Call {
            method: Method::POST,
            path: vec!["app", "installations", &id, "access_tokens"],
            query: &[],
            body: Some(&body),
            purpose: Purpose::Settings,
        };
        let answer = api.call(call).await.map_err(|error| match error.status {
            Some(422) => error.hint(&format!(
                "give the App the repository permissions {}",
                asked(permissions)
            )),
            _ => error,
        })?;
        let until = text(&answer, "expires_at").parse::<jiff::Timestamp>();
        let until = until.map_or_else(|_| clock::now().0, |at| at.as_millisecond() - TOKEN_SLACK * 1000);
        match text(&answer, "token") {
            "" => Err(ApiError::unusable("GitHub gave no token".to_owned())),
            token => Ok((Secret::new(token.as_bytes().to_vec()), Timestamp(until))),
        }
    }

    fn jwt(&self, now: Timestamp) -> Result<String, ApiError> {
        let now = now.0 / 1000;
        let claims = json!({ "iat": now - JWT_SLACK, "exp": now + JWT_SECONDS, "iss": self.id });
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!(
            "{}.{}",
            encode(br#"{"alg":"RS256","typ":"JWT"}"#),
            encode(claims.to_string().as_bytes())
        );
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| ApiError::unusable("the App's private key could not sign".to_owned()))?;
        Ok(format!("{signed}.{}", encode(&signature)))
    }
}

/// `statuses: write, deployments: write`
fn asked(permissions: &Value) -> String {
    let words = permissions.as_object().into_iter().flatten();
    let words: Vec<String> = words
        .map(|(name, may)| format!("{name}: {}", may.as_str().unwrap_or_default()))
        .collect();
    words.join(", ")
}
