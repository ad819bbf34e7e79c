//! Counts the instructions of the hot paths with Callgrind, and compares them with the record in `tests/counts/record.tsv`.
//!
//!     cargo test --test counts                  fails if a path takes 3 % more than on record
//!     cargo test --test counts -- --write       writes the record
//!
//! Counts, unlike times, are the same on a busy machine. They depend on compilers, C library and processor, so the record names those that
//! it was made with; with others nothing is compared, and that is said. The build is that of the tests: a count of it grows with the work as
//! one of a release does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail, in its helpers, too"
)]

mod work;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// How much more than on record a path may take, per cent.
const MARGIN: f64 = 3.0;

/// How often what took more is counted again: time may add work, such as a file that is too new to be trusted, and takes none away.
const AGAIN: u32 = 2;

/// Passed to this program when Callgrind runs it.
const WORK: &str = "--work";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [WORK, name, rounds, directory] => {
            work::run(name, rounds.parse().unwrap(), Path::new(directory));
            ExitCode::SUCCESS
        }
        ["--write"] => {
            std::fs::write(record(), written(&machine(), &count_all())).unwrap();
            ExitCode::SUCCESS
        }
        _ => compare(),
    }
}

fn record() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counts/record.tsv")
}

fn compare() -> ExitCode {
    let text = std::fs::read_to_string(record()).unwrap();
    let (made_with, recorded) = read(&text);
    let (machine, found) = (machine(), count_all());
    let mut worse = Vec::new();
    for (name, &count) in &found {
        let Some(&before) = recorded.get(name) else {
            worse.push(format!("{name} is not on record"));
            continue;
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let more = |count: u64| (count as f64 / before as f64 - 1.0) * 100.0;
        let mut count = count;
        for _ in 0..AGAIN {
            if more(count) > MARGIN && machine == made_with {
                count = count.min(count_one(name));
            }
        }
        let change = more(count);
        println!("{name:24} {count:>12} instructions, {change:+.1} %");
        if change > MARGIN {
            worse.push(format!(
                "{name} takes {change:.1} % more: {count} instructions, on record are {before}"
            ));
        }
    }
    if machine != made_with {
        println!(
            "NOT COMPARED: the record was made with\n  {made_with}\nand this is\n  {machine}\nTo compare, write the record here first, with the code as it was."
        );
        return ExitCode::SUCCESS;
    }
    if worse.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("FAILED: {}", worse.join("\n        "));
    println!("If that is what the change is worth: cargo test --test counts -- --write");
    ExitCode::FAILURE
}

/// Instructions of one round of a path.
fn count_one(name: &str) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let (few, many) = work::rounds(name);
    let [less, more] = [few, many].map(|rounds| instructions(name, rounds, directory.path()));
    (more - less) / (many - few)
}

/// The same of each path.
fn count_all() -> BTreeMap<String, u64> {
    let count = |name: &String| (name.clone(), count_one(name));
    std::thread::scope(|scope| {
        // Two at once, as tests run on two cores.
        let names = work::names();
        let halves = [0, 1].map(|half| {
            let mine: Vec<String> = names.iter().skip(half).step_by(2).cloned().collect();
            scope.spawn(move || mine.iter().map(count).collect::<Vec<_>>())
        });
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    })
}

/// Instructions of this program, and of those that it starts, while it goes so many rounds.
fn instructions(name: &str, rounds: u64, directory: &Path) -> u64 {
    let place = directory.join(format!("{name}-{rounds}"));
    std::fs::create_dir(&place).unwrap();
    let ran = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--trace-children=yes",
            "--trace-children-skip=*/git",
            "--callgrind-out-file=/dev/null",
        ])
        .arg(format!("--log-file={}/log.%p", place.display()))
        .arg(std::env::current_exe().unwrap())
        .args([WORK, name, &rounds.to_string()])
        .arg(&place)
        .current_dir(&place)
        // What is allocated early moves what is allocated later.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("TZ", "UTC")
        .output()
        .expect("valgrind is installed");
    assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
    let logs = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path());
    let logs = logs.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("log."));
    logs.map(|log| collected(&std::fs::read_to_string(log).unwrap())).sum()
}

/// The sum in a log of Callgrind; a program that became another one has none.
fn collected(log: &str) -> u64 {
    let line = log.lines().find_map(|line| line.split_once("Collected : "));
    line.map_or(0, |(_, count)| count.trim().parse().unwrap())
}

/// What counts depend on, besides hookd.
fn machine() -> String {
    let first = |program: &str, argument: &str| {
        let ran = Command::new(program).arg(argument).output().unwrap();
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        text.lines().next().unwrap_or_default().to_owned()
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = cpu.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag: &&str| flags.split_ascii_whitespace().any(|found| found == *flag);
    let wide: Vec<&str> = ["avx2", "bmi2", "avx512f"].into_iter().filter(has).collect();
    [
        first("rustc", "--version"),
        first("cc", "--version"),
        first("getconf", "GNU_LIBC_VERSION"),
        first("valgrind", "--version"),
        format!("{} {}", std::env::consts::ARCH, wide.join(" ")),
    ]
    .join("; ")
}

fn written(machine: &str, counts: &BTreeMap<String, u64>) -> String {
    let mut text = format!("# Instructions of one round, by cargo test --test counts -- --write\n# {machine}\n");
    for (name, count) in counts {
        writeln!(text, "{name}\t{count}").unwrap();
    }
    text
}

/// What a record was made with, and its counts.
fn read(text: &str) -> (&str, BTreeMap<String, u64>) {
    let machine = text
        .lines()
        .nth(1)
        .and_then(|line| line.strip_prefix("# "))
        .unwrap_or_default();
    let row = |line: &str| {
        line.split_once('\t')
            .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
    };
    (machine, text.lines().filter_map(row).collect())
}
