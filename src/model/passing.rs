//! Local faults that pass: a full disk is emptied, a busy machine becomes idle.

use std::io;

use nix::errno::Errno;

/// What the machine lacks for now.
const PASSING: &[Errno] = &[
    Errno::ENOSPC,
    Errno::EDQUOT,
    Errno::EIO,
    Errno::EMFILE,
    Errno::ENFILE,
    Errno::ENOMEM,
    Errno::EAGAIN,
    Errno::ETOOMANYREFS,
];

/// The same in the words of the C library, for what comes as text only.
const WORDS: &[&str] = &[
    "no space left on device",
    "disk quota exceeded",
    "input/output error",
    "too many open files",
    "cannot allocate memory",
    "out of memory",
    "resource temporarily unavailable",
    "try again",
    "too many references",
];

/// Whether time may heal an error of the system.
pub fn is_passing(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    number.is_some_and(|number| PASSING.contains(&number)) || error.kind() == io::ErrorKind::OutOfMemory
}

/// Whether a message tells of an error of the system that time may heal.
pub fn tells_of_passing(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    WORDS.iter().any(|word| message.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_numbers() {
        for number in PASSING {
            let error = io::Error::from(*number);
            assert!(is_passing(&error) && tells_of_passing(&error.to_string()), "{error}");
        }
        for number in [Errno::EACCES, Errno::EROFS, Errno::ENOENT, Errno::ENOTDIR] {
            let error = io::Error::from(number);
            assert!(!is_passing(&error) && !tells_of_passing(&error.to_string()), "{error}");
        }
    }
}
