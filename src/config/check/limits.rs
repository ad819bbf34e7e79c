//! `[limits]`

use std::time::Duration;

use super::table::table;
use crate::config::section::Section;

table! {
    /// `[limits]`: every limit has a default, and says why.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub Limits["limits"](s) {
        /// Largest request body, bytes (25 MiB: GitHub's and GitLab's own cap).
        body: u64 = s.size("body"),
        /// Largest request head, bytes (64 KiB).
        headers: u64 = s.size("headers"),
        /// Most header fields of a request (100).
        header_count: usize = s.count("header_count"),
        /// Until the head must be there (10 s).
        header_time: Duration = s.duration("header_time"),
        /// Until the body must be there (30 s).
        body_time: Duration = s.duration("body_time"),
        /// Slowest body, bytes a second, after a grace of a few seconds (1 KiB).
        body_rate: u64 = s.size("body_rate"),
        /// Connections at once (512).
        connections: usize = s.count("connections"),
        /// Connections at once from one address (32).
        connections_per_address: usize = s.count("connections_per_address"),
        /// Unauthenticated failures a minute from one address (60).
        auth_failures: u32 = s.small("auth_failures"),
        /// Failed log-ins a minute from one address (10: a person who mistypes has enough, and a guesser a day for 14,400).
        login_failures: u32 = s.small("login_failures"),
        /// Failed log-ins a minute with one user name (30: above the limit of an address, so that nobody locks another one out alone).
        login_failures_per_user: u32 = s.small("login_failures_per_user"),
        /// Deliveries not yet stored and decided (1,000).
        queue: usize = s.count("queue"),
        /// Output kept per deployment, bytes (16 MiB).
        output: u64 = s.size("output"),
        /// How long history is kept (90 days).
        history_age: Duration = s.duration("history_age"),
        /// How many deployments are kept in the history (10,000).
        history_count: u64 = s.number("history_count"),
        /// Space for stored deliveries, bytes (1 GiB: weeks of an organisation's webhooks, and a small part of a small disk).
        deliveries: u64 = s.size("deliveries"),
        /// Silence after which a fetch is given up (60 s).
        fetch_idle: Duration = s.duration("fetch_idle"),
        /// Longest fetch in all (30 min).
        fetch_total: Duration = s.duration("fetch_total"),
        /// Longest request to a forge's API (20 s: GitHub ends what takes longer than 10 s by itself, GitLab after 60 s).
        api_time: Duration = s.duration("api_time"),
        /// Longest delivery of one message (30 s: mail servers may look up who connects before they greet).
        message_time: Duration = s.duration("message_time"),
        /// Free space that must be left before a fetch or a release is begun, bytes (64 MiB).
        free_space: u64 = s.size("free_space"),
        /// How long running deployments may go on when the daemon is stopped (60 s).
        stop_grace: Duration = s.duration("stop_grace"),
        /// Largest file of a commit, bytes (100 MiB: GitHub's own cap).
        file_size: u64 = s.size("file_size"),
        /// Most files, directories and submodules of a commit together (1,000,000: ten times those of Linux).
        files: usize = s.count("files"),
    }
}

impl Limits {
    /// Reads the table, of which some limits bound others.
    pub(super) fn bounded(s: &Section) -> Self {
        let mut limits = Self::read(s);
        let connections = limits.connections;
        if let (true, Some(entry)) = (
            limits.connections_per_address > connections,
            s.own("connections_per_address"),
        ) {
            let message = format!("`connections_per_address` is above `connections`, which is {connections}");
            s.wrong(entry.node.place, message, None);
        }
        limits.connections_per_address = limits.connections_per_address.min(connections);
        limits.fetch_idle = limits.fetch_idle.min(limits.fetch_total);
        limits
    }
}
