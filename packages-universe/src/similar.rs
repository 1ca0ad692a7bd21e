//! What a wrong word may have been meant to be.

/// Longer words are not compared: nobody meant a name.
const LONGEST: usize = 60;

/// The words that come nearest to a wrong one, the nearest first: few letters differ, or one is a part of the other.
pub(crate) fn similar<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wrong = wrong.to_lowercase().replace('_', "-");
    if wrong.is_empty() || wrong.len() > LONGEST {
        return Vec::new();
    }
    let allowed = 1 + wrong.chars().count() / 5;
    let mut near: Vec<(usize, &str)> = Vec::new();
    for word in known {
        let plain = word.to_lowercase().replace('_', "-");
        let away = distance(&wrong, &plain);
        if away <= allowed {
            near.push((away, word));
        } else if wrong.len() >= 3 && plain.len() >= 3 && (plain.contains(&wrong) || wrong.contains(&plain)) {
            near.push((allowed + 1, word));
        }
    }
    near.sort_unstable();
    near.dedup();
    near.into_iter().map(|(_, word)| word).take(3).collect()
}

/// `did you mean a, b`, or nothing.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = similar(wrong, known);
    if near.is_empty() { String::new() } else { format!("did you mean {}?", near.join(", ")) }
}

/// How many letters have to be put in, taken out, changed or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) =
        (one.chars().collect(), other.chars().take(2 * LONGEST).collect());
    let width = other.len() + 1;
    let mut table: Vec<Vec<usize>> = vec![(0..width).collect()];
    for (row, a) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in other.iter().enumerate() {
            let change = table[row][column] + usize::from(a != b);
            let mut best = change.min(table[row][column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && one[row - 1] == *b && other[column - 1] == *a {
                best = best.min(table[row - 1][column - 1] + 1);
            }
            next.push(best);
        }
        table.push(next);
    }
    table[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_when_few_letters_are_wrong() {
        let known = ["spark", "spark-history", "elasticsearch", "kafka"];
        for (wrong, meant) in [
            ("sprak", vec!["spark"]),
            ("elastic", vec!["elasticsearch"]),
            ("Kafka", vec!["kafka"]),
            ("apache-kafka", vec!["kafka"]),
            ("zzz", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(similar(wrong, known), meant, "{wrong}");
        }
    }
}
