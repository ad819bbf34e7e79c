//! SSH signatures: the format of `ssh-keygen -Y sign` (OpenSSH's PROTOCOL.sshsig).

use ssh_key::{Error, HashAlg, PublicKey, SshSig};

use super::allowed::NAMESPACE;
use super::{Refusal, Signer, Signers};
use crate::model::Timestamp;

/// How such a signature begins.
pub(super) const ARMOUR: &str = "-----BEGIN SSH SIGNATURE-----";

impl Signers {
    /// Checks an SSH signature of `payload`, which says that it was made at `claimed`.
    pub fn check_ssh(
        &self,
        signature: &[u8],
        payload: &[u8],
        claimed: Timestamp,
        now: Timestamp,
    ) -> Result<Signer, Refusal> {
        let broken = |e: Error| Refusal::Unsupported(e.to_string());
        let signature = SshSig::from_pem(signature.trim_ascii_end()).map_err(broken)?;
        if signature.version() != SshSig::VERSION {
            return Err(Refusal::Unsupported(format!(
                "its format has version {}",
                signature.version()
            )));
        }
        let print = signature.public_key().fingerprint(HashAlg::Sha256).to_string();
        let mut refusal = Refusal::UnknownKey {
            key: print.clone(),
            file: self.file.clone(),
        };
        // One key may stand in several lines, of which one is enough.
        for allowed in self.ssh.iter().filter(|a| a.key.key_data() == signature.public_key()) {
            let key = format!("{} ({print})", allowed.principals);
            verify(&allowed.key, payload, &signature, &key)?;
            match allowed.refuses(claimed, now) {
                None => return Ok(Signer(key)),
                Some(why) => refusal = Refusal::NotValid { key, why },
            }
        }
        Err(refusal)
    }
}

fn verify(key: &PublicKey, payload: &[u8], signature: &SshSig, shown: &str) -> Result<(), Refusal> {
    key.verify(NAMESPACE, payload, signature).map_err(|error| match error {
        Error::Namespace => {
            let namespace = signature.namespace().escape_debug();
            Refusal::Unsupported(format!("it is made for \"{namespace}\" and not for \"{NAMESPACE}\""))
        }
        Error::AlgorithmUnsupported { algorithm } => Refusal::Unsupported(format!("{algorithm} is not supported")),
        _ => Refusal::Wrong { key: shown.to_owned() },
    })
}
