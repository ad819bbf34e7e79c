//! The ssh host keys that forges publish, by their fingerprints. Whoever changes one says so loudly and early.

/// Sources:
///
/// - GitHub: docs.github.com/en/authentication/keeping-your-account-and-data-secure/githubs-ssh-key-fingerprints
/// - GitLab: docs.gitlab.com/user/gitlab_com/#ssh-host-keys-fingerprints
/// - Bitbucket: bitbucket.org/site/ssh
/// - Codeberg: docs.codeberg.org/security/ssh-fingerprint/
/// - `SourceHut`: man.sr.ht/git.sr.ht/#ssh-host-keys
const PUBLISHED: &[(&str, &[&str])] = &[
    (
        "github.com",
        &[
            "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
            "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
            "SHA256:uNiVztksCsDhcc0u9e8BujQXVUpKZIDTMczCvj3tD2s",
        ],
    ),
    (
        "gitlab.com",
        &[
            "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
            "SHA256:HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw",
            "SHA256:ROQFvPThGrW4RuWLoL9tq9I9zJ42fK4XywyRtbOz/EQ",
        ],
    ),
    (
        "bitbucket.org",
        &[
            "SHA256:ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM",
            "SHA256:FC73VB6C4OQLSCrjEayhMp9UMxS97caD/Yyi2bhW/J0",
            "SHA256:46OSHA1Rmj8E8ERTC6xkNcmGOw9oFxYr0WF6zWW8l1E",
        ],
    ),
    (
        "codeberg.org",
        &[
            "SHA256:mIlxA9k46MmM6qdJOdMnAQpzGxF4WIVVL+fj+wZbw0g",
            "SHA256:T9FYDEHELhVkulEKKwge5aVhVTbqCW0MIRwAfpARs/E",
            "SHA256:6QQmYi4ppFS4/+zSZ5S4IU+4sa6rwvQ4PbhCtPEBekQ",
        ],
    ),
    (
        "git.sr.ht",
        &[
            "SHA256:WXXNZu0YyoE3KBl5qh4GsnF1vR0NeEPYJAiPME+P09g",
            "SHA256:1nUUjsHH0qwfjI3dYFWlXTjPUP/Un1oo6wfu9YL8tCQ",
        ],
    ),
];

/// The fingerprints of a host's keys; none for hosts that nobody knows. `ssh.github.com` and `altssh.…`, which answer on
/// port 443 for networks that close port 22, have the keys of their forge.
pub fn published_fingerprints(host: &str) -> &'static [&'static str] {
    let host = match host {
        "ssh.github.com" => "github.com",
        "altssh.gitlab.com" => "gitlab.com",
        "altssh.bitbucket.org" => "bitbucket.org",
        other => other,
    };
    let found = PUBLISHED.iter().find(|(name, _)| *name == host);
    found.map_or(&[], |(_, fingerprints)| fingerprints)
}

#[cfg(test)]
mod tests {
    use super::super::known_hosts::HostKey;
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn published_keys_have_these_fingerprints() {
        // The Ed25519 keys, as the same pages print them.
        for (host, key) in [
            (
                "github.com",
                "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
            ),
            (
                "gitlab.com",
                "AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf",
            ),
            (
                "bitbucket.org",
                "AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO",
            ),
            (
                "codeberg.org",
                "AAAAC3NzaC1lZDI1NTE5AAAAIIVIC02vnjFyL+I4RHfvIGNtOgJMe769VTF1VR4EB3ZB",
            ),
            (
                "git.sr.ht",
                "AAAAC3NzaC1lZDI1NTE5AAAAIMZvRd4EtM7R+IHVMWmDkVU3VLQTSwQDSAvW0t2Tkj60",
            ),
        ] {
            let shown = HostKey::new(host, 22, &STANDARD.decode(key).unwrap());
            assert_eq!(shown.line, format!("{host} ssh-ed25519 {key}"));
            assert!(
                published_fingerprints(host).contains(&shown.fingerprint.as_str()),
                "{host}"
            );
        }
        assert!(published_fingerprints("github.com.evil.example").is_empty());
    }
}
