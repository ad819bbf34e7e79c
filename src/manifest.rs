//! What the files of a tree looked like when hookd made them: which may be copied into the next release, and which somebody
//! has touched since.
//!
//! A file is as it was made if device, inode, size, modes, owner, both times and the number of its names are: whatever writes to a
//! file, cuts it, renames it or gives it another name changes its ctime, which nobody can set. Times advance by ticks of some
//! milliseconds, so a change may have the ctime of the tick that the manifest was closed in: what was made in that tick is not
//! believed. Only file systems are believed that are known to keep to this.
//!
//! The file is text in records that end with a NUL, with a digest at its end: a manifest that a power cut damaged is none.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use nix::sys::stat::FileStat;
use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC, fstatfs,
};
use nix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};

/// The first record: what it is, and its version.
const MARK: &str = "hookd manifest 1";

/// Largest manifest that is read, bytes: a million files with long paths.
const SIZE_MAX: u64 = 256 << 20;

/// Bytes of a SHA-256 in hexadecimal.
const DIGEST_LENGTH: usize = 64;

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// The file systems whose ctime and inode numbers are believed: local ones, in the kernel for a decade. Not those of the network, which
/// keep times in caches.
const BELIEVED: [FsType; 5] = [
    EXT4_SUPER_MAGIC,
    XFS_SUPER_MAGIC,
    BTRFS_SUPER_MAGIC,
    TMPFS_MAGIC,
    OVERLAYFS_SUPER_MAGIC,
];

/// What of an inode tells that nothing was done to it. Times in nanoseconds since 1970, as far as 64 bits hold them (1677 to 2262).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Number of its file system.
    pub device: u64,
    /// Its number in there.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When its content changed, as far as nobody has set it.
    pub modified: i64,
    /// When anything of it changed.
    pub changed: i64,
}

impl Look {
    /// Of an open file, or of a name; `None` if it has several names, or a time that does not fit.
    pub fn of(stat: &FileStat) -> Option<Self> {
        let is_directory = stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR;
        if !is_directory && stat.st_nlink != 1 {
            return None;
        }
        Some(Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec)?,
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec)?,
        })
    }

    /// The time of its content.
    pub fn time(&self) -> SystemTime {
        let distance = Duration::from_nanos(self.modified.unsigned_abs());
        if self.modified < 0 {
            SystemTime::UNIX_EPOCH - distance
        } else {
            SystemTime::UNIX_EPOCH + distance
        }
    }

    /// Its owner can run it.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (device, inode, size, mode) = (self.device, self.inode, self.size, self.mode);
        let (uid, gid, modified, changed) = (self.uid, self.gid, self.modified, self.changed);
        write!(f, "{device} {inode} {size} {mode} {uid} {gid} {modified} {changed}")
    }
}

/// The name of a blob in git: its SHA-1.
pub type BlobId = [u8; 20];

/// One name of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Below the root.
    pub path: PathBuf,
    /// The name of its content in git; none for a directory.
    pub blob: Option<BlobId>,
    /// What it looked like.
    pub look: Look,
    /// What the file looked like that it is a copy of, if it is one.
    pub source: Option<Look>,
}

/// The names of a tree, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Before this nothing but hookd could change what is listed, nanoseconds since 1970.
    pub closed: i64,
    /// Whether a tree with LFS pointers would have been refused.
    pub without_pointers: bool,
    /// Sorted by path.
    pub entries: Vec<Entry>,
}

impl Manifest {
    /// Of a tree that nobody else could write to until now. The entries may come in any order.
    pub fn close(mut entries: Vec<Entry>, without_pointers: bool) -> io::Result<Self> {
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            closed: tick()?,
            without_pointers,
            entries,
        })
    }

    /// The entry of a path.
    pub fn find(&self, path: &Path) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_path().cmp(path));
        at.ok().map(|at| &self.entries[at])
    }

    /// Whether what looks so now is as the entry says, and has been all the time.
    pub fn holds(&self, entry: &Entry, now: &FileStat) -> bool {
        entry.look.changed < self.closed && Look::of(now) == Some(entry.look)
    }

    /// Reads one; `None` if it is missing, damaged, or of another version.
    pub fn read(path: &Path) -> Option<Self> {
        let file = File::options()
            .read(true)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(path)
            .ok()?;
        let found = file.metadata().ok()?;
        if !found.is_file() || found.len() > SIZE_MAX || found.uid() != nix::unistd::geteuid().as_raw() {
            return None;
        }
        Self::parse(&fs::read(path).ok()?)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_LENGTH)?)?;
        if hex::encode(Sha256::digest(body)).as_bytes() != digest {
            return None;
        }
        let mut records = body.strip_suffix(&[0])?.split(|byte| *byte == 0);
        let mut head = std::str::from_utf8(records.next()?)
            .ok()?
            .strip_prefix(MARK)?
            .split_ascii_whitespace();
        let (closed, without_pointers) = (number(&mut head)?, number::<u8>(&mut head)? == 1);
        let entries = records.map(parse_entry).collect::<Option<Vec<Entry>>>()?;
        let sorted = entries.is_sorted_by(|a, b| a.path < b.path);
        sorted.then_some(Self {
            closed,
            without_pointers,
            entries,
        })
    }

    /// Writes it to a new file that only this user can read.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        let (mut file, mut digest, mut record) = (BufWriter::new(file), Sha256::new(), Vec::new());
        write!(record, "{MARK} {} {}\0", self.closed, u8::from(self.without_pointers))?;
        for entry in &self.entries {
            digest.update(&record);
            file.write_all(&record)?;
            record.clear();
            let blob = entry.blob.map_or_else(|| "-".to_owned(), hex::encode);
            write!(record, "{blob} {}", entry.look)?;
            match &entry.source {
                Some(source) => write!(record, " {source} ")?,
                None => write!(record, " - ")?,
            }
            record.extend_from_slice(entry.path.as_os_str().as_bytes());
            record.push(0);
        }
        digest.update(&record);
        file.write_all(&record)?;
        file.write_all(hex::encode(digest.finalize()).as_bytes())?;
        file.flush()
    }
}

/// The time that files get which are changed now, nanoseconds since 1970.
pub fn tick() -> io::Result<i64> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE)?;
    nanoseconds(now.tv_sec(), now.tv_nsec()).ok_or_else(|| io::Error::other("the clock is centuries ahead"))
}

fn nanoseconds(seconds: i64, rest: i64) -> Option<i64> {
    seconds.checked_mul(SECOND)?.checked_add(rest)
}

/// Whether the times and inode numbers of the file system of `directory` can be believed.
pub fn is_believed(directory: impl AsFd) -> bool {
    fstatfs(directory).is_ok_and(|found| BELIEVED.contains(&found.filesystem_type()))
}

fn parse_entry(record: &[u8]) -> Option<Entry> {
    let mut parts = record.splitn(10, |byte| *byte == b' ');
    let blob = match parts.next()? {
        b"-" => None,
        name => {
            let mut id = BlobId::default();
            hex::decode_to_slice(name, &mut id).ok()?;
            Some(id)
        }
    };
    let look = parse_look(&mut parts)?;
    let rest = parts.next()?;
    let (source, path) = if let Some(path) = rest.strip_prefix(b"- ") {
        (None, path)
    } else {
        let mut parts = rest.splitn(9, |byte| *byte == b' ');
        (Some(parse_look(&mut parts)?), parts.next()?)
    };
    Some(Entry {
        path: PathBuf::from(OsStr::from_bytes(path)),
        blob,
        look,
        source,
    })
}

fn parse_look<'a>(parts: &mut impl Iterator<Item = &'a [u8]>) -> Option<Look> {
    let mut numbers = parts.map_while(text);
    Some(Look {
        device: number(&mut numbers)?,
        inode: number(&mut numbers)?,
        size: number(&mut numbers)?,
        mode: number(&mut numbers)?,
        uid: number(&mut numbers)?,
        gid: number(&mut numbers)?,
        modified: number(&mut numbers)?,
        changed: number(&mut numbers)?,
    })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn number<'a, T: FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Option<T> {
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let look = |inode| Look {
            device: 64_513,
            inode,
            size: 12,
            mode: 0o100_644,
            uid: 0,
            gid: 7,
            modified: -5,
            changed: 1_795_342_500_123_456_789,
        };
        let entry = |path: &str, blob: Option<BlobId>, source| Entry {
            path: path.into(),
            blob,
            look: look(3),
            source,
        };
        Manifest {
            closed: 1_795_342_500_123_456_790,
            without_pointers: true,
            entries: vec![
                entry("a b\n- 1", Some([0x1a; 20]), None),
                entry("dir", None, None),
                entry("dir/- x", Some([0; 20]), Some(look(9))),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_damaged_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("manifest");
        sample().write(&path).unwrap();
        assert_eq!(Manifest::read(&path), Some(sample()));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(Manifest::parse(&damaged), None, "byte {at}");
            assert_eq!(Manifest::parse(&whole[..at]), None, "cut at {at}");
        }
        assert_eq!(Manifest::read(&directory.path().join("missing")), None);
    }

    #[test]
    fn entries_are_found_by_their_paths() {
        let manifest = sample();
        for entry in &manifest.entries {
            assert_eq!(manifest.find(&entry.path), Some(entry));
        }
        assert_eq!(manifest.find(Path::new("dir/-")), None);
    }
}
