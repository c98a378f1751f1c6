//! What somebody who wrote an unknown word may have meant.

/// The known word that is nearest to `written`; `None` where none is near. Case and `_` for `-` make no difference.
pub(crate) fn nearest<'w>(written: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // What is much longer than any word is no misspelling of one, and would cost more to compare.
    if written.len() > 64 {
        return None;
    }
    let written = plain(written);
    // A third of its letters may be wrong, and no more than three.
    let allowed = (written.len() / 3).min(3);
    let near = known.into_iter().filter(|word| word.len().abs_diff(written.len()) <= allowed);
    let distances = near.map(|word| (distance(&written, &plain(word)), word));
    distances.filter(|(distance, _)| *distance <= allowed).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

fn plain(word: &str) -> Vec<char> {
    word.to_ascii_lowercase().replace('_', "-").chars().collect()
}

/// How many letters are missing, too many, wrong or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(left != right);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelling_is_near_and_another_word_is_not() {
        let known = ["create", "delete", "x-declare", "durable", "link"];
        for (written, meant) in [
            ("craete", Some("create")),
            ("Create", Some("create")),
            ("x_declare", Some("x-declare")),
            ("xdeclare", Some("x-declare")),
            ("durabel", Some("durable")),
            ("delet", Some("delete")),
            ("lnik", Some("link")),
            ("arbitrarily-lnog", None),
            ("dlt", None),
            ("color", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
        assert_eq!(nearest(&"create".repeat(20), known), None);
    }
}
