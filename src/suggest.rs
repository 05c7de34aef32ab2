//! The known name that a misspelt one probably means.

/// How alike two names must be (Jaro and Winkler's measure).
const LIKELY: f64 = 0.85;

/// The known name that is the same but for case and punctuation, else the one most alike, if one is.
pub(crate) fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = plain(name);
    let likeness = |known: &'a str| match self::plain(known) {
        same if same == plain => (2.0, known),
        other => (strsim::jaro_winkler(&plain, &other), known),
    };
    let most = known.into_iter().map(likeness).max_by(|a, b| a.0.total_cmp(&b.0));
    most.filter(|(likeness, _)| *likeness >= LIKELY && !plain.is_empty()).map(|(_, known)| known)
}

/// The letters and digits of a name, in lower case, as many as names have.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).take(60).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_found_and_nothing_else() {
        let known = ["sam", "asam", "delta-sam", "sam-instance", "r3f", "r-drop", "batch-size", "seed"];
        for (name, found) in [
            ("delta_sam", Some("delta-sam")),
            ("DeltaSAM", Some("delta-sam")),
            ("dleta-sam", Some("delta-sam")),
            ("R3F", Some("r3f")),
            ("rdrop", Some("r-drop")),
            ("batchsize", Some("batch-size")),
            ("bach-size", Some("batch-size")),
            ("", None),
            ("--", None),
            ("dropout", None),
            ("flat", None),
        ] {
            assert_eq!(meant(name, known), found, "{name}");
        }
    }
}
