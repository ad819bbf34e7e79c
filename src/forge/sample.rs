//! Pushes as each forge would tell of them, for `hookd send` and for tests.

use crate::dialects::{ForgeKind, Sample, put};

/// The body as that forge would send it: JSON, with the fields that tell what happened.
pub fn sample_push(kind: ForgeKind, push: &Sample<'_>) -> Vec<u8> {
    let mut body = (kind.dialect().sample)(push);
    // Two samples are two deliveries: most forges tell theirs apart by a time of the push, which is in the body.
    put(&mut body, "/sample", push.id.as_str());
    body.to_string().into_bytes()
}
