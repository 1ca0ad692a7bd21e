//! What a wrong word may have been meant to be.

/// Longer words are not compared: nobody meant a key.
const LONGEST: usize = 40;

/// The word that `wrong` comes nearest to, when it is near enough to have been meant.
pub(crate) fn similar<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase().replace('-', "_");
    if wrong.len() > LONGEST {
        return None;
    }
    let allowed = 1 + wrong.chars().count() / 5;
    let near = known.into_iter().map(|word| (distance(&wrong, &word.replace('-', "_")), word));
    near.filter(|(away, _)| *away <= allowed).min_by_key(|(away, _)| *away).map(|(_, word)| word)
}

/// How many letters have to be put in, taken out, changed or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
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
    fn a_word_is_found_when_few_letters_are_wrong() {
        let known = ["address", "private_address", "roles", "name"];
        for (wrong, meant) in [
            ("adress", Some("address")),
            ("Roles", Some("roles")),
            ("role", Some("roles")),
            ("nmae", Some("name")),
            ("private-address", Some("private_address")),
            ("", None),
            ("zone", None),
            ("memory", None),
        ] {
            assert_eq!(similar(wrong, known), meant, "{wrong}");
        }
    }
}
