//! Gives back pages of the program that only its start, or work that is over, has used.
//!
//! Code and constants are mapped from the file, and each page that was touched once stays mapped, with its neighbours: megabytes
//! that an idle daemon does not use. They are in the page cache anyway; once unmapped, the kernel may drop them when it needs the
//! memory, and the next use maps them again without reading.
#![allow(unsafe_code)]

use std::fs;
use std::time::Duration;

use nix::libc;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// How often the daemon looks whether it has become quiet.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Processor time between two looks up to which the daemon counts as quiet, microseconds. Its clockwork alone takes less than 1000.
const QUIET: i64 = 10_000;

/// Processor time after which it is worth it to give pages back again, microseconds: less than one look at the status page takes, and some
/// times what giving back costs. What an idle daemon does by itself comes to that once in a minute or so.
const WORTH: i64 = 4_000;

/// The pages of the program and of its libraries.
pub struct Program {
    /// Their mappings that nobody writes into.
    mappings: Vec<Mapping>,
    /// Processor time of the last look, and when pages were given back last, microseconds.
    looked: i64,
    gave_back: i64,
}

/// Addresses of the first byte and of the first one behind.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mapping(usize, usize);

impl Program {
    /// The program as it is mapped now. Make it at the start: what a library that is loaded later maps may be unmapped again.
    pub fn new() -> Self {
        Self {
            mappings: unwritten(),
            looked: 0,
            gave_back: 0,
        }
    }

    /// Gives pages back if there was work and it is over. Call it every [`LOOK_EVERY`].
    pub fn look(&mut self) {
        let used = processor_time();
        let is_quiet = used - self.looked < QUIET;
        self.looked = used;
        if is_quiet && used - self.gave_back > WORTH {
            self.give_back();
            self.looked = processor_time();
            self.gave_back = self.looked;
        }
    }

    /// Unmaps the pages; whoever uses one finds it mapped again.
    fn give_back(&self) {
        let unwritten = unwritten();
        for mapping in self.mappings.iter().filter(|mapping| unwritten.contains(mapping)) {
            // SAFETY: the mapping is one of files that the loader mapped before `main` and never unmaps, read-only and without a
            // page that differs from the file, which was looked up just now. Such a page is read from the file again when it is
            // used; nothing changes for whoever does.
            unsafe {
                libc::madvise(
                    mapping.0 as *mut libc::c_void,
                    mapping.1 - mapping.0,
                    libc::MADV_DONTNEED,
                )
            };
        }
    }
}

impl Default for Program {
    fn default() -> Self {
        Self::new()
    }
}

/// Of all threads, microseconds.
fn processor_time() -> i64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
    })
}

/// Mappings of files that can't be written into and have no page that was, such as one that the loader relocated.
fn unwritten() -> Vec<Mapping> {
    // Without it nothing is given back, and nothing else is amiss.
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        if let Some((next, is_unwritable)) = header(line) {
            mapping = is_unwritable.then_some(next);
        } else if let Some(value) = line.strip_prefix("Anonymous:").or(line.strip_prefix("Swap:")) {
            mapping = mapping.filter(|_| value.trim() == "0 kB");
        } else if line.starts_with("VmFlags:") {
            // The last line of a mapping.
            found.extend(mapping.take());
        }
    }
    found
}

/// The first line of a mapping, `START-END r-xp OFFSET DEVICE INODE PATH`, and whether it is private, of a file and not writable.
fn header(line: &str) -> Option<(Mapping, bool)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let mapping = Mapping(address(start)?, address(end)?);
    let rights = words.next()?;
    let is_of_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    Some((mapping, rights.starts_with("r-") && rights.ends_with('p') && is_of_file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_was_given_back_goes_on() {
        let program = Program::new();
        let code = code_that_was_given_back_goes_on as fn() as usize;
        assert!(program.mappings.iter().any(|m| (m.0..m.1).contains(&code)));
        let constants: Vec<u8> = include_bytes!("memory.rs").to_vec();
        for _ in 0..10 {
            program.give_back();
            assert!(constants == include_bytes!("memory.rs"));
        }
    }

    #[test]
    fn what_is_written_is_no_part_of_it() {
        static WRITTEN: std::sync::Mutex<u8> = std::sync::Mutex::new(0);
        *WRITTEN.lock().unwrap() = 7;
        let (heap, stack) = (Box::new(1_u8), 2_u8);
        let addresses = [
            &raw const WRITTEN as usize,
            &raw const *heap as usize,
            &raw const stack as usize,
        ];
        // The vtable of an error was relocated by the loader.
        let relocated: &dyn std::error::Error = &std::fmt::Error;
        let table = std::ptr::from_ref(relocated);
        Program::new().give_back();
        assert_eq!(relocated.to_string(), std::fmt::Error.to_string());
        assert!(!table.is_null());
        for address in addresses {
            assert!(unwritten().iter().all(|m| !(m.0..m.1).contains(&address)));
        }
    }

    #[test]
    fn only_private_mappings_of_files_that_are_not_writable_count() {
        let program = header("00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/hookd").unwrap();
        assert!(program.0 == Mapping(0x40_0000, 0x45_2000) && program.1);
        for other in [
            "00651000-00652000 rw-p 00051000 08:02 173521 /usr/bin/hookd",
            "00651000-00652000 r--s 00051000 08:02 173521 /srv/file",
            "00e03000-00e24000 ---p 00000000 00:00 0",
            "7ffe8d3c2000-7ffe8d3c4000 r-xp 00000000 00:00 0 [vdso]",
        ] {
            assert!(!header(other).unwrap().1, "{other}");
        }
        for other in ["Rss: 4 kB", "VmFlags: rd ex mr mw me sd", "Anonymous: 0 kB"] {
            assert!(header(other).is_none(), "{other}");
        }
    }
}
