//! "Did you mean": the known name that a mistyped one is most like.

/// Returns the candidate that takes the fewest edits from `word`, if these are few for its length.
pub(crate) fn most_alike(word: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    // Bounds the work on hostile input; no name is half as long.
    if word.len() > 100 {
        return None;
    }
    let distance = |candidate: &str| strsim::damerau_levenshtein(word, candidate);
    let nearest = candidates.map(|candidate| (distance(&candidate), candidate)).min()?;
    (nearest.0 <= (word.chars().count() / 4).max(2)).then_some(nearest.1)
}
