//! Armoured OpenPGP keys within a text: taken out, and turned into the binary keyring that `gpgv` reads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// The lines that belong to no key, with their numbers; and all keys, binary. The error has the number of a line.
pub(super) type Parts<'t> = (Vec<(usize, &'t str)>, Vec<u8>);

/// Takes the armoured keys out of a text.
pub(super) fn take_keys(text: &str) -> Result<Parts<'_>, (usize, String)> {
    let (mut others, mut keyring) = (Vec::new(), Vec::new());
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    while let Some((number, line)) = lines.next() {
        if line != BEGIN {
            others.push((number, line));
            continue;
        }
        let block: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != END)
            .collect();
        let key = decode(&block).ok_or_else(|| (number, "this OpenPGP key is damaged".to_owned()))?;
        keyring.extend(key);
    }
    Ok((others, keyring))
}

/// RFC 9580, section 6.2: headers, an empty line, base64, and perhaps a checksum behind `=`, which says nothing that the
/// signatures within the key don't.
fn decode(block: &[&str]) -> Option<Vec<u8>> {
    let begin = block.iter().position(|line| line.is_empty())? + 1;
    let data: String = block[begin..]
        .iter()
        .filter(|line| !line.starts_with('='))
        .copied()
        .collect();
    let key = STANDARD.decode(data).ok()?;
    // A public key packet, in the old or the new format.
    let is_key = |first: u8| matches!(first, 0x98..=0x9b | 0xc6);
    key.first().copied().is_some_and(is_key).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_out_and_lines_keep_their_numbers() {
        let text = format!("# us\n{BEGIN}\nComment: x\n\nmQAB\n=abcd\n{END}\nalice key\n{BEGIN}\n\nxgAB\n{END}\n");
        let (lines, keyring) = take_keys(&text).unwrap();
        assert_eq!(lines, [(1, "# us"), (8, "alice key")]);
        assert_eq!(keyring, [0x99, 0, 1, 0xc6, 0, 1]);
    }

    #[test]
    fn damaged_keys_are_refused_with_their_line() {
        for block in ["", "mQAB", "\n", "\nm", "\niQAB", "\nmQ AB!"] {
            let text = format!("\n{BEGIN}\n{block}\n{END}\n");
            assert_eq!(take_keys(&text).unwrap_err().0, 2, "{block:?}");
        }
    }
}
