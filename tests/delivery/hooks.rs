//! How each forge's webhook is set up: keys of the repo, headers, the way to sign; and one recorded push.

use serde_json::{Value, json};

use super::sender::{Signer, make_key};
use crate::support::world::World;

/// The secret of hooks, and one that is not.
const SECRET: &str = "Tr0ub4dor&3-of-the-forges";
const WRONG: &str = "Tr0ub4dor&4-of-the-forges";

/// `whsec_` and base64 of 32 bytes.
const STANDARD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwXtkKCQTN3Lw=";
const STANDARD_WRONG: &str = "whsec_MfKR9r8GKYqrTwjUPD8ILPZIo2LaLaSwXtkKCQTN3Lw=";

/// Ed25519 keys that [`Hook::set_up`] makes.
const KEY: &str = "$DIR/key.pem";
const KEY_WRONG: &str = "$DIR/wrong.pem";

/// One way in which one forge delivers.
#[derive(Debug, Clone)]
pub struct Hook {
    pub name: &'static str,
    /// The forge's name in the configuration.
    pub forge: &'static str,
    /// Keys of the repo besides `url`, `secret`, `forge` and `full_name`. `$PUBLIC` is the public key.
    pub keys: &'static str,
    /// What is signed with, or the file of the key.
    pub secret: &'static str,
    pub wrong: &'static str,
    pub signer: Signer,
    /// How, for the signer.
    pub order: Value,
    /// The header that holds the secret as it is.
    pub secret_header: Option<&'static str>,
    /// Whether bodies are sent as forms.
    pub form: bool,
    /// The headers that name the event.
    pub event_headers: &'static [&'static str],
    pub id_header: Option<&'static str>,
    /// A recorded push: event, body, full name, branch.
    pub push: [&'static str; 4],
}

impl Hook {
    fn new(name: &'static str, forge: &'static str, push: [&'static str; 4]) -> Self {
        Self {
            name,
            forge,
            keys: "",
            secret: SECRET,
            wrong: WRONG,
            signer: Signer::Python,
            order: json!({}),
            secret_header: None,
            form: false,
            event_headers: &[],
            id_header: None,
            push,
        }
    }

    /// HMAC-SHA256 in hexadecimal, in this header behind this prefix.
    fn hmac(self, header: &str, prefix: &str) -> Self {
        let order = json!({"sign": {"header": header, "algorithm": "sha256", "encoding": "hex", "prefix": prefix}});
        Self { order, ..self }
    }

    fn standard(self, order: Value) -> Self {
        Self {
            secret: STANDARD,
            wrong: STANDARD_WRONG,
            signer: Signer::Node,
            order,
            ..self
        }
    }

    /// Configures the repo `name` with its targets, `$DIR/NAME/TARGET` each.
    pub fn repo(&self, name: &str, full_name: &str, targets: &[(&str, &str)]) -> String {
        // Tables come after all keys, or they would take them.
        let secret = if self.secret == KEY {
            ""
        } else {
            "secret = \"file:$DIR/hook-secret\"\n"
        };
        let repo = format!(
            "[repo.{name}]\nurl = \"$DIR/site.git\"\n{secret}poll = \"off\"\nforge = \"{}\"\n\
             full_name = \"{full_name}\"\n{}\n",
            self.forge,
            self.keys.replace("NAME", name)
        );
        let one = |(target, keys): &(&str, &str)| {
            format!("[repo.{name}.deploy.{target}]\npath = \"$DIR/{name}/{target}\"\n{keys}\n")
        };
        std::iter::once(repo).chain(targets.iter().map(one)).collect()
    }

    /// A world whose daemon will have this configuration, with the secrets and keys that belong to it; nothing runs yet.
    pub fn set_up(&self, config: &str) -> World {
        let world = World::still("");
        let (right, wrong) = (make_key(&world, "key.pem"), make_key(&world, "wrong.pem"));
        assert_ne!(right, wrong);
        world.write_secret("hook-secret", self.secret);
        world.configure(&config.replace("$PUBLIC", &right));
        world
    }
}

/// All of them.
pub fn all() -> Vec<Hook> {
    vec![
        github(),
        github_form(),
        gitlab(),
        gitlab_signing(),
        gitea(),
        gitea_form(),
        forgejo(),
        gogs(),
        bitbucket(),
        bitbucket_server(),
        azure(),
        azure_header(),
        sourcehut(),
        pagure(),
        standard(),
        standard_v1a(),
        generic(),
    ]
}

pub fn github() -> Hook {
    Hook {
        signer: Signer::Node,
        order: json!({"scheme": "github"}),
        event_headers: &["X-GitHub-Event"],
        id_header: Some("X-GitHub-Delivery"),
        ..Hook::new(
            "GitHub, JSON",
            "github",
            ["push", "github/push.drone.json", "Codertocat/Hello-World", "master"],
        )
    }
}

pub fn github_form() -> Hook {
    Hook {
        name: "GitHub, form",
        form: true,
        ..github()
    }
}

pub fn gitlab() -> Hook {
    Hook {
        secret_header: Some("X-Gitlab-Token"),
        event_headers: &["X-Gitlab-Event"],
        id_header: Some("Idempotency-Key"),
        ..Hook::new(
            "GitLab, secret token",
            "gitlab",
            ["Push Hook", "gitlab/push.playground.json", "mike/diaspora", "master"],
        )
    }
}

pub fn gitlab_signing() -> Hook {
    let hook = gitlab().standard(json!({"scheme": "standard"}));
    Hook {
        name: "GitLab, signing token",
        secret_header: None,
        // GitLab's id of a delivery is both.
        id_header: Some("webhook-id"),
        push: [
            "Push Hook",
            "gitlab/push.drone-subgroup.json",
            "group1/group2/group3/grp2repo",
            "master",
        ],
        ..hook
    }
}

pub fn gitea() -> Hook {
    let hook = Hook::new(
        "Gitea, JSON",
        "gitea",
        ["push", "gitea/push.drone.json", "gogits/hello-world", "master"],
    );
    Hook {
        event_headers: &["X-Gitea-Event", "X-Gitea-Event-Type", "X-Gogs-Event", "X-GitHub-Event"],
        id_header: Some("X-Gitea-Delivery"),
        ..hook.hmac("X-Gitea-Signature", "")
    }
}

pub fn gitea_form() -> Hook {
    Hook {
        name: "Gitea, form",
        form: true,
        ..gitea()
    }
}

pub fn forgejo() -> Hook {
    let hook = Hook::new(
        "Forgejo",
        "forgejo",
        ["push", "forgejo/push.woodpecker.json", "gordon/hello-world", "main"],
    );
    Hook {
        event_headers: &["X-Forgejo-Event", "X-Gitea-Event", "X-Gogs-Event", "X-GitHub-Event"],
        id_header: Some("X-Forgejo-Delivery"),
        ..hook.hmac("X-Forgejo-Signature", "")
    }
}

pub fn forgejo_form() -> Hook {
    Hook {
        name: "Forgejo, form",
        form: true,
        ..forgejo()
    }
}

pub fn gogs() -> Hook {
    let hook = Hook::new(
        "Gogs",
        "gogs",
        ["push", "gogs/push.playground.json", "unknwon/webhooks", "develop"],
    );
    Hook {
        event_headers: &["X-Gogs-Event", "X-Github-Event"],
        id_header: Some("X-Gogs-Delivery"),
        ..hook.hmac("X-Gogs-Signature", "")
    }
}

pub fn gogs_form() -> Hook {
    Hook {
        name: "Gogs, form",
        form: true,
        ..gogs()
    }
}

pub fn bitbucket() -> Hook {
    let hook = Hook::new(
        "Bitbucket Cloud",
        "bitbucket",
        [
            "repo:push",
            "bitbucket-cloud/repo-push.drone.json",
            "brydzewski/foo",
            "master",
        ],
    );
    Hook {
        event_headers: &["X-Event-Key"],
        id_header: Some("X-Request-UUID"),
        ..hook.hmac("X-Hub-Signature", "sha256=")
    }
}

pub fn bitbucket_server() -> Hook {
    let hook = Hook::new(
        "Bitbucket Server",
        "bitbucket-server",
        [
            "repo:refs_changed",
            "bitbucket-server/repo-refs_changed.drone.json",
            "PRJ/my-repo",
            "master",
        ],
    );
    Hook {
        event_headers: &["X-Event-Key"],
        id_header: Some("X-Request-Id"),
        ..hook.hmac("X-Hub-Signature", "sha256=")
    }
}

pub fn azure() -> Hook {
    Hook {
        order: json!({"basic": "hookd"}),
        ..Hook::new(
            "Azure DevOps, basic authentication",
            "azure-devops",
            [
                "",
                "azure-devops/git-push.drone.json",
                "Fabrikam-Fiber-Git/Fabrikam-Fiber-Git",
                "master",
            ],
        )
    }
}

pub fn azure_header() -> Hook {
    Hook {
        name: "Azure DevOps, header",
        keys: "auth_header = \"X-Key\"",
        order: json!({}),
        secret_header: Some("X-Key"),
        ..azure()
    }
}

/// What git.sr.ht sends for one moved ref.
const SOURCEHUT_PUSH: &str = r#"{"push":"2e1f0c36-6b5c-4a56-9d2c-7b2a1c0f6f10","push-options":{},"pusher":{"canonical_name":"~alice","name":"alice"},"refs":[{"name":"refs/heads/main","old":null,"new":{"id":"1111111111111111111111111111111111111111","message":"m"},"annotated_tag":null}]}"#;

pub fn sourcehut() -> Hook {
    Hook {
        keys: "public_key = \"$PUBLIC\"",
        secret: KEY,
        wrong: KEY_WRONG,
        order: json!({"ed25519": "sourcehut"}),
        event_headers: &["X-Webhook-Event"],
        id_header: Some("X-Webhook-Delivery"),
        ..Hook::new(
            "SourceHut",
            "sourcehut",
            ["repo:post-update", SOURCEHUT_PUSH, "~alice/site", "main"],
        )
    }
}

pub fn pagure() -> Hook {
    let hook = Hook::new(
        "Pagure",
        "pagure",
        ["git.receive", "pagure/receive.forced.lab.json", "site", "main"],
    );
    Hook {
        event_headers: &["X-Pagure-Topic"],
        ..hook.hmac("X-Pagure-Signature-256", "")
    }
}

pub fn pagure_sha1() -> Hook {
    let sign = json!({"header": "X-Pagure-Signature", "algorithm": "sha1", "encoding": "hex", "prefix": ""});
    Hook {
        name: "Pagure, SHA-1",
        keys: "allow_sha1 = true",
        order: json!({ "sign": sign }),
        ..pagure()
    }
}

/// A push in the envelope of Standard Webhooks.
const STANDARD_PUSH: &str = r#"{"type":"push","timestamp":"2026-11-22T10:15:00Z","data":{"repository":{"full_name":"alice/blog"},"ref":"refs/heads/main","after":"1111111111111111111111111111111111111111"}}"#;

pub fn standard() -> Hook {
    let hook = Hook::new(
        "Standard Webhooks, v1",
        "standard",
        ["", STANDARD_PUSH, "alice/blog", "main"],
    );
    Hook {
        id_header: Some("webhook-id"),
        ..hook.standard(json!({"scheme": "standard"}))
    }
}

pub fn standard_v1a() -> Hook {
    Hook {
        name: "Standard Webhooks, v1a",
        keys: "public_key = \"$PUBLIC\"",
        secret: KEY,
        wrong: KEY_WRONG,
        signer: Signer::Python,
        order: json!({"ed25519": "standard"}),
        ..standard()
    }
}

pub fn generic_sha256() -> Hook {
    Hook {
        name: "generic, as it is by default",
        keys: "",
        push: [
            "",
            r#"{"ref":"refs/heads/main","after":"1111111111111111111111111111111111111111","repository":{"full_name":"alice/blog"}}"#,
            "alice/blog",
            "main",
        ],
        ..generic()
    }
    .hmac("X-Signature", "")
}

pub fn generic_sha1() -> Hook {
    let sign = json!({"header": "X-Mine", "algorithm": "sha1", "encoding": "hex", "prefix": "sha1="});
    Hook {
        name: "generic, SHA-1",
        keys: "[repo.NAME.generic]\nheader = \"X-Mine\"\nalgorithm = \"sha1\"\nprefix = \"sha1=\"\n\
               repo = \"/project\"\nref = \"/branch\"\n",
        order: json!({ "sign": sign }),
        ..generic()
    }
}

pub fn generic() -> Hook {
    Hook {
        keys: "[repo.NAME.generic]\nheader = \"X-Mine\"\nalgorithm = \"sha512\"\nencoding = \"base64\"\nprefix = \"v1:\"\n\
               repo = \"/project\"\nref = \"/branch\"\ncommit = \"/sha\"\n",
        order: json!({"sign": {"header": "X-Mine", "algorithm": "sha512", "encoding": "base64", "prefix": "v1:"}}),
        id_header: Some("X-Delivery"),
        ..Hook::new(
            "generic",
            "generic",
            [
                "",
                r#"{"project":"alice/blog","branch":"main","sha":"1111111111111111111111111111111111111111"}"#,
                "alice/blog",
                "main",
            ],
        )
    }
}
