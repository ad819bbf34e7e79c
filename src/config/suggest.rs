//! "Did you mean": the known word that is nearest to an unknown one.

/// The known word that a person most likely meant, if one is near enough: a third of its letters may differ.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', ' '], "_");
    let word = plain(word);
    let allowed = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The same as a hint.
pub(super) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|candidate| format!("did you mean `{candidate}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["branch", "build", "path", "paths", "max_jobs", "on"];
        for (word, meant) in [
            ("brnach", Some("branch")),
            ("Branch", Some("branch")),
            ("pathss", Some("paths")),
            ("max-jobs", Some("max_jobs")),
            ("x", None),
            ("nonsense", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
