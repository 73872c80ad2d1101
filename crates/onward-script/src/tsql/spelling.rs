//! Words that are almost keywords.

use super::code::Code;
use super::fault::Fault;
use super::words::{NEAR, RESERVED};
use crate::near::is_near;

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 0..code.len() {
        if code.is_word(index) {
            faults.extend(certain(code, index));
            faults.extend(doubtful(code, index));
        }
    }
}

fn certain(code: &Code<'_>, index: usize) -> Option<Fault> {
    let word = code.word(index);
    if code.before(index) == "NOT" && (3..=5).contains(&word.len()) && word != "FULL" && is_near(word, "NULL")
    {
        return Some(slip(code, index, "NULL"));
    }
    // `RDER BY`, `NSERT INTO`
    let before = [("BY", "ORDER"), ("BY", "GROUP"), ("INTO", "INSERT")];
    if let Some((_, keyword)) =
        before.iter().find(|(next, it)| code.word(index + 1) == *next && is_near(word, it))
    {
        return Some(slip(code, index, keyword));
    }
    let is_exists = code.is_open(index + 1) && code.word(index + 2) == "SELECT" && is_near(word, "EXISTS");
    is_exists.then(|| slip(code, index, "EXISTS"))
}

/// A name may be near to a keyword, so this is a question.
fn doubtful(code: &Code<'_>, index: usize) -> Option<Fault> {
    let word = code.word(index);
    let names_follow = ["AS", "INTO", "TABLE", "JOIN"];
    let is_name = word.len() < 4
        || word.starts_with(['@', '#'])
        || RESERVED.contains(&word)
        || word == "AFTER"
        || index == 0
        || index + 1 >= code.len()
        || names_follow.contains(&code.before(index))
        || code.is_symbol_before(index, '.')
        || code.is_symbol_before(index, ':')
        || code.is_symbol(index + 1, '.');
    if is_name {
        return None;
    }
    let near = NEAR.iter().find(|keyword| is_slip(word, keyword))?;
    Some(Fault { is_doubtful: true, ..slip(code, index, near) })
}

/// Letters that are swapped, one edit inside the word, or the first or the last letter left out.
fn is_slip(word: &str, keyword: &str) -> bool {
    if !is_near(word, keyword) {
        return false;
    }
    let sorted = |word: &str| {
        let mut letters: Vec<_> = word.chars().collect();
        letters.sort_unstable();
        letters
    };
    let is_cut = keyword.len() > 4 && (word == &keyword[1..] || word == &keyword[..keyword.len() - 1]);
    let is_swapped = word.len() == keyword.len() && sorted(word) == sorted(keyword);
    let same_ends =
        word.chars().next() == keyword.chars().next() && word.chars().last() == keyword.chars().last();
    is_swapped || same_ends || is_cut && word != "VALUE"
}

fn slip(code: &Code<'_>, index: usize, keyword: &str) -> Fault {
    let message = format!("`{}` is almost a keyword", code.shown(index));
    code.fault(index, message, format!("did you mean {keyword}?"))
}
