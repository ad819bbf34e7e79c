//! Webhook secrets and deploy keys.

use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

/// Bytes of a secret, before they are written as hexadecimal digits: what HMAC-SHA-256 can use up.
const SECRET_BYTES: usize = 32;

/// Characters of a fingerprint that are shown.
const SHOWN: usize = 8;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// The key can't be written or read as OpenSSH does.
    #[error("{0}")]
    Format(#[from] ssh_key::Error),
}

fn random() -> Result<Zeroizing<[u8; SECRET_BYTES]>, KeyError> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(bytes.as_mut_slice()).map_err(KeyError::Random)?;
    Ok(bytes)
}

/// A new webhook secret, one line.
pub fn webhook_secret() -> Result<Zeroizing<String>, KeyError> {
    let mut text = Zeroizing::new(hex::encode(random()?.as_slice()));
    text.push('\n');
    Ok(text)
}

/// A new Ed25519 key without a passphrase, as OpenSSH writes it.
pub fn deploy_key(comment: &str) -> Result<Zeroizing<String>, KeyError> {
    let pair = Ed25519Keypair::from_seed(&*random()?);
    let key = PrivateKey::new(KeypairData::Ed25519(pair), comment)?;
    Ok(key.to_openssh(LineEnding::LF)?)
}

/// The public half of a private key, one line without its end.
pub fn public_key(private: &str) -> Result<String, KeyError> {
    Ok(PrivateKey::from_openssh(private)?.public_key().to_openssh()?)
}

/// The first characters of a public key's SHA-256 fingerprint, as ssh-keygen shows it: enough to tell one's keys apart.
pub fn fingerprint(public: &str) -> Result<String, KeyError> {
    let print = PublicKey::from_openssh(public)?
        .fingerprint(HashAlg::Sha256)
        .to_string();
    Ok(print.trim_start_matches("SHA256:").chars().take(SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_new_each_time_and_have_their_public_half() {
        let (one, other) = (deploy_key("hookd-blog").unwrap(), deploy_key("hookd-blog").unwrap());
        assert_ne!(one, other);
        let public = public_key(&one).unwrap();
        assert!(
            public.starts_with("ssh-ed25519 AAAA") && public.ends_with(" hookd-blog"),
            "{public}"
        );
        assert_eq!(crate::git::key_problem(&one), None);
        let known = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl github.com";
        assert_eq!(fingerprint(known).unwrap(), "+DiY3wvv");
        let secret = webhook_secret().unwrap();
        assert_eq!(secret.trim_end().len(), 2 * SECRET_BYTES);
        assert_ne!(secret, webhook_secret().unwrap());
    }
}
