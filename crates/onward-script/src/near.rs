/// Whether one edit makes one word of the other: a letter added, left out, changed, or swapped with its neighbour.
pub(crate) fn is_near(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one == other || one.len().abs_diff(other.len()) > 1 {
        return false;
    }
    let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[same..], &other[same..]);
    match one.len().cmp(&other.len()) {
        std::cmp::Ordering::Less => one == &other[1..],
        std::cmp::Ordering::Greater => &one[1..] == other,
        std::cmp::Ordering::Equal => {
            let swapped = one.len() > 1 && one[0] == other[1] && one[1] == other[0] && one[2..] == other[2..];
            one[1..] == other[1..] || swapped
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_edit_is_near() {
        for word in ["SELCT", "SELLECT", "SELEKT", "SLEECT", "ELECT", "SELECTS"] {
            assert!(is_near(word, "SELECT"), "{word}");
        }
        for word in ["SELECT", "SECTEL", "SEL", "DELETE", ""] {
            assert!(!is_near(word, "SELECT"), "{word}");
        }
    }
}
